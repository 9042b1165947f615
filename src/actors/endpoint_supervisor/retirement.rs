//! The end of a supervisor: it retires when its endpoint has nothing to do for a while, or drains when the engine stops.

use std::time::Duration;

use actix::{AsyncContext, Context, Handler};

use tokio::task::AbortHandle;

use super::super::fairness::shares::Resource;
use super::super::mailbox::post;
use super::super::messages::{Retire, RetireRequest, SupervisorDrain, SupervisorStopped};
use super::{EndpointSupervisor, SupervisorParts};
use crate::domain::machine::{Input, PendingWork};
use crate::domain::time::UnixMillis;

/// A supervisor retires when nothing is due within this time; the agenda activates its endpoint again. Smaller: supervisors
/// come and go between two retries. Larger: endpoints that wait hold memory.
const STAY_FOR: Duration = Duration::from_secs(60);
/// The same while endpoints wait for a supervisor.
const STAY_FOR_WHEN_CROWDED: Duration = Duration::from_secs(1);

/// How long an endpoint keeps its place while others wait for it. Smaller: more is read again for each delivery. Larger:
/// the others wait longer.
const TURN: Duration = Duration::from_secs(5);

impl EndpointSupervisor {
    pub(super) fn consider_retiring(&mut self, now: UnixMillis, ctx: &mut Context<Self>) {
        if !self.may_retire(now) {
            if let Some(linger) = self.linger.take() {
                ctx.cancel_future(linger);
            }
            return;
        }
        if self.is_draining || self.is_awaited() {
            self.request_retirement(now);
        } else if self.linger.is_none() {
            let linger = ctx.run_later(self.parts.context.settings.idle_linger, |actor, _| {
                actor.linger = None;
                let now = actor.parts.context.now();
                if actor.may_retire(now) {
                    actor.request_retirement(now);
                }
            });
            self.linger = Some(linger);
        }
    }

    fn may_retire(&self, now: UnixMillis) -> bool {
        let Some(running) = &self.running else { return false };
        let stay_for = if self.is_awaited() { STAY_FOR_WHEN_CROWDED } else { STAY_FOR };
        match running.machine.pending_work(now) {
            PendingWork::Busy => false,
            PendingWork::Idle => true,
            PendingWork::Until(at) => at.since(now) > stay_for || self.gives_way(now),
        }
    }

    /// Whether another endpoint waits for this place: one of the same organization, or of any if this one has more than
    /// its share.
    fn is_awaited(&self) -> bool {
        let SupervisorParts { context, share, .. } = &self.parts;
        share.waits_for_supervisors() || context.is_crowded() && share.is_used_up(Resource::Supervisors)
    }

    /// Whether its turn is over: it starts nothing more, and leaves what it holds to the database and a later turn.
    pub(super) fn gives_way(&self, now: UnixMillis) -> bool {
        now.since(self.begins_at) >= TURN && self.is_awaited()
    }

    /// Leaves the state of the rate limit to a successor, which may start as soon as the router has agreed.
    fn remember_sent(&self, now: UnixMillis) {
        let memory = self.running.as_ref().and_then(|running| running.machine.sent(now));
        if let Some(memory) = memory {
            self.parts.context.remember_sent(self.parts.endpoint_id, memory);
        }
    }

    /// Asks to end; the router agrees if every message that it sent was received.
    fn request_retirement(&mut self, now: UnixMillis) {
        if self.retire_requested_at == Some(self.received) {
            return;
        }
        self.retire_requested_at = Some(self.received);
        let due_at = self.running.as_ref().and_then(|running| match running.machine.pending_work(now) {
            PendingWork::Until(at) => Some(at),
            _ => None,
        });
        let (endpoint_id, received) = (self.parts.endpoint_id, self.received);
        self.remember_sent(now);
        if let Some(running) = &self.running {
            let cursor = running.machine.cursor_for_successor();
            self.parts.context.queue_cursors.keep(endpoint_id, cursor, now);
        }
        post(&self.parts.ports.router_retire, RetireRequest { endpoint_id, received, due_at });
    }
}

/// The router must learn of the end, also after a panic.
impl Drop for EndpointSupervisor {
    fn drop(&mut self) {
        self.in_flight.values().for_each(AbortHandle::abort);
        let SupervisorParts { organization_id, endpoint_id, generation, .. } = self.parts;
        let is_lost = !self.ends_on_purpose;
        if is_lost {
            self.parts.context.queue_cursors.forget(endpoint_id);
            self.remember_sent(self.parts.context.now());
        }
        post(
            &self.parts.ports.router_stopped,
            SupervisorStopped { organization_id, endpoint_id, generation, is_lost },
        );
    }
}

impl Handler<SupervisorDrain> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, _: SupervisorDrain, ctx: &mut Self::Context) {
        self.received += 1;
        self.is_draining = true;
        self.apply(Input::Drain, ctx);
    }
}

impl Handler<Retire> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        self.end(ctx);
    }
}
