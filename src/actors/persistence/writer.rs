//! The part of a write that runs on a blocking thread: assembles the batch and commits it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::super::cluster::clock::LARGEST_SKEW;
use super::super::context::ActorContext;
use super::super::event_assembly::{assemble, assemble_operational};
use super::super::listeners::Listeners;
use super::super::messages::{Change, Ingest, Record, RecordOutcome};
use super::super::operational::OperationalEvent;
use super::super::publication::{Publication, PublishError};
use super::super::settings_cache::SettingsCache;
use super::super::statistics::Counts;
use super::content::CommitContent;
use super::gathering::Gathering;
use crate::domain::attempt::Outcome;
use crate::domain::event_type_registry::{EventTypeRegistry, Registered};
use crate::domain::ids::{EndpointId, EventId, IdGenerator};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::UnixMillis;
use crate::store::{
    CommitReport, DisableEndpoint, EventCommit, NewEvent, SavedHealth, StoreError, StoreResult, WriteBatch,
};

/// Bytes of a body that take about as long to write as a row. Smaller: large events wait for small ones. Larger: a commit
/// of large events is longer than others.
const BYTES_A_ROW: usize = 2 * 1024;
/// Matching an event that takes this long counts as a row: filters can take longer than the rows that come of it.
const TIME_A_ROW: Duration = Duration::from_micros(10);

pub(super) struct Writer {
    pub(super) context: Arc<ActorContext>,
    pub(super) settings: Arc<SettingsCache>,
    pub(super) ids: Arc<Mutex<IdGenerator>>,
}

/// A write that has ended.
pub(super) struct Written {
    pub(super) content: CommitContent,
    pub(super) result: StoreResult<CommitReport>,
    pub(super) took: Duration,
}

/// The content of a commit while it is put together.
struct Assembly<'a> {
    listeners: &'a Listeners,
    subscriptions: RwLockReadGuard<'a, Subscriptions>,
    event_types: RwLockReadGuard<'a, EventTypeRegistry>,
    ids: MutexGuard<'a, IdGenerator>,
    now: UnixMillis,
    /// Nothing may be matched now.
    is_outdated: bool,
    content: CommitContent,
    health: HashMap<EndpointId, SavedHealth>,
}

impl Writer {
    /// Writes one commit of what has been gathered; the rest stays there.
    pub(super) fn write(&self, gathering: &parking_lot::Mutex<Gathering>, counts: Counts) -> Written {
        let now = self.context.now();
        let begin = Instant::now();
        let content = self.assemble(&mut gathering.lock(), counts, now);
        let result = self.commit(&content.batch, now);
        let took = begin.elapsed();
        if !content.batch.events.is_empty() && self.context.rights.may_have_company() {
            // the commit has nearly always taken as long
            std::thread::sleep((now + LARGEST_SKEW).since(self.context.now()));
        }
        gathering.lock().note_commit(took, Instant::now());
        // before anyone is answered: what was changed while the events were matched, and the endpoints that were disabled
        let has_news =
            |report: &CommitReport| !report.disabled.is_empty() || report.events.contains(&EventCommit::Outdated);
        if result.as_ref().is_ok_and(has_news)
            && let Err(error) = self.settings.catch_up()
        {
            // until it is read, events that it concerns are not stored
            self.settings.doubt();
            tracing::debug!(%error, "changed settings can't be read yet");
        }
        Written { content, result, took }
    }

    /// A commit that panics is treated like any other failure: its content is kept and retried.
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        let commit = AssertUnwindSafe(|| self.context.store.commit(batch, now));
        catch_unwind(commit).unwrap_or_else(|_| Err(StoreError::Unavailable("the commit panicked".to_owned())))
    }

    /// Gives every event its id, its deliveries and its body, under one lock for the whole batch, so that the ids of an
    /// event's deliveries follow its own.
    fn assemble(&self, gathering: &mut Gathering, counts: Counts, now: UnixMillis) -> CommitContent {
        let limits = gathering.limits(Instant::now());
        let matched_at = self.settings.applied();
        let event_types = self.settings.event_types();
        let mut assembly = Assembly {
            listeners: self.settings.listeners(),
            subscriptions: self.settings.subscriptions(),
            event_types: event_types.read().unwrap_or_else(PoisonError::into_inner),
            ids: self.ids.lock().unwrap_or_else(PoisonError::into_inner),
            now,
            is_outdated: self.settings.is_outdated(),
            content: CommitContent {
                ingests: Vec::new(),
                operational: Vec::new(),
                again: Vec::new(),
                changes: Vec::new(),
                batch: WriteBatch { matched_at: Some(matched_at), ..WriteBatch::default() },
            },
            health: HashMap::new(),
        };
        gathering.ingests.serve_round(limits.rows, |ingest| assembly.add_event(ingest));
        gathering.records.serve_round(limits.outcomes, |record| assembly.add_record(record));
        let Assembly { mut content, health, .. } = assembly;
        content.batch.health = health.into_values().collect();
        (content.batch.statistics, content.batch.failures) = (counts.statistics, counts.failures);
        content
    }
}

