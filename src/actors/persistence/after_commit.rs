//! The consequences of a commit that is on disk: metrics, responses to publishers, messages to supervisors and router.

use std::collections::HashMap;
use std::time::Duration;

use actix::Recipient;

use super::super::mailbox::post;
use super::super::messages::{Change, CommittedEvent, Ingest, OutcomesRecorded};
use super::super::publication::{PublishError, Published};
use crate::domain::attempt::NextStep;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::event::Event;
use crate::domain::ids::DeliveryId;
use crate::store::{AcceptedEvent, CommitReport, EventCommit, NewEvent, WriteBatch};
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

/// Sends every publisher its results. Their events come first in the batch, in their order.
pub(super) fn answer_publishers(ingests: Vec<Ingest>, events: &[NewEvent], report: &CommitReport) {
    let mut commits = events.iter().zip(&report.events);
    for ingest in ingests {
        let results = commits.by_ref().take(ingest.publications.len()).map(|(new, commit)| match commit {
            EventCommit::Stored => Ok(Published { event: accepted(new), replayed: false }),
            EventCommit::Replayed(event) => Ok(Published { event: event.clone(), replayed: true }),
            EventCommit::KeyReused => Err(PublishError::IdempotencyKeyReused),
            // only operational events are ever withheld
            EventCommit::Withheld => Err(PublishError::Stopping),
        });
        // a publisher that hung up misses its result; the events are stored all the same
        drop(ingest.reply.send(results.collect()));
    }
}

fn accepted(new: &NewEvent) -> AcceptedEvent {
    AcceptedEvent {
        id: new.event.id,
        event_type: new.event.event_type.clone(),
        occurred_at: new.event.occurred_at,
        deliveries: new.deliveries.len(),
    }
}

/// The stored events that have deliveries.
pub(super) fn to_dispatch(events: Vec<NewEvent>, report: &CommitReport) -> Vec<CommittedEvent> {
    let stored = events.into_iter().zip(&report.events).filter(|(_, commit)| **commit == EventCommit::Stored);
    let wanted = stored.filter(|(new, _)| !new.deliveries.is_empty());
    wanted.map(|(new, _)| CommittedEvent { event: new.event, deliveries: new.deliveries }).collect()
}
