//! `/v1/audit-log`.

use serde_json::{Value, json};

use super::operation::{Operation, ResponseSpec, schema_ref};
use super::schemas::{AT, WEBHOOK_ID, choice, described, free_form_or_null, id, instant, list_of, output, page};
use crate::domain::audit::AuditAction;

/// What is written down about it.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            ("GET", "/v1/audit-log"),
            "listChanges",
            "Organizations",
            ResponseSpec::json(200, "A page of changes", "AuditLog", page(example())),
        )
        .about(
            "Read who changed what",
            "Changes of webhooks, event types, keys and the organization itself, and who resumed or recovered a webhook, newest first, for 90 days. With the admin \
             key, which then names no organization: those of the deployment, that is of its keys, of the catalogue, and deletions of \
             organizations.",
        )
        .paged(),
    ]
}

pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    let actions: Vec<&str> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
    let mut key_id = described(id("key"), "Only of a key");
    key_id["type"] = json!(["string", "null"]);
    vec![
        ("AuditLog", list_of("AuditEntry")),
        (
            "AuditEntry",
            output(json!({
                "id": id("aud"),
                "at": instant("When it was changed"),
                "actor": schema_ref("AuditActor"),
                "action": schema_ref("AuditAction"),
                "subject": {"type": "string", "description": "The id of what was changed, or the name of an event type"},
                "before": free_form_or_null("The changed fields as they were; long values by their length, secrets never. `null` for something new"),
                "after": free_form_or_null("The same as they are then. `null` for something removed"),
            })),
        ),
        (
            "AuditActor",
            output(json!({
                "type": schema_ref("AuditActorType"),
                "key_id": key_id,
                "name": {"type": ["string", "null"], "description": "Of the key, while it exists, or of whoever came by a sign-in link, as the link says"},
                "role": schema_ref("DeploymentRole"),
            })),
        ),
        (
            "AuditActorType",
            choice(
                &["admin_key", "key", "sign_in"],
                "`sign_in`: somebody who came to the dashboard by a sign-in link",
            ),
        ),
        ("AuditAction", choice(&actions, "What was done")),
    ]
}

fn example() -> Value {
    json!({
        "id": "aud_0ap41fbb00000", "at": AT, "actor": {"type": "sign_in", "key_id": null, "name": "Ada", "role": "manager"},
        "action": "webhook.changed", "subject": WEBHOOK_ID, "before": {"timeout": 10}, "after": {"timeout": 20},
    })
}
