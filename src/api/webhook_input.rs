//! Reads the body of a call that creates or changes a webhook.

use super::input::{self, Errors, FieldValue, JsonFields};
use super::webhook_keys::{CHANGED_BY_ROTATION, read_signature, refuse_both};
use super::webhook_settings::{self, Change, Requirement, Rules, SETTINGS};
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::secret::SecretKind;
use crate::domain::time::UnixMillis;

/// Fields of responses that can't be set, beside the id.
const READ_ONLY: [&str; 6] = ["public_key", "state", "created_at", "updated_at", "disabled_reason", "disabled_at"];
const NOT_SET: &str = "can be read but not set; leave it out";

/// The settings that a body contains; the others stay unchanged.
#[derive(Clone)]
pub(crate) struct WebhookChanges {
    changes: Vec<Change>,
    /// Of a new webhook, or of one that was read.
    signature: Option<SecretKind>,
    /// Of a webhook that was read and is written back.
    id: Option<String>,
}

/// The id in a body that is a webhook as it was read, which may be written back with changes: what can't be set is ignored in
/// it, because it can be different by now without anybody's doing. A body without the id was written by hand, and there it is
/// a mistake.
fn read_back(fields: &mut JsonFields<'_>, is_new: bool, errors: &mut Errors) -> Option<String> {
    if is_new {
        fields.refuse("id", NOT_SET, errors);
    }
    let id = fields.hidden(|fields| fields.read("id", errors, input::string));
    if id == FieldValue::Null {
        errors.add("id", NOT_SET);
    }
    let id = id.into_option();
    for name in READ_ONLY {
        match id.is_some() {
            true => {
                fields.hidden(|fields| fields.take(name));
            }
            false => fields.refuse(name, NOT_SET, errors),
        }
    }
    id
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
        let id = read_back(&mut fields, is_new, errors);
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
        let signature = match is_new || id.is_some() {
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
        Self { changes, signature, id }
    }

    /// What a new webhook signs with.
    pub(crate) fn signature(&self) -> SecretKind {
        self.signature.unwrap_or_default()
    }

    /// Changes the settings that the body contains.
    pub(crate) fn apply(&self, endpoint: &mut Endpoint, now: UnixMillis, errors: &mut Errors) {
        if let Some(id) = &self.id {
            if *id != endpoint.id.to_string() {
                errors.add("id", "is that of another webhook; leave it out");
            }
            if self.signature.is_some_and(|kind| kind != endpoint.secret.kind()) {
                errors.add("signature", CHANGED_BY_ROTATION);
            }
        }
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
