//! A webhook's settings, each described once. The API's input and responses, the OpenAPI schemas, the dashboard's form and
//! `docs/webhook-settings.md` are made from [`SETTINGS`].
//!
//! A new setting is a field of [`Endpoint`] with its default, a column in the store, and an entry in `table.rs`.

mod credentials;
mod documentation;
mod headers;
mod retries;
mod table;
mod values;

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::input::{self, Errors};
use super::known_types::KnownTypes;
use crate::domain::endpoint::{Endpoint, EndpointDefaults};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::secret::Secret;
use crate::domain::target::TargetPolicy;
use crate::domain::time::UnixMillis;

pub(crate) use credentials::{CLIENT_SECRET_BOUNDS, PEM_BOUNDS, TEXT_BOUNDS, check};
pub use documentation::page;
pub(crate) use headers::{HeaderBounds, MASK};
pub(crate) use retries::{PolicyField, RETRY_POLICY};
pub(crate) use table::SETTINGS;
pub(crate) use values::{BURST_BOUNDS, PER_SECOND_BOUNDS, SECRET_PATTERN, SHOWN_SECRET_PATTERN, read_secret};

/// One setting of a webhook.
pub(crate) struct Setting {
    /// The name of its JSON field.
    pub name: &'static str,
    /// One line without a full stop, for the OpenAPI schemas and the documentation.
    pub help: &'static str,
    /// Replaces `help` in the schema of responses where a value reads differently from how it is set.
    pub help_in_responses: Option<&'static str>,
    /// What `null` does, where that deserves more than "the default".
    pub null_means: Option<&'static str>,
    /// A value in JSON, as responses show it.
    pub example: &'static str,
    pub requirement: Requirement,
    pub kind: SettingKind,
    /// Its field in the dashboard's form. Those of a [`SettingKind::Structured`] setting are written out in the dashboard.
    pub form: Option<FormField>,
}

/// When a setting may be left out, `null`, or changed.
pub(crate) enum Requirement {
    /// Left out, it has its default in a new webhook and stays unchanged in a change; `null` restores the default.
    Optional,
    /// A new webhook must have it, and `null` is refused with this message.
    Required { null_refused: &'static str },
    /// A change is refused with this message, and only the response to the creation shows it.
    CreationOnly { change_refused: &'static str },
}

/// The type of a setting's value. Everything about the first three follows from what is written here.
pub(crate) enum SettingKind {
    Boolean { get: fn(&Endpoint) -> bool, set: fn(&mut Endpoint, bool) },
    Integer { bounds: RangeInclusive<u64>, get: fn(&Endpoint) -> u64, set: fn(&mut Endpoint, u64) },
    Text { max_characters: usize, get: fn(&Endpoint) -> Option<&str>, set: fn(&mut Endpoint, Option<String>) },
    Structured(Structured),
}

/// A setting with a format or rules that no other setting has.
pub(crate) struct Structured {
    /// For the documentation.
    pub type_name: &'static str,
    /// For the documentation.
    pub bounds: &'static str,
    /// The OpenAPI schema of the input, without its description and without `null`.
    pub schema: fn() -> Value,
    /// The OpenAPI schema of the value in responses, without its description.
    pub response_schema: fn() -> Value,
    pub get: fn(&Endpoint) -> Value,
    /// Reads a value that is not `null`. Notes what is wrong with it and then returns nothing.
    pub read: fn(&RawValue, &str, &Rules<'_>, &mut Errors) -> Option<Change>,
    /// Restores the default.
    pub reset: fn(&mut Endpoint, &EndpointDefaults),
}

/// Where and how the dashboard's form shows a setting.
pub(crate) struct FormField {
    pub section: FormSection,
    pub label: &'static str,
    pub help: &'static str,
}

/// A card of the dashboard's form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormSection {
    Target,
    Retries,
    Pace,
}

/// What this deployment and the organization's event types allow.
pub(crate) struct Rules<'a> {
    pub types: KnownTypes,
    pub target_policy: &'a TargetPolicy,
    pub signature_header_prefix: &'a str,
    pub defaults: EndpointDefaults,
    pub headers: HeaderBounds,
    /// A certificate has to be valid then.
    pub now: UnixMillis,
}

/// A checked change to one setting. It can be applied again to a newer version of the webhook.
#[derive(Clone)]
pub(crate) struct Change(Arc<ApplyChange>);

type ApplyChange = dyn Fn(&mut Endpoint, &mut Errors) + Send + Sync;

impl Change {
    fn new(apply: impl Fn(&mut Endpoint, &mut Errors) + Send + Sync + 'static) -> Self {
        Self(Arc::new(apply))
    }

