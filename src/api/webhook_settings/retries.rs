//! The settings of retries: `retry`, `retry_policy`, `retry_schedule` and `retry_on`.

use std::ops::RangeInclusive;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::values::{reference, reference_or_null};
use super::{Change, Rules, Structured};
use crate::api::input::{self, Errors, JsonFields};
use crate::domain::attempt::RetryOn;
use crate::domain::retry::{
    DELAY_BOUNDS, INITIAL_DELAY_BOUNDS, MAX_ATTEMPTS_BOUNDS, MAX_DELAY_BOUNDS, MAX_DELAYS, MAX_RETRIES,
    MULTIPLIER_BOUNDS, RetryDelays, RetryPolicy, RetrySchedule,
};

pub(super) const RETRY: Structured = Structured {
    type_name: "integer",
    bounds: "0 to 20",
    schema: || json!({"type": "integer", "minimum": 0, "maximum": MAX_RETRIES}),
    response_schema: || json!({"type": ["integer", "null"]}),
    get: |endpoint| match endpoint.retry {
        RetrySchedule::Retries(retries) => json!(retries),
        RetrySchedule::Policy(_) | RetrySchedule::Delays(_) => Value::Null,
    },
    read: |value, path, _, errors| {
        let retries = input::whole_number(0..=MAX_RETRIES)(value, path, errors)? as u32;
        Some(Change::new(move |endpoint, _| endpoint.retry = RetrySchedule::Retries(retries)))
    },
    // resetting one of the three that is not in force changes nothing
    reset: |endpoint, defaults| {
        if matches!(endpoint.retry, RetrySchedule::Retries(_)) {
            endpoint.retry = defaults.retry;
        }
    },
};

pub(super) const POLICY: Structured = Structured {
    type_name: "object",
    bounds: "see below",
    schema: || reference("RetryPolicy"),
    response_schema: || reference_or_null("RetryPolicyInForce"),
    get: |endpoint| match endpoint.retry {
        RetrySchedule::Retries(_) | RetrySchedule::Delays(_) => Value::Null,
        RetrySchedule::Policy(policy) => json!(policy),
    },
    read: |value, path, _, errors| {
        let policy = read_policy(value, path, errors)?;
        Some(Change::new(move |endpoint, _| endpoint.retry = RetrySchedule::Policy(policy)))
    },
    reset: |endpoint, defaults| {
        if matches!(endpoint.retry, RetrySchedule::Policy(_)) {
            endpoint.retry = defaults.retry;
        }
    },
};

pub(super) const SCHEDULE: Structured = Structured {
    type_name: "list of integers",
    bounds: "1 to 20, each 1 to 604,800",
    schema: delays_schema,
    response_schema: || {
        let mut schema = delays_schema();
        schema["type"] = json!(["array", "null"]);
        schema
    },
    get: |endpoint| match endpoint.retry {
        RetrySchedule::Retries(_) | RetrySchedule::Policy(_) => Value::Null,
        RetrySchedule::Delays(delays) => json!(delays),
    },
    read: |value, path, _, errors| {
        let delays = read_delays(value, path, errors)?;
        Some(Change::new(move |endpoint, _| endpoint.retry = RetrySchedule::Delays(delays)))
    },
    reset: |endpoint, defaults| {
        if matches!(endpoint.retry, RetrySchedule::Delays(_)) {
            endpoint.retry = defaults.retry;
        }
    },
};

pub(super) const RETRY_ON: Structured = Structured {
    type_name: "list of strings",
    bounds: "`4xx`, `3xx`",
    schema: retry_on_schema,
    response_schema: retry_on_schema,
    get: |endpoint| {
        let classes = [(endpoint.retry_on.client_errors, "4xx"), (endpoint.retry_on.redirects, "3xx")];
        classes.into_iter().filter(|(is_retried, _)| *is_retried).map(|(_, class)| class).collect()
    },
    read: |value, path, rules, errors| read_retry_on(value, path, rules, errors),
    reset: |endpoint, _| endpoint.retry_on = RetryOn::default(),
};

/// A field of `retry_policy`.
pub(crate) struct PolicyField {
    pub name: &'static str,
    /// One line without a full stop, for the OpenAPI schemas and the documentation.
    pub help: &'static str,
    pub is_whole: bool,
    pub bounds: RangeInclusive<f64>,
    /// In the dashboard's form.
    pub label: &'static str,
    /// In the dashboard's form.
    pub form_help: &'static str,
    pub get: fn(&RetryPolicy) -> f64,
    pub set: fn(&mut RetryPolicy, f64),
}

