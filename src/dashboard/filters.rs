//! The filters of a list, kept in its address with the names and values of the API, so that an address means the same
//! to everyone and the page shows what the API would return.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::choices::Choices;
use super::components::{self, Complaints};
use super::time;
use super::viewer::Viewer;
use crate::api::problem::Problem;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::labels::MAX_CHARACTERS;
use crate::domain::time::UnixMillis;

/// Parameters that only report a result: not filters, and never shown as text.
pub(crate) const DONE: [&str; 5] = ["done", "queued", "pending", "gone", "failed"];
const INSTANTS: [&str; 2] = ["from", "to"];
const PLACE: &str = "cursor";
const MINUTE_MS: i64 = 60_000;
const RANGES: [(&str, i64); 3] = [("Last hour", 60), ("24 hours", 24 * 60), ("7 days", 7 * 24 * 60)];

/// The parameters of a list's address, without [`DONE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filters(Vec<(String, String)>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParsedQuery {
    Canonical(Filters),
    /// As a form sent it; redirect to this address, which means the same in every time zone.
    Rewritten(Filters),
}

impl Filters {
    /// Parses a query string, drops empty parameters, and turns a form's local times into UTC.
    pub(crate) fn read(query: &str, zone: &TimeZone) -> ParsedQuery {
        let (mut filters, mut is_rewritten) = (Vec::new(), false);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            if value.is_empty() {
                is_rewritten = true;
                continue;
            }
            if DONE.contains(&&*name) {
                continue;
            }
            let instant =
                Some(&name).filter(|name| INSTANTS.contains(&&***name)).and_then(|_| absolute(value, zone));
            is_rewritten |= instant.is_some();
            filters.push((name.into_owned(), instant.unwrap_or_else(|| value.to_owned())));
        }
        if is_rewritten { ParsedQuery::Rewritten(Self(filters)) } else { ParsedQuery::Canonical(Self(filters)) }
    }

    /// Parses the result of [`Filters::query`].
    pub(crate) fn of_query(query: &str) -> Self {
        match Self::read(query, &TimeZone::UTC) {
            ParsedQuery::Canonical(filters) | ParsedQuery::Rewritten(filters) => filters,
        }
    }

    pub(crate) fn query(&self) -> String {
        encode(self.0.iter())
    }

    /// A parameter's value, or "".
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn is_first_page(&self) -> bool {
        self.get(PLACE).is_empty()
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.0.iter().any(|(name, _)| name != PLACE && name != "limit")
    }

    /// The address of the newest page with these filters.
    pub(crate) fn first_page(&self, path: &str) -> String {
        join(path, &encode(self.0.iter().filter(|(name, _)| name != PLACE)))
    }

    /// The same with another start and no end.
    fn since(&self, path: &str, from: Option<UnixMillis>) -> String {
        let from = from.map(|from| ("from".to_owned(), from.to_string()));
        let others = self.0.iter().filter(|(name, _)| name != PLACE && !INSTANTS.contains(&name.as_str()));
        join(path, &encode(others.chain(from.as_ref())))
    }
}

fn encode<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub(crate) fn join(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Inputs send local times in the viewer's zone.
fn absolute(text: &str, zone: &TimeZone) -> Option<String> {
    // a local time would also be read from an instant, ignoring its offset
    if UnixMillis::parse_rfc3339(text).is_some() {
        return None;
    }
    time::parse_input(text, zone).map(|at| at.to_string())
}

/// The filter form; `own` are its fields besides the time range.
pub(crate) fn form(
    viewer: &Viewer,
    path: &str,
    filters: &Filters,
    problem: Option<&Problem>,
    own: &Markup,
) -> Markup {
    let complaints = Complaints::of(problem);
    html! {
        section.card {
            (ranges(viewer, path, filters))
            (misunderstood(problem))
            form.filters.even method="get" action=(path) {
                (own)
                (instant(viewer, "from", "From", filters, &complaints))
                (instant(viewer, "to", "To", filters, &complaints))
                div.actions {
                    button.primary { "Filter" }
                    @if filters.is_filtered() { a.button href=(path) { "Clear" } }
                }
            }
        }
    }
}

fn ranges(viewer: &Viewer, path: &str, filters: &Filters) -> Markup {
    // rounded to minutes, so that reloading a page offers the same addresses
    let minute = viewer.now.0 / MINUTE_MS;
    let since = |minutes: i64| Some(UnixMillis((minute - minutes) * MINUTE_MS));
    let is_any = INSTANTS.iter().all(|name| filters.get(name).is_empty());
    html! {
        nav.tabs aria-label="Time range" {
            a href=(filters.since(path, None)) aria-current=[is_any.then_some("true")] { "Any time" }
            @for (name, minutes) in RANGES {
                @let from = since(minutes);
                @let is_current = from.is_some_and(|from| filters.get("from") == from.to_string()) && filters.get("to").is_empty();
                a href=(filters.since(path, from)) aria-current=[is_current.then_some("true")] { (name) }
            }
            span.dim.small.end { "Times are in " (viewer.look.zone_name) "." }
        }
    }
}

/// Errors without a field in the form, as from a hand-written address.
fn misunderstood(problem: Option<&Problem>) -> Markup {
    const SHOWN: [&str; 6] = ["status", "event_type", "webhook_id", "response_code", "from", "to"];
    html! {
        @if let Some(problem) = problem {
            div.note-box.bad role="alert" {
                "Nothing is listed: a filter has an error."
                @for error in problem.errors().iter().filter(|error| !SHOWN.contains(&error.field.as_str())) {
                    div { code { (error.field) } ": " (error.message) }
                }
            }
        }
    }
}

fn instant(viewer: &Viewer, name: &str, label: &str, filters: &Filters, complaints: &Complaints<'_>) -> Markup {
    let value = UnixMillis::parse_rfc3339(filters.get(name)).map(|at| time::input_value(at, viewer.zone()));
    let control = html! {
        input id=(name) name=(name) type="datetime-local" step="1" value=[value]
            aria-describedby={ (name) "-error" } aria-invalid=[complaints.is_wrong(name).then_some("true")];
    };
    components::field(name, label, "", complaints, &control)
}

/// An event type that no longer exists can still be filtered by.
pub(crate) fn event_type(choices: &Choices, filters: &Filters, complaints: &Complaints<'_>) -> Markup {
    let chosen = filters.get("event_type");
    let control = html! {
        select #event_type name="event_type" aria-describedby="event_type-error" {
            option value="" { "All" }
            @for (group, names) in choices.event_types() { optgroup label=(group) {
                @for name in names { option value=(name) selected[name == chosen] { (name) } }
            } }
            @if !chosen.is_empty() && !choices.has_event_type(chosen) { option value=(chosen) selected { (chosen) } }
        }
    };
    components::field("event_type", "Event type", "", complaints, &control)
}

