//! `/v1/organizations` and their keys.

use serde_json::json;

use super::operation::{Answer, Operation, location};
use super::schemas::{api_key_example, organization_example, page};

const ALL: &str = "/v1/organizations";
const ONE: &str = "/v1/organizations/{organization_id}";
const KEYS: &str = "/v1/organizations/{organization_id}/keys";
const KEY: &str = "/v1/organizations/{organization_id}/keys/{key_id}";

/// What is written down about them.
pub(crate) fn operations() -> Vec<Operation> {
    let mut created_key = api_key_example();
    created_key["key"] = json!("rbk_Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmE");
    let organization = |status, text| Answer::json(status, text, "Organization", organization_example());
    vec![
        Operation::new(
            ("POST", ALL),
            "createOrganization",
            "Organizations",
            organization(201, "Created").headers(location()),
        )
        .about("Make an organization", "An organization owns webhooks, events, logs and keys.")
        .body("NewOrganization", vec![("A name", json!({"name": "Acme"}))]),
        Operation::new(
            ("GET", ALL),
            "listOrganizations",
            "Organizations",
            Answer::json(200, "A page of organizations", "OrganizationList", page(organization_example())),
        )
        .about("List organizations", "Newest first.")
        .paged(),
        Operation::new(("GET", ONE), "readOrganization", "Organizations", organization(200, "The organization"))
            .about("Read an organization", "Its name and when it was made."),
        Operation::new(("DELETE", ONE), "deleteOrganization", "Organizations", Answer::empty(204, "Deleted"))
            .about(
                "Delete an organization",
                "With everything that it owns: webhooks, events, logs and keys. There is no way back.",
            ),
        Operation::new(
            ("POST", KEYS),
            "createKey",
            "Keys",
            Answer::json(201, "Made; the one answer that holds the key", "CreatedApiKey", created_key)
                .headers(location()),
        )
        .about("Make a key", "The key is shown in this answer alone and stored as a hash.")
        .body(
            "NewApiKey",
            vec![
                ("For a publisher", json!({"name": "billing service", "role": "publisher"})),
                (
                    "For some time",
                    json!({"name": "audit", "role": "viewer", "expires_at": "2099-01-31T00:00:00Z"}),
                ),
            ],
        ),
        Operation::new(
            ("GET", KEYS),
            "listKeys",
            "Keys",
            Answer::json(200, "A page of keys", "ApiKeyList", page(api_key_example())),
        )
        .about("List keys", "Without the keys themselves. Revoked ones are gone.")
        .paged(),
        Operation::new(("DELETE", KEY), "revokeKey", "Keys", Answer::empty(204, "Revoked"))
            .about("Revoke a key", "It stops working within a second."),
    ]
}
