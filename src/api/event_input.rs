//! Reads one event, alone in a request or one of a batch.

use std::sync::Arc;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::body::too_large;
use super::input::{self, Errors, JsonFields};
use super::known_types::KnownTypes;
use super::label_input::labels;
use super::problem::{ErrorCode, Problem};
use crate::actors::publication::Publication;
use crate::domain::event::{MAX_BODY_BYTES, body_overhead};
use crate::domain::event_type_registry::{Registered, check_data};
use crate::domain::ids::OrganizationId;
use crate::domain::labels::{EventLabels, MAX_EVENT_CHANNELS, MAX_TAGS};
use crate::domain::time::{UnixMillis, normalize_rfc3339};
use crate::store::IdempotencyKey;

/// Larger bodies are parsed on a blocking thread; below this, switching threads costs more than the parsing.
const INLINE_BYTES: usize = 64 * 1024;

/// Whether this many bytes may be parsed on a worker, if nothing has to be checked beside their form.
pub(crate) fn may_read_inline(bytes: usize) -> bool {
    bytes <= INLINE_BYTES
}

/// Reads the events of one request.
#[derive(Clone)]
pub(crate) struct EventReader {
    /// The publisher's organization.
    pub organization_id: OrganizationId,
    /// What it may publish.
    pub types: KnownTypes,
    /// The time of events that have none.
    pub now: UnixMillis,
}

impl EventReader {
    /// Whether this many bytes may be parsed on a worker. Not where a schema may have to be checked: how long that
    /// takes is up to its author.
    pub(crate) fn may_read_inline(&self, bytes: usize) -> bool {
        may_read_inline(bytes) && !self.types.may_have_schemas()
    }

    /// Reads `{event_type, data, timestamp?, channels?, tags?}`; `key` and `errors` are those of the request around it.
    pub(crate) fn read(
        &self,
        text: &[u8],
        key: Option<String>,
        mut errors: Errors,
    ) -> Result<Publication, Problem> {
        let mut fields = JsonFields::parse(text, &mut errors)?;
        let message = "is for an item of a batch; send the header Idempotency-Key";
        fields.refuse("idempotency_key", message, &mut errors);
        self.read_fields(fields, key, errors)
    }

    /// Reads the item at this place of a batch, which has its idempotency key inside.
    pub(crate) fn read_item(&self, text: &[u8], place: usize) -> Result<Publication, Problem> {
        let mut errors = Errors::new();
        let mut fields = JsonFields::parse(text, &mut errors)?;
        let key = fields.read("idempotency_key", &mut errors, read_key).into_option();
        let mut publication = self.read_fields(fields, key, errors)?;
        publication.place = place;
        Ok(publication)
    }

    fn read_fields(
        &self,
        mut fields: JsonFields<'_>,
        key: Option<String>,
        mut errors: Errors,
    ) -> Result<Publication, Problem> {
        let event_type = fields.require("event_type", &mut errors, |value, path, errors| {
            let name = input::string(value, path, errors)?;
            self.lookup(&name, path, errors).map(|registered| (name, registered))
        });
        let data = fields.require("data", &mut errors, read_data);
        let timestamp = fields.read("timestamp", &mut errors, read_timestamp).into_option();
        let mut labels_of =
            |name, most| fields.read(name, &mut errors, labels(most)).into_option().unwrap_or_default();
        let labels = EventLabels {
            channels: labels_of("channels", MAX_EVENT_CHANNELS),
            tags: labels_of("tags", MAX_TAGS),
            ..EventLabels::default()
        };
        fields.finish(&mut errors);
        if let (Some((_, Registered::WithSchema(schema))), Some(data)) = (&event_type, data) {
            for error in check_data(schema, data) {
                errors.add_with_code(ErrorCode::SchemaViolation, error.field, error.message);
            }
        }
        errors.into_result()?;
        let (Some((event_type, _)), Some(data)) = (event_type, data) else {
            // a required field that is missing is among the errors
            return Err(Problem::input(Vec::new()));
        };
        let sent_at = timestamp.as_ref().map(|(text, _)| text.as_str());
        let idempotency = key.map(|key| {
            let request_hash = content_hash(&event_type, sent_at, data, &labels);
            IdempotencyKey { key, request_hash }
        });
        let (timestamp, occurred_at) = timestamp.unwrap_or_else(|| (self.now.to_string(), self.now));
        if data.get().len() + body_overhead(&event_type, &timestamp) > MAX_BODY_BYTES {
            return Err(too_large(MAX_BODY_BYTES));
        }
        let has_free_type = self.types.is_of_environment(&event_type);
        let mut publication =
            Publication::new(self.organization_id, event_type, (timestamp, occurred_at), data.to_owned());
        publication.has_free_type = has_free_type;
        publication.idempotency = idempotency;
        publication.labels = (!labels.is_empty()).then(|| Arc::new(labels));
        Ok(publication)
    }

    fn lookup(&self, name: &str, path: &str, errors: &mut Errors) -> Option<Registered> {
        match self.types.lookup(name) {
            Registered::Operational => {
                let message = "is made by the engine alone; it can be asked for, but not published";
                errors.add_with_code(ErrorCode::ReservedEventType, path, message);
                None
            }
            Registered::No => {
                errors.add_with_code(ErrorCode::UnknownEventType, path, self.types.unknown(name));
                None
            }
            registered => Some(registered),
        }
    }
}

/// What makes an event the same one when its key is used again, whether it is published alone or in a batch.
fn content_hash(event_type: &str, timestamp: Option<&str>, data: &RawValue, labels: &EventLabels) -> [u8; 32] {
    let mut hash = Sha256::new();
    // neither of the first two can have a line break
    for part in [event_type, "\n", timestamp.unwrap_or_default(), "\n", data.get()] {
        hash.update(part);
    }
    // nothing for an event without any: keys that were used before there were labels still count
    for (kind, labels) in [("\nchannel\n", &labels.channels), ("\ntag\n", &labels.tags)] {
        for label in labels {
            hash.update(kind);
            hash.update(label);
        }
    }
    hash.finalize().into()
}

/// The same characters as in the header.
fn read_key(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    let key = input::string(value, path, errors)?;
    if !is_idempotency_key(key.as_bytes()) {
        errors.add(path, "must have 1 to 255 printable ASCII characters");
        return None;
    }
    Some(key)
}

/// Whether this can be an idempotency key: 1 to 255 printable ASCII characters, spaces among them.
pub(super) fn is_idempotency_key(value: &[u8]) -> bool {
    (1..=255).contains(&value.len()) && value.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The contract promises receivers an object.
fn read_data<'a>(value: &'a RawValue, path: &str, errors: &mut Errors) -> Option<&'a RawValue> {
    if !value.get().starts_with('{') {
        errors.add(path, format!("expected an object, got {}", input::kind(value)));
        return None;
    }
    Some(value)
}

fn read_timestamp(value: &RawValue, path: &str, errors: &mut Errors) -> Option<(String, UnixMillis)> {
    let text = input::string(value, path, errors)?;
    let pair = normalize_rfc3339(&text).zip(UnixMillis::parse_rfc3339(&text));
    if pair.is_none() {
        errors.add(
            path,
            match UnixMillis::parse_rfc3339(&text) {
                Some(_) => String::from("must lie within the years 0 to 9999 in UTC, in which receivers get it"),
                None => input::not_an_instant(&text),
            },
        );
    }
    pair
}
