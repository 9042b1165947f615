//! The writer: gathers what is to be written while one commit runs, and writes it with the next.
//!
//! Owns the batch being gathered and the write in flight. Never parses, never decides when something is sent.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::context::ActorContext;
use super::endpoint_supervisor::EndpointSupervisor;
use super::handle::{Publication, PublishError, Published};
use super::inbox::Waiting;
use super::messages::{
    Begin, Change, CollectInbox, CommittedEvent, Dispatch, Flush, Ingest, OutcomesRecorded, RecordOutcome, Rescan,
};
use super::operational::OperationalEvent;
use super::post;
use super::statistics::Counts;
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::DisabledReason;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::UnixMillis;
use crate::store::{
    AcceptedEvent, Checkpoint, CommitReport, DisableEndpoint, EventCommit, NewEvent, SavedHealth, StoreError,
    StoreResult, WriteBatch,
};
use crate::telemetry::{self, StoreOperation};

/// Events in one commit. Smaller: more fsyncs under load. Larger: a publisher waits longer for its own.
const MAX_EVENTS: usize = 2_000;
/// Outcomes in one commit.
const MAX_OUTCOMES: usize = 8_000;
/// After a commit failed, the next one is tried so much later. Smaller: a full disk is hammered. Larger: it
/// takes longer to notice that it is no longer full.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// So often the store may make a checkpoint. Smaller: asking it costs more than it brings. Larger: its log is longer,
/// by that many of the largest commits.
const COMMITS_A_CHECKPOINT: u32 = 8;

/// After somebody stood in the way of a checkpoint. Smaller: it is asked for in vain for as long as they read. Larger: the
/// log is that much longer when they have ended.
const BLOCKED_DELAY: Duration = Duration::from_millis(500);

/// The persistence actor.
pub(crate) struct Persistence {
    context: Arc<ActorContext>,
    subscriptions: Arc<RwLock<Subscriptions>>,
    ids: Arc<Mutex<IdGenerator>>,
    peers: Option<Begin>,
    /// Waits for the write in flight. Bounded by the permits of its events and the in-flight limits.
    gathering: Waiting,
    is_writing: bool,
    /// Since when commits fail: what they held may be stored all the same.
    failing_since: Option<UnixMillis>,
    flushers: Vec<oneshot::Sender<()>>,
    commits_since_checkpoint: u32,
    is_checkpointing: bool,
    /// Wakes it up for counts that nothing else is written with.
    counts_are_timed: bool,
}

/// A write that has ended.
struct Written {
    ingests: Vec<Ingest>,
    /// In the order of the batch's outcomes.
    changes: Vec<Change>,
    batch: WriteBatch,
    result: StoreResult<CommitReport>,
    took: Duration,
}

/// A write that is on disk.
struct Committed {
    ingests: Vec<Ingest>,
    changes: Vec<Change>,
    batch: WriteBatch,
    report: CommitReport,
    took: Duration,
}

impl Persistence {
    /// One for the engine.
    pub(crate) fn new(
        context: Arc<ActorContext>,
        subscriptions: Arc<RwLock<Subscriptions>>,
        ids: Arc<Mutex<IdGenerator>>,
    ) -> Self {
        Self {
            context,
            subscriptions,
            ids,
            peers: None,
            gathering: Waiting::default(),
            is_writing: false,
            failing_since: None,
            flushers: Vec::new(),
            commits_since_checkpoint: 0,
            is_checkpointing: false,
            counts_are_timed: false,
        }
    }

    fn write_if_idle(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        let counts = self.context.counting.lock().take(!self.flushers.is_empty(), Instant::now());
        let will_write = !self.gathering.is_empty() || !counts.is_empty();
        self.gathering.add(self.context.inbox.collect(will_write));
        if self.gathering.is_empty() && counts.is_empty() {
            self.rest(ctx);
            return;
        }
        self.is_writing = true;
        let gathered = self.gathering.take();
        let writer = self.writer();
        let written = async move {
            let done = tokio::task::spawn_blocking(move || writer.write(gathered, counts)).await;
            done.ok()
        };
        ctx.spawn(written.into_actor(self).map(|written, actor, ctx| actor.finish_write(written, ctx)));
    }

