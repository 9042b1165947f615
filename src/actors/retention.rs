//! Retention: removes rows older than the settings keep and the remains of deleted organizations, in small batches with a
//! pause between, so that delivery does not wait for it. The further it is behind, the shorter the pauses, down to half
//! of the time. Payloads that are kept for a shorter time go in the same steps.
//!
//! Owns the position of the run. Never removes pending deliveries of an organization that exists; those of a payload whose time
//! is over are cancelled.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use tokio::time::Instant;

use super::context::ActorContext;
use super::expiry::forget_expired;
use super::handle::EngineHandle;
use super::messages::OrganizationDeleted;
use crate::domain::audit;
use crate::domain::ids::{EndpointId, EventId};
use crate::domain::step_size::StepSize;
use crate::domain::time::UnixMillis;
use crate::store::{IDEMPOTENCY_KEY_LIFETIME, PruneReport, Store, StoreResult};
use crate::telemetry::{self, StoreOperation};

/// Pause before the first run, so that a start is not slowed down.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(60);
/// Pause after a run that removed something. Larger: more is removed at a time, and kept beyond its time until then.
const PAUSE_AFTER_WORK: Duration = Duration::from_secs(10);
/// Pause after a run that found nothing old, or failed. Smaller: an idle database is asked in vain. Larger: more is kept
/// beyond its time when events begin to be old.
const PAUSE_WITHOUT_WORK: Duration = Duration::from_secs(60);
/// How often a run begins at the oldest event; the others continue behind what the one before has looked at. Smaller:
/// events that stay, because a delivery is pending, are looked at more often. Larger: they stay for longer after its end.
const WHOLE_RUN_EVERY: Duration = Duration::from_secs(3600);
/// Rows of one step, about half of them events. Smaller: transactions cost more than what they remove. Larger: on a slow
/// disk publishers wait long for the writer until the steps have become smaller.
const ROWS_A_STEP: RangeInclusive<usize> = 64..=1_000;
/// How long a step should take, with its wait for the writer. Smaller: retention is slower. Larger: so much later are
/// events accepted that come meanwhile.
const STEP_TIME: Duration = Duration::from_millis(4);
/// The same when retention is behind by [`URGENT_LAG`]: old events that stay fill the disk in the end.
const URGENT_STEP_TIME: Duration = Duration::from_millis(40);
/// Age at which a deleted organization is final: an event that was being accepted at its deletion is stored by then.
/// Smaller: such an event would stay for ever. Larger: organizations of which nothing is left are looked at for longer.
const SETTLED_AFTER: Duration = Duration::from_secs(1800);
/// Pause between two steps while retention is not behind. Smaller: publishers meet a step more often. Larger: a deleted
/// organization's data stays for longer.
const STEP_PAUSE: Duration = Duration::from_millis(20);
/// Behind by this much, retention pauses only for as long as the step took: half of the writer's time stays for others.
/// Before that, the pause becomes shorter the further it is behind. Smaller: it works hard where it need not. Larger: old
/// events stay for longer under load.
const URGENT_LAG: Duration = Duration::from_secs(60);
/// Behind by this much, and not less after as long again, retention does not catch up.
const FAR_BEHIND: Duration = Duration::from_secs(600);
/// Counts by period are kept for at most this long: a week of charts, and the day before it for comparison.
const STATISTICS_KEPT: Duration = Duration::from_secs(8 * 24 * 3600);

/// Background tasks are kept for as long as Svix's service keeps them.
const TASKS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// The work that a run has left.
#[derive(Clone, Copy)]
struct RemainingWork {
    /// The event after which the run continues; `None` when all old events were looked at.
    events: Option<Option<EventId>>,
    payloads: bool,
    keys: bool,
    sessions: bool,
    answers: bool,
    tasks: bool,
    audit_log: bool,
    statistics: bool,
    deleted: bool,
    /// The deleted endpoint after which a whole run continues. Begins when the events are done.
    endpoints: Option<Option<EndpointId>>,
}

