//! The form for all settings of a webhook, new or existing. It works without scripts; scripts add previews and more
//! rows.

use maud::{Markup, html};

use super::credentials;
use super::descriptions;
use super::draft::{Draft, RetryAs, TICKED, simple_settings};
use super::event_type_options::EventTypeOptions;
use super::filter_rows::{FilterRow, Operator};
use crate::api::webhook_settings::{FormField, FormSection, MASK, RETRY_POLICY, SETTINGS, Setting, SettingKind};
use crate::dashboard::components::{self, Complaints};
use crate::domain::credentials::CertificateFacts;
use crate::domain::secret::SecretKind;

/// Settings that are folded.
const ADVANCED: [&str; 12] = [
    "retry",
    "retry_policy",
    "retry_schedule",
    "retry_on",
    "timeout",
    "rate_limit",
    "max_in_flight",
    "headers",
    "client_certificate",
    "oauth2",
    "secret",
    "signature",
];

pub(crate) struct WebhookForm<'a> {
    pub draft: &'a Draft,
    pub types: &'a EventTypeOptions,
    pub complaints: Complaints<'a>,
    /// Where the form is posted.
    pub action: &'a str,
    /// Where Cancel leads.
    pub back: &'a str,
    /// The version being edited; `None` for a new webhook.
    pub version: Option<i64>,
    /// The client certificate that is there.
    pub certificate: Option<&'a CertificateFacts>,
    /// The event type whose sample the filter is tested with, and that sample.
    pub sample: (&'a str, &'a str),
}

pub(crate) fn form(content: &WebhookForm<'_>) -> Markup {
    // these fields show their own errors
    let fields: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).chain(["signature", "version"]).collect();
    html! {
        (content.complaints.summary(&fields))
        form.form #webhook-form method="post" action=(content.action) autocomplete="off" {
            @if let Some(version) = content.version { input type="hidden" name="version" value=(version); }
            (target(content))
            (events(content))
            (filter(content))
            (advanced(content))
            div.actions.savebar {
                button.primary { @if content.version.is_none() { "Add webhook" } @else { "Save changes" } }
                a.button href=(content.back) { "Cancel" }
            }
        }
    }
}

/// What few webhooks need, folded unless something in it is set or wrong.
fn advanced(content: &WebhookForm<'_>) -> Markup {
    let is_wrong = ADVANCED.iter().any(|field| content.complaints.is_wrong(field));
    html! {
        details.advanced #advanced open[is_wrong || content.draft.has_advanced() || content.certificate.is_some()] {
            summary { "Advanced settings" span.dim.small { "Retries, timeout, rate, headers, client certificate, OAuth 2.0" @if content.version.is_none() { ", secret" } } }
            div.form {
                (retries(content))
                (pace(content))
                (headers(content))
                (credentials::cards(&content.draft.credentials, content.certificate, &content.complaints))
                @if content.version.is_none() { (secret(content)) }
            }
        }
    }
}

fn target(content: &WebhookForm<'_>) -> Markup {
    let WebhookForm { draft, complaints, .. } = content;
    html! {
        section.card {
            h2 { "Destination" }
            (components::text_field("url", "URL", "Events are sent here by POST. The receiver must respond with 2xx within the timeout.", &draft.url, "url", complaints))
            (texts(content, FormSection::Target))
            (numbers(content, FormSection::Target))
            (checkboxes(content, FormSection::Target))
        }
    }
}

/// The simple settings of a section, with their values.
fn simple<'a>(
    content: &'a WebhookForm<'_>,
    section: FormSection,
) -> impl Iterator<Item = (&'static Setting, &'static FormField, &'a str)> {
    simple_settings().filter_map(move |setting| {
        let field = setting.form.as_ref().filter(|field| field.section == section)?;
        Some((setting, field, content.draft.simple.get(setting.name).map_or("", String::as_str)))
    })
}

fn texts(content: &WebhookForm<'_>, section: FormSection) -> Markup {
    html! { @for (setting, field, value) in simple(content, section) {
        @if let SettingKind::Text { max_characters, .. } = setting.kind {
            (components::field(setting.name, field.label, field.help, &content.complaints, &html! {
                textarea.short id=(setting.name) name=(setting.name) rows="2" maxlength=(max_characters) aria-describedby={ (setting.name) "-help" } { (value) }
            }))
        }
    } }
}

fn numbers(content: &WebhookForm<'_>, section: FormSection) -> Markup {
    html! { @for (setting, field, value) in simple(content, section) {
        @if let SettingKind::Integer { .. } = setting.kind {
            (components::text_field(setting.name, field.label, field.help, value, "number", &content.complaints))
        }
    } }
}

