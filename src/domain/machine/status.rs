//! What the supervisor reads from the machine: when to wake it, whether it has work, what it holds in memory.

use super::{EndpointMachine, MachineSettings, PendingWork, QueueCursor};
use crate::domain::breaker::BreakerPermission;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::DeliveryId;
use crate::domain::limiter::LimiterMemory;
use crate::domain::time::UnixMillis;

impl EndpointMachine {
    /// When [`Input::Wake`](super::Input::Wake) is needed: the next instant at which the machine can act without any other
    /// input.
    pub(crate) fn wake_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        if !self.settings.active || self.draining {
            return None;
        }
        let gate = match self.breaker.permission(now) {
            BreakerPermission::AwaitProbe => return None,
            BreakerPermission::NotBefore(at) => Some(at),
            BreakerPermission::Attempts | BreakerPermission::Probe => None,
        };
        let gate = gate.max(self.blocked_until).max(self.limited_until).max(self.load_not_before);
        let gate = gate.max(self.local_pause.until());
        let now_or_later = match self.has_work() {
            true => gate,
            false => None,
        };
        let later = self.next_due_at.map(|at| gate.map_or(at, |gate| gate.max(at)));
        match (now_or_later, later) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        }
    }

    /// Whether nothing that is to be sent waits until its outcomes are on disk, or will soon.
    pub(crate) fn can_wait_for_records(&self) -> bool {
        let unsettled = self.in_flight.len() + self.unrecorded.len();
        let is_far_from_bound = 2 * unsettled <= self.settings.max_in_flight as usize;
        is_far_from_bound && !self.settings.ordered && !self.has_work() && !self.draining && !self.gives_way
    }

    /// Whether there is anything to do, now or later.
    pub(crate) fn pending_work(&self, now: UnixMillis) -> PendingWork {
        if !self.in_flight.is_empty() || !self.unrecorded.is_empty() || self.loading {
            return PendingWork::Busy;
        }
        match self.wake_at(now) {
            Some(at) => PendingWork::Until(at),
            None if self.has_work() && self.settings.active && !self.draining => match self.gives_way {
                true => PendingWork::Until(now),
                false => PendingWork::Busy,
            },
            None => PendingWork::Idle,
        }
    }

    /// The deliveries in memory, which the next page must leave out.
    pub(crate) fn held_ids(&self) -> Vec<DeliveryId> {
        self.window.ids().chain(self.in_flight.keys().copied()).chain(self.unrecorded.keys().copied()).collect()
    }

    /// Continues to read the queue where an earlier machine of the endpoint has left it.
    pub(crate) fn read_on(&mut self, cursor: QueueCursor) {
        self.cursor = cursor;
    }

    /// For the endpoint's next machine: what this one holds and does not attempt is read again.
    pub(crate) fn cursor_for_successor(&self) -> QueueCursor {
        if self.settings.ordered {
            // its retries keep their places
            return QueueCursor::default();
        }
        let mut cursor = self.cursor;
        self.window.deliveries().for_each(|delivery| cursor.go_before_delivery(delivery));
        cursor
    }

    /// Something pending may be anywhere in the queue, without an announcement.
    pub(crate) fn read_from_head(&mut self) {
        self.cursor.go_to_head();
        self.leave_in_store();
    }

    /// Bytes of bodies in memory.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.window.bytes() + self.in_flight_bytes
    }

    /// Attempts in flight.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The state of the rate limit, for the endpoint's next supervisor; `None` when there is nothing to remember.
    pub(crate) fn sent(&self, now: UnixMillis) -> Option<LimiterMemory> {
        self.limiter.as_ref()?.remember(now)
    }

    /// The settings in effect.
    pub(crate) fn settings(&self) -> &MachineSettings {
        &self.settings
    }

    /// The endpoint's health as it would be stored now.
    pub(crate) fn health(&self) -> EndpointHealth {
        self.breaker.remember(&self.health)
    }

    /// Whether the breaker is open or half-open.
    pub(crate) fn is_breaker_open(&self) -> bool {
        self.breaker.is_open()
    }
}
