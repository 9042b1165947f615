//! The writer: gathers work while one commit runs, and writes it with the next.
//!
//! Owns the batch being gathered and the write in flight. Never parses, never decides when something is sent.

mod after_commit;
mod content;
mod gathering;
mod writer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::after_commit::{answer_publishers, meter_rows, notify_supervisors, report_commit, to_dispatch};
use self::content::CommitContent;
use self::gathering::{Gathering, GatheringMark};
use self::writer::{Writer, Written};
use super::context::ActorContext;
use super::mailbox::post;
use super::messages::{CollectInbox, Dispatch, DropRecords, Flush, ResolveDoubt};
use super::publication::PublishError;
use super::settings_cache::SettingsCache;
use super::traces::trace_commit;
use crate::domain::endpoint::DisabledReason;
use crate::domain::ids::IdGenerator;
use crate::domain::time::UnixMillis;
use crate::store::{Checkpoint, CommitReport, StoreError};
use crate::telemetry::{self, StoreOperation};

/// Pause after a failed commit. Smaller: a full disk is hammered. Larger: it takes longer to notice that it is no longer
/// full.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// Commits between two checkpoints of the store. Smaller: asking costs more than it brings. Larger: the store's log is
/// longer, by that many of the largest commits.
const COMMITS_A_CHECKPOINT: u32 = 8;
/// Pause after a reader blocked a checkpoint. Smaller: it is retried without effect for as long as they read. Larger: the log is
/// that much longer when they have ended.
const BLOCKED_DELAY: Duration = Duration::from_millis(500);

/// Where persistence sends its messages.
pub(super) struct PersistencePorts {
    pub(super) router: Recipient<Dispatch>,
    pub(super) resolver: Recipient<ResolveDoubt>,
}

/// The persistence actor.
pub(crate) struct Persistence {
    context: Arc<ActorContext>,
    settings: Arc<SettingsCache>,
    ids: Arc<Mutex<IdGenerator>>,
    ports: PersistencePorts,
    /// Shared with the write under way, which takes its part; untouched here until that has ended.
    gathering: Arc<parking_lot::Mutex<Gathering>>,
    is_writing: bool,
    /// Since when commits fail: what they held may be stored.
    failing_since: Option<UnixMillis>,
    flushers: Vec<Flusher>,
    commits_since_checkpoint: u32,
    is_checkpointing: bool,
    /// Outcomes of the write under way are not written again if it fails.
    drops_records: bool,
    /// A timer will write the counts if no other commit takes them along.
    counts_are_timed: bool,
}

/// Waits until everything that came before is on disk.
struct Flusher {
    mark: GatheringMark,
    /// A write was begun since, which took along the counts.
    has_counts: bool,
    done: oneshot::Sender<()>,
}

/// A write that is on disk.
struct Committed {
    content: CommitContent,
    report: CommitReport,
    took: Duration,
}

impl Persistence {
    pub(super) fn new(
        context: Arc<ActorContext>,
        settings: Arc<SettingsCache>,
        ids: Arc<Mutex<IdGenerator>>,
        ports: PersistencePorts,
    ) -> Self {
        Self {
            context,
            settings,
            ids,
            ports,
            gathering: Arc::default(),
            is_writing: false,
            failing_since: None,
            flushers: Vec::new(),
            commits_since_checkpoint: 0,
            is_checkpointing: false,
            drops_records: false,
            counts_are_timed: false,
        }
    }

    fn write_if_idle(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        let counts = self.context.counting.lock().take(!self.flushers.is_empty(), Instant::now());
        let mut gathering = self.gathering.lock();
        let will_write = !gathering.is_empty() || !counts.is_empty();
        let (writes, timer_until) = self.context.inbox.collect(will_write, Instant::now());
        gathering.add(writes, Instant::now());
        let is_idle = gathering.is_empty() && counts.is_empty();
        drop(gathering);
        if is_idle {
            timer_until.into_iter().for_each(|until| self.look_at(until, ctx));
            self.become_idle(ctx);
            return;
        }
        self.is_writing = true;
        self.flushers.iter_mut().for_each(|flusher| flusher.has_counts = true);
        let (writer, gathering) = (self.writer(), Arc::clone(&self.gathering));
        let written = async move {
            let done = tokio::task::spawn_blocking(move || writer.write(&gathering, counts)).await;
            done.ok()
        };
        ctx.spawn(written.into_actor(self).map(|written, actor, ctx| actor.finish_write(written, ctx)));
    }

    /// Looks into the inbox at this time, unless another write has taken along what waits.
    fn look_at(&self, at: Instant, ctx: &mut Context<Self>) {
        let context = self.context.clone();
        let timer = async move { context.inbox.is_due(at).await };
        ctx.spawn(timer.into_actor(self).map(|is_due, actor, ctx| {
            if is_due {
                actor.write_if_idle(ctx);
            }
        }));
    }

    /// There is nothing to write now.
    fn become_idle(&mut self, ctx: &mut Context<Self>) {
        self.release_flushers();
        let now = Instant::now();
        let due_at = self.context.counting.lock().due_at(now);
        let Some(due_at) = due_at.filter(|_| !self.counts_are_timed) else { return };
        self.counts_are_timed = true;
        ctx.run_later(due_at - now, |actor, ctx| {
            actor.counts_are_timed = false;
            actor.write_if_idle(ctx);
        });
    }

    fn release_flushers(&mut self) {
        for Flusher { done, .. } in self.flushers.drain(..) {
            // an error means that nobody waits any more
            let _ = done.send(());
        }
    }