/// Rows from before these instants are removed.
#[derive(Clone, Copy)]
struct Limits {
    events: UnixMillis,
    payloads: UnixMillis,
    keys: UnixMillis,
    sessions: UnixMillis,
    answers: UnixMillis,
    tasks: UnixMillis,
    audit_log: UnixMillis,
    statistics: UnixMillis,
    deleted: UnixMillis,
    endpoints: UnixMillis,
}

/// What a step did.
struct Step {
    report: PruneReport,
    /// Something was removed, of whatever kind.
    has_removed: bool,
    remaining: RemainingWork,
    took: Duration,
}

/// The retention actor.
pub(crate) struct Retention {
    context: Arc<ActorContext>,
    engine: EngineHandle,
    /// Removed since the run began.
    removed: PruneReport,
    /// This run removed something, of whatever kind.
    has_removed: bool,
    /// The event behind which the next run continues.
    position: Option<EventId>,
    /// When the last whole run began.
    whole_run_at: Option<UnixMillis>,
    lag: Lag,
    step_size: StepSize,
    /// The next run; `None` during one.
    timer: Option<SpawnHandle>,
    /// An organization was deleted since the step under way began.
    has_new_deletions: bool,
}

impl RemainingWork {
    /// Everything, from the oldest on.
    const WHOLE: Self = Self {
        events: Some(None),
        payloads: true,
        keys: true,
        sessions: true,
        answers: true,
        tasks: true,
        audit_log: true,
        statistics: true,
        deleted: true,
        endpoints: Some(None),
    };

    /// What has become old since the last run.
    fn behind(position: Option<EventId>) -> Self {
        Self { events: Some(position), endpoints: None, ..Self::WHOLE }
    }

    fn is_empty(&self) -> bool {
        self.events.is_none()
            && !self.payloads
            && !self.keys
            && !self.sessions
            && !self.answers
            && !self.tasks
            && !self.audit_log
            && !self.statistics
            && !self.deleted
            && self.endpoints.is_none()
    }

    /// Does one step of each kind, with this many rows.
    fn step(mut self, store: &dyn Store, engine: &EngineHandle, before: Limits, rows: usize) -> StoreResult<Step> {
        let events = rows / 2;
        let begin = Instant::now();
        // in every step: a run can take hours, and these have a promised time
        let (more_payloads, mut has_removed) = forget_expired(store, engine, before.payloads, events)?;
        self.payloads = more_payloads;
        if self.keys {
            let removed = store.prune_idempotency_keys(before.keys, rows)?;
            self.keys = removed == rows;
            has_removed |= removed > 0;
        }
        if self.sessions {
            self.sessions = store.prune_sessions(before.sessions, rows)?;
        }
        if self.answers {
            self.answers = store.prune_answers(before.answers, rows)?;
        }
        if self.tasks {
            self.tasks = store.prune_tasks(before.tasks, rows)?;
        }
        if self.audit_log {
            self.audit_log = store.prune_audit_log(before.audit_log, rows)?;
        }
        if self.statistics {
            self.statistics = store.prune_statistics(before.statistics, rows)?;
        }
        if self.deleted {
            self.deleted = store.purge_organizations(before.deleted, events)?;
        }
        let mut report = PruneReport::default();
        if let Some(after) = self.events {
            report = store.prune(before.events, after, events)?;
            self.events = report.next.map(Some);
        } else if let Some(after) = self.endpoints {
            // after the events, because the last deliveries of an endpoint go with them
            self.endpoints = store.prune_endpoints(before.endpoints, after, rows)?.map(Some);
        }
        let took = begin.elapsed();
        // there can be hours without a commit that would trigger one; persistence reports it when none can be made
        let _ = store.checkpoint();
        has_removed |= self.statistics || self.deleted || report.deliveries + report.events > 0;
        Ok(Step { report, has_removed, remaining: self, took })
    }
}

