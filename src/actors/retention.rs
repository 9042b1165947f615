//! Retention: removes what is older than the settings keep, in small batches with a pause between, so that
//! delivery does not wait for it.
//!
//! Owns the place it has come to. Never touches what is pending.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::context::ActorContext;
use crate::domain::ids::EventId;
use crate::domain::time::UnixMillis;
use crate::store::{PruneReport, Store, StoreResult};
use crate::telemetry::{self, StoreOperation};

/// Between two runs. Larger: more is kept beyond its time.
const RUN_EVERY: Duration = Duration::from_secs(3600);
/// Before the first run, so that a start is not slowed down.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(60);
/// Events of one step. Larger: publishers wait longer for the writer.
const EVENTS_A_STEP: usize = 500;
/// Small rows of one step, of each kind.
const ROWS_A_STEP: usize = 2_000;
/// Between two steps: the writer is free for at least so long.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// How long an idempotency key counts (contract).
const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How long counts by period are kept, at most: a week of charts, and the day that it is compared with.
const STATISTICS_KEPT: Duration = Duration::from_secs(8 * 24 * 3600);

/// What is not gone through yet in a run.
#[derive(Clone, Copy)]
struct Rest {
    /// Behind which event the sweep goes on; `None` when it is through. It never begins anew within a run.
    events: Option<Option<EventId>>,
    keys: bool,
    statistics: bool,
}

/// Removed before these instants.
#[derive(Clone, Copy)]
struct Limits {
    events: UnixMillis,
    keys: UnixMillis,
    statistics: UnixMillis,
}

/// The retention actor.
pub struct Retention {
    context: Arc<ActorContext>,
    /// Removed since the run began.
    removed: PruneReport,
}

impl Rest {
    const ALL: Self = Self { events: Some(None), keys: true, statistics: true };

    fn is_empty(&self) -> bool {
        self.events.is_none() && !self.keys && !self.statistics
    }

    /// One step of each kind; what it removed, and what is left.
    fn step(mut self, store: &dyn Store, before: Limits) -> StoreResult<(PruneReport, Self)> {
        if self.keys {
            self.keys = store.prune_idempotency_keys(before.keys, ROWS_A_STEP)? == ROWS_A_STEP;
        }
        if self.statistics {
            self.statistics = store.prune_statistics(before.statistics, ROWS_A_STEP)?;
        }
        let Some(after) = self.events else { return Ok((PruneReport::default(), self)) };
        let report = store.prune(before.events, after, EVENTS_A_STEP)?;
        self.events = report.next.map(Some);
        Ok((report, self))
    }
}

impl Retention {
    /// One for the engine.
    pub fn new(context: Arc<ActorContext>) -> Self {
        Self { context, removed: PruneReport::default() }
    }

    fn step(&mut self, rest: Rest, ctx: &mut Context<Self>) {
        let (now, retention) = (self.context.now(), self.context.settings.retention);
        let before = Limits {
            events: now - retention,
            keys: now - KEY_LIFETIME,
            // no chart shows what the log has forgotten
            statistics: now - retention.min(STATISTICS_KEPT),
        };
        let step = self.context.clone().write(move |store| rest.step(store, before));
        ctx.spawn(step.into_actor(self).map(|step, actor, ctx| actor.step_done(step, ctx)));
    }

    fn step_done(&mut self, step: StoreResult<(PruneReport, Rest)>, ctx: &mut Context<Self>) {
        match step {
            Ok((report, rest)) => {
                self.removed.events += report.events;
                self.removed.deliveries += report.deliveries;
                if !rest.is_empty() {
                    ctx.run_later(STEP_PAUSE, move |actor, ctx| actor.step(rest, ctx));
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
        ctx.run_later(RUN_EVERY, |actor, ctx| actor.step(Rest::ALL, ctx));
    }
}

impl Actor for Retention {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(FIRST_RUN_AFTER, |actor, ctx| actor.step(Rest::ALL, ctx));
    }
}