    /// A write is on disk: who waited for that? Under load there is always something left to write.
    fn answer_flushers(&mut self) {
        if self.flushers.is_empty() {
            return;
        }
        let gathering = self.gathering.lock();
        let is_done = |flusher: &mut Flusher| flusher.has_counts && !gathering.holds_older_than(flusher.mark);
        for Flusher { done, .. } in self.flushers.extract_if(.., is_done) {
            // as above
            let _ = done.send(());
        }
    }

    fn writer(&self) -> Writer {
        Writer { context: self.context.clone(), settings: self.settings.clone(), ids: self.ids.clone() }
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
        let Written { mut content, result, took } = written;
        if std::mem::take(&mut self.drops_records) && result.is_err() {
            content.drop_records();
        }
        match result {
            Ok(report) => self.finish_commit(Committed { content, report, took }, ctx),
            Err(error) => {
                self.commit_failed(&error);
                self.context.counting.failed();
                if matches!(error, StoreError::Fenced) {
                    // what waits is another node's now: nobody who stops may wait for it
                    self.release_flushers();
                }
                let refusal = PublishError::Unavailable(error.to_string());
                self.gathering.lock().put_back(content, &refusal);
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
        // what it held may be in the database, and nobody has it in memory
        self.context.queue_cursors.doubt();
        self.settings.doubt();
        post(&self.ports.resolver, ResolveDoubt);
        let (operation, now) = (StoreOperation::Commit, self.context.now());
        telemetry::StoreUnavailable { operation, now, error, retry_in: RETRY_DELAY }.emit();
    }

    /// Runs alongside the next commits: nothing waits for it.
    fn checkpoint_if_due(&mut self, ctx: &mut Context<Self>) {
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
        let done = async move {
            let done = tokio::task::spawn_blocking(move || store.checkpoint()).await;
            done.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.to_string())))
        };
        ctx.spawn(done.into_actor(self).map(|done, actor, ctx| match done {
            Ok(Checkpoint::Done) => actor.is_checkpointing = false,
            // not left to the next commits: there may be none by the time the readers have ended
            Ok(Checkpoint::Blocked) => _ = ctx.run_later(BLOCKED_DELAY, |actor, ctx| actor.checkpoint(ctx)),
            Err(error) => {
                let (operation, now) = (StoreOperation::Checkpoint, actor.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: RETRY_DELAY }.emit();
                ctx.run_later(RETRY_DELAY, |actor, _| actor.is_checkpointing = false);
            }
        }));
    }

    fn finish_commit(&mut self, committed: Committed, ctx: &mut Context<Self>) {
        let Committed { mut content, mut report, took } = committed;
        self.context.inbox.note_commit(took);
        self.checkpoint_if_due(ctx);
        let outdated = content.take_outdated(&mut report);
        self.gathering.lock().put_back_outdated(outdated);
        self.answer_flushers();
        let CommitContent { ingests, operational: _, again: _, changes, batch } = content;
        report_commit(&batch, &report, took);
        trace_commit(&self.context, &batch, &report, ingests.len(), took);
        if !batch.notices.is_empty() || !report.disabled.is_empty() {
            self.context.noticed.notify_one();
        }
        meter_rows(&self.context, &batch);
        self.context.counting.committed(&batch.outcomes, &report.counted(&batch.outcomes), Instant::now());
        answer_publishers(ingests, &batch.events, &report);
        notify_supervisors(&batch, changes);
        let committed = to_dispatch(batch.events, &report);
        for endpoint in report.disabled {
            telemetry::EndpointDisabled {
                organization_id: endpoint.organization_id,
                endpoint_id: endpoint.id,
                reason: endpoint.disabled_reason.map_or("unknown", DisabledReason::as_str),
            }
            .emit();
        }
        if let Some(since) = self.failing_since.take() {
            self.context.note_commit(true);
            telemetry::StoreRecovered { outage: self.context.now().since(since) }.emit();
            // again: only now is it decided whether the commit in doubt was made
            self.context.queue_cursors.doubt();
        }
        // also what the write itself could not read
        if self.settings.is_in_doubt() {
            post(&self.ports.resolver, ResolveDoubt);
        }
        if committed.is_empty() {
            self.is_writing = false;
            self.write_if_idle(ctx);
            return;
        }
        // the router takes these before the next commit ends, so its mailbox never grows
        let handed_on = self.ports.router.send(Dispatch(committed));
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

impl Actor for Persistence {
    type Context = Context<Self>;
}

impl Handler<CollectInbox> for Persistence {
    type Result = ();
    fn handle(&mut self, _: CollectInbox, ctx: &mut Self::Context) {
        self.write_if_idle(ctx);
    }
}

impl Handler<DropRecords> for Persistence {
    type Result = ();
    fn handle(&mut self, _: DropRecords, ctx: &mut Self::Context) {
        self.drops_records = self.is_writing;
        let mut gathering = self.gathering.lock();
        gathering.add(self.context.inbox.collect_all(), Instant::now());
        gathering.drop_records();
        drop(gathering);
        self.write_if_idle(ctx);
    }
}

impl Handler<Flush> for Persistence {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        let mut gathering = self.gathering.lock();
        gathering.add(self.context.inbox.collect_all(), Instant::now());
        let mark = gathering.mark();
        drop(gathering);
        self.flushers.push(Flusher { mark, has_counts: false, done });
        self.write_if_idle(ctx);
        Box::pin(async move {
            // an error means that the actor ended, and with it the work to flush
            let _ = flushed.await;
        })
    }
}
