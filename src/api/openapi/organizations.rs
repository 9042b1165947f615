//! `/v1/organizations` and their keys.

use serde_json::json;

use super::operation::{Operation, ResponseSpec, location};
use super::schemas::{api_key_example, organization_example, page};

const ALL: &str = "/v1/organizations";
const ONE: &str = "/v1/organizations/{organization_id}";
const KEYS: &str = "/v1/organizations/{organization_id}/keys";
const KEY: &str = "/v1/organizations/{organization_id}/keys/{key_id}";

/// What is written down about them.
pub(crate) fn operations() -> Vec<Operation> {
    let mut created_key = api_key_example();
    created_key["key"] = json!("rbk_Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmE");
    let organization = |status, text| ResponseSpec::json(status, text, "Organization", organization_example());
    vec![
        Operation::new(
            ("POST", ALL),
            "createOrganization",
            "Organizations",
            organization(201, "Created").headers(location()),
        )
        .about("Create an organization", "An organization owns webhooks, events, logs and keys.")
        .body("NewOrganization", vec![("A name", json!({"name": "Acme"}))]),
        Operation::new(
            ("GET", ALL),
            "listOrganizations",
            "Organizations",
            ResponseSpec::json(200, "A page of organizations", "OrganizationList", page(organization_example())),
        )
        .about("List organizations", "Newest first.")
        .paged(),
        Operation::new(("GET", ONE), "readOrganization", "Organizations", organization(200, "The organization"))
            .about("Read an organization", "Its name and when it was created."),
        Operation::new(
            ("DELETE", ONE),
            "deleteOrganization",
            "Organizations",
            ResponseSpec::empty(204, "Deleted"),
        )
        .about(
            "Delete an organization",
            "With everything that it owns: webhooks, events, logs and keys. This can't be undone.",
        ),
        Operation::new(
            ("POST", KEYS),
            "createKey",
            "Keys",
            ResponseSpec::json(201, "Created; the only response with the key", "CreatedApiKey", created_key)
                .headers(location()),
        )
        .about("Create a key", "The key is shown only in this response and stored as a hash.")
        .body(
            "NewApiKey",
            vec![
                ("For a publisher", json!({"name": "billing service", "role": "publisher"})),
                (
                    "With an expiry",
                    json!({"name": "audit", "role": "viewer", "expires_at": "2099-01-31T00:00:00Z"}),
                ),
            ],
        ),
        Operation::new(
            ("GET", KEYS),
            "listKeys",
            "Keys",
            ResponseSpec::json(200, "A page of keys", "ApiKeyList", page(api_key_example())),
        )
        .about("List keys", "Without the keys themselves and without revoked ones.")
        .paged(),
        Operation::new(("DELETE", KEY), "revokeKey", "Keys", ResponseSpec::empty(204, "Revoked"))
            .about("Revoke a key", "It stops working within a second."),
    ]
}
