//! Attempts that this machine could not make: no descriptor, no memory, no port. The receiver is not judged by
//! them, no attempt is used up, and the endpoint waits a moment before it asks for another socket.

use std::time::Duration;

use super::EndpointMachine;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::time::UnixMillis;

/// The first pause. Smaller: a machine that has no descriptors spends its time on trying. Larger: a delivery waits for
/// what was back long ago.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// 250 ms doubled so often is beyond the longest pause.
const MAX_DOUBLINGS: u32 = 5;

/// How long an endpoint leaves this machine alone.
#[derive(Debug, Default)]
pub(super) struct LocalPause {
    until: Option<UnixMillis>,
    pauses: u32,
}

impl LocalPause {
    /// Nothing is started before this instant.
    pub(super) fn until(&self) -> Option<UnixMillis> {
        self.until
    }

    /// Attempts can be made: the next pause is a short one again.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    pub(super) fn pass_time(&mut self, now: UnixMillis) {
        self.until.take_if(|until| *until <= now);
    }

    /// Several attempts that fail together make one pause.
    fn begin(&mut self, now: UnixMillis) {
        if self.until.is_none() {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(MAX_DOUBLINGS)).min(LONGEST_PAUSE);
            self.until = Some(now + pause);
            self.pauses = self.pauses.saturating_add(1);
        }
    }
}

impl EndpointMachine {
    pub(super) fn attempt_not_made(&mut self, delivery: QueuedDelivery, now: UnixMillis) {
        let Some(attempt) = self.in_flight.remove(&delivery.id) else { return };
        self.in_flight_bytes -= attempt.bytes;
        if attempt.is_probe && attempt.epoch == self.epoch {
            self.breaker.probe_not_made(now);
        }
        if let Some(limiter) = &self.limiter {
            limiter.give_back();
        }
        self.local_pause.begin(now);
        if self.settings.ordered || !self.settings.active {
            // an ordered queue begins again from its head, whatever became of its settings meanwhile
            self.let_go_of_window();
        } else {
            self.window.put_back(delivery);
        }
    }
}