/// How far retention is behind.
#[derive(Default)]
struct Lag {
    now: Duration,
    /// Since when it is far behind, and how far it was then.
    far: Option<(UnixMillis, Duration)>,
}

impl Lag {
    /// Takes the result of a step that removed what is older than `before`. Returns whether it is far behind without
    /// catching up: at most once in [`FAR_BEHIND`].
    fn note(&mut self, report: &PruneReport, before: UnixMillis, now: UnixMillis) -> bool {
        // without a next event everything old was looked at
        let reached = report.reached.filter(|_| report.next.is_some());
        self.now = reached.map_or(Duration::ZERO, |reached| before.since(reached));
        match self.far {
            _ if self.now < FAR_BEHIND => self.far = None,
            Some((since, _)) if now.since(since) < FAR_BEHIND => {}
            before => {
                self.far = Some((now, self.now));
                return before.is_some_and(|(_, then)| self.now >= then);
            }
        }
        false
    }

    /// The pause after a step that took this long.
    fn pause_after(&self, took: Duration) -> Duration {
        took.max(STEP_PAUSE.mul_f64(1.0 - self.urgency()))
    }

    /// How long a step should take.
    fn step_time(&self) -> Duration {
        STEP_TIME + (URGENT_STEP_TIME - STEP_TIME).mul_f64(self.urgency())
    }

    /// 0 while nothing old is left, 1 when it is behind by [`URGENT_LAG`] or more.
    fn urgency(&self) -> f64 {
        (self.now.as_secs_f64() / URGENT_LAG.as_secs_f64()).min(1.0)
    }
}

impl Retention {
    pub(crate) fn new(context: Arc<ActorContext>, engine: EngineHandle) -> Self {
        Self {
            context,
            engine,
            removed: PruneReport::default(),
            has_removed: false,
            position: None,
            whole_run_at: None,
            lag: Lag::default(),
            step_size: StepSize::within(ROWS_A_STEP),
            timer: None,
            has_new_deletions: false,
        }
    }

    fn step(&mut self, remaining: RemainingWork, ctx: &mut Context<Self>) {
        let (now, retention) = (self.context.now(), self.context.settings.retention);
        let before = Limits {
            events: now - retention,
            payloads: now,
            keys: now - IDEMPOTENCY_KEY_LIFETIME,
            sessions: now,
            answers: now - IDEMPOTENCY_KEY_LIFETIME,
            tasks: now - TASKS_KEPT,
            audit_log: now - audit::KEPT_FOR,
            // no chart goes back further than the log
            statistics: now - retention.min(STATISTICS_KEPT),
            deleted: now - SETTLED_AFTER,
            // a delivery that is stored later is cancelled whether or not the row is there
            endpoints: now,
        };
        let rows = self.step_size.rows();
        let engine = self.engine.clone();
        let step = self.context.clone().write(move |store| remaining.step(store, &engine, before, rows));
        ctx.spawn(step.into_actor(self).map(move |step, actor, ctx| actor.step_done(step, before.events, ctx)));
    }