    /// There is nothing to write now.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        // a receiver that went away no longer waits
        for flusher in self.flushers.drain(..) {
            let _ = flusher.send(());
        }
        let now = Instant::now();
        let due_at = self.context.counting.lock().due_at(now);
        let Some(due_at) = due_at.filter(|_| !self.counts_are_timed) else { return };
        self.counts_are_timed = true;
        ctx.run_later(due_at - now, |actor, ctx| {
            actor.counts_are_timed = false;
            actor.write_if_idle(ctx);
        });
    }

    fn writer(&self) -> Writer {
        Writer { context: self.context.clone(), subscriptions: self.subscriptions.clone(), ids: self.ids.clone() }
    }

    fn finish_write(&mut self, written: Option<Written>, ctx: &mut Context<Self>) {
        let Some(written) = written else {
            // the write panicked; its publishers see a closed channel, its outcomes are lost like in a crash
            self.commit_failed(&"the write panicked");
            self.context.counting.failed();
            self.is_writing = false;
            self.write_if_idle(ctx);
            return;
        };
        let Written { ingests, changes, batch, result, took } = written;
        match result {
            Ok(report) => self.finish_commit(Committed { ingests, changes, batch, report, took }, ctx),
            Err(error) => {
                self.commit_failed(&error);
                self.context.counting.failed();
                let refusal = PublishError::Unavailable(error.to_string());
                self.gathering.put_back(ingests, batch, changes, &refusal);
                ctx.run_later(RETRY_DELAY, |actor, ctx| {
                    actor.is_writing = false;
                    actor.write_if_idle(ctx);
                });
            }
        }
    }

    fn commit_failed(&mut self, error: &dyn std::fmt::Display) {
        self.failing_since.get_or_insert(self.context.now());
        self.context.note_commit(false);
        let (operation, now) = (StoreOperation::Commit, self.context.now());
        telemetry::StoreUnavailable { operation, now, error, retry_in: RETRY_DELAY }.emit();
    }

    /// Beside the next commits: nobody waits for it.
    fn checkpoint_now_and_then(&mut self, ctx: &mut Context<Self>) {
        self.commits_since_checkpoint += 1;
        if self.is_checkpointing || self.commits_since_checkpoint < COMMITS_A_CHECKPOINT {
            return;
        }
        self.commits_since_checkpoint = 0;
        self.checkpoint(ctx);
    }

    fn checkpoint(&mut self, ctx: &mut Context<Self>) {
        self.is_checkpointing = true;
        let store = self.context.store.clone();
        let made = async move {
            let made = tokio::task::spawn_blocking(move || store.checkpoint()).await;
            made.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.to_string())))
        };
        ctx.spawn(made.into_actor(self).map(|made, actor, ctx| match made {
            Ok(Checkpoint::Done) => actor.is_checkpointing = false,
            // commits may be over by the time it can be made
            Ok(Checkpoint::Blocked) => _ = ctx.run_later(BLOCKED_DELAY, |actor, ctx| actor.checkpoint(ctx)),
            Err(error) => {
                let (operation, now) = (StoreOperation::Checkpoint, actor.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: RETRY_DELAY }.emit();
                ctx.run_later(RETRY_DELAY, |actor, _| actor.is_checkpointing = false);
            }
        }));
    }

    fn finish_commit(&mut self, committed: Committed, ctx: &mut Context<Self>) {
        let Committed { ingests, changes, batch, report, took } = committed;
        self.checkpoint_now_and_then(ctx);
        report_commit(&batch, &report, took);
        self.context.counting.committed(&batch.outcomes, &report.counted(&batch.outcomes), Instant::now());
        answer_publishers(ingests, &batch.events, &report);
        tell_supervisors(&batch, changes);
        let committed = to_dispatch(batch.events, &report);
        let Some(peers) = &self.peers else { return };
        for endpoint in report.disabled {
            telemetry::EndpointDisabled {
                organization_id: endpoint.organization_id,
                endpoint_id: endpoint.id,
                reason: endpoint.disabled_reason.map_or("unknown", DisabledReason::as_str),
            }
            .emit();
            // its supervisor knows: it asked for this
            self.subscriptions.write().unwrap_or_else(PoisonError::into_inner).upsert(&endpoint);
        }
        if let Some(since) = self.failing_since.take() {
            self.context.note_commit(true);
            telemetry::StoreRecovered { outage: self.context.now().since(since) }.emit();
            post(&peers.scheduler, Rescan);
        }
        if committed.is_empty() {
            self.is_writing = false;
            self.write_if_idle(ctx);
            return;
        }
        // the router takes these before the next commit ends: it is never flooded
        let handed_on = peers.router.send(Dispatch(committed));
        self.is_writing = false;
        self.write_if_idle(ctx);
        let was_handed_on = handed_on.into_actor(self).map(|result, _, _| {
            if result.is_err() {
                tracing::debug!("the router is gone; committed deliveries wait in the database");
            }
        });
        ctx.wait(was_handed_on);
    }
}

