//! Reads a webhook's fields for its creation and for changes to it.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::event_types::KnownTypes;
use super::input::{self, Errors, Fields, Given};
use super::problem::ErrorCode;
use super::webhook_view::MASK;
use crate::domain::attempt::RetryOn;
use crate::domain::endpoint::{CustomHeader, DEFAULT_TIMEOUT, DisabledReason, Endpoint, RateLimit};
use crate::domain::filter::Filter;
use crate::domain::patterns::EventPattern;
use crate::domain::retry::{RetryPolicy, RetrySchedule};
use crate::domain::secret::Secret;
use crate::domain::target::{TargetError, TargetPolicy};
use crate::domain::time::UnixMillis;

const MAX_PATTERNS: usize = 100;
const MAX_FILTER_CONDITIONS: usize = 50;
const MAX_DESCRIPTION_CHARACTERS: usize = 500;
const MAX_HEADERS: usize = 20;
const MAX_HEADER_NAME_BYTES: usize = 128;
/// Names and values together; receivers refuse heads of more than 8 KiB, and ours come on top.
const MAX_HEADERS_BYTES: usize = 4_096;

/// Headers that the engine or HTTP itself sets; a star stands for any ending.
const RESERVED_HEADERS: [&str; 13] = [
    "host",
    "connection",
    "content-*",
    "transfer-encoding",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "proxy-*",
    "keep-alive",
    "user-agent",
    "webhook-*",
    "x-callintel-*",
];

/// Fields that are read, never written.
const READ_ONLY: [&str; 6] = ["id", "state", "created_at", "updated_at", "disabled_reason", "disabled_at"];

/// What the rules of the deployment are.
pub(crate) struct Rules<'a> {
    /// Which event types can be asked for.
    pub types: KnownTypes,
    /// Which URLs may be targets.
    pub target_policy: &'a TargetPolicy,
    /// Of the signature headers.
    pub signature_header_prefix: &'a str,
}

/// The fields that a body gives; the rest stays as it is.
#[derive(Clone)]
pub(crate) struct WebhookChanges {
    url: Option<String>,
    events: Given<Vec<EventPattern>>,
    active: Given<bool>,
    filters: Given<Option<Filter>>,
    retry: Given<u32>,
    retry_policy: Given<RetryPolicy>,
    timeout: Given<Duration>,
    retry_on: Given<RetryOn>,
    description: Given<Option<String>>,
    headers: Given<Vec<CustomHeader>>,
    rate_limit: Given<Option<RateLimit>>,
    max_in_flight: Given<u32>,
    ordered: Given<bool>,
    /// Only with a creation.
    secret: Option<Secret>,
}

impl WebhookChanges {
    /// Reads the body of a creation: `url` must be there, `secret` may.
    pub(crate) fn read_new(mut fields: Fields<'_>, rules: &Rules<'_>, errors: &mut Errors) -> Self {
        let url = fields.require("url", errors, |value, path, errors| read_url(value, path, rules, errors));
        let secret = fields.read("secret", errors, read_secret).into_option();
        Self { url, secret, ..Self::read_common(fields, rules, errors) }
    }

    /// Reads the body of a change: any of the fields, but not `secret`.
    pub(crate) fn read_change(mut fields: Fields<'_>, rules: &Rules<'_>, errors: &mut Errors) -> Self {
        let read_url = |value: &RawValue, path: &str, errors: &mut Errors| read_url(value, path, rules, errors);
        let url = match fields.read("url", errors, read_url) {
            Given::Null => {
                errors.add("url", "a webhook can't be without a URL");
                None
            }
            given => given.into_option(),
        };
        fields.refuse("secret", "a secret is changed with POST /v1/webhooks/{id}/secret/rotate", errors);
        Self { url, ..Self::read_common(fields, rules, errors) }
    }

    fn read_common(mut fields: Fields<'_>, rules: &Rules<'_>, errors: &mut Errors) -> Self {
        for name in READ_ONLY {
            fields.refuse(name, "can be read but not set; leave it out", errors);
        }
        let changes = Self {
            url: None,
            secret: None,
            events: fields
                .read("events", errors, |value, path, errors| read_events(value, path, &rules.types, errors)),
            active: fields.read("active", errors, input::boolean),
            filters: fields
                .read("filters", errors, |value, path, errors| read_filters(value, path, errors).map(Some)),
            retry: fields.read("retry", errors, |value, path, errors| {
                input::whole_number(0..=20)(value, path, errors).map(|retries| retries as u32)
            }),
            retry_policy: fields.read("retry_policy", errors, read_retry_policy),
            timeout: fields.read("timeout", errors, |value, path, errors| {
                input::whole_number(1..=60)(value, path, errors).map(Duration::from_secs)
            }),
            retry_on: fields.read("retry_on", errors, read_retry_on),
            description: fields.read("description", errors, |value, path, errors| {
                input::string_of_length(0..=MAX_DESCRIPTION_CHARACTERS)(value, path, errors).map(Some)
            }),
            headers: fields
                .read("headers", errors, |value, path, errors| read_headers(value, path, rules, errors)),
            rate_limit: fields
                .read("rate_limit", errors, |value, path, errors| read_rate_limit(value, path, errors).map(Some)),
            max_in_flight: fields.read("max_in_flight", errors, |value, path, errors| {
                input::whole_number(1..=256)(value, path, errors).map(|most| most as u32)
            }),
            ordered: fields.read("ordered", errors, input::boolean),
        };
        if matches!((&changes.retry, &changes.retry_policy), (Given::Value(_), Given::Value(_))) {
            errors.add("retry_policy", "not together with retry; give one of the two");
        }
        fields.finish(errors);
        changes
    }

