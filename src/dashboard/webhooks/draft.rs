//! A webhook's settings as its form holds them, as texts so that input is preserved, and the JSON body of the API
//! calls made from them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::credentials::CredentialsDraft;
use super::filter_rows::{self, FilterRow, Operator};
use crate::api::problem::{ErrorCode, InputError, Problem};
use crate::api::webhook_settings::{MASK, RETRY_POLICY, SETTINGS, Setting, SettingKind};
use crate::dashboard::form::Form;
use crate::domain::endpoint::Endpoint;
use crate::domain::filter::FieldError;
use crate::domain::retry::{MAX_RETRIES, RetryDelays, RetryPolicy, RetrySchedule};
use crate::domain::secret::SecretKind;

/// The simple settings that the form does not fold.
const SHOWN: [&str; 2] = ["active", "description"];
pub(crate) const TICKED: &str = "on";

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub url: String,
    /// The settings whose fields follow from their type, by name; a boolean is [`TICKED`] or empty.
    pub simple: BTreeMap<&'static str, String>,
    /// All events, or else those below.
    pub all_events: bool,
    /// Selected by checkbox.
    pub events: Vec<String>,
    /// Typed patterns, separated by spaces.
    pub patterns: String,
    /// One on each line.
    pub channels: String,
    /// Whether the filter is given as JSON instead of rows.
    pub filter_is_json: bool,
    pub lines: Vec<FilterRow>,
    pub filter_json: String,
    pub retry_as: RetryAs,
    pub retry: String,
    pub policy: [String; 4],
    /// The delays of `retry_schedule`, as typed.
    pub delays: String,
    pub client_errors: bool,
    pub redirects: bool,
    pub headers: Vec<(String, String)>,
    pub credentials: CredentialsDraft,
    pub per_second: String,
    pub burst: String,
    /// Only for a new webhook.
    pub secret: String,
    /// Only for a new webhook: whether a private key signs instead of a secret.
    pub has_private_key: bool,
}

/// Which of the three ways to retry a webhook has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryAs {
    Retries,
    Policy,
    Delays,
}

impl RetryAs {
    /// The name in the form.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Retries => "retries",
            Self::Policy => "policy",
            Self::Delays => "delays",
        }
    }

    fn read(form: &Form) -> Self {
        let given = form.text("retry_as");
        [Self::Policy, Self::Delays].into_iter().find(|it| it.name() == given).unwrap_or(Self::Retries)
    }
}

fn policy_texts(policy: &RetryPolicy) -> [String; 4] {
    RETRY_POLICY.each_ref().map(|field| (field.get)(policy).to_string())
}

/// The settings whose fields in the form follow from their type.
pub(crate) fn simple_settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !matches!(setting.kind, SettingKind::Structured(_)))
}

/// A simple setting's value as its field holds it.
fn field_text(value: &Value) -> String {
    match value {
        Value::Bool(true) => TICKED.to_owned(),
        Value::Null | Value::Bool(false) => String::new(),
        Value::String(text) => trimmed(text),
        other => other.to_string(),
    }
}

impl Draft {
    pub(crate) fn blank() -> Self {
        Self {
            url: String::new(),
            simple: simple_settings().map(|setting| (setting.name, field_text(&setting.default()))).collect(),
            all_events: true,
            events: Vec::new(),
            patterns: String::new(),
            channels: String::new(),
            filter_is_json: false,
            lines: Vec::new(),
            filter_json: String::new(),
            retry_as: RetryAs::Retries,
            retry: (RetrySchedule::default().max_attempts() - 1).to_string(),
            policy: policy_texts(&RetryPolicy::default()),
            delays: String::new(),
            client_errors: false,
            redirects: false,
            headers: Vec::new(),
            credentials: CredentialsDraft::default(),
            per_second: String::new(),
            burst: String::new(),
            secret: String::new(),
            has_private_key: false,
        }
    }

    /// Whether a setting that the form folds is not as in a new webhook.
    pub(crate) fn has_advanced(&self) -> bool {
        let blank = Self::blank();
        let folded = Self {
            url: self.url.clone(),
            simple: SHOWN.iter().fold(blank.simple.clone(), |mut simple, name| {
                let value = self.simple.get(name).cloned().unwrap_or_default();
                simple.insert(name, value);
                simple
            }),
            all_events: self.all_events,
            events: self.events.clone(),
            patterns: self.patterns.clone(),
            filter_is_json: self.filter_is_json,
            lines: self.lines.clone(),
            filter_json: self.filter_json.clone(),
            ..blank
        };
        *self != folded
    }

