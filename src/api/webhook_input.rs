//! Reads the body of a call that creates or changes a webhook.

use super::input::{Errors, FieldValue, JsonFields};
use super::webhook_keys::{CHANGED_BY_ROTATION, read_signature, refuse_both};
use super::webhook_settings::{self, Change, Requirement, Rules, SETTINGS};
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::secret::SecretKind;
use crate::domain::time::UnixMillis;

/// Fields of responses that can't be set.
const READ_ONLY: [&str; 7] =
    ["id", "public_key", "state", "created_at", "updated_at", "disabled_reason", "disabled_at"];

/// The settings that a body contains; the others stay unchanged.
#[derive(Clone)]
pub(crate) struct WebhookChanges {
    changes: Vec<Change>,
    /// Of a new webhook.
    signature: Option<SecretKind>,
}

impl WebhookChanges {
    /// Reads the body of a creation.
    pub(crate) fn read_new(fields: JsonFields<'_>, rules: &Rules<'_>, errors: &mut Errors) -> Self {
        Self::read(fields, true, rules, errors)
    }

    /// Reads the body of a change.
    pub(crate) fn read_change(fields: JsonFields<'_>, rules: &Rules<'_>, errors: &mut Errors) -> Self {
        Self::read(fields, false, rules, errors)
    }

    fn read(mut fields: JsonFields<'_>, is_new: bool, rules: &Rules<'_>, errors: &mut Errors) -> Self {
        for name in READ_ONLY {
            fields.refuse(name, "can be read but not set; leave it out", errors);
        }
        let mut changes = Vec::new();
        let mut names = Vec::new();
        for setting in SETTINGS {
            let read = |value: &_, path: &str, errors: &mut Errors| setting.read(value, path, rules, errors);
            match setting.requirement {
                Requirement::Required { .. } if is_new => {
                    changes.extend(fields.require(setting.name, errors, read));
                    continue;
                }
                Requirement::CreationOnly { change_refused } if !is_new => {
                    fields.refuse(setting.name, change_refused, errors);
                    continue;
                }
                _ => {}
            }
            match (fields.read(setting.name, errors, read), &setting.requirement) {
                (FieldValue::Absent, _) => {}
                (FieldValue::Null, Requirement::Required { null_refused }) => {
                    errors.add(setting.name, *null_refused)
                }
                (FieldValue::Null, _) => changes.push(setting.restore_default(rules.defaults)),
                (FieldValue::Value(change), _) => {
                    changes.push(change);
                    names.push(setting.name);
                }
            }
        }
        let signature = match is_new {
            true => fields.read("signature", errors, read_signature).into_option(),
            false => {
                fields.refuse("signature", CHANGED_BY_ROTATION, errors);
                None
            }
        };
        refuse_both(names.contains(&"secret"), signature, errors);
        // each of them replaces the others
        let mut schedules =
            ["retry", "retry_policy", "retry_schedule"].into_iter().filter(|name| names.contains(name));
        if let Some(first) = schedules.next() {
            for other in schedules {
                errors.add(other, format!("not together with {first}; give one of the two"));
            }
        }
        fields.finish(errors);
        Self { changes, signature }
    }

    /// What a new webhook signs with.
    pub(crate) fn signature(&self) -> SecretKind {
        self.signature.unwrap_or_default()
    }

    /// Changes the settings that the body contains.
    pub(crate) fn apply(&self, endpoint: &mut Endpoint, now: UnixMillis, errors: &mut Errors) {
        let was_active = endpoint.active;
        for change in &self.changes {
            change.apply(endpoint, errors);
        }
        webhook_settings::check(endpoint, errors);
        if endpoint.active != was_active {
            endpoint.disabled_reason = (!endpoint.active).then_some(DisabledReason::Manual);
            endpoint.disabled_at = (!endpoint.active).then_some(now);
        }
    }
}
