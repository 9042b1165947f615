//! The bounded part of an endpoint's queue that is in memory. All of it is in the database as well.

use std::collections::VecDeque;

use crate::domain::delivery::QueuedDelivery;
use crate::domain::ids::DeliveryId;

/// Deliveries in each of the two queues. Smaller: the database is asked more often. Larger: a slow endpoint
/// holds more memory.
pub const MAX_DELIVERIES: usize = 256;
/// Bytes of bodies in each of the two queues; one delivery may exceed it alone. Smaller: large bodies are read
/// back one by one. Larger: ten thousand slow endpoints hold more memory.
pub const MAX_BYTES: usize = 512 * 1024;
/// The next page is asked for when fewer than these are left. Smaller: the endpoint waits for the database.
pub const LOW_WATER: usize = 64;

#[derive(Default)]
struct Queue {
    deliveries: VecDeque<QueuedDelivery>,
    bytes: usize,
}

impl Queue {
    fn has_room_for(&self, delivery: &QueuedDelivery) -> bool {
        self.deliveries.is_empty()
            || (self.deliveries.len() < MAX_DELIVERIES && self.bytes + delivery.event.body.len() <= MAX_BYTES)
    }

    fn push(&mut self, delivery: QueuedDelivery) {
        self.bytes += delivery.event.body.len();
        self.deliveries.push_back(delivery);
    }

    fn pop(&mut self) -> Option<QueuedDelivery> {
        let delivery = self.deliveries.pop_front()?;
        self.bytes -= delivery.event.body.len();
        Some(delivery)
    }
}

/// Two queues, taken from in turn: what was just accepted, and what was read back from the database. So new
/// events are not starved behind a backlog, nor the backlog behind new events.
#[derive(Default)]
pub struct Window {
    fresh: Queue,
    backlog: Queue,
    backlog_had_its_turn: bool,
}

impl Window {
    /// Takes a just accepted delivery; `false` when there is no room.
    pub fn admit_fresh(&mut self, delivery: QueuedDelivery) -> bool {
        let admitted = self.fresh.has_room_for(&delivery);
        if admitted {
            self.fresh.push(delivery);
        }
        admitted
    }

    /// Takes a delivery of the page that was asked for.
    pub fn push_loaded(&mut self, delivery: QueuedDelivery) {
        self.backlog.push(delivery);
    }

    /// The next one: from both queues in turn; `oldest_first` empties the backlog before.
    pub fn pop(&mut self, oldest_first: bool) -> Option<QueuedDelivery> {
        let backlog_first = oldest_first || !self.backlog_had_its_turn;
        let (first, second) = match backlog_first {
            true => (&mut self.backlog, &mut self.fresh),
            false => (&mut self.fresh, &mut self.backlog),
        };
        self.backlog_had_its_turn = backlog_first;
        first.pop().or_else(|| second.pop())
    }

    /// Puts back what was popped and could not go out.
    pub fn put_back(&mut self, delivery: QueuedDelivery) {
        self.backlog.bytes += delivery.event.body.len();
        self.backlog.deliveries.push_front(delivery);
    }

    /// Lets go of everything; it is in the database.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.fresh.deliveries.is_empty() && self.backlog.deliveries.is_empty()
    }

    /// Bytes of bodies held.
    pub fn bytes(&self) -> usize {
        self.fresh.bytes + self.backlog.bytes
    }

    /// Room for a page, once the backlog has run low: (deliveries, bytes).
    pub fn room_for_page(&self) -> Option<(usize, usize)> {
        let left = self.backlog.deliveries.len();
        let bytes_left = MAX_BYTES.saturating_sub(self.backlog.bytes);
        (left == 0 || (left < LOW_WATER && bytes_left > MAX_BYTES / 2))
            .then(|| (MAX_DELIVERIES - left, bytes_left))
    }

    /// Whether this delivery is here.
    pub fn contains(&self, id: DeliveryId) -> bool {
        self.ids().any(|held| held == id)
    }

    /// Everything that is here.
    pub fn ids(&self) -> impl Iterator<Item = DeliveryId> + '_ {
        self.fresh.deliveries.iter().chain(&self.backlog.deliveries).map(|delivery| delivery.id)
    }
}
