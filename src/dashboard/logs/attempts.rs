//! The attempts of a delivery, one after the other.

use maud::{Markup, html};

use super::meaning::{Meaning, of_code, of_error};
use crate::dashboard::viewer::Viewer;
use crate::dashboard::{exchange, parts, time};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};

/// Attempts whose headers and bodies are shown at once. Each can have 24 KiB of them, and there can be hundreds.
const MOST_IN_FULL: usize = 10;
/// The parameter that asks for all of them.
pub const ALL: &str = "attempts";

/// The attempts, and the next one while there is one. `all` shows every one in full.
pub fn timeline(viewer: &Viewer, delivery: &DeliveryRecord, attempts: &[AttemptRecord], all: bool) -> Markup {
    let in_short = if all { 0 } else { attempts.len().saturating_sub(MOST_IN_FULL) };
    html! {
        @if attempts.is_empty() && delivery.status != DeliveryStatus::Pending {
            p.dim { "Nothing was sent." }
        }
        @if in_short > 0 {
            p { a href={ "/logs/" (delivery.id) "?" (ALL) "=all" } { "Show headers and bodies of the first "
                (parts::count(in_short as u64, "attempt", "attempts")) " too" } }
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
            @if delivery.status == DeliveryStatus::Pending { (upcoming(viewer, delivery)) }
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
    let Meaning { what, help, is_retried } = match (attempt.response_code, attempt.error.as_deref()) {
        (Some(code), _) => of_code(code),
        (None, error) => of_error(error.unwrap_or_default()),
    };
    html! {
        h3 { "Attempt " (attempt.number) ": " (parts::answer(attempt.response_code, attempt.error.as_deref())) }
        p.dim.small { (time::instant(attempt.started_at, viewer.zone())) " · took " (time::milliseconds(attempt.duration_ms)) }
        p {
            (what)
            @if is_end && is_retried { " It was the last attempt of the webhook's schedule." }
            @if !help.is_empty() { " " (help) }
        }
    }
}

/// What was sent and answered; the newest body is open.
fn exchanged(attempt: &AttemptRecord, is_last: bool) -> Markup {
    let id = |what: &str| format!("{what}-{}", attempt.number);
    html! {
        (exchange::headers(&id("request"), "Request headers", &attempt.request_headers))
        @if let Some(headers) = &attempt.response_headers { (exchange::headers(&id("response"), "Response headers", headers)) }
        @if let Some(body) = &attempt.response_body {
            details.more id=(id("body")) open[is_last && !body.is_empty()] {
                summary { "Response body" }
                (exchange::body(body))
            }
        }
    }
}

fn upcoming(viewer: &Viewer, delivery: &DeliveryRecord) -> Markup {
    html! {
        li.next #attempt-next {
            h3 { "Attempt " (delivery.attempt_count.saturating_add(1)) }
            @match delivery.next_attempt_at {
                Some(at) if !time::is_due(at, viewer.now) => {
                    p.dim { (time::relative(at, viewer.now, viewer.zone())) ", at " (time::instant(at, viewer.zone())) }
                }
                _ => { p.dim { "Due now." } }
            }
        }
    }
}