fn checkboxes(content: &WebhookForm<'_>, section: FormSection) -> Markup {
    html! { @for (setting, field, value) in simple(content, section) {
        @if let SettingKind::Boolean { .. } = setting.kind {
            label.check {
                input type="checkbox" name=(setting.name) value=(TICKED) checked[!value.is_empty()];
                span { (field.label) small { (field.help) } }
            }
            (content.complaints.at(setting.name))
        }
    } }
}

/// One of several alternatives behind a radio button; the style sheet hides the fields of the others.
fn alternative(name: &str, value: &str, is_chosen: bool, label: &str, help: &str, fields: &Markup) -> Markup {
    html! {
        div.option {
            label.check {
                input type="radio" name=(name) value=(value) checked[is_chosen];
                span { (label) @if !help.is_empty() { small { (help) } } }
            }
            @if !fields.0.is_empty() { div.way { (fields) } }
        }
    }
}

fn events(content: &WebhookForm<'_>) -> Markup {
    let WebhookForm { draft, complaints, .. } = content;
    let some = html! {
        @for (title, types) in content.types.groups() {
            fieldset.group {
                legend { (title) }
                div.checks { @for it in types {
                    label.check {
                        input type="checkbox" name="event" value=(it.name) checked[draft.events.iter().any(|event| event == it.name)];
                        span { code { (it.name) } small { (it.description) } }
                    }
                } }
            }
        }
        (components::field("patterns", "Patterns", "Also match future types: call.* is every type that begins with call. and * is all. Separate several with spaces. Operational events are sent only when ticked.", complaints, &html! {
            input id="patterns" name="patterns" type="text" value=(draft.patterns) aria-describedby="patterns-help" spellcheck="false";
        }))
    };
    html! {
        section.card {
            h2 #events { "Events" }
            fieldset.ways {
                legend.sr { "Events" }
                (alternative("events_as", "all", draft.all_events, "All events", "Including types added later, but not operational events.", &html! {}))
                (alternative("events_as", "some", !draft.all_events, "Selected events", "", &some))
            }
            (event_complaints(draft, complaints))
            (components::field("channels", "Channels", "Only events that share one of these; none: events of all channels. One on each line, at most 10.", complaints, &html! {
                textarea.short #channels name="channels" rows="2" aria-describedby="channels-help" spellcheck="false" { (draft.channels) }
            }))
        }
    }
}

/// Shows the event type or pattern instead of its index in the API's list.
fn event_complaints(draft: &Draft, complaints: &Complaints<'_>) -> Markup {
    let asked = draft.subscriptions();
    let subject = |field: &str| {
        let index = field.strip_prefix("events[")?.strip_suffix(']')?;
        asked.get(index.parse::<usize>().ok()?).copied()
    };
    html! {
        @for error in complaints.about("events") {
            p.error { @if let Some(subject) = subject(&error.field) { code { (subject) } ": " } (error.message) }
        }
    }
}

fn filter(content: &WebhookForm<'_>) -> Markup {
    let WebhookForm { draft, complaints, types, sample, .. } = content;
    // without scripts, rows can't be added
    let spare = if draft.lines.is_empty() { 2 } else { 1 };
    let lines = html! {
        div.lines #filter-lines {
            @for line in &draft.lines { (filter_line(Some(line))) }
            @for _ in 0..spare { (filter_line(None)) }
        }
        div.actions { button.small type="button" data-adds="#filter-line" { "Add condition" } }
        p.dim.small { "Use dots for nested fields (" code { "custom_metadata.vip" } ") and commas between values. " code { "5" } " is a number and "
            code { "\"5\"" } " a string. “At least” and “at most” on " code { "duration" } " also match " code { "duration_seconds" } "." }
    };
    let json = html! {
        label.sr for="filter_json" { "The filter as JSON" }
        textarea id="filter_json" name="filter_json" spellcheck="false" placeholder=r#"{"min_duration": 60, "agent_id": ["agent_1", "agent_2"]}"# { (draft.filter_json) }
    };
    html! {
        section.card #filter {
            h2 { "Filter" }
            p.dim { "An event is sent only if all conditions are met. Without conditions, every event of the chosen types is sent." }
            fieldset.ways {
                legend.sr { "Filter format" }
                (alternative("filter_as", "lines", !draft.filter_is_json, "Conditions", "", &lines))
                (alternative("filter_as", "json", draft.filter_is_json, "JSON", "As in the API; a condition can be an object of operators: eq ne in nin gt gte lt lte exists prefix.", &json))
            }
            (complaints.at("filters"))
            details.more {
                summary { "Test with a sample" }
                div.cols {
                    div.field {
                        label for="sample_type" { "Sample event type" }
                        (type_choice("sample_type", types, sample.0, "/webhooks/preview/sample", "#sample-box"))
                        div #sample-box { (sample_box(sample.1)) }
                    }
                    div #filter-preview aria-live="polite" hx-post="/webhooks/preview/filter" hx-include="#filter"
                        hx-trigger="load, input delay:400ms from:#filter, sample from:#filter" { p.dim { "The result appears here." } }
                }
            }
            template #filter-line data-into="#filter-lines" { (filter_line(None)) }
        }
    }
}

