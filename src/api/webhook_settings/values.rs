//! The settings with formats of their own, except those of retries and headers: `url`, `events`, `channels`, `filters`, `rate_limit`
//! and `secret`.

use std::ops::RangeInclusive;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Change, Rules, Structured};
use crate::api::input::{self, Errors, JsonFields};
use crate::api::label_input::{labels, labels_schema};
use crate::api::problem::ErrorCode;
use crate::domain::endpoint::RateLimit;
use crate::domain::filter::Filter;
use crate::domain::labels::MAX_ENDPOINT_CHANNELS;
use crate::domain::patterns::EventPattern;
use crate::domain::secret::Secret;
use crate::domain::target::TargetError;

const MAX_PATTERNS: usize = 100;
const MAX_FILTER_CONDITIONS: usize = 50;

/// Of `rate_limit.per_second`.
pub(crate) const PER_SECOND_BOUNDS: RangeInclusive<f64> = 0.01..=10_000.0;
/// Of `rate_limit.burst`.
pub(crate) const BURST_BOUNDS: RangeInclusive<u64> = 1..=10_000;

/// `whsec_` and the base64 of 24 to 64 bytes: whole groups, then one or two more bytes.
pub(crate) const SECRET_PATTERN: &str = "^whsec_(([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/][AQgw]==)?\
    |([A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$";

/// The same as its owner sees it, which can be a public key; through the Svix-compatible API a secret can be longer.
pub(crate) const SHOWN_SECRET_PATTERN: &str = "^wh(sec|pk)_[A-Za-z0-9+/]{32,100}={0,2}$";

pub(super) const URL: Structured = Structured {
    type_name: "string",
    bounds: "a URL of at most 2,048 bytes",
    schema: || {
        json!({
            "type": "string", "format": "uri", "minLength": 10, "maxLength": 2048, "pattern": r"^https?://[!-~]+$",
        })
    },
    response_schema: || json!({"type": "string"}),
    get: |endpoint| json!(endpoint.url),
    read: |value, path, rules, errors| {
        let url = read_url(value, path, rules, errors)?;
        Some(Change::new(move |endpoint, _| endpoint.url.clone_from(&url)))
    },
    // `null` is refused before
    reset: |_, _| {},
};

pub(super) const EVENTS: Structured = Structured {
    type_name: "list of strings",
    bounds: "at most 100",
    schema: patterns_schema,
    response_schema: patterns_schema,
    get: |endpoint| json!(endpoint.events),
    read: |value, path, rules, errors| {
        let AskedFor { patterns, unknown } = read_events(value, path, rules, errors)?;
        Some(Change::new(move |endpoint, errors| {
            // one that was there before its type went can stay: else nothing beside it could be changed
            for it in unknown.iter().filter(|it| !endpoint.events.contains(&it.pattern)) {
                errors.add_with_code(ErrorCode::UnknownEventType, it.path.clone(), it.message.clone());
            }
            endpoint.events.clone_from(&patterns);
        }))
    },
    reset: |endpoint, _| endpoint.events.clear(),
};

pub(super) const CHANNELS: Structured = Structured {
    type_name: "list of strings",
    bounds: "at most 10, each of 1 to 128 characters",
    schema: || labels_schema(MAX_ENDPOINT_CHANNELS),
    response_schema: || labels_schema(MAX_ENDPOINT_CHANNELS),
    get: |endpoint| json!(endpoint.channels),
    read: |value, path, _, errors| {
        let channels = labels(MAX_ENDPOINT_CHANNELS)(value, path, errors)?;
        Some(Change::new(move |endpoint, _| endpoint.channels.clone_from(&channels)))
    },
    reset: |endpoint, _| endpoint.channels.clear(),
};

pub(super) const FILTERS: Structured = Structured {
    type_name: "object",
    bounds: "at most 50 conditions",
    schema: || reference("Filters"),
    response_schema: || reference_or_null("Filters"),
    get: |endpoint| endpoint.filter.as_ref().map_or(Value::Null, |filter| filter.source().clone()),
    read: |value, path, _, errors| {
        let filter = read_filters(value, path, errors)?;
        Some(Change::new(move |endpoint, _| endpoint.filter = Some(filter.clone())))
    },
    reset: |endpoint, _| endpoint.filter = None,
};

pub(super) const RATE_LIMIT: Structured = Structured {
    type_name: "object",
    bounds: "`per_second` 0.01 to 10,000, `burst` 1 to 10,000",
    schema: || reference("RateLimit"),
    response_schema: || reference_or_null("RateLimit"),
    get: |endpoint| json!(endpoint.rate_limit),
    read: |value, path, _, errors| {
        let limit = read_rate_limit(value, path, errors)?;
        Some(Change::new(move |endpoint, _| endpoint.rate_limit = Some(limit)))
    },
    reset: |endpoint, _| endpoint.rate_limit = None,
};

