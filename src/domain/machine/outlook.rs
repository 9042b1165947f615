//! What others ask the machine: when it must be woken, whether it is at rest, what it holds.

use super::{EndpointMachine, MachineSettings, Rest};
use crate::domain::breaker::Permission;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::DeliveryId;
use crate::domain::limiter::LimiterMemory;
use crate::domain::time::UnixMillis;

impl EndpointMachine {
    /// When [`Input::Wake`](super::Input::Wake) is needed: the next instant at which something can be done that nothing else
    /// brings about.
    pub(crate) fn wake_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        if !self.settings.active || self.draining {
            return None;
        }
        let gate = match self.breaker.permission(now) {
            Permission::AwaitProbe => return None,
            Permission::NotBefore(at) => Some(at),
            Permission::Attempts | Permission::Probe => None,
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

    /// Whether there is anything to do, now or later.
    pub(crate) fn rest(&self, now: UnixMillis) -> Rest {
        if !self.in_flight.is_empty() || !self.unrecorded.is_empty() || self.loading {
            return Rest::Busy;
        }
        match self.wake_at(now) {
            Some(at) => Rest::Until(at),
            None if self.has_work() && self.settings.active && !self.draining => Rest::Busy,
            None => Rest::Idle,
        }
    }

    /// The deliveries that are in memory: a page must not bring them again.
    pub(crate) fn known(&self) -> Vec<DeliveryId> {
        self.window.ids().chain(self.in_flight.keys().copied()).chain(self.unrecorded.keys().copied()).collect()
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

    /// What its next supervisor has to know about what was sent; `None` when nothing.
    pub(crate) fn sent(&self, now: UnixMillis) -> Option<LimiterMemory> {
        self.limiter.as_ref()?.remember(now)
    }

    /// The settings that it works by.
    pub(crate) fn settings(&self) -> &MachineSettings {
        &self.settings
    }

    /// The condition that it is in.
    pub(crate) fn health(&self) -> EndpointHealth {
        self.breaker.remember(&self.health)
    }

    /// Whether its breaker is open.
    pub(crate) fn is_breaker_open(&self) -> bool {
        self.breaker.is_open()
    }
}
