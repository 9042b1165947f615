//! The part of a write that runs on a blocking thread: assembles the batch and commits it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::super::context::ActorContext;
use super::super::event_assembly::{assemble, assemble_operational};
use super::super::inbox::PendingWrites;
use super::super::messages::{Change, Ingest, RecordOutcome};
use super::super::statistics::Counts;
use crate::domain::attempt::Outcome;
use crate::domain::ids::{EventId, IdGenerator};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::UnixMillis;
use crate::store::{CommitReport, DisableEndpoint, NewEvent, SavedHealth, StoreError, StoreResult, WriteBatch};

pub(super) struct Writer {
    pub(super) context: Arc<ActorContext>,
    pub(super) subscriptions: Arc<RwLock<Subscriptions>>,
    pub(super) ids: Arc<Mutex<IdGenerator>>,
}

/// A write that has ended.
pub(super) struct Written {
    pub(super) ingests: Vec<Ingest>,
    /// In the order of the batch's outcomes.
    pub(super) changes: Vec<Change>,
    pub(super) batch: WriteBatch,
    pub(super) result: StoreResult<CommitReport>,
    pub(super) took: Duration,
}

impl Writer {
    pub(super) fn write(&self, gathered: PendingWrites, counts: Counts) -> Written {
        let now = self.context.now();
        let begin = Instant::now();
        let mut gathered = gathered;
        let (events, disable) = self.assemble(&mut gathered, now);
        let PendingWrites { ingests, outcomes, mut health } = gathered;
        // health that changed with an attempt is newer than health that changed without one
        for RecordOutcome { change, .. } in &outcomes {
            let saved = change.health.map(|health| SavedHealth { health, url: change.url.clone() });
            health.extend(saved.map(|saved| (saved.health.endpoint_id, saved)));
        }
        let (outcomes, changes) = outcomes.into_iter().map(|record| (record.outcome, record.change)).unzip();
        let (health, Counts { statistics, failures }) = (health.into_values().collect(), counts);
        let batch = WriteBatch { events, outcomes, health, disable, statistics, failures };
        let result = self.commit(&batch, now);
        Written { ingests, changes, batch, result, took: begin.elapsed() }
    }

    /// A commit that panics is treated like any other failure: its content is kept and retried.
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        let commit = AssertUnwindSafe(|| self.context.store.commit(batch, now));
        catch_unwind(commit).unwrap_or_else(|_| Err(StoreError::Unavailable("the commit panicked".to_owned())))
    }

    /// Gives every event its id, its deliveries and its body, under one lock for the whole batch, so that the ids of an
    /// event's deliveries follow its own. Also returns the endpoints to disable, each with the event that reports it.
    fn assemble(&self, gathered: &mut PendingWrites, now: UnixMillis) -> (Vec<NewEvent>, Vec<DisableEndpoint>) {
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let publications = gathered.ingests.iter_mut().flat_map(|ingest| &mut ingest.publications);
        let mut events: Vec<NewEvent> = publications
            .map(|publication| {
                let event = assemble(publication, &subscriptions, &mut ids, now);
                // the event's body holds the data now
                publication.data = Box::default();
                event
            })
            .collect();
        let mut disable = Vec::new();
        for record in &gathered.outcomes {
            let mut announced_by = None;
            for operational in &record.change.announcements {
                let Some(new) = assemble_operational(operational, &subscriptions, &mut ids, now) else { continue };
                if operational.reports_disabling {
                    announced_by = Some(new.event.id);
                }
                events.push(new);
            }
            disable.extend(to_disable(record, announced_by));
        }
        (events, disable)
    }
}

fn to_disable(record: &RecordOutcome, announced_by: Option<EventId>) -> Option<DisableEndpoint> {
    let Outcome { organization_id, endpoint_id, .. } = record.outcome;
    let Change { disable, url, .. } = &record.change;
    disable.map(|reason| DisableEndpoint { organization_id, endpoint_id, reason, url: url.clone(), announced_by })
}