/// Events are found by a tag as a whole.
pub(crate) fn tag(filters: &Filters, complaints: &Complaints<'_>) -> Markup {
    let control = html! {
        input #tag name="tag" value=(filters.get("tag")) maxlength=(MAX_CHARACTERS) autocomplete="off" spellcheck="false"
            aria-describedby="tag-error" aria-invalid=[complaints.is_wrong("tag").then_some("true")];
    };
    components::field("tag", "Tag", "", complaints, &control)
}

pub(crate) fn status(filters: &Filters, complaints: &Complaints<'_>) -> Markup {
    let chosen = filters.get("status");
    let is_known = DeliveryStatus::parse(chosen).is_some() || chosen.is_empty();
    let control = html! {
        select #status name="status" aria-describedby="status-error" {
            option value="" { "All" }
            @for status in DeliveryStatus::ALL {
                option value=(status.as_str()) selected[status.as_str() == chosen] { (status.as_str()) }
            }
            @if !is_known { option value=(chosen) selected { (chosen) } }
        }
    };
    components::field("status", "Status", "", complaints, &control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn rewritten(query: &str) -> Option<String> {
        match Filters::read(query, &zone()) {
            ParsedQuery::Rewritten(filters) => Some(filters.query()),
            ParsedQuery::Canonical(_) => None,
        }
    }

    #[test]
    fn local_times_of_a_form_become_utc_in_the_address() {
        let sent =
            "status=failed&event_type=&webhook_id=&response_code=5xx&from=2024-12-16T11:30&to=2024-07-01T12:00:05";
        let expected =
            "status=failed&response_code=5xx&from=2024-12-16T10%3A30%3A00.000Z&to=2024-07-01T10%3A00%3A05.000Z";
        assert_eq!(rewritten(sent).as_deref(), Some(expected));
        assert_eq!(rewritten(expected), None);
        assert_eq!(rewritten("status=").as_deref(), Some(""));
    }

    #[test]
    fn a_time_with_an_offset_is_left_unchanged() {
        assert_eq!(rewritten("from=2024-12-16T12:30:45%2B02:00&to=2024-12-16T12:30:45Z"), None);
        assert_eq!(rewritten("from=yesterday"), None, "the API says what is wrong with it");
        assert_eq!(rewritten("event_type=2024-12-16"), None);
    }

    #[test]
    fn result_parameters_are_not_filters() {
        let ParsedQuery::Canonical(filters) = Filters::read("status=failed&queued=3&gone=1&cursor=abc", &zone())
        else {
            panic!("nothing to rewrite");
        };
        assert_eq!(filters.query(), "status=failed&cursor=abc");
        assert_eq!(filters.first_page("/logs"), "/logs?status=failed");
        assert!(filters.is_filtered() && !filters.is_first_page());
        assert!(!Filters::of_query("cursor=abc&limit=5").is_filtered());
    }

    #[test]
    fn changing_the_range_keeps_the_other_filters() {
        let filters =
            Filters::of_query("status=failed&from=2024-12-16T10:00:00Z&to=2024-12-16T11:00:00Z&cursor=x");
        assert_eq!(filters.since("/logs", None), "/logs?status=failed");
        assert_eq!(
            filters.since("/logs", Some(UnixMillis(0))),
            "/logs?status=failed&from=1970-01-01T00%3A00%3A00.000Z"
        );
    }

    proptest! {
        #[test]
        fn an_address_is_rewritten_at_most_once(query: String, from in "[-+0-9:TZ. ]{0,30}") {
            let query = encode([("from".to_owned(), from)].iter()) + "&" + &query;
            if let Some(once) = rewritten(&query) {
                prop_assert_eq!(rewritten(&once), None);
            }
        }
    }
}
