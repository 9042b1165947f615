//! Finds out what became of changes and commits that failed: the database may have committed them.
//!
//! When the database has decided, changed settings are read, and the agenda and the heads of all queues, so that what was
//! stored is delivered.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};

use super::context::ActorContext;
use super::mailbox::post;
use super::messages::{Rescan, ResolveDoubt};
use super::settings_cache::SettingsCache;
use crate::store::{StoreError, StoreResult};
use crate::telemetry::{self, StoreOperation};

/// Pause after a failure. Smaller: a database that is down is asked more often, and publishers wait longer to be told. Larger:
/// what was stored is delivered later when it is back.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Pause after a success; doubled up to the longest while something fails during each. Smaller: while every commit
/// fails (a full disk), everything is read again for each. Larger: as above.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The resolver actor.
pub(super) struct DoubtResolver {
    context: Arc<ActorContext>,
    settings: Arc<SettingsCache>,
    scheduler: Recipient<Rescan>,
    /// Resolving, or pausing.
    is_busy: bool,
    /// After the next success.
    pause: Duration,
}

impl DoubtResolver {
    pub(super) fn new(
        context: Arc<ActorContext>,
        settings: Arc<SettingsCache>,
        scheduler: Recipient<Rescan>,
    ) -> Self {
        Self { context, settings, scheduler, is_busy: false, pause: PAUSE }
    }

    fn resolve_if_in_doubt(&mut self, ctx: &mut Context<Self>) {
        self.is_busy = self.settings.is_in_doubt();
        if !self.is_busy {
            self.pause = PAUSE;
            return;
        }
        let settings = Arc::clone(&self.settings);
        let resolved = async move {
            let resolved = tokio::task::spawn_blocking(move || settings.resolve()).await;
            resolved.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.to_string())))
        };
        ctx.spawn(resolved.into_actor(self).map(|resolved, actor, ctx| {
            let pause = actor.resolved(resolved);
            ctx.run_later(pause, Self::resolve_if_in_doubt);
        }));
    }

    /// Returns when to look for further doubts.
    fn resolved(&mut self, resolved: StoreResult<()>) -> Duration {
        match resolved {
            Ok(()) => {
                self.context.queue_cursors.doubt();
                post(&self.scheduler, Rescan);
                let longer = (2 * self.pause).min(LONGEST_PAUSE);
                std::mem::replace(&mut self.pause, longer)
            }
            Err(error) => {
                let (operation, now) = (StoreOperation::ResolveDoubt, self.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: RETRY_DELAY }.emit();
                RETRY_DELAY
            }
        }
    }
}

impl Actor for DoubtResolver {
    type Context = Context<Self>;
}

impl Handler<ResolveDoubt> for DoubtResolver {
    type Result = ();
    fn handle(&mut self, _: ResolveDoubt, ctx: &mut Self::Context) {
        if !self.is_busy {
            self.resolve_if_in_doubt(ctx);
        }
    }
}