/// A select of event types that loads the sample of the chosen one.
pub(crate) fn type_choice(
    name: &str,
    types: &EventTypeOptions,
    chosen: &str,
    address: &str,
    target: &str,
) -> Markup {
    html! {
        select id=(name) name=(name) hx-get=(address) hx-target=(target) hx-swap="innerHTML" hx-trigger="change" {
            @for (title, types) in types.groups() {
                optgroup label=(title) { @for it in types {
                    option value=(it.name) selected[it.name == chosen] { (it.name) }
                } }
            }
        }
    }
}

pub(crate) fn sample_box(sample: &str) -> Markup {
    html! {
        label.sr for="sample" { "Sample data" }
        textarea id="sample" name="sample" spellcheck="false" rows="12" { (sample) }
    }
}

fn filter_line(line: Option<&FilterRow>) -> Markup {
    let operator = line.map_or(Operator::Is, |line| line.operator);
    let kept = (!Operator::OFFERED.contains(&operator)).then_some(operator);
    html! {
        div.line {
            input type="text" name="filter_field" aria-label="Field" placeholder="duration" spellcheck="false" value=[line.map(|line| &line.field)];
            select name="filter_operator" aria-label="Comparison" {
                @for it in Operator::OFFERED.into_iter().chain(kept) {
                    option value=(it.name()) selected[it == operator] { (it.in_words()) }
                }
            }
            input type="text" name="filter_value" aria-label="Value" placeholder="60" spellcheck="false" value=[line.map(|line| &line.value)];
            button.small type="button" data-removes=".line" aria-label="Remove condition" { "Remove" }
        }
    }
}

fn retries(content: &WebhookForm<'_>) -> Markup {
    let WebhookForm { draft, complaints, .. } = content;
    let number = |name: &str, label: &str, help: &str, value: &str| {
        components::text_field(name, label, help, value, "number", complaints)
    };
    let policy = html! { div.row { @for (field, value) in RETRY_POLICY.iter().zip(&draft.policy) {
        (number(&format!("retry_policy.{}", field.name), field.label, field.form_help, value))
    } } };
    let usual = html! { div.narrow { (number("retry", "Retries", "0 to 20; after 15 min, each delay is three times the previous one, up to 6 h.", &draft.retry)) } };
    let delays = components::text_field(
        "retry_schedule",
        "Delays, seconds",
        "One for each retry, separated by commas or spaces: 1 to 20 whole numbers from 1 to 604,800, a week.",
        &draft.delays,
        "text",
        complaints,
    );
    let way = |way: RetryAs, label: &str, help: &str, fields: &Markup| {
        alternative("retry_as", way.name(), draft.retry_as == way, label, help, fields)
    };
    html! {
        section.card #retries {
            h2 { "Retries" }
            fieldset.ways {
                legend.sr { "Retry schedule" }
                (way(RetryAs::Retries, "Default schedule", "1 min, 5 min, 15 min and longer.", &usual))
                (way(RetryAs::Policy, "Custom schedule", "Delays that grow.", &policy))
                (way(RetryAs::Delays, "List of delays", "Each retry has its own.", &delays))
            }
            @if !complaints.about("retry_policy").any(|error| error.field.contains('.')) { (complaints.at("retry_policy")) }
            div #retry-preview.note-box.info aria-live="polite" hx-post="/webhooks/preview/retry" hx-include="#retries"
                hx-trigger="input delay:300ms from:#retries" { (schedule(draft)) }
            fieldset.group {
                legend { "Also retry" }
                p.dim.small { "5xx, 408, 425, 429 and missing responses are always retried." }
                label.check {
                    input type="checkbox" name="retry_on" value="4xx" checked[draft.client_errors];
                    span { "Other 4xx" small { "Responses that refuse the request: not found, forbidden … (never 410)." } }
                }
                label.check {
                    input type="checkbox" name="retry_on" value="3xx" checked[draft.redirects];
                    span { "3xx" small { "Redirects are never followed." } }
                }
                (complaints.at("retry_on"))
            }
            div.narrow { (texts(content, FormSection::Retries)) (numbers(content, FormSection::Retries)) }
            (checkboxes(content, FormSection::Retries))
        }
    }
}

