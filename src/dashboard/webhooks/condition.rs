//! The condition of a webhook: that it works, or why it does not, what waits, and what to do about it.

use maud::{Markup, html};

use super::descriptions;
use super::recent_deliveries::RecentDeliveries;
use super::recover::Missed;
use crate::api::health::WebhookHealthView;
use crate::api::webhook_actions::COUNTED_AT_MOST;
use crate::dashboard::components::{self, count, number};
use crate::dashboard::outage::{self, Reason};
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::endpoint::Endpoint;
use crate::domain::health::EndpointState;

pub(super) struct Condition<'a> {
    pub viewer: &'a Viewer,
    pub endpoint: &'a Endpoint,
    pub health: &'a WebhookHealthView,
    pub newest: &'a RecentDeliveries,
    pub missed: Option<&'a Missed>,
    /// The webhook's page, for viewers who may manage it.
    pub address: Option<&'a str>,
}

impl Condition<'_> {
    pub(super) fn show(&self) -> Markup {
        match outage::is_in_trouble(self.health.state, self.endpoint) {
            true => self.trouble(),
            false => self.calm(),
        }
    }

    /// The last failure first: whoever comes here wants to know why.
    fn trouble(&self) -> Markup {
        let Self { viewer, endpoint, health, newest, .. } = self;
        let failure = health.last_failure.as_ref();
        let reason = failure.map(|it| Reason::of(it.response_code, it.error.as_deref()).now());
        let since = health.failing_since.or(endpoint.disabled_at);
        html! {
            section.card.trouble #condition {
                header {
                    h2 { "This webhook " (reason.as_deref().unwrap_or("fails"))
                        @if let Some(since) = since { " since " (time::clock(since, viewer.now, viewer.zone())) } }
                    (components::state_link(health.state))
                }
                @if let Some(failure) = failure { (newest.failure_in_short(viewer, endpoint, failure)) }
                p { (self.waiting()) }
                @if let Some(missed) = self.missed { @if missed.deliveries > 0 { p { (self.failed(missed)) } } }
                @if let Some(address) = self.address { (self.repair(address)) }
            }
        }
    }

    /// What waits, and until when.
    fn waiting(&self) -> Markup {
        let Self { viewer, endpoint, health, .. } = self;
        let ago = |at| time::relative(at, viewer.now, viewer.zone());
        let (one, many) = match health.pending {
            1 => ("delivery waits", "it"),
            _ => ("deliveries wait", "the others"),
        };
        html! {
            @if health.pending == 0 { "Nothing waits" } @else { strong { (number(health.pending)) " " (one) } }
            @match health.state {
                EndpointState::Paused => {
                    @match health.breaker.probe_at.filter(|at| !time::is_due(*at, viewer.now)) {
                        Some(at) => { " until " (time::clock(at, viewer.now, viewer.zone())) " (" (ago(at)) ")" }
                        None => { " for a probe" }
                    }
                    ": its circuit breaker is open after repeated failures. One delivery is sent as a probe then, and when it succeeds "
                    (many) " follow, those attempted before at their next retry."
                }
                EndpointState::Disabled => {
                    @let (why, what) = descriptions::disabled(endpoint.disabled_reason);
                    ". " (why) @if let Some(at) = endpoint.disabled_at { " That was " (ago(at)) "." } " " (what)
                }
                _ => { ". Deliveries are retried on schedule; after more failures in a row the webhook is paused." }
            }
        }
    }

    fn failed(&self, missed: &Missed) -> Markup {
        let most = COUNTED_AT_MOST as u64;
        html! {
            strong { @if missed.deliveries > most { "More than " } (count(missed.deliveries.min(most), "delivery", "deliveries")) }
            " failed for good since it broke. "
            @if self.address.is_some() { a href="#recover" { "Recover them" } " once the receiver is repaired." }
        }
    }

    fn repair(&self, address: &str) -> Markup {
        html! {
            @if self.health.state == EndpointState::Disabled {
                p.small.dim { "Once the receiver is repaired, a test event shows whether it works." }
                div.actions { a.button.small href={ (address) "/test" } { "Send test event" } }
            } @else {
                p.small.dim { "Once the receiver is repaired: a test event that succeeds ends the outage, and deliveries go out again. “Resume now” also sends at once what waits for a retry." }
                div.actions {
                    a.button.small href={ (address) "/test" } { "Send test event" }
                    form method="post" action={ (address) "/resume" } { button.small { "Resume now" } }
                }
            }
        }
    }

    fn calm(&self) -> Markup {
        let Self { viewer, endpoint, health, .. } = self;
        let rest = outage::time_to_catch_up(endpoint, health.pending).filter(|rest| *rest > outage::IN_TIME);
        let address = self.address.filter(|_| health.pending > 0 && rest.is_none());
        html! {
            section.card #condition {
                header { h2 { "Health" } (components::state(health.state)) }
                @match (health.state, &endpoint.rate_limit, rest) {
                    (EndpointState::Disabled, _, _) => {
                        @let (why, what) = descriptions::disabled(endpoint.disabled_reason);
                        p { (why) @if let Some(at) = endpoint.disabled_at { " That was " (time::relative(at, viewer.now, viewer.zone())) "." } " " (what) }
                    }
                    (_, Some(limit), Some(rest)) => {
                        p #behind {
                            "It works, and waits for its own rate limit of " (limit.per_second) " per second: "
                            strong { (count(health.pending, "delivery", "deliveries")) " pending" }
                            @if let Some(at) = health.oldest_pending_at { ", the oldest from " (time::relative(at, viewer.now, viewer.zone())) }
                            ". At this rate they are done in about " (time::span(rest)) ", and what comes meanwhile after that."
                        }
                        @if let Some(address) = self.address { p.small.dim { "If the receiver can take more, " a href={ (address) "/edit" } { "raise the limit" } "." } }
                    }
                    _ => { p { "The receiver responds, or nothing was sent since the webhook was added or changed." } }
                }
                @if let Some(address) = address.filter(|_| health.state == EndpointState::Healthy) {
                    form.lines method="post" action={ (address) "/resume" } {
                        p.small.dim { "Deliveries that wait for a retry can go out at once." }
                        div.actions { button.small { "Resume now" } }
                    }
                }
            }
        }
    }
}
