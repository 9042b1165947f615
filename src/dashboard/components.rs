//! Components shared by the pages.

use maud::{Markup, html};

use crate::api::pagination::List;
use crate::api::problem::Problem;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::filter::FieldError;
use crate::domain::health::EndpointState;

pub(crate) fn status(status: DeliveryStatus) -> Markup {
    let class = match status {
        DeliveryStatus::Success => "ok",
        DeliveryStatus::Failed => "bad",
        DeliveryStatus::Pending => "info",
        DeliveryStatus::Cancelled => "off",
    };
    html! { span.badge.(class) { (status.as_str()) } }
}

pub(crate) fn state(state: EndpointState) -> Markup {
    let (class, name, meaning) = described(state);
    html! { span.badge.(class) title=(meaning) { (name) } }
}

/// The same as a link to the webhooks in this state.
pub(crate) fn state_link(state: EndpointState) -> Markup {
    let (class, name, meaning) = described(state);
    html! { a.badge.(class) href={ "/webhooks?state=" (name) } title=(meaning) { (name) } }
}

/// The class, the name and the meaning of a state.
pub(crate) fn described(state: EndpointState) -> (&'static str, &'static str, &'static str) {
    match state {
        EndpointState::Healthy => {
            ("ok", "healthy", "The receiver responds, or nothing was sent since the webhook was added or changed.")
        }
        EndpointState::Failing => ("warn", "failing", "The last attempt failed in a way that is retried."),
        EndpointState::Paused => (
            "bad",
            "paused",
            "Its circuit breaker is open after repeated failures: only probes are sent until one succeeds.",
        ),
        EndpointState::Disabled => {
            ("off", "disabled", "Nothing is sent: pending deliveries wait, and new events are not sent to it.")
        }
    }
}

/// The status code of a response, or the error if there was none.
pub(crate) fn answer(code: Option<u16>, error: Option<&str>) -> Markup {
    html! {
        @match (code, error) {
            (Some(code), _) => { code { (code) } }
            (None, Some(error)) => { span.break { (in_words(error)) } }
            (None, None) => { span.dim { "–" } }
        }
    }
}

/// An error's API name in words: `connection_refused` → "connection refused".
pub(super) fn in_words(error: &str) -> String {
    error.replace('_', " ")
}

/// An event type or pattern that can wrap between its words.
pub(crate) fn event_type(name: &str) -> Markup {
    html! { @for word in name.split_inclusive(['.', '_']) { (word) wbr; } }
}

/// A percentage, rounded down, so that only a full share reads as 100.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = (part as f64 / whole as f64 * 1_000.0).floor() / 10.0;
    if part == whole { "100 %".to_owned() } else { format!("{tenths:.1} %") }
}

/// A number with thousands separators.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with the singular or plural.
pub(crate) fn count(value: u64, one: &str, many: &str) -> String {
    if value == 1 { format!("1 {one}") } else { format!("{} {many}", number(value)) }
}

/// An error detail as a sentence. A leading identifier keeps its case.
pub(crate) fn sentence(detail: &str) -> String {
    let is_name =
        detail.split(' ').next().is_some_and(|word| word.trim_end_matches('.').contains(['.', '_', '/']));
    let mut characters = detail.chars();
    let first = characters.next().map(|first| match is_name {
        true => first.to_string(),
        false => first.to_uppercase().to_string(),
    });
    let end = if detail.ends_with(['.', '!', '?']) { "" } else { "." };
    first.map_or_else(String::new, |first| format!("{first}{}{end}", characters.as_str()))
}

/// An empty state and what to do next.
pub(crate) fn empty(title: &str, help: &Markup) -> Markup {
    html! { div.empty { h2 { (title) } (help) } }
}

/// Confirms an action; screen readers announce it.
pub(crate) fn done(text: &str) -> Markup {
    html! { p.note-box.ok role="status" #done { (text) } }
}

pub(crate) fn copyable(id: &str, text: &str) -> Markup {
    html! {
        span.copy { code id=(id) { (text) } button.small type="button" data-copy={"#" (id)} aria-label={"Copy " (text)} { "Copy" } }
    }
}

/// Links to older rows and back to the newest. `address` has the filters but no cursor.
pub(crate) fn pager<T>(list: &List<T>, address: &str, is_first: bool) -> Markup {
    let with_cursor = |cursor: &str| {
        let separator = if address.contains('?') { '&' } else { '?' };
        format!("{address}{separator}cursor={cursor}")
    };
    html! {
        @if !is_first || list.next_cursor.is_some() {
            nav.pager aria-label="Pages" {
                @if is_first { span {} } @else { a href=(address) { "← Newest" } }
                @if let Some(cursor) = &list.next_cursor { a rel="next" href=(with_cursor(cursor)) { "Older →" } }
            }
        }
    }
}

/// The errors of a form: those of a field are shown next to it, the others above the form.
pub(crate) struct Complaints<'a> {
    errors: &'a [FieldError],
    detail: Option<&'a str>,
}

