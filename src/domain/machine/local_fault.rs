//! Attempts that this machine could not make: no file descriptor, no memory, no port. They don't count against the
//! receiver, use up no attempt, and the endpoint pauses before it opens another socket.

use std::time::Duration;

use super::EndpointMachine;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::time::UnixMillis;

/// The first pause. Smaller: a machine without descriptors spends its time on failing attempts. Larger: a delivery waits
/// after the shortage has ended.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// 250 ms doubled this often is the longest pause.
const MAX_DOUBLINGS: u32 = 2;

/// So long after a fault an endpoint makes one attempt at a time. Smaller: endpoints take turns in using up what is there.
/// Larger: it is slow for so much longer after the shortage.
const CAREFUL_FOR: Duration = Duration::from_secs(5);

/// The pause of an endpoint after local faults.
#[derive(Debug, Default)]
pub(super) struct LocalPause {
    until: Option<UnixMillis>,
    pauses: u32,
    careful_until: Option<UnixMillis>,
}

impl LocalPause {
    /// No attempt is started before this instant.
    pub(super) fn until(&self) -> Option<UnixMillis> {
        self.until
    }

    /// Attempts can be made: the next pause is the first one again.
    pub(super) fn over(&mut self) {
        (self.until, self.pauses) = (None, 0);
    }

    /// Whether to make one attempt at a time.
    pub(super) fn is_careful(&self) -> bool {
        self.careful_until.is_some()
    }

    pub(super) fn pass_time(&mut self, now: UnixMillis) {
        self.until.take_if(|until| *until <= now);
        self.careful_until.take_if(|until| *until <= now);
    }

    /// Attempts that fail together make one pause.
    fn begin(&mut self, now: UnixMillis) {
        self.careful_until = Some(now + CAREFUL_FOR);
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
            self.cursor.go_before_delivery(&delivery);
            // an ordered queue begins again from its head; an inactive endpoint holds nothing in memory
            self.release_window();
        } else if !attempt.is_erased {
            self.window.put_back(delivery);
        }
    }
}
