//! Who changed what: one entry for each change of settings, resume and recovery.

use std::time::Duration;

use serde_json::Value;

use super::ids::{AuditId, KeyId, OrganizationId};
use super::organization::Role;
use super::time::UnixMillis;

/// How long an entry is kept. Shorter: what was changed last quarter can't be explained any more. Longer: the log grows.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);

/// One change, written with it in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    pub id: AuditId,
    /// Whose settings they are; `None`: the deployment's.
    pub organization_id: Option<OrganizationId>,
    pub at: UnixMillis,
    pub actor: Actor,
    pub action: AuditAction,
    /// The id of what was changed, or the name of an event type.
    pub subject: String,
    /// The fields that were changed, as they were; `None` for something new.
    pub before: Option<Value>,
    /// As they are then; `None` for something removed. Neither has a secret.
    pub after: Option<Value>,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The deployment's admin key.
    AdminKey,
    /// An API key, of the organization or of the deployment.
    Key { key_id: KeyId, role: Role },
    /// Somebody who came to the dashboard by a sign-in link.
    SignIn { name: Option<String>, role: Role },
}

macro_rules! actions {
    ($($name:ident = $text:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AuditAction {
            $($name,)*
        }

        impl AuditAction {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in the API and in the database.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

actions! {
    OrganizationCreated = "organization.created",
    OrganizationChanged = "organization.changed",
    OrganizationDeleted = "organization.deleted",
    KeyCreated = "key.created",
    KeyRevoked = "key.revoked",
    WebhookCreated = "webhook.created",
    WebhookChanged = "webhook.changed",
    WebhookSecretRotated = "webhook.secret_rotated",
    WebhookResumed = "webhook.resumed",
    WebhookRecovered = "webhook.recovered",
    WebhookDeleted = "webhook.deleted",
    EventPayloadErased = "event.payload_erased",
    AttemptResponseErased = "attempt.response_erased",
    EventTypeCreated = "event_type.created",
    EventTypeChanged = "event_type.changed",
    EventTypeDeleted = "event_type.deleted",
}

impl AuditAction {
    /// Reads the name in the database; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }
}

/// The longest text of a field in an entry, in bytes of JSON: whoever changes a large filter in a loop fills no disk with it.
const LONGEST_VALUE: usize = 2_048;

/// Reduces two views of one thing to the fields that differ, and long values to their lengths. Fields in `left_out` are in
/// neither.
pub(crate) fn differences(before: Option<Value>, after: Option<Value>, left_out: &[&str]) -> [Option<Value>; 2] {
    let [mut before, mut after] = [before, after];
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (&mut before, &mut after) {
        let unchanged: Vec<String> = old
            .iter()
            .filter(|(name, value)| new.get(*name) == Some(value))
            .map(|(name, _)| name.clone())
            .collect();
        for name in unchanged {
            old.remove(&name);
            new.remove(&name);
        }
    }
    [before, after].map(|view| view.map(|view| shortened(view, left_out)))
}

fn shortened(view: Value, left_out: &[&str]) -> Value {
    let Value::Object(fields) = view else { return view };
    let fields = fields.into_iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
    let short = |value: Value| {
        let bytes = value.to_string().len();
        if bytes <= LONGEST_VALUE { value } else { Value::String(format!("({bytes} bytes)")) }
    };
    fields.map(|(name, value)| (name, short(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_action_is_read_back_by_its_name() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::parse(action.as_str()), Some(*action));
        }
    }

    #[test]
    fn only_what_differs_is_kept_and_long_values_by_their_length() {
        let before = json!({"url": "a", "timeout": 5, "filters": "x".repeat(3_000), "updated_at": 1});
        let after = json!({"url": "a", "timeout": 6, "filters": null, "updated_at": 2});
        let [old, new] = differences(Some(before.clone()), Some(after), &["updated_at"]);
        assert_eq!(old, Some(json!({"timeout": 5, "filters": "(3002 bytes)"})));
        assert_eq!(new, Some(json!({"timeout": 6, "filters": null})));
        let [old, new] = differences(Some(before), None, &["updated_at", "filters"]);
        assert_eq!((old, new), (Some(json!({"url": "a", "timeout": 5})), None));
    }
}