    fn step_done(&mut self, step: StoreResult<Step>, before: UnixMillis, ctx: &mut Context<Self>) {
        let pause = match step {
            Ok(Step { report, has_removed, mut remaining, took }) => {
                remaining.deleted |= std::mem::take(&mut self.has_new_deletions);
                self.has_removed |= has_removed;
                self.note(&report, before);
                self.step_size.note(took, self.lag.step_time());
                if !remaining.is_empty() {
                    let pause = self.lag.pause_after(took);
                    ctx.run_later(pause, move |actor, ctx| actor.step(remaining, ctx));
                    return;
                }
                if self.has_removed { PAUSE_AFTER_WORK } else { PAUSE_WITHOUT_WORK }
            }
            Err(error) => {
                let (operation, now) = (StoreOperation::RemoveOld, self.context.now());
                let retry_in = PAUSE_WITHOUT_WORK;
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in }.emit();
                retry_in
            }
        };
        self.has_removed = false;
        let removed = std::mem::take(&mut self.removed);
        if removed.events > 0 {
            telemetry::Pruned { events: removed.events, deliveries: removed.deliveries }.emit();
        }
        self.begin_after(pause, ctx);
    }

    /// Adds up what was removed, and reports how far retention is behind.
    fn note(&mut self, report: &PruneReport, before: UnixMillis) {
        self.removed.events += report.events;
        self.removed.deliveries += report.deliveries;
        self.position = report.next.or(self.position);
        let stays_behind = self.lag.note(report, before, self.context.now());
        telemetry::RetentionLag(self.lag.now).emit();
        if stays_behind {
            telemetry::RetentionBehind(self.lag.now).emit();
        }
    }

    fn begin_after(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        self.timer = Some(ctx.run_later(pause, |actor, ctx| actor.begin(ctx)));
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        // another node does it
        if !self.context.rights.is_steward() {
            self.whole_run_at = None;
            self.lag = Lag::default();
            telemetry::RetentionLag(self.lag.now).emit();
            self.begin_after(PAUSE_AFTER_WORK, ctx);
            return;
        }
        let now = self.context.now();
        // also when the clock was set back
        let is_whole = self.whole_run_at.is_none_or(|at| at > now || now.since(at) >= WHOLE_RUN_EVERY);
        if is_whole {
            self.whole_run_at = Some(now);
        }
        self.step(if is_whole { RemainingWork::WHOLE } else { RemainingWork::behind(self.position) }, ctx);
    }
}

impl Actor for Retention {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.begin_after(FIRST_RUN_AFTER, ctx);
    }
}

impl Handler<OrganizationDeleted> for Retention {
    type Result = ();

    fn handle(&mut self, _: OrganizationDeleted, ctx: &mut Self::Context) {
        match self.timer.take() {
            Some(timer) => {
                ctx.cancel_future(timer);
                self.begin(ctx);
            }
            None => self.has_new_deletions = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: UnixMillis = UnixMillis(1_000_000_000);

    fn reached(seconds_before: i64) -> PruneReport {
        let reached = Some(UnixMillis(OLD.0 - seconds_before * 1_000));
        PruneReport { reached, next: Some(EventId(1)), ..PruneReport::default() }
    }

    #[test]
    fn pauses_become_shorter_the_further_retention_is_behind_but_never_shorter_than_the_step() {
        let (short, long) = (Duration::from_millis(8), Duration::from_millis(300));
        let mut lag = Lag::default();
        assert_eq!(lag.pause_after(short), STEP_PAUSE);
        for (seconds, expected) in [(30, STEP_PAUSE / 2), (60, short), (3_600, short)] {
            lag.note(&reached(seconds), OLD, OLD);
            assert_eq!(lag.pause_after(short), expected, "{seconds} s behind");
            assert_eq!(lag.pause_after(long), long, "half of the writer's time");
        }
        assert_eq!(lag.step_time(), URGENT_STEP_TIME);
        lag.note(&PruneReport { next: None, ..reached(3_600) }, OLD, OLD);
        assert_eq!(lag.now, Duration::ZERO, "everything old was looked at");
        assert_eq!(lag.step_time(), STEP_TIME);
    }

    #[test]
    fn only_retention_that_stays_far_behind_is_reported_and_not_often() {
        let at = |minutes: i64| UnixMillis(OLD.0 + minutes * 60_000);
        let mut lag = Lag::default();
        for (minute, behind, is_reported) in [
            (0, 7_200, false),
            (9, 7_300, false),
            (10, 7_300, true),
            (11, 7_400, false),
            // it catches up
            (20, 7_200, false),
            (30, 7_100, false),
            // it does not any more
            (40, 7_100, true),
            (50, 30, false),
            (60, 7_200, false),
        ] {
            assert_eq!(lag.note(&reached(behind), OLD, at(minute)), is_reported, "minute {minute}");
        }
    }
}
