//! Attempts of a supervisor: starts them, and hands their outcomes to persistence.

use actix::{AsyncContext, Context, Handler};
use tokio::time::Instant;

use super::super::fairness::shares::Resource;
use super::super::inbox::{Collection, PendingWrites};
use super::super::mailbox::post;
use super::super::messages::{AttemptEnded, AttemptNotMade, Change, CollectInbox, RecordOutcome};
use super::super::operational::{OperationalEvent, operational_event};
use super::super::traces::AttemptTrace;
use super::{AttemptDecision, EndpointSupervisor, SupervisorParts};
use crate::domain::attempt::{LocalFault, NextStep, Outcome};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::event::Event;
use crate::domain::event_types::is_operational;
use crate::domain::machine::{Announcement, Input};
use crate::domain::notice::NewNotice;
use crate::domain::rotation::SecretId;
use crate::domain::time::UnixMillis;
use crate::telemetry::{self, gauges::EngineGauge};

impl EndpointSupervisor {
    pub(super) fn start_attempt(
        &mut self,
        delivery: QueuedDelivery,
        number: u32,
        secret: SecretId,
        now: UnixMillis,
        ctx: &mut Context<Self>,
    ) {
        if !self.parts.context.rights.may_act() {
            let fault = LocalFault::Lease;
            return post(&ctx.address(), AttemptNotMade { delivery, fault });
        }
        let Some(running) = &mut self.running else { return };
        let (mut request, sent) = running.template.request(&delivery, number, secret, now);
        let (context, endpoint_id) = (&self.parts.context, self.parts.endpoint_id);
        let trace = AttemptTrace::begin(context, &delivery, endpoint_id, number, &request, now);
        if let Some(trace) = &trace {
            trace.add_to(&mut request);
        }
        let me = ctx.address();
        let sending = self.parts.context.transport.attempt(request);
        // never below one attempt: an endpoint that is limited still makes it
        let held = self.parts.share.take_anyway(Resource::Attempts, 1);
        let in_flight = (EngineGauge::AttemptsInFlight.guard(), held);
        let delivery_id = delivery.id;
        let attempt = actix::spawn(async move {
            let result = sending.await;
            drop(in_flight);
            let result = match result {
                Ok(result) => result,
                Err(fault) => return post(&me, AttemptNotMade { delivery, fault }),
            };
            if let Some(trace) = trace {
                trace.end(&result);
            }
            post(&me, AttemptEnded { delivery, started_at: now, request: sent, result });
        });
        self.in_flight.insert(delivery_id, attempt.abort_handle());
    }

    pub(super) fn record(
        &mut self,
        ended: AttemptEnded,
        decision: AttemptDecision,
        now: UnixMillis,
        ctx: &mut Context<Self>,
    ) {
        let (parts, Some(running)) = (&self.parts, &self.running) else { return };
        report_attempt(parts, &ended, decision.number, decision.next, now);
        let outcome = Outcome {
            organization_id: parts.organization_id,
            endpoint_id: parts.endpoint_id,
            delivery_id: ended.delivery.id,
            number: decision.number,
            started_at: ended.started_at,
            finished_at: now,
            ordered: running.template.ordered,
            request: ended.request,
            result: ended.result,
            next: decision.next,
        };
        let is_patient = decision.is_plain_success() && running.machine.can_wait_for_records();
        let url = running.template.url();
        let announcements = announce(decision.announcements, &outcome, &ended.delivery.event, &url);
        let AttemptDecision { health, disable, .. } = decision;
        let notice = NewNotice::of_attempt(&outcome, &ended.delivery).map(Box::new);
        let supervisor = ctx.address().recipient();
        let change = Change { health, disable, url, announcements, notice, supervisor };
        let record = RecordOutcome { outcome, change };
        let inbox = &parts.context.inbox;
        let add = |pending: &mut PendingWrites| pending.record(record);
        let collection = match is_patient {
            true => inbox.put_patiently(Instant::now, add),
            false => inbox.put(add),
        };
        match collection {
            Collection::MustBeTimed(at) => look_at(parts, at),
            other => other.request(&parts.ports.persistence),
        }
    }
}

/// Has persistence look into the inbox at this time, also when this endpoint's supervisor has stopped by then.
fn look_at(parts: &SupervisorParts, at: Instant) {
    let (context, persistence) = (parts.context.clone(), parts.ports.persistence.clone());
    actix::spawn(async move {
        if context.inbox.is_due(at).await {
            post(&persistence, CollectInbox);
        }
    });
}

fn announce(
    announcements: Vec<Announcement>,
    outcome: &Outcome,
    event: &Event,
    url: &str,
) -> Vec<OperationalEvent> {
    let event_id = event.id.to_string();
    let is_operational = is_operational(&event.event_type);
    let announcements = announcements.into_iter().filter(|announcement| {
        // two failing webhooks would report each other's deliveries for ever
        !(is_operational && *announcement == Announcement::Exhausted)
    });
    announcements
        .filter_map(|announcement| operational_event(announcement, outcome, &event.event_type, &event_id, url))
        .collect()
}

fn report_attempt(parts: &SupervisorParts, ended: &AttemptEnded, number: u32, next: NextStep, now: UnixMillis) {
    let SupervisorParts { organization_id, endpoint_id, .. } = *parts;
    telemetry::AttemptFinished::new(organization_id, endpoint_id, ended.delivery.id, number, &ended.result).emit();
    if number == 1 && next == NextStep::Succeeded {
        // one that was published for a later time is not late before that
        let due_at = ended.delivery.event.accepted_at.max(ended.delivery.queued_at);
        telemetry::FirstAttemptAcknowledged { latency: now.since(due_at) }.emit();
    }
}

impl Handler<AttemptEnded> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, ended: AttemptEnded, ctx: &mut Self::Context) {
        self.in_flight.remove(&ended.delivery.id);
        let input = Input::AttemptFinished { delivery: &ended.delivery, response: &ended.result.response };
        if let Some((effects, now)) = self.step(input) {
            self.carry_out(effects, Some(ended), now, ctx);
        }
    }
}

impl Handler<AttemptNotMade> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, AttemptNotMade { delivery, fault }: AttemptNotMade, ctx: &mut Self::Context) {
        self.in_flight.remove(&delivery.id);
        telemetry::AttemptNotMade { fault, now: self.parts.context.now() }.emit();
        self.apply(Input::AttemptNotMade(delivery), ctx);
    }
}
