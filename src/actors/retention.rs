//! Retention: removes what is older than the settings keep, in small batches with a pause between, so that
//! delivery does not wait for it.
//!
//! Owns the place it has come to. Never touches what is pending.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::context::ActorContext;
use crate::domain::ids::EventId;
use crate::store::{PruneReport, StoreResult};
use crate::telemetry::{self, StoreOperation};

/// Between two runs. Larger: more is kept beyond its time.
const RUN_EVERY: Duration = Duration::from_secs(3600);
/// Before the first run, so that a start is not slowed down.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(60);
/// Events of one step. Larger: publishers wait longer for the writer.
const EVENTS_A_STEP: usize = 500;
/// Between two steps: the writer is free for at least so long.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// How long an idempotency key counts (contract).
const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The retention actor.
pub struct Retention {
    context: Arc<ActorContext>,
    /// Removed since the run began.
    removed: PruneReport,
}

impl Retention {
    /// One for the engine.
    pub fn new(context: Arc<ActorContext>) -> Self {
        Self { context, removed: PruneReport::default() }
    }

    fn step(&mut self, after: Option<EventId>, ctx: &mut Context<Self>) {
        let now = self.context.now();
        let before = now - self.context.settings.retention;
        let keys_before = now - KEY_LIFETIME;
        let step = self.context.clone().write(move |store| {
            store.prune_idempotency_keys(keys_before, EVENTS_A_STEP)?;
            store.prune(before, after, EVENTS_A_STEP)
        });
        ctx.spawn(step.into_actor(self).map(|report, actor, ctx| actor.step_done(report, ctx)));
    }

    fn step_done(&mut self, report: StoreResult<PruneReport>, ctx: &mut Context<Self>) {
        let next = match report {
            Ok(report) => {
                self.removed.events += report.events;
                self.removed.deliveries += report.deliveries;
                report.next
            }
            Err(error) => {
                let (operation, now) = (StoreOperation::RemoveOld, self.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: RUN_EVERY }.emit();
                None
            }
        };
        if next.is_some() {
            ctx.run_later(STEP_PAUSE, move |actor, ctx| actor.step(next, ctx));
            return;
        }
        let removed = std::mem::take(&mut self.removed);
        if removed.events > 0 {
            telemetry::Pruned { events: removed.events, deliveries: removed.deliveries }.emit();
        }
        ctx.run_later(RUN_EVERY, |actor, ctx| actor.step(None, ctx));
    }
}

impl Actor for Retention {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(FIRST_RUN_AFTER, |actor, ctx| actor.step(None, ctx));
    }
}