pub(super) const SECRET: Structured = Structured {
    type_name: "string",
    bounds: "`whsec_` and the base64 of 24 to 64 bytes",
    schema: secret_schema,
    response_schema: || json!({"type": "string", "pattern": SHOWN_SECRET_PATTERN}),
    get: |endpoint| json!(endpoint.secret.shown()),
    read: |value, path, _, errors| {
        let secret = read_secret(value, path, errors)?;
        Some(Change::new(move |endpoint, _| endpoint.secret = secret.clone()))
    },
    // a new webhook has a generated one already
    reset: |_, _| {},
};

/// A reference to a named OpenAPI schema.
pub(super) fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

pub(super) fn reference_or_null(schema: &str) -> Value {
    json!({"anyOf": [reference(schema), {"type": "null"}]})
}

fn patterns_schema() -> Value {
    json!({
        "type": "array", "maxItems": MAX_PATTERNS,
        "items": {"type": "string", "maxLength": 130, "pattern": r"^(\*|[a-z0-9_\-]+(\.[a-z0-9_\-]+)*(\.\*)?)$"},
    })
}

fn secret_schema() -> Value {
    json!({"type": "string", "pattern": SECRET_PATTERN})
}

pub(super) fn read_url(value: &RawValue, path: &str, rules: &Rules<'_>, errors: &mut Errors) -> Option<String> {
    let text = input::string(value, path, errors)?;
    // a URL parser drops some of these silently; what is stored should be what was meant
    if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        errors.add(path, "must not contain white space or control characters");
        return None;
    }
    match rules.target_policy.check_url(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            let code = match error {
                TargetError::HttpsRequired => ErrorCode::HttpsRequired,
                TargetError::Malformed(_) | TargetError::TooLong(_) | TargetError::HostName(_) => {
                    ErrorCode::ValidationFailed
                }
                TargetError::Scheme(_)
                | TargetError::Credentials
                | TargetError::Port { .. }
                | TargetError::Localhost
                | TargetError::Address => ErrorCode::UrlForbidden,
            };
            errors.add_with_code(code, path, error.to_string());
            None
        }
    }
}

/// Reads a signing secret that a caller brings.
pub(crate) fn read_secret(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Secret> {
    let text = input::string(value, path, errors)?;
    Secret::parse_signing(text).map_err(|error| errors.add(path, error.to_string())).ok()
}

/// What a webhook shall receive.
struct AskedFor {
    /// None twice.
    patterns: Vec<EventPattern>,
    /// Those that no type matches.
    unknown: Vec<UnknownPattern>,
}

struct UnknownPattern {
    pattern: EventPattern,
    path: String,
    message: String,
}

fn read_events(value: &RawValue, path: &str, rules: &Rules<'_>, errors: &mut Errors) -> Option<AskedFor> {
    let items = input::array(MAX_PATTERNS)(value, path, errors)?;
    let mut asked_for = AskedFor { patterns: Vec::with_capacity(items.len()), unknown: Vec::new() };
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(text) = input::string(item, &path, errors) else { continue };
        let pattern = match rules.types.pattern(&text) {
            Ok(pattern) if asked_for.patterns.contains(&pattern) => continue,
            Ok(pattern) => pattern,
            Err(error) => {
                errors.add(path, error.to_string());
                continue;
            }
        };
        if !rules.types.can_be_asked_for(&pattern) {
            let message = rules.types.unknown(&text);
            asked_for.unknown.push(UnknownPattern { pattern: pattern.clone(), path, message });
        }
        asked_for.patterns.push(pattern);
    }
    Some(asked_for)
}

fn read_filters(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Filter> {
    let conditions = JsonFields::nested(value, path, errors)?.into_entries();
    if conditions.len() > MAX_FILTER_CONDITIONS {
        let message =
            format!("may have at most {MAX_FILTER_CONDITIONS} conditions, this has {}", conditions.len());
        errors.add(path, message);
        return None;
    }
    let source: Value = match serde_json::from_str(value.get()) {
        Ok(source) => source,
        Err(error) => {
            errors.add(path, format!("can't be read: {error}"));
            return None;
        }
    };
    if holds_nul(&source) {
        errors.add(path, "must not contain a NUL character");
        return None;
    }
    let refused = match Filter::parse(&source) {
        Ok(filter) => return Some(filter),
        Err(refused) => refused,
    };
    for error in refused {
        errors.add(error.field, error.message);
    }
    None
}

/// The recursion is bounded: the depth of bodies is limited.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn read_rate_limit(value: &RawValue, path: &str, errors: &mut Errors) -> Option<RateLimit> {
    let mut fields = JsonFields::nested(value, path, errors)?;
    let per_second = fields.require("per_second", errors, input::number(PER_SECOND_BOUNDS));
    let burst = fields.read("burst", errors, input::whole_number(BURST_BOUNDS)).into_option();
    fields.finish(errors);
    Some(RateLimit { per_second: per_second?, burst: burst.map(|burst| burst as u32) })
}