/// The fields of `retry_policy`, in the order of the dashboard's form.
pub(crate) static RETRY_POLICY: [PolicyField; 4] = [
    PolicyField {
        name: "max_attempts",
        help: "All attempts, including the first",
        is_whole: true,
        bounds: MAX_ATTEMPTS_BOUNDS,
        label: "Attempts",
        form_help: "Including the first; 1 to 50.",
        get: |policy| policy.max_attempts.into(),
        set: |policy, attempts| policy.max_attempts = attempts as u32,
    },
    PolicyField {
        name: "initial_delay_seconds",
        help: "The delay before the first retry",
        is_whole: true,
        bounds: INITIAL_DELAY_BOUNDS,
        label: "First delay, seconds",
        form_help: "1 to 86,400.",
        get: |policy| policy.initial_delay_seconds as f64,
        set: |policy, seconds| policy.initial_delay_seconds = seconds as u64,
    },
    PolicyField {
        name: "backoff_multiplier",
        help: "Each delay is the previous one times this",
        is_whole: false,
        bounds: MULTIPLIER_BOUNDS,
        label: "Grows by a factor of",
        form_help: "1 to 10.",
        get: |policy| policy.backoff_multiplier,
        set: |policy, factor| policy.backoff_multiplier = factor,
    },
    PolicyField {
        name: "max_delay_seconds",
        help: "No delay is longer than this",
        is_whole: true,
        bounds: MAX_DELAY_BOUNDS,
        label: "Longest delay, seconds",
        form_help: "At most 604,800, a week.",
        get: |policy| policy.max_delay_seconds as f64,
        set: |policy, seconds| policy.max_delay_seconds = seconds as u64,
    },
];

impl PolicyField {
    /// The OpenAPI schema without its description.
    pub(crate) fn schema(&self) -> Value {
        let (least, most) = (*self.bounds.start(), *self.bounds.end());
        if self.is_whole {
            return json!({"type": "integer", "minimum": least as u64, "maximum": most as u64});
        }
        // without a format, generators for some languages take 32 bits
        json!({"type": "number", "format": "double", "minimum": least, "maximum": most})
    }

    fn read(&self, value: &RawValue, path: &str, errors: &mut Errors) -> Option<f64> {
        if self.is_whole {
            let bounds = *self.bounds.start() as u64..=*self.bounds.end() as u64;
            return input::whole_number(bounds)(value, path, errors).map(|number| number as f64);
        }
        input::number(self.bounds.clone())(value, path, errors)
    }
}

fn read_policy(value: &RawValue, path: &str, errors: &mut Errors) -> Option<RetryPolicy> {
    let mut fields = JsonFields::nested(value, path, errors)?;
    let mut policy = RetryPolicy::default();
    for field in &RETRY_POLICY {
        let read = |value: &RawValue, path: &str, errors: &mut Errors| field.read(value, path, errors);
        if let Some(number) = fields.read(field.name, errors, read).into_option() {
            (field.set)(&mut policy, number);
        }
    }
    fields.finish(errors);
    Some(policy)
}

fn delays_schema() -> Value {
    let delay = json!({"type": "integer", "minimum": DELAY_BOUNDS.start(), "maximum": DELAY_BOUNDS.end()});
    json!({"type": "array", "minItems": 1, "maxItems": MAX_DELAYS, "items": delay})
}

fn read_delays(value: &RawValue, path: &str, errors: &mut Errors) -> Option<RetryDelays> {
    let bounds = u64::from(*DELAY_BOUNDS.start())..=u64::from(*DELAY_BOUNDS.end());
    let mut delays = Vec::new();
    for (index, item) in input::array(MAX_DELAYS)(value, path, errors)?.into_iter().enumerate() {
        // each one that is wrong is named
        delays.push(input::whole_number(bounds.clone())(item, &format!("{path}[{index}]"), errors));
    }
    let delays: Option<Vec<u32>> = delays.into_iter().map(|delay| u32::try_from(delay?).ok()).collect();
    RetryDelays::new(&delays?).map_err(|error| errors.add(path, error.to_string())).ok()
}

fn retry_on_schema() -> Value {
    json!({"type": "array", "maxItems": 2, "items": reference("RetryOn")})
}

fn read_retry_on(value: &RawValue, path: &str, _: &Rules<'_>, errors: &mut Errors) -> Option<Change> {
    let items = input::array(2)(value, path, errors)?;
    let mut retry_on = RetryOn::default();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        match input::string(item, &path, errors).as_deref() {
            Some("4xx") => retry_on.client_errors = true,
            Some("3xx") => retry_on.redirects = true,
            Some(_) => errors.add(path, "must be 4xx or 3xx; 5xx and no response are always retried"),
            None => {}
        }
    }
    Some(Change::new(move |endpoint, _| endpoint.retry_on = retry_on))
}