    /// The settings of a webhook; `known` event types have a checkbox.
    pub(crate) fn of(endpoint: &Endpoint, known: &[&str]) -> Self {
        let mut draft = Self {
            url: endpoint.url.clone(),
            simple: simple_settings().map(|setting| (setting.name, field_text(&setting.get(endpoint)))).collect(),
            all_events: endpoint.events.is_empty(),
            client_errors: endpoint.retry_on.client_errors,
            redirects: endpoint.retry_on.redirects,
            credentials: CredentialsDraft::of(endpoint),
            ..Self::blank()
        };
        let mut events: Vec<String> = endpoint.events.iter().map(ToString::to_string).collect();
        // in the order that the form sends them
        let ticked = known.iter().filter(|name| events.iter().any(|event| event == *name));
        draft.events = ticked.map(|name| (*name).to_owned()).collect();
        events.retain(|event| !draft.events.contains(event));
        draft.patterns = events.join(" ");
        draft.channels = endpoint.channels.join("\n");
        if let Some(filter) = &endpoint.filter {
            let source = filter.source();
            draft.filter_json = serde_json::to_string_pretty(source).unwrap_or_default();
            match filter_rows::of_filter(source) {
                // an empty filter and none match the same events, but are not equal
                Some(lines) if !lines.is_empty() => draft.lines = lines,
                _ => draft.filter_is_json = true,
            }
        }
        match endpoint.retry {
            RetrySchedule::Retries(retries) => draft.retry = retries.to_string(),
            RetrySchedule::Policy(policy) => {
                (draft.retry_as, draft.policy) = (RetryAs::Policy, policy_texts(&policy));
            }
            RetrySchedule::Delays(delays) => {
                let delays: Vec<String> = delays.seconds().iter().map(ToString::to_string).collect();
                (draft.retry_as, draft.delays) = (RetryAs::Delays, delays.join(", "));
            }
        }
        draft.headers = endpoint.headers.iter().map(|header| (header.name.clone(), MASK.to_owned())).collect();
        if let Some(limit) = endpoint.rate_limit {
            draft.per_second = limit.per_second.to_string();
            draft.burst = limit.burst.map(|burst| burst.to_string()).unwrap_or_default();
        }
        draft
    }

    /// The submitted form.
    pub(crate) fn read(form: &Form) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let headers = form.values("header_name").zip(form.values("header_value"));
        Self {
            url: text("url"),
            simple: simple_settings().map(|setting| (setting.name, trimmed(form.text(setting.name)))).collect(),
            all_events: form.text("events_as") != "some",
            events: form.values("event").map(str::to_owned).collect(),
            patterns: text("patterns"),
            channels: lines(form.text("channels")).collect::<Vec<_>>().join("\n"),
            filter_is_json: form.text("filter_as") == "json",
            lines: read_filter_rows(form),
            filter_json: trimmed(form.text("filter_json")),
            retry_as: RetryAs::read(form),
            retry: text("retry"),
            policy: RETRY_POLICY.each_ref().map(|field| text(&format!("retry_policy.{}", field.name))),
            delays: text("retry_schedule"),
            client_errors: form.values("retry_on").any(|class| class == "4xx"),
            redirects: form.values("retry_on").any(|class| class == "3xx"),
            headers: headers
                .filter(|(name, value)| !name.is_empty() || !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            credentials: CredentialsDraft::read(form),
            per_second: text("rate_limit.per_second"),
            burst: text("rate_limit.burst"),
            secret: text("secret"),
            has_private_key: form.text("signature") == SecretKind::Ed25519.as_str(),
        }
    }

    /// Selected event types and patterns, in the order of the body.
    pub(crate) fn subscriptions(&self) -> Vec<&str> {
        if self.all_events {
            return Vec::new();
        }
        self.events.iter().map(String::as_str).chain(listed(&self.patterns)).collect()
    }

