//! The settings of a webhook, as its page shows them.

use maud::{Markup, html};
use serde_json::Value;

use super::credentials;
use super::descriptions;
use super::draft::simple_settings;
use super::filter_rows;
use crate::api::webhook_settings::Setting;
use crate::dashboard::components::{count, event_type};
use crate::dashboard::time;
use crate::domain::endpoint::{Endpoint, RateLimit};
use crate::domain::patterns::EventPattern;
use crate::domain::time::UnixMillis;

/// Simple settings that this page words in its own way.
const IN_OTHER_WORDS: [&str; 5] = ["description", "active", "timeout", "max_in_flight", "ordered"];

/// Subscribed events as chips, the first `most` of them.
pub(crate) fn events(patterns: &[EventPattern], most: usize) -> Markup {
    let more = patterns.len().saturating_sub(most);
    html! {
        @if patterns.is_empty() || patterns == [EventPattern::All] { "all events" } @else {
            span.chips {
                @for pattern in patterns.iter().take(most) { code.chip { (event_type(&pattern.to_string())) } }
                @if more > 0 { span.dim.small { "and " (more) " more" } }
            }
        }
    }
}

/// All settings, followed by the terms in `more`.
pub(crate) fn facts(endpoint: &Endpoint, now: UnixMillis, more: &Markup) -> Markup {
    html! {
        dl.facts {
            dt { "Events" } dd { (events(&endpoint.events, usize::MAX)) }
            @if !endpoint.channels.is_empty() {
                dt { "Channels" } dd { span.chips { @for channel in &endpoint.channels { code.chip { (channel) } } } }
            }
            dt { "Filter" } dd { (filter(endpoint)) }
            dt { "Retries" } dd { (descriptions::schedule(&endpoint.retry)) "." @if let Some(more) = retried(endpoint) { " " (more) } }
            dt { "Timeout" } dd { (time::span(endpoint.timeout)) }
            dt { "Rate limit" } dd { (endpoint.rate_limit.as_ref().map_or("none".to_owned(), rate)) }
            dt { "Max concurrency" } dd {
                @if endpoint.ordered { "1, in the order of the events" }
                @else { (count(endpoint.max_in_flight.into(), "request", "requests")) }
            }
            dt { "Headers" } dd {
                @if endpoint.headers.is_empty() { "none" } @else {
                    span.chips { @for header in &endpoint.headers { code.chip { (header.name) } } }
                }
            }
            (credentials::facts(endpoint, now))
            @for setting in simple_settings().filter(|setting| !IN_OTHER_WORDS.contains(&setting.name)) {
                @if let Some(field) = &setting.form { dt { (field.label) } dd { (value(setting, endpoint)) } }
            }
            (more)
        }
    }
}

fn value(setting: &Setting, endpoint: &Endpoint) -> String {
    match setting.get(endpoint) {
        Value::Null => "none".to_owned(),
        Value::Bool(is_on) => if is_on { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn filter(endpoint: &Endpoint) -> Markup {
    let source = endpoint.filter.as_ref().map(|filter| filter.source());
    let lines = source.and_then(filter_rows::of_filter);
    html! {
        @match (source, lines) {
            (None, _) => { "none" }
            (_, Some(lines)) if lines.is_empty() => { "none" }
            (_, Some(lines)) => { ul.plain { @for line in &lines { li { (line.in_words()) } } } }
            (Some(source), None) => { pre.wrap { (serde_json::to_string_pretty(source).unwrap_or_default()) } }
        }
    }
}

fn retried(endpoint: &Endpoint) -> Option<&'static str> {
    match (endpoint.retry_on.client_errors, endpoint.retry_on.redirects) {
        (true, true) => Some("Other 4xx and 3xx responses are retried too."),
        (true, false) => Some("Other 4xx responses are retried too."),
        (false, true) => Some("3xx responses are retried too."),
        (false, false) => None,
    }
}

fn rate(limit: &RateLimit) -> String {
    format!("{} per second, burst {}", limit.per_second, limit.effective_burst())
}
