//! The timeline of a delivery's attempts.

use maud::{Markup, html};

use crate::dashboard::outcome_help::{self, OutcomeHelp};
use crate::dashboard::viewer::Viewer;
use crate::dashboard::{components, request_response, time};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::health::EndpointState;

/// Attempts shown with headers and bodies. Each can have 24 KiB of them, and there can be hundreds.
const MOST_IN_FULL: usize = 10;
/// The query parameter that shows all of them in full.
pub(crate) const ALL: &str = "attempts";

/// The attempts, and the next one of a pending delivery. `all` shows each in full.
pub(crate) fn timeline(
    viewer: &Viewer,
    delivery: &DeliveryRecord,
    webhook: Option<EndpointState>,
    attempts: &[AttemptRecord],
    all: bool,
) -> Markup {
    let in_short = if all { 0 } else { attempts.len().saturating_sub(MOST_IN_FULL) };
    html! {
        @if attempts.is_empty() && delivery.status != DeliveryStatus::Pending {
            p.dim { "No attempts were made." }
        }
        @if in_short > 0 {
            p { a href={ "/logs/" (delivery.id) "?" (ALL) "=all" } { "Show headers and bodies of the first "
                (components::count(in_short as u64, "attempt", "attempts")) } }
        }
        ol.timeline {
            @for (index, attempt) in attempts.iter().enumerate() {
                @let is_last = index + 1 == attempts.len();
                @let is_end = is_last && delivery.status == DeliveryStatus::Failed;
                li.(class(attempt, is_end)) id={ "attempt-" (attempt.number) } {
                    (outcome(viewer, attempt, is_end))
                    @if index >= in_short { (exchanged(attempt, is_last)) }
                }
            }
            @if delivery.status == DeliveryStatus::Pending { (upcoming(viewer, delivery, webhook)) }
        }
    }
}

fn class(attempt: &AttemptRecord, is_end: bool) -> &'static str {
    match attempt.response_code {
        Some(200..=299) => "ok",
        _ if is_end => "bad",
        _ => "warn",
    }
}

fn outcome(viewer: &Viewer, attempt: &AttemptRecord, is_end: bool) -> Markup {
    let OutcomeHelp { what, help, is_retried } = outcome_help::of(attempt.response_code, attempt.error.as_deref());
    // the log does not say which of the two: the schedule may have changed since
    let end = if is_retried { ": retries are exhausted, or it was a test event" } else { "" };
    html! {
        h3 { "Attempt " (attempt.number) ": " (components::answer(attempt.response_code, attempt.error.as_deref())) }
        p.dim.small { (time::instant(attempt.started_at, viewer.zone())) " · took " (time::milliseconds(attempt.duration_ms)) }
        p {
            (what)
            @if is_end { " No further attempts are scheduled" (end) "." }
            @match &attempt.error_detail {
                Some(detail) => { " Details: " (detail) "." }
                None => { @if !help.is_empty() { " " (help) } }
            }
        }
    }
}

/// Headers and body of an attempt; the body of the last one is open.
fn exchanged(attempt: &AttemptRecord, is_last: bool) -> Markup {
    let id = |what: &str| format!("{what}-{}", attempt.number);
    html! {
        (request_response::headers(&id("request"), "Request headers", &attempt.request_headers, false))
        @if attempt.response_code.is_some() && attempt.response_headers.is_none() {
            p.dim.small { "Headers and body of the response were erased on request." }
        }
        @if let Some(headers) = &attempt.response_headers { (request_response::headers(&id("response"), "Response headers", headers, false)) }
        @if let Some(body) = &attempt.response_body {
            details.more id=(id("body")) open[is_last && !body.is_empty()] {
                summary { "Response body" }
                (request_response::body(body))
            }
        }
    }
}