    pub(crate) fn apply(&self, endpoint: &mut Endpoint, errors: &mut Errors) {
        (self.0)(endpoint, errors);
    }
}

impl Setting {
    /// Reads a value that is not `null`. Notes what is wrong with it and then returns nothing.
    pub(crate) fn read(
        &self,
        value: &RawValue,
        path: &str,
        rules: &Rules<'_>,
        errors: &mut Errors,
    ) -> Option<Change> {
        match &self.kind {
            &SettingKind::Boolean { set, .. } => {
                let value = input::boolean(value, path, errors)?;
                Some(Change::new(move |endpoint, _| set(endpoint, value)))
            }
            SettingKind::Integer { bounds, set, .. } => {
                let (value, set) = (input::whole_number(bounds.clone())(value, path, errors)?, *set);
                Some(Change::new(move |endpoint, _| set(endpoint, value)))
            }
            &SettingKind::Text { max_characters, set, .. } => {
                let value = input::string_of_length(0..=max_characters)(value, path, errors)?;
                Some(Change::new(move |endpoint, _| set(endpoint, Some(value.clone()))))
            }
            SettingKind::Structured(structured) => (structured.read)(value, path, rules, errors),
        }
    }

    /// The change that `null` asks for.
    pub(crate) fn restore_default(&'static self, defaults: EndpointDefaults) -> Change {
        Change::new(move |endpoint, _| match &self.kind {
            SettingKind::Boolean { get, set } => set(endpoint, get(&blank(&defaults))),
            SettingKind::Integer { get, set, .. } => set(endpoint, get(&blank(&defaults))),
            SettingKind::Text { get, set, .. } => set(endpoint, get(&blank(&defaults)).map(str::to_owned)),
            SettingKind::Structured(structured) => (structured.reset)(endpoint, &defaults),
        })
    }

    /// The value as responses show it.
    pub(crate) fn get(&self, endpoint: &Endpoint) -> Value {
        match &self.kind {
            SettingKind::Boolean { get, .. } => json!(get(endpoint)),
            SettingKind::Integer { get, .. } => json!(get(endpoint)),
            SettingKind::Text { get, .. } => json!(get(endpoint)),
            SettingKind::Structured(structured) => (structured.get)(endpoint),
        }
    }

    /// The default of a deployment that sets none.
    pub(crate) fn default(&self) -> Value {
        self.get(&blank(&EndpointDefaults::default()))
    }

    pub(crate) fn is_in_every_response(&self) -> bool {
        !matches!(self.requirement, Requirement::CreationOnly { .. })
    }

    /// The OpenAPI schema of the input, with its description.
    pub(crate) fn schema(&self) -> Value {
        let mut schema = match &self.kind {
            SettingKind::Boolean { .. } => json!({"type": "boolean"}),
            SettingKind::Integer { bounds, .. } => {
                json!({"type": "integer", "minimum": bounds.start(), "maximum": bounds.end()})
            }
            SettingKind::Text { max_characters, .. } => json!({"type": "string", "maxLength": max_characters}),
            SettingKind::Structured(structured) => (structured.schema)(),
        };
        if matches!(self.requirement, Requirement::Required { .. }) {
            schema["description"] = json!(self.help);
            return schema;
        }
        if schema.get("$ref").is_some() {
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        } else {
            schema["type"] = json!([schema["type"], "null"]);
        }
        // the default is in the description only: generators make a field with a `default` a required one, or send it where
        // the caller set nothing, which in a change would overwrite the webhook's value
        let null_means = match (self.null_means, self.default()) {
            (Some(meaning), _) => meaning.to_owned(),
            (None, Value::Null) => String::from("none"),
            (None, default) => format!("the default, `{default}`"),
        };
        schema["description"] = json!(format!("{}. `null`: {null_means}", self.help));
        schema
    }

    /// The OpenAPI schema of the value in responses, with its description.
    pub(crate) fn response_schema(&self) -> Value {
        let mut schema = match &self.kind {
            SettingKind::Boolean { .. } => json!({"type": "boolean"}),
            SettingKind::Integer { bounds, .. } => {
                json!({"type": "integer", "minimum": bounds.start(), "maximum": bounds.end()})
            }
            SettingKind::Text { .. } => json!({"type": ["string", "null"]}),
            SettingKind::Structured(structured) => (structured.response_schema)(),
        };
        schema["description"] = json!(self.help_in_responses.unwrap_or(self.help));
        schema
    }
}

/// A webhook that nothing was set for.
pub(crate) fn blank(defaults: &EndpointDefaults) -> Endpoint {
    let secret = Secret::new(String::new());
    Endpoint::new(EndpointId(0), OrganizationId(0), "", secret, UnixMillis(0)).with_defaults(defaults)
}