    /// Makes a new endpoint out of `blank`, which has the defaults.
    pub(crate) fn create(mut self, mut blank: Endpoint, errors: &mut Errors) -> Endpoint {
        if let Some(secret) = self.secret.take() {
            blank.secret = secret;
        }
        let now = blank.created_at;
        self.apply(&mut blank, now, errors);
        blank
    }

    /// Changes what is given. `null` is the default; of `retry` and `retry_policy` the one that is given
    /// replaces the other, and the `null` of the one that is not in force changes nothing.
    pub(crate) fn apply(self, endpoint: &mut Endpoint, now: UnixMillis, errors: &mut Errors) {
        if let Some(url) = self.url {
            endpoint.url = url;
        }
        self.events.apply(&mut endpoint.events, Vec::new());
        self.filters.apply(&mut endpoint.filter, None);
        match (self.retry, self.retry_policy, endpoint.retry) {
            (Given::Value(retries), _, _) => endpoint.retry = RetrySchedule::Retries(retries),
            (_, Given::Value(policy), _) => endpoint.retry = RetrySchedule::Policy(policy),
            (Given::Null, _, RetrySchedule::Retries(_)) | (_, Given::Null, RetrySchedule::Policy(_)) => {
                endpoint.retry = RetrySchedule::default();
            }
            _ => {}
        }
        self.timeout.apply(&mut endpoint.timeout, DEFAULT_TIMEOUT);
        self.retry_on.apply(&mut endpoint.retry_on, RetryOn::default());
        self.description.apply(&mut endpoint.description, None);
        self.rate_limit.apply(&mut endpoint.rate_limit, None);
        self.max_in_flight.apply(&mut endpoint.max_in_flight, 32);
        self.ordered.apply(&mut endpoint.ordered, false);
        match self.headers {
            Given::Absent => {}
            Given::Null => endpoint.headers.clear(),
            Given::Value(headers) => endpoint.headers = unmask(headers, &endpoint.headers, errors),
        }
        let mut active = endpoint.active;
        self.active.apply(&mut active, true);
        set_active(endpoint, active, now);
    }
}

fn set_active(endpoint: &mut Endpoint, active: bool, now: UnixMillis) {
    if active == endpoint.active {
        return;
    }
    endpoint.active = active;
    endpoint.disabled_reason = (!active).then_some(DisabledReason::Manual);
    endpoint.disabled_at = (!active).then_some(now);
}

/// A value that reads as the mask means "as it is": so a webhook that was read can be written back.
fn unmask(headers: Vec<CustomHeader>, known: &[CustomHeader], errors: &mut Errors) -> Vec<CustomHeader> {
    let mut unmasked = Vec::with_capacity(headers.len());
    for mut header in headers {
        if header.value.expose() == MASK {
            match known.iter().find(|known| known.name.eq_ignore_ascii_case(&header.name)) {
                Some(known) => header.value = known.value.clone(),
                None => errors.add(format!("headers.{}", header.name), "the mask stands for no stored value here"),
            }
        }
        unmasked.push(header);
    }
    unmasked
}