impl<'a> Complaints<'a> {
    pub(crate) fn of(problem: Option<&'a Problem>) -> Self {
        let errors = problem.map_or(&[][..], Problem::errors);
        Self { errors, detail: problem.map(Problem::detail) }
    }

    /// Errors of a field itself, of a part of it (`headers.x-a`), or of one of its items (`events[2]`).
    pub(crate) fn about(&self, field: &str) -> impl Iterator<Item = &'a FieldError> {
        let is_about = move |error: &&FieldError| {
            let rest = error.field.strip_prefix(field);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.errors.iter().filter(is_about)
    }

    pub(crate) fn is_wrong(&self, field: &str) -> bool {
        self.about(field).next().is_some()
    }

    /// The errors of a field.
    pub(crate) fn at(&self, field: &str) -> Markup {
        html! {
            @if self.is_wrong(field) {
                div id={ (field) "-error" } {
                    @for error in self.about(field) {
                        p.error { @if error.field != field { code { (error.field) } ": " } (error.message) }
                    }
                }
            }
        }
    }

    /// The errors above the form; `known` fields show their own.
    pub(crate) fn summary(&self, known: &[&str]) -> Markup {
        let others: Vec<&FieldError> = self
            .errors
            .iter()
            .filter(|error| !known.iter().any(|field| self.about(field).any(|it| it == *error)))
            .collect();
        html! {
            @if let Some(detail) = self.detail {
                div.note-box.bad role="alert" #complaint {
                    @if self.errors.is_empty() { (detail) }
                    @else { "Nothing was saved: " (count(self.errors.len() as u64, "field has", "fields have")) " errors." }
                    @if !others.is_empty() { ul { @for error in others { li { code { (error.field) } ": " (error.message) } } } }
                }
            }
        }
    }
}

/// A field with its label, help and errors; the id of `control` must be the field's name.
pub(crate) fn field(name: &str, label: &str, help: &str, complaints: &Complaints<'_>, control: &Markup) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            (control)
            @if !help.is_empty() { p.help id={ (name) "-help" } { (help) } }
            (complaints.at(name))
        }
    }
}

/// A one-line input.
pub(crate) fn text_field(
    name: &str,
    label: &str,
    help: &str,
    value: &str,
    kind: &str,
    complaints: &Complaints<'_>,
) -> Markup {
    let described = format!("{name}-help {name}-error");
    let control = html! {
        input id=(name) name=(name) type=(kind) value=(value) step=[(kind == "number").then_some("any")]
            aria-describedby=(described) aria-invalid=[complaints.is_wrong(name).then_some("true")];
    };
    field(name, label, help, complaints, &control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_share_reads_as_100_percent() {
        assert_eq!(percent(1, 1), "100 %");
        assert_eq!(percent(99_999, 100_000), "99.9 %");
        assert_eq!(percent(0, 7), "0.0 %");
        assert_eq!(percent(0, 0), "–");
    }

    #[test]
    fn numbers_have_thousands_separators() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(number), ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn an_error_detail_becomes_a_sentence() {
        assert_eq!(sentence("there is no such webhook; check the id"), "There is no such webhook; check the id.");
        assert_eq!(["", "élan.", "X!"].map(sentence), ["", "Élan.", "X!"]);
        assert_eq!(sentence("call.completed is built in"), "call.completed is built in.");
    }

    #[test]
    fn errors_are_shown_at_their_fields_and_the_rest_above_the_form() {
        let errors = [("url", "a"), ("events[3]", "b"), ("headers.x-a", "c"), ("eventsx", "d")];
        let errors =
            errors.map(|(field, message)| FieldError { field: field.to_owned(), message: message.to_owned() });
        let complaints = Complaints { errors: &errors, detail: Some("wrong") };
        assert_eq!(complaints.about("events").count(), 1);
        assert!(complaints.at("events").into_string().contains("events[3]"));
        assert!(complaints.at("url").into_string().contains("url-error"));
        let summary = complaints.summary(&["url", "events", "headers"]).into_string();
        assert!(summary.contains("eventsx") && !summary.contains("x-a"), "{summary}");
    }

    #[test]
    fn untrusted_text_is_escaped() {
        let shown = copyable("x", "<script>alert(1)</script>").into_string();
        assert!(!shown.contains("<script>"), "{shown}");
    }
}
