//! The consequences of a commit that is on disk: metrics, responses to publishers, messages to supervisors and router.

use std::collections::HashMap;
use std::time::Duration;

use actix::Recipient;

use super::super::context::ActorContext;
use super::super::mailbox::post;
use super::super::messages::{Change, CommittedEvent, Ingest, OutcomesRecorded};
use super::super::publication::{PublishError, Published};
use crate::domain::attempt::NextStep;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, OrganizationId};
use crate::store::{CommitReport, EventCommit, NewEvent, WriteBatch};
use crate::telemetry;

pub(super) fn report_commit(batch: &WriteBatch, report: &CommitReport, took: Duration) {
    let mut rows = batch.outcomes.len();
    for (new, commit) in batch.events.iter().zip(&report.events) {
        if *commit == EventCommit::Stored {
            let deliveries = new.deliveries.len();
            rows += 1 + deliveries;
            let Event { id: event_id, organization_id, ref event_type, .. } = *new.event;
            telemetry::EventAccepted { organization_id, event_id, event_type, deliveries }.emit();
        }
    }
    for (outcome, recorded) in batch.outcomes.iter().zip(&report.outcomes_recorded) {
        let outcome = match outcome.next {
            NextStep::Succeeded => DeliveryStatus::Success,
            NextStep::Failed => DeliveryStatus::Failed,
            NextStep::RetryAt(_) | NextStep::UncountedRetryAt(_) => continue,
        };
        if *recorded {
            telemetry::DeliveryFinished { outcome, count: 1 }.emit();
        }
    }
    telemetry::CommitFinished { rows, duration: took }.emit();
}

/// Sends each supervisor one message for all its outcomes in this commit: each message may wake a thread.
pub(super) fn notify_supervisors(batch: &WriteBatch, changes: Vec<Change>) {
    let mut recorded: HashMap<Recipient<OutcomesRecorded>, Vec<DeliveryId>> = HashMap::new();
    for (outcome, change) in batch.outcomes.iter().zip(changes) {
        recorded.entry(change.supervisor).or_default().push(outcome.delivery_id);
    }
    for (supervisor, deliveries) in recorded {
        post(&supervisor, OutcomesRecorded(deliveries));
    }
}

/// Sends every publisher its result. Their events come first in the batch, in their order.
pub(super) fn answer_publishers(ingests: Vec<Ingest>, events: &[NewEvent], report: &CommitReport) {
    for (ingest, (new, commit)) in ingests.into_iter().zip(events.iter().zip(&report.events)) {
        ingest.reply.answer(match commit {
            EventCommit::Stored => Ok(Published { event: new.accepted(), replayed: false }),
            EventCommit::Replayed(event) => Ok(Published { event: event.clone(), replayed: true }),
            EventCommit::KeyReused => Err(PublishError::IdempotencyKeyReused),
            EventCommit::BatchKeyReused => Err(PublishError::BatchKeyReused),
            // only operational events are ever withheld, and outdated ones were taken out
            EventCommit::Withheld | EventCommit::Outdated => Err(PublishError::Stopping),
        });
    }
}

/// Counts for each organization what was written for it.
pub(super) fn meter_rows(context: &ActorContext, batch: &WriteBatch) {
    let of_events = batch.events.iter().map(|new| (new.event.organization_id, 1 + new.deliveries.len() as u64));
    let of_outcomes = batch.outcomes.iter().map(|outcome| (outcome.organization_id, 1));
    let mut rows: HashMap<OrganizationId, u64> = HashMap::new();
    for (organization_id, count) in of_events.chain(of_outcomes) {
        *rows.entry(organization_id).or_default() += count;
    }
    let now = context.now();
    for (organization_id, count) in rows {
        context.shares.of(organization_id).rows.add(count, now);
    }
}

/// The stored events that have deliveries.
pub(super) fn to_dispatch(events: Vec<NewEvent>, report: &CommitReport) -> Vec<CommittedEvent> {
    let stored = events.into_iter().zip(&report.events).filter(|(_, commit)| **commit == EventCommit::Stored);
    let wanted = stored.filter(|(new, _)| !new.deliveries.is_empty());
    let to_event = |(new, _): (NewEvent, _)| {
        let deliver_at = new.deliver_at();
        CommittedEvent { event: new.event, deliveries: new.deliveries, deliver_at }
    };
    wanted.map(to_event).collect()
}