fn report_commit(batch: &WriteBatch, report: &CommitReport, took: Duration) {
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
            NextStep::RetryAt(_) | NextStep::AgainAt(_) => continue,
        };
        if *recorded {
            telemetry::DeliveryFinished { outcome, count: 1 }.emit();
        }
    }
    telemetry::CommitFinished { rows, duration: took }.emit();
}

/// One message to each, whatever it has in this commit: each message may wake a thread.
fn tell_supervisors(batch: &WriteBatch, changes: Vec<Change>) {
    #[expect(clippy::mutable_key_type, reason = "an address is compared by its pointer, which does not change")]
    let mut told: HashMap<Addr<EndpointSupervisor>, Vec<DeliveryId>> = HashMap::new();
    for (outcome, change) in batch.outcomes.iter().zip(changes) {
        told.entry(change.supervisor).or_default().push(outcome.delivery_id);
    }
    for (supervisor, recorded) in told {
        post(&supervisor, OutcomesRecorded(recorded));
    }
}

/// Answers every publisher. Their events come first in the batch, in their order.
fn answer_publishers(ingests: Vec<Ingest>, events: &[NewEvent], report: &CommitReport) {
    let mut commits = events.iter().zip(&report.events);
    for ingest in ingests {
        let answers = commits.by_ref().take(ingest.publications.len()).map(|(new, commit)| match commit {
            EventCommit::Stored => Ok(Published { event: accepted(new), replayed: false }),
            EventCommit::Replayed(event) => Ok(Published { event: event.clone(), replayed: true }),
            EventCommit::KeyReused => Err(PublishError::IdempotencyKeyReused),
            // only what the engine itself tells of is withheld
            EventCommit::Withheld => Err(PublishError::Stopping),
        });
        // a publisher that hung up does not hear its answer; the events are stored all the same
        drop(ingest.reply.send(answers.collect()));
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

fn to_dispatch(events: Vec<NewEvent>, report: &CommitReport) -> Vec<CommittedEvent> {
    let stored = events.into_iter().zip(&report.events).filter(|(_, commit)| **commit == EventCommit::Stored);
    let wanted = stored.filter(|(new, _)| !new.deliveries.is_empty());
    wanted.map(|(new, _)| CommittedEvent { event: new.event, deliveries: new.deliveries }).collect()
}

impl Waiting {
    fn add(&mut self, later: Self) {
        self.ingests.extend(later.ingests);
        self.outcomes.extend(later.outcomes);
        self.health.extend(later.health);
    }

    fn take(&mut self) -> Self {
        // whoever asked has gone, or was told that the database does not answer: nothing was promised
        self.ingests.retain(|ingest| !ingest.reply.is_closed());
        Self {
            ingests: take_ingests(&mut self.ingests),
            outcomes: take_first(&mut self.outcomes, MAX_OUTCOMES),
            health: std::mem::take(&mut self.health),
        }
    }

    /// Takes back what a failed commit held, less its events: their publishers are told.
    fn put_back(&mut self, ingests: Vec<Ingest>, batch: WriteBatch, changes: Vec<Change>, error: &PublishError) {
        for ingest in ingests {
            let answers = ingest.publications.iter().map(|_| Err(error.clone())).collect();
            drop(ingest.reply.send(answers));
        }
        let outcomes = batch.outcomes.into_iter().zip(changes);
        let again = outcomes.map(|(outcome, change)| RecordOutcome { outcome, change });
        self.outcomes.splice(0..0, again);
        for saved in batch.health {
            // what came meanwhile is newer
            self.health.entry(saved.health.endpoint_id).or_insert(saved);
        }
    }
}

/// As many as make up a commit, the events of one request never parted.
fn take_ingests(ingests: &mut Vec<Ingest>) -> Vec<Ingest> {
    let mut events = 0;
    let count = ingests.iter().take_while(|ingest| {
        let fits = events < MAX_EVENTS;
        events += ingest.publications.len();
        fits
    });
    let count = count.count();
    take_first(ingests, count)
}

fn take_first<T>(items: &mut Vec<T>, count: usize) -> Vec<T> {
    if items.len() <= count {
        return std::mem::take(items);
    }
    let rest = items.split_off(count);
    std::mem::replace(items, rest)
}

/// The part of the work that runs on a blocking thread.
struct Writer {
    context: Arc<ActorContext>,
    subscriptions: Arc<RwLock<Subscriptions>>,
    ids: Arc<Mutex<IdGenerator>>,
}

impl Writer {
    fn write(&self, gathered: Waiting, counts: Counts) -> Written {
        let now = self.context.now();
        let begin = Instant::now();
        let mut gathered = gathered;
        let (events, disable) = self.assemble(&mut gathered, now);
        let Waiting { ingests, outcomes, mut health } = gathered;
        // a condition that changed with an attempt is newer than one that changed without
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

    /// A commit that panics failed like any other: what it held is kept, and tried again.
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        let commit = AssertUnwindSafe(|| self.context.store.commit(batch, now));
        catch_unwind(commit).unwrap_or_else(|_| Err(StoreError::Unavailable("the commit panicked".to_owned())))
    }

    /// Gives every event its id, its deliveries and its body. One lock for the whole batch, so that an event's
    /// deliveries follow it directly. And says which endpoints are to be disabled, and what tells of it.
    fn assemble(&self, gathered: &mut Waiting, now: UnixMillis) -> (Vec<NewEvent>, Vec<DisableEndpoint>) {
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let publications = gathered.ingests.iter_mut().flat_map(|ingest| &mut ingest.publications);
        let mut events: Vec<NewEvent> = publications
            .map(|publication| {
                let endpoints = wanted_by(publication, &subscriptions);
                let event = assemble_event(publication, endpoints, &mut ids, now);
                // the body holds it from now on
                publication.data = Box::default();
                event
            })
            .collect();
        let mut disable = Vec::new();
        for record in &gathered.outcomes {
            let mut announced_by = None;
            for operational in &record.change.announcements {
                let Some(new) = assemble_operational(operational, &subscriptions, &mut ids, now) else { continue };
                if operational.tells_of_disabling {
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

/// An operational event for those who asked for it; `None` when nobody did.
pub(super) fn assemble_operational(
    operational: &OperationalEvent,
    subscriptions: &Subscriptions,
    ids: &mut IdGenerator,
    now: UnixMillis,
) -> Option<NewEvent> {
    let mut endpoints = wanted_by(&operational.publication, subscriptions);
    endpoints.retain(|endpoint_id| *endpoint_id != operational.about);
    (!endpoints.is_empty()).then(|| assemble_event(&operational.publication, endpoints, ids, now))
}

fn wanted_by(publication: &Publication, subscriptions: &Subscriptions) -> Vec<EndpointId> {
    subscriptions.matching(publication.organization_id, &publication.event_type, &publication.data)
}

fn assemble_event(
    publication: &Publication,
    endpoints: Vec<EndpointId>,
    ids: &mut IdGenerator,
    now: UnixMillis,
) -> NewEvent {
    let id = EventId(ids.next(now));
    let deliveries = endpoints.into_iter().map(|endpoint| (DeliveryId(ids.next(now)), endpoint)).collect();
    let event = Arc::new(publication.event(id, now));
    NewEvent { event, deliveries, idempotency: publication.idempotency.clone() }
}

impl Actor for Persistence {
    type Context = Context<Self>;
}

impl Handler<Begin> for Persistence {
    type Result = ();
    fn handle(&mut self, peers: Begin, _: &mut Self::Context) {
        self.peers = Some(peers);
    }
}

impl Handler<CollectInbox> for Persistence {
    type Result = ();
    fn handle(&mut self, _: CollectInbox, ctx: &mut Self::Context) {
        self.write_if_idle(ctx);
    }
}

impl Handler<Flush> for Persistence {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.flushers.push(done);
        self.write_if_idle(ctx);
        Box::pin(async move {
            // an error means that the actor ended, and with it whatever there was to flush
            let _ = flushed.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn events_whose_publisher_no_longer_waits_are_left_out_of_the_commit() {
        let permits = Arc::new(Semaphore::new(4));
        let mut gathering = Waiting::default();
        let mut publish = || {
            let permit = || permits.clone().try_acquire_owned().unwrap();
            let (reply, answer) = oneshot::channel();
            gathering.ingests.push(Ingest { publications: Vec::new(), reply, permits: [permit(), permit()] });
            answer
        };
        let (gave_up, waits) = (publish(), publish());
        drop(gave_up);
        let taken = gathering.take();
        assert_eq!(taken.ingests.len(), 1);
        assert_eq!(permits.available_permits(), 2, "its share is free again");
        drop(waits);
    }
}
