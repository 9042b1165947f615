//! `/v1/organizations` and their keys.

use serde_json::json;

use super::operation::{Operation, ResponseSpec, location, query};
use super::schemas::{AT, api_key_example, deployment_key_example, organization_example, page};
use crate::api::problem::ErrorCode::{Conflict, IdempotencyKeyReused};

const ALL: &str = "/v1/organizations";
const ONE: &str = "/v1/organizations/{organization_id}";
const KEYS: &str = "/v1/organizations/{organization_id}/keys";
const DEPLOYMENT_KEYS: &str = "/v1/keys";
const KEY: &str = "/v1/organizations/{organization_id}/keys/{key_id}";

fn creation_key() -> serde_json::Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false, "example": "signup-42",
        "description": "The same key with the same body within 24 hours gets the organization of the first request",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    })
}

/// What is written down about them.
pub(crate) fn operations() -> Vec<Operation> {
    let mut created_key = api_key_example();
    created_key["key"] = json!("rbk_Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmE");
    let mut created_deployment_key = deployment_key_example();
    created_deployment_key["key"] = created_key["key"].clone();
    created_deployment_key["last_used_at"] = json!(null);
    let organization = |status, text| ResponseSpec::json(status, text, "Organization", organization_example());
    vec![
        Operation::new(
            ("POST", ALL),
            "createOrganization",
            "Organizations",
            organization(201, "Created").headers(location()),
        )
        .about(
            "Create an organization",
            "An organization owns webhooks, events, logs and keys. With an `Idempotency-Key` a repetition within 24 hours gets the one \
             that was created.",
        )
        .body(
            "NewOrganization",
            vec![
                ("A name", json!({"name": "Acme"})),
                ("With your own id", json!({"name": "Acme", "uid": "customer-42", "metadata": {"plan": "pro"}})),
            ],
        )
        .with([creation_key()])
        .errors(&[Conflict, IdempotencyKeyReused]),
        Operation::new(
            ("GET", ALL),
            "listOrganizations",
            "Organizations",
            ResponseSpec::json(200, "A page of organizations", "OrganizationList", page(organization_example())),
        )
        .about("List organizations", "Newest first.")
        .paged()
        .with([query("state", "Only those with a webhook that fails, paused ones included", json!({"type": "string", "enum": ["failing"]}), json!("failing"))]),
        Operation::new(("GET", ONE), "readOrganization", "Organizations", organization(200, "The organization"))
            .about("Read an organization", "By its id or your own."),
        Operation::new(("PUT", ONE), "getOrCreateOrganization", "Organizations", organization(200, "It was there"))
            .or(organization(201, "Created").headers(location()))
            .about(
                "Get or create an organization",
                "By your own id, in one call: say this before you use it, as often as you like. One that is there stays as it is.",
            )
            .optional_body("WantedOrganization", vec![("A name", json!({"name": "Acme"})), ("Nothing", json!({}))])
            .errors(&[Conflict]),
        Operation::new(("PATCH", ONE), "updateOrganization", "Organizations", organization(200, "As it is now"))
            .about("Change an organization", "Only the fields that are given; `metadata` replaces all of it.")
            .body("OrganizationChange", vec![("Another id of yours", json!({"uid": "customer-43"}))])
            .errors(&[Conflict]),
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
        Operation::new(
            ("POST", "/v1/organizations/{organization_id}/sign-in-links"),
            "createSignInLink",
            "Organizations",
            ResponseSpec::json(
                201,
                "Created; the only response with the link",
                "SignInLink",
                json!({"url": "https://hooks.example.com/sign-in?link=Zm9vYmFyYmF6", "expires_at": AT}),
            ),
        )
        .about(
            "Create a sign-in link",
            "It opens the dashboard once, signed in to this organization with this role, for 12 hours. Redirect your customer to it.",
        )
        .optional_body(
            "NewSignInLink",
            vec![
                ("For a manager", json!({})),
                (
                    "With a way back",
                    json!({"role": "viewer", "expires_in_seconds": 60, "return_url": "https://example.com/settings", "name": "Ada"}),
                ),
            ],
        ),
        Operation::new(
            ("POST", DEPLOYMENT_KEYS),
            "createDeploymentKey",
            "Keys",
            ResponseSpec::json(
                201,
                "Created; the only response with the key",
                "CreatedDeploymentKey",
                created_deployment_key,
            )
            .headers(location()),
        )
        .about(
            "Create a key of the deployment",
            "One key for all organizations: it acts with its role in the one that the header `Ringback-Organization` names.",
        )
        .body("NewDeploymentKey", vec![("For a backend", json!({"name": "our backend", "role": "admin"}))]),
        Operation::new(
            ("GET", DEPLOYMENT_KEYS),
            "listDeploymentKeys",
            "Keys",
            ResponseSpec::json(200, "A page of keys", "DeploymentKeyList", page(deployment_key_example())),
        )
        .about("List keys of the deployment", "Without the keys themselves and without revoked ones.")
        .paged(),
        Operation::new(
            ("DELETE", "/v1/keys/{key_id}"),
            "revokeDeploymentKey",
            "Keys",
            ResponseSpec::empty(204, "Revoked"),
        )
        .about("Revoke a key of the deployment", "It stops working within a second."),
        Operation::new(("DELETE", KEY), "revokeKey", "Keys", ResponseSpec::empty(204, "Revoked"))
            .about("Revoke a key", "It stops working within a second."),
    ]
}