fn read_url(value: &RawValue, path: &str, rules: &Rules<'_>, errors: &mut Errors) -> Option<String> {
    let text = input::string(value, path, errors)?;
    // a URL parser drops some of these silently; what is stored should be what was meant
    if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        errors.add(path, "must not hold white space or control characters");
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

/// Reads a signing secret that a customer brings.
pub(super) fn read_secret(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Secret> {
    let text = input::string(value, path, errors)?;
    Secret::parse_signing(text).map_err(|error| errors.add(path, error.to_string())).ok()
}

fn read_events(
    value: &RawValue,
    path: &str,
    types: &KnownTypes,
    errors: &mut Errors,
) -> Option<Vec<EventPattern>> {
    let items = input::array(MAX_PATTERNS)(value, path, errors)?;
    let mut patterns = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(text) = input::string(item, &path, errors) else { continue };
        match EventPattern::parse(&text) {
            Err(error) => errors.add(path, error.to_string()),
            Ok(pattern) if !types.can_be_asked_for(&pattern) => {
                errors.add_with_code(ErrorCode::UnknownEventType, path, types.unknown(&text));
            }
            Ok(pattern) if patterns.contains(&pattern) => {}
            Ok(pattern) => patterns.push(pattern),
        }
    }
    Some(patterns)
}

fn read_filters(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Filter> {
    let conditions = Fields::nested(value, path, errors)?.into_entries();
    if conditions.len() > MAX_FILTER_CONDITIONS {
        let message =
            format!("may hold at most {MAX_FILTER_CONDITIONS} conditions, this has {}", conditions.len());
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
        errors.add(path, "must not hold a NUL character");
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

/// Depth is limited before: this recursion is.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn read_retry_policy(value: &RawValue, path: &str, errors: &mut Errors) -> Option<RetryPolicy> {
    let mut fields = Fields::nested(value, path, errors)?;
    let mut policy = RetryPolicy::default();
    let attempts = fields.read("max_attempts", errors, input::whole_number(1..=50));
    let multiplier = fields.read("backoff_multiplier", errors, input::number(1.0..=10.0));
    let initial = fields.read("initial_delay_seconds", errors, input::whole_number(1..=86_400));
    let most = fields.read("max_delay_seconds", errors, input::whole_number(1..=604_800));
    fields.finish(errors);
    let example = policy;
    if let Some(attempts) = attempts.into_option() {
        policy.max_attempts = attempts as u32;
    }
    multiplier.apply(&mut policy.backoff_multiplier, example.backoff_multiplier);
    initial.apply(&mut policy.initial_delay_seconds, example.initial_delay_seconds);
    most.apply(&mut policy.max_delay_seconds, example.max_delay_seconds);
    Some(policy)
}

fn read_retry_on(value: &RawValue, path: &str, errors: &mut Errors) -> Option<RetryOn> {
    let items = input::array(2)(value, path, errors)?;
    let mut retry_on = RetryOn::default();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        match input::string(item, &path, errors).as_deref() {
            Some("4xx") => retry_on.client_errors = true,
            Some("3xx") => retry_on.redirects = true,
            Some(_) => errors.add(path, "must be 4xx or 3xx; 5xx and no answer are always retried"),
            None => {}
        }
    }
    Some(retry_on)
}

fn read_rate_limit(value: &RawValue, path: &str, errors: &mut Errors) -> Option<RateLimit> {
    let mut fields = Fields::nested(value, path, errors)?;
    let per_second = fields.require("per_second", errors, input::number(0.01..=10_000.0));
    let burst = fields.read("burst", errors, input::whole_number(1..=10_000)).into_option();
    fields.finish(errors);
    Some(RateLimit { per_second: per_second?, burst: burst.map(|burst| burst as u32) })
}

fn read_headers(
    value: &RawValue,
    path: &str,
    rules: &Rules<'_>,
    errors: &mut Errors,
) -> Option<Vec<CustomHeader>> {
    let entries = Fields::nested(value, path, errors)?.into_entries();
    if entries.len() > MAX_HEADERS {
        errors.add(path, format!("may hold at most {MAX_HEADERS} headers, this has {}", entries.len()));
        return None;
    }
    let mut headers: Vec<CustomHeader> = Vec::with_capacity(entries.len());
    let mut total = 0;
    for (name, value) in entries {
        let path = format!("{path}.{name}");
        if let Some(message) = header_name_fault(&name, rules.signature_header_prefix) {
            errors.add(path, message);
            continue;
        }
        let Some(text) = input::string(value, &path, errors) else { continue };
        let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if text.is_empty() || !visible || text.trim() != text {
            errors.add(path, "a value is visible ASCII, not empty, without white space at its ends");
            continue;
        }
        let known = headers.iter().any(|header| header.name.eq_ignore_ascii_case(&name) && header.name != name);
        if known {
            errors.add(path, "given more than once; upper and lower case make no difference");
            continue;
        }
        total += name.len() + text.len();
        headers.push(CustomHeader { name, value: Secret::new(text) });
    }
    if total > MAX_HEADERS_BYTES {
        errors.add(
            path,
            format!("names and values together may have {MAX_HEADERS_BYTES} bytes, these have {total}"),
        );
        return None;
    }
    Some(headers)
}

/// What is wrong with a header's name, if anything.
fn header_name_fault(name: &str, signature_header_prefix: &str) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > MAX_HEADER_NAME_BYTES || !name.bytes().all(is_token) {
        return Some("a header's name is 1 to 128 letters, digits and !#$%&'*+-.^_`|~");
    }
    let name = name.to_ascii_lowercase();
    let reserved = RESERVED_HEADERS.iter().any(|reserved| match reserved.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *reserved,
    });
    let own = name.strip_prefix(&signature_header_prefix.to_ascii_lowercase());
    let is_own = !signature_header_prefix.is_empty() && own.is_some_and(|rest| rest.starts_with('-'));
    (reserved || is_own).then_some("is set by the engine or by HTTP itself; choose another name")
}