    /// The filter; `None` without conditions.
    pub(crate) fn filter(&self) -> Result<Option<Value>, Vec<FieldError>> {
        let error = |message: String| vec![FieldError { field: "filters".to_owned(), message }];
        if !self.filter_is_json {
            if let Some(line) = self.lines.iter().find(|line| line.field.is_empty()) {
                return Err(error(format!("the condition with the value “{}” has no field", line.value)));
            }
            let filter = filter_rows::to_filter(&self.lines)?;
            return Ok(Some(Value::Object(filter)).filter(|_| !self.lines.is_empty()));
        }
        if self.filter_json.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&self.filter_json).map(Some).map_err(|fault| error(format!("is not JSON: {fault}")))
    }

    /// The complete body of the API call, or its errors.
    pub(crate) fn body(&self) -> Result<Map<String, Value>, Problem> {
        let mut errors = Vec::new();
        if !self.all_events && self.subscriptions().is_empty() {
            let message = "choose at least one, or “All events”".to_owned();
            errors.push(FieldError { field: "events".to_owned(), message });
        }
        let filter = self.filter().unwrap_or_else(|found| {
            errors.extend(found);
            None
        });
        let headers = self.header_map(&mut errors);
        if !errors.is_empty() {
            let error = |error| InputError { code: ErrorCode::ValidationFailed, error };
            return Err(Problem::input(errors.into_iter().map(error).collect()));
        }
        let classes = [(self.client_errors, "4xx"), (self.redirects, "3xx")];
        let classes: Vec<&str> = classes.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect();
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        set("url", json!(self.url));
        for setting in simple_settings() {
            let text = self.simple.get(setting.name).map_or("", String::as_str);
            set(
                setting.name,
                match &setting.kind {
                    SettingKind::Boolean { .. } => json!(!text.is_empty()),
                    SettingKind::Text { .. } if !text.is_empty() => json!(text),
                    _ => number(text),
                },
            );
        }
        set("events", json!(self.subscriptions()));
        set("channels", json!(lines(&self.channels).collect::<Vec<_>>()));
        set("filters", filter.unwrap_or(Value::Null));
        match self.retry_as {
            RetryAs::Retries => set("retry", number(&self.retry)),
            RetryAs::Policy => {
                let fields = RETRY_POLICY.iter().zip(&self.policy);
                let fields = fields.map(|(field, text)| (field.name.to_owned(), number(text)));
                set("retry_policy", Value::Object(fields.collect()))
            }
            RetryAs::Delays => set("retry_schedule", listed(&self.delays).map(number).collect()),
        };
        set("retry_on", json!(classes));
        set("headers", Value::Object(headers));
        let limit = json!({ "per_second": number(&self.per_second), "burst": number(&self.burst) });
        let is_limited = !self.per_second.is_empty() || !self.burst.is_empty();
        set("rate_limit", if is_limited { limit } else { Value::Null });
        if !self.secret.is_empty() {
            set("secret", json!(self.secret));
        }
        if self.has_private_key {
            set("signature", json!(SecretKind::Ed25519.as_str()));
        }
        self.credentials.add_to(&mut body);
        Ok(body)
    }

    /// The body of a PATCH from `before` to this. It has only the differences, so that settings the form can't
    /// express exactly stay unchanged.
    pub(crate) fn changes(&self, before: &Self) -> Result<Map<String, Value>, Problem> {
        let mut body = self.body()?;
        if let Ok(before) = before.body() {
            body.retain(|name, value| before.get(name) != Some(value));
        }
        Ok(body)
    }

    fn header_map(&self, errors: &mut Vec<FieldError>) -> Map<String, Value> {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            if name.is_empty() {
                let message = "a value has no header name; enter a name or clear the row".to_owned();
                errors.push(FieldError { field: "headers".to_owned(), message });
            } else if headers.insert(name.clone(), json!(value)).is_some() {
                let message = "given more than once".to_owned();
                errors.push(FieldError { field: format!("headers.{name}"), message });
            }
        }
        headers
    }
}

/// Trimmed, with the line endings that were sent to the browser.
fn trimmed(text: &str) -> String {
    text.trim().replace("\r\n", "\n")
}

/// A number if the text is one; otherwise the text, for the API to reject.
fn number(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) => Value::Number(number),
        _ => json!(text),
    }
}

/// What is typed in one field, separated by spaces, commas or lines.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ';', '\n', '\r', '\t']).filter(|one| !one.is_empty())
}

/// The rows that are not empty.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

pub(crate) fn read_filter_rows(form: &Form) -> Vec<FilterRow> {
    let values = form.values("filter_field").zip(form.values("filter_operator")).zip(form.values("filter_value"));
    let lines = values.map(|((field, operator), value)| FilterRow {
        field: field.to_owned(),
        operator: Operator::parse(operator).unwrap_or(Operator::Is),
        value: value.to_owned(),
    });
    lines.filter(|line| !line.field.is_empty() || !line.value.is_empty()).collect()
}

/// The schedule described by the form; `None` while a number is missing or out of bounds.
pub(crate) fn schedule(form: &Form) -> Option<RetrySchedule> {
    match RetryAs::read(form) {
        RetryAs::Retries => {
            let retries: u64 = form.text("retry").parse().ok().filter(|retries| *retries <= MAX_RETRIES)?;
            Some(RetrySchedule::Retries(retries as u32))
        }
        RetryAs::Policy => schedule_of_policy(form),
        RetryAs::Delays => {
            let delays: Option<Vec<u32>> =
                listed(form.text("retry_schedule")).map(|text| text.parse().ok()).collect();
            RetryDelays::new(&delays?).ok().map(RetrySchedule::Delays)
        }
    }
}

fn schedule_of_policy(form: &Form) -> Option<RetrySchedule> {
    let mut policy = RetryPolicy::default();
    for field in &RETRY_POLICY {
        let number: f64 = form.text(&format!("retry_policy.{}", field.name)).parse().ok()?;
        if !field.bounds.contains(&number) || (field.is_whole && number.fract() != 0.0) {
            return None;
        }
        (field.set)(&mut policy, number);
    }
    Some(RetrySchedule::Policy(policy))
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
