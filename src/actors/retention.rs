//! Retention: removes rows older than the settings keep and the remains of deleted organizations, in small batches with a
//! pause between, so that delivery does not wait for it.
//!
//! Owns the position of the run. Never removes pending deliveries of an organization that exists.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};

use super::context::ActorContext;
use super::messages::OrganizationDeleted;
use crate::domain::ids::{EndpointId, EventId};
use crate::domain::time::UnixMillis;
use crate::store::{IDEMPOTENCY_KEY_LIFETIME, PruneReport, Store, StoreResult};
use crate::telemetry::{self, StoreOperation};

/// Pause between two runs. Larger: more is kept beyond its time.
const RUN_EVERY: Duration = Duration::from_secs(3600);
/// Pause before the first run, so that a start is not slowed down.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(60);
/// Events of one step. Larger: publishers wait longer for the writer.
const EVENTS_A_STEP: usize = 500;
/// Age at which a deleted organization is final: an event that was being accepted at its deletion is stored by then.
/// Smaller: such an event would stay for ever. Larger: organizations of which nothing is left are looked at for longer.
const SETTLED_AFTER: Duration = Duration::from_secs(1800);
/// Rows of one step, for each kind of small rows.
const ROWS_A_STEP: usize = 2_000;
/// Pause between two steps: the writer is free for at least this long.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// Counts by period are kept for at most this long: a week of charts, and the day before it for comparison.
const STATISTICS_KEPT: Duration = Duration::from_secs(8 * 24 * 3600);

/// The work that a run has left.
#[derive(Clone, Copy)]
struct RemainingWork {
    /// The event after which the sweep continues; `None` when it has ended. It never restarts within a run.
    events: Option<Option<EventId>>,
    keys: bool,
    statistics: bool,
    deleted: bool,
    /// The deleted endpoint after which the sweep continues. Begins when the events are done.
    endpoints: Option<Option<EndpointId>>,
}

/// Rows from before these instants are removed.
#[derive(Clone, Copy)]
struct Limits {
    events: UnixMillis,
    keys: UnixMillis,
    statistics: UnixMillis,
    deleted: UnixMillis,
    endpoints: UnixMillis,
}

/// The retention actor.
pub(crate) struct Retention {
    context: Arc<ActorContext>,
    /// Removed since the run began.
    removed: PruneReport,
    /// The next run; `None` during one.
    timer: Option<SpawnHandle>,
    /// An organization was deleted since the step under way began.
    has_new_deletions: bool,
}

impl RemainingWork {
    const ALL: Self =
        Self { events: Some(None), keys: true, statistics: true, deleted: true, endpoints: Some(None) };

    fn is_empty(&self) -> bool {
        self.events.is_none() && !self.keys && !self.statistics && !self.deleted && self.endpoints.is_none()
    }

    /// Does one step of each kind; returns the removed rows and the work left.
    fn step(mut self, store: &dyn Store, before: Limits) -> StoreResult<(PruneReport, Self)> {
        if self.keys {
            self.keys = store.prune_idempotency_keys(before.keys, ROWS_A_STEP)? == ROWS_A_STEP;
        }
        if self.statistics {
            self.statistics = store.prune_statistics(before.statistics, ROWS_A_STEP)?;
        }
        if self.deleted {
            self.deleted = store.purge_organizations(before.deleted, EVENTS_A_STEP)?;
        }
        let mut report = PruneReport::default();
        if let Some(after) = self.events {
            report = store.prune(before.events, after, EVENTS_A_STEP)?;
            self.events = report.next.map(Some);
        } else if let Some(after) = self.endpoints {
            // after the events, because the last deliveries of an endpoint go with them
            self.endpoints = store.prune_endpoints(before.endpoints, after, ROWS_A_STEP)?.map(Some);
        }
        // there can be hours without a commit that would trigger one; persistence reports it when none can be made
        let _ = store.checkpoint();
        Ok((report, self))
    }
}

impl Retention {
    pub(crate) fn new(context: Arc<ActorContext>) -> Self {
        Self { context, removed: PruneReport::default(), timer: None, has_new_deletions: false }
    }

    fn step(&mut self, remaining: RemainingWork, ctx: &mut Context<Self>) {
        let (now, retention) = (self.context.now(), self.context.settings.retention);
        let before = Limits {
            events: now - retention,
            keys: now - IDEMPOTENCY_KEY_LIFETIME,
            // no chart goes back further than the log
            statistics: now - retention.min(STATISTICS_KEPT),
            deleted: now - SETTLED_AFTER,
            // a delivery that is stored later is cancelled whether or not the row is there
            endpoints: now,
        };
        let step = self.context.clone().write(move |store| remaining.step(store, before));
        ctx.spawn(step.into_actor(self).map(|step, actor, ctx| actor.step_done(step, ctx)));
    }

    fn step_done(&mut self, step: StoreResult<(PruneReport, RemainingWork)>, ctx: &mut Context<Self>) {
        match step {
            Ok((report, mut remaining)) => {
                remaining.deleted |= std::mem::take(&mut self.has_new_deletions);
                self.removed.events += report.events;
                self.removed.deliveries += report.deliveries;
                if !remaining.is_empty() {
                    ctx.run_later(STEP_PAUSE, move |actor, ctx| actor.step(remaining, ctx));
                    return;
                }
            }
            Err(error) => {
                let (operation, now) = (StoreOperation::RemoveOld, self.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: RUN_EVERY }.emit();
            }
        }
        let removed = std::mem::take(&mut self.removed);
        if removed.events > 0 {
            telemetry::Pruned { events: removed.events, deliveries: removed.deliveries }.emit();
        }
        self.begin_after(RUN_EVERY, ctx);
    }

    fn begin_after(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        self.timer = Some(ctx.run_later(pause, |actor, ctx| actor.begin(ctx)));
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        self.step(RemainingWork::ALL, ctx);
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