/// The next attempt, and what holds it up besides its time.
fn upcoming(viewer: &Viewer, delivery: &DeliveryRecord, webhook: Option<EndpointState>) -> Markup {
    let at = delivery.next_attempt_at.filter(|at| !time::is_due(*at, viewer.now));
    let held = match webhook {
        Some(EndpointState::Disabled) => Some("when the webhook is enabled"),
        Some(EndpointState::Paused) => Some("when the webhook's breaker lets it through"),
        _ => None,
    };
    html! {
        li.next #attempt-next {
            h3 { "Attempt " (delivery.attempt_count.saturating_add(1)) }
            p.dim {
                @match (at, held) {
                    (Some(at), held) => {
                        (time::relative(at, viewer.now, viewer.zone())) ", at " (time::instant(at, viewer.zone()))
                        @if let Some(held) = held { ", or later: " (held) }
                    }
                    (None, Some(held)) => { "Due " (held) "." }
                    (None, None) => { "Due now." }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::caller::Caller;
    use crate::dashboard::viewer::Preferences;
    use crate::domain::attempt::AttemptError;
    use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
    use crate::domain::time::UnixMillis;
    use jiff::tz::TimeZone;
    use serde_json::{Map, Value};

    const SENT: &str = "</pre><script>alert(1)</script>\0\u{fffd}";

    fn viewer() -> Viewer {
        let look = Preferences { zone: TimeZone::UTC, zone_name: "UTC".to_owned(), theme: None };
        Viewer {
            caller: Caller::ADMIN,
            organization: None,
            is_operator: false,
            door: None,
            look,
            address: "/".to_owned(),
            now: UnixMillis(1_000),
        }
    }

    fn delivery(status: DeliveryStatus, next_attempt_at: Option<UnixMillis>) -> DeliveryRecord {
        DeliveryRecord {
            id: DeliveryId(3),
            organization_id: OrganizationId(1),
            event_id: EventId(2),
            endpoint_id: EndpointId(1),
            event_type: "call.completed".to_owned(),
            status,
            attempt_count: 12,
            response_code: Some(500),
            error: None,
            created_at: UnixMillis(0),
            finished_at: None,
            next_attempt_at,
        }
    }

    fn attempts(count: u32) -> Vec<AttemptRecord> {
        let headers: Map<String, Value> = [(SENT.to_owned(), Value::from(SENT))].into_iter().collect();
        let attempt = |number| AttemptRecord {
            number,
            started_at: UnixMillis(0),
            duration_ms: 3,
            response_code: Some(500),
            error: None,
            error_detail: None,
            request_headers: headers.clone(),
            response_headers: Some(headers.clone()),
            response_body: Some(SENT.to_owned()),
        };
        (1..=count).map(attempt).collect()
    }

    #[test]
    fn responses_are_escaped_and_old_attempts_are_summarized() {
        let failed = delivery(DeliveryStatus::Failed, None);
        let shown = timeline(&viewer(), &failed, None, &attempts(12), false).into_string();
        assert!(!shown.contains("<script") && !shown.contains('\0'));
        let count = |shown: &str, what: &str| shown.matches(what).count();
        assert_eq!(count(&shown, "&lt;script&gt;"), MOST_IN_FULL * 5);
        assert_eq!(count(&shown, "<li"), 12);
        assert!(
            shown.contains("?attempts=all") && !shown.contains("request-2\"") && shown.contains("request-3\"")
        );
        let all = timeline(&viewer(), &failed, None, &attempts(12), true).into_string();
        assert!(count(&all, "&lt;script&gt;") == 12 * 5 && !all.contains("?attempts=all"));
    }

    #[test]
    fn the_exact_error_replaces_the_general_help() {
        let [mut attempt] = <[AttemptRecord; 1]>::try_from(attempts(1)).unwrap();
        (attempt.response_code, attempt.error) = (None, Some("tls_failure".to_owned()));
        let shown = |attempt: &AttemptRecord| {
            let failed = delivery(DeliveryStatus::Failed, None);
            timeline(&viewer(), &failed, None, std::slice::from_ref(attempt), false).into_string()
        };
        assert!(shown(&attempt).contains(outcome_help::of_error("tls_failure").help));
        attempt.error_detail = Some("the certificate expired on 2024-05-01: renew it".to_owned());
        let exact = shown(&attempt);
        assert!(exact.contains("The TLS handshake failed.") && exact.contains("expired on 2024-05-01: renew it."));
        assert!(!exact.contains(outcome_help::of_error("tls_failure").help));
    }

    #[test]
    fn only_the_last_attempt_of_a_failed_delivery_is_marked_as_final() {
        let failed =
            timeline(&viewer(), &delivery(DeliveryStatus::Failed, None), None, &attempts(3), false).into_string();
        assert_eq!(failed.matches("<li class=\"warn\"").count(), 2);
        assert_eq!(failed.matches("<li class=\"bad\"").count(), 1);
        assert_eq!(failed.matches("No further attempts").count(), 1);
        let pending = delivery(DeliveryStatus::Pending, Some(UnixMillis(61_000)));
        let pending = timeline(&viewer(), &pending, None, &attempts(3), false).into_string();
        assert_eq!(pending.matches("<li class=\"warn\"").count(), 3);
        assert!(
            pending.contains("Attempt 13")
                && pending.contains("in 1 min")
                && !pending.contains("No further attempts")
        );
    }

    #[test]
    fn the_end_of_a_delivery_claims_only_what_the_log_shows() {
        for error in AttemptError::ALL.map(AttemptError::as_str) {
            let ended =
                AttemptRecord { response_code: None, error: Some(error.to_owned()), ..attempts(1).remove(0) };
            let shown =
                timeline(&viewer(), &delivery(DeliveryStatus::Failed, None), None, &[ended], false).into_string();
            assert!(shown.contains("No further attempts are scheduled"), "{error}");
            assert!(!shown.contains("last attempt"), "a test has no schedule: {error}");
            let is_final = error == "blocked_address";
            assert_eq!(shown.contains("retries are exhausted, or it was a test event"), !is_final, "{error}");
        }
    }

    #[test]
    fn an_attempt_held_up_by_its_webhook_is_not_shown_as_due_now() {
        let shown = |state, at| {
            let pending = delivery(DeliveryStatus::Pending, Some(UnixMillis(at)));
            timeline(&viewer(), &pending, state, &[], false).into_string()
        };
        for state in [None, Some(EndpointState::Healthy), Some(EndpointState::Failing)] {
            assert!(shown(state, 1_000).contains("Due now.") && !shown(state, 61_000).contains("or later"));
        }
        for (state, expected) in
            [(EndpointState::Disabled, "is enabled"), (EndpointState::Paused, "breaker lets it")]
        {
            let due = shown(Some(state), 1_000);
            assert!(due.contains(expected) && !due.contains("now"), "{due}");
            let later = shown(Some(state), 61_000);
            assert!(later.contains(expected) && later.contains("in 1 min"), "{later}");
        }
    }
}