fn schedule(draft: &Draft) -> Markup {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    encoded.append_pair("retry_as", draft.retry_as.name());
    encoded.append_pair("retry", &draft.retry).append_pair("retry_schedule", &draft.delays);
    for (field, value) in RETRY_POLICY.iter().zip(&draft.policy) {
        encoded.append_pair(&format!("retry_policy.{}", field.name), value);
    }
    schedule_of(&crate::dashboard::form::Form::parse(encoded.finish().as_bytes()))
}

/// The form's schedule in words.
pub(crate) fn schedule_of(form: &crate::dashboard::form::Form) -> Markup {
    html! {
        @match super::draft::schedule(form) {
            Some(schedule) => { (descriptions::schedule(&schedule)) "." }
            None => { "Incomplete schedule: a number is missing or out of bounds." }
        }
    }
}

fn pace(content: &WebhookForm<'_>) -> Markup {
    let WebhookForm { draft, complaints, .. } = content;
    let number = |name: &str, label: &str, help: &str, value: &str| {
        components::text_field(name, label, help, value, "number", complaints)
    };
    html! {
        section.card {
            h2 { "Rate and concurrency" }
            div.row {
                (number("rate_limit.per_second", "Rate limit, per second", "0.01 to 10,000. Leave empty for no limit.", &draft.per_second))
                (number("rate_limit.burst", "Burst", "Attempts at once after a pause. Leave empty for a tenth of a second’s worth, at least 1.", &draft.burst))
                (numbers(content, FormSection::Pace))
            }
            @if !complaints.about("rate_limit").any(|error| error.field.contains('.')) { (complaints.at("rate_limit")) }
            (texts(content, FormSection::Pace))
            (checkboxes(content, FormSection::Pace))
        }
    }
}

fn headers(content: &WebhookForm<'_>) -> Markup {
    let WebhookForm { draft, complaints, .. } = content;
    let spare = if draft.headers.is_empty() { 2 } else { 1 };
    html! {
        section.card {
            h2 { "Custom headers" }
            p.dim { "Sent with every request, for example an " code { "Authorization" } " header that your receiver requires. Values can’t be read back: "
                code { (MASK) } " keeps the current one." }
            div.lines #header-lines {
                @for (name, value) in &draft.headers { (header_line(name, value)) }
                @for _ in 0..spare { (header_line("", "")) }
            }
            div.actions { button.small type="button" data-adds="#header-line" { "Add header" } }
            (complaints.at("headers"))
            template #header-line data-into="#header-lines" { (header_line("", "")) }
        }
    }
}

fn header_line(name: &str, value: &str) -> Markup {
    html! {
        div.line.two {
            input type="text" name="header_name" aria-label="Header name" placeholder="Authorization" spellcheck="false" value=(name);
            input type="text" name="header_value" aria-label="Header value" placeholder="Bearer …" spellcheck="false" value=(value);
            button.small type="button" data-removes=".line" aria-label="Remove header" { "Remove" }
        }
    }
}

fn secret(content: &WebhookForm<'_>) -> Markup {
    let WebhookForm { draft, complaints, .. } = content;
    html! {
        section.card {
            h2 { "Signature" }
            (components::field("signature", "Signed with", "With a private key, nobody who breaks into a receiver can sign. Then there is no secret and no header of the engine's own signature, only webhook-signature.", complaints, &html! {
                select id="signature" name="signature" aria-describedby="signature-help" { (signature_options(draft.has_private_key)) }
            }))
            (components::text_field("secret", "Custom secret", "Leave empty to generate a strong one. Otherwise whsec_ and the base64 of 24 to 64 bytes.", &draft.secret, "text", complaints))
        }
    }
}

/// The two kinds of signatures, as options of a select.
pub(crate) fn signature_options(has_private_key: bool) -> Markup {
    html! {
        option value=(SecretKind::Hmac.as_str()) selected[!has_private_key] { "A secret that the receiver has too (HMAC)" }
        option value=(SecretKind::Ed25519.as_str()) selected[has_private_key] { "A private key; the receiver gets its public key (ed25519)" }
    }
}
