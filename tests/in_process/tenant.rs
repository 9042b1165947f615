//! An organization that has one of everything.

use ringback::domain::organization::Role;
use serde_json::{Value, json};

use crate::world::{ADMIN, World};

/// An organization with a webhook, an event, a delivery, an event type of its own and a key of every role.
pub(crate) struct Tenant {
    pub organization: String,
    pub webhook: String,
    event: String,
    delivery: String,
    spare_key_id: String,
    deployment_key_id: String,
    pub keys: Vec<(Role, String)>,
}

impl Tenant {
    pub(crate) async fn new(world: &World) -> Self {
        let organization = world.organization("acme").await;
        let mut keys = Vec::new();
        for role in Role::ALL {
            keys.push((role, world.key(&organization, role.as_str()).await));
        }
        let owner = &keys[3].1;
        let webhook = world.webhook(owner, json!({"url": "https://example.com/hook"})).await;
        world.post(owner, "/v1/event-types", json!({"name": own_type(&organization)})).await.ok(201);
        let event = json!({"event_type": "call.completed", "data": {}});
        let event = world.post(owner, "/v1/events", event).await.ok(202);
        assert_eq!(event["deliveries"], 1);
        let delivery = world.delivered(owner).await;
        let spare = json!({"name": "spare", "role": "viewer"});
        let spare = world.post(ADMIN, &format!("/v1/organizations/{organization}/keys"), spare).await.ok(201);
        let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let webhook = webhook.rsplit_once('/').unwrap().1.to_owned();
        let spare_key_id = id(&spare);
        let deployment_key_id = world.spare_deployment_key().await;
        Self { webhook, event: id(&event), delivery, spare_key_id, deployment_key_id, keys, organization }
    }

    /// A page's address with the ids of what is here.
    pub(crate) fn path(&self, pattern: &str) -> String {
        let key_id =
            if pattern.starts_with("/deployment-keys") { &self.deployment_key_id } else { &self.spare_key_id };
        pattern
            .replace("{organization_id}", &self.organization)
            .replace("{webhook_id}", &self.webhook)
            .replace("{event_id}", &self.event)
            .replace("{event_type}", &own_type(&self.organization))
            .replace("{delivery_id}", &self.delivery)
            .replace("{catalogue_type}", "call.failed")
            .replace("{key_id}", key_id)
            .replace("{number}", "1")
            .replace("{hash}", "x")
            .replace("{name}", "app.css")
    }

    /// The key of a role.
    pub(crate) fn key(&self, role: &str) -> &str {
        if role == "admin" {
            return ADMIN;
        }
        &self.keys.iter().find(|(of, _)| of.as_str() == role).unwrap().1
    }

    /// All that a form could change, as the API shows it.
    pub(crate) async fn everything(&self, world: &World) -> String {
        let owner = self.key("owner");
        let mut all = String::new();
        for path in ["/v1/webhooks", "/v1/events", "/v1/webhooks/logs", "/v1/event-types"] {
            all.push_str(&world.get(owner, path).await.ok(200).to_string());
        }
        let keys = format!("/v1/organizations/{}/keys", self.organization);
        for path in ["/v1/organizations", "/v1/catalogue/event-types", "/v1/keys", &keys] {
            let mut list = world.get(ADMIN, path).await.ok(200);
            // signing in changes it
            for row in list["data"].as_array_mut().unwrap() {
                row.as_object_mut().unwrap().remove("last_used_at");
            }
            all.push_str(&list.to_string());
        }
        all
    }
}

/// An event type's name that no other organization has.
fn own_type(organization: &str) -> String {
    format!("invoice.{organization}")
}