impl Assembly<'_> {
    /// Returns how many rows it is worth.
    fn add_event(&mut self, mut ingest: Ingest) -> usize {
        // these publishers hung up, or got an error: nothing was promised to them
        if ingest.reply.is_abandoned() {
            return 0;
        }
        if let Some(refusal) = self.refusal(&ingest) {
            ingest.reply.answer(Err(refusal));
            return 0;
        }
        let begin = Instant::now();
        let new = assemble(&ingest.publication, &self.subscriptions, &mut self.ids, self.now);
        // the event's body holds the data now
        ingest.publication.data = Box::default();
        let rows = rows(&new);
        self.content.batch.events.push(new);
        self.content.ingests.push(ingest);
        rows.max((begin.elapsed().as_nanos() / TIME_A_ROW.as_nanos()) as usize)
    }

    /// Why an event can't be stored although it was validated.
    fn refusal(&self, ingest: &Ingest) -> Option<PublishError> {
        if self.is_outdated {
            let reason = "this node reads its settings again; try again in a moment";
            return Some(PublishError::Unavailable(reason.to_owned()));
        }
        let Publication { organization_id, event_type, .. } = &ingest.publication;
        if self.subscriptions.is_deleted(*organization_id) {
            return Some(PublishError::OrganizationDeleted);
        }
        let is_again = ingest.is_again && !ingest.publication.has_free_type;
        let is_unknown = || matches!(self.event_types.lookup(*organization_id, event_type), Registered::No);
        (is_again && is_unknown()).then_some(PublishError::UnknownEventType)
    }

    fn add_record(&mut self, record: Record) -> usize {
        let RecordOutcome { outcome, change } = match record {
            Record::Outcome(record) => *record,
            Record::Health(saved) => {
                self.health.insert(saved.health.endpoint_id, *saved);
                return 1;
            }
            Record::Operational(operational) => {
                let rows = self.add_operational(&operational).map_or(0, |(_, rows)| rows);
                self.content.again.push(*operational);
                return rows;
            }
        };
        let mut cost = 1;
        let mut announced_by = None;
        for operational in &change.announcements {
            let Some((event_id, rows)) = self.add_operational(operational) else { continue };
            if operational.reports_disabling {
                announced_by = Some(event_id);
            }
            cost += rows;
        }
        self.content.batch.disable.extend(to_disable(&outcome, &change, announced_by));
        if let Some(notice) =
            change.notice.as_deref().filter(|_| self.listeners.listen_to(outcome.organization_id))
        {
            // it stays with its outcome too: a commit that fails is made again
            self.content.batch.notices.push(notice.clone());
            cost += 1;
        }
        if let Some(health) = change.health {
            self.health.insert(health.endpoint_id, SavedHealth { health, url: change.url.clone() });
        }
        self.content.batch.outcomes.push(outcome);
        self.content.changes.push(change);
        cost
    }

    /// Returns its event, if a webhook wants it, and how many rows it is worth.
    fn add_operational(&mut self, operational: &OperationalEvent) -> Option<(EventId, usize)> {
        let new = assemble_operational(operational, &self.subscriptions, &mut self.ids, self.now)?;
        let (event_id, rows) = (new.event.id, rows(&new));
        self.content.batch.events.push(new);
        self.content.operational.push(operational.about);
        Some((event_id, rows))
    }
}

fn rows(new: &NewEvent) -> usize {
    1 + new.deliveries.len() + new.label_count() + new.event.body.len() / BYTES_A_ROW
}

fn to_disable(outcome: &Outcome, change: &Change, announced_by: Option<EventId>) -> Option<DisableEndpoint> {
    let Outcome { organization_id, endpoint_id, .. } = *outcome;
    let Change { disable, url, .. } = change;
    disable.map(|reason| DisableEndpoint { organization_id, endpoint_id, reason, url: url.clone(), announced_by })
}
