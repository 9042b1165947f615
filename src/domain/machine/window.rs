//! The bounded part of an endpoint's queue in memory. All of it is in the database as well.

use std::collections::VecDeque;

use crate::domain::delivery::QueuedDelivery;
use crate::domain::ids::{DeliveryId, EventId};

/// Deliveries in each of the two queues. Smaller: the database is read more often. Larger: a slow endpoint holds more
/// memory.
pub(crate) const MAX_DELIVERIES: usize = 256;
/// Bytes of bodies in each of the two queues; one delivery may exceed it alone. Smaller: large bodies are read
/// back one by one. Larger: ten thousand slow endpoints hold more memory.
pub(crate) const MAX_BYTES: usize = 512 * 1024;
/// The next page is read when fewer deliveries than this are left. Smaller: the endpoint waits for the database.
pub(crate) const LOW_WATER: usize = 64;

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

    fn remove_event(&mut self, id: EventId) {
        self.deliveries.retain(|delivery| delivery.event.id != id);
        self.bytes = self.deliveries.iter().map(|delivery| delivery.event.body.len()).sum();
    }

    fn pop_newest(&mut self) -> Option<QueuedDelivery> {
        let delivery = self.deliveries.pop_back()?;
        self.bytes -= delivery.event.body.len();
        Some(delivery)
    }
}

/// Two queues that take turns: fresh deliveries, and the backlog read from the database. Neither starves the other.
///
/// While there is a backlog, the newest fresh delivery goes first, and the oldest one makes room for it: in the database
/// it becomes part of the backlog, which is taken from its oldest end. So a new event waits for a few others only, however
/// long the backlog is.
#[derive(Default)]
pub(crate) struct Window {
    fresh: Queue,
    backlog: Queue,
    backlog_had_its_turn: bool,
}

impl Window {
    /// Whether there is room for a just accepted delivery.
    pub(crate) fn has_room_for_fresh(&self, delivery: &QueuedDelivery) -> bool {
        self.fresh.has_room_for(delivery)
    }

    /// Adds a just accepted delivery. Returns older ones that had to make room for it.
    pub(crate) fn admit_fresh(&mut self, delivery: QueuedDelivery) -> Vec<QueuedDelivery> {
        let mut left = Vec::new();
        while !self.fresh.has_room_for(&delivery) {
            left.extend(self.fresh.pop());
        }
        self.fresh.push(delivery);
        left
    }

    /// Adds a delivery from a page.
    pub(crate) fn push_loaded(&mut self, delivery: QueuedDelivery) {
        self.backlog.push(delivery);
    }

    /// The next one of an ordered queue.
    pub(crate) fn pop_oldest(&mut self) -> Option<QueuedDelivery> {
        self.backlog.pop().or_else(|| self.fresh.pop())
    }

    /// The next one: from both queues in turn.
    pub(crate) fn pop(&mut self) -> Option<QueuedDelivery> {
        let newest_first = !self.backlog.deliveries.is_empty();
        let backlog_first = !self.backlog_had_its_turn;
        self.backlog_had_its_turn = backlog_first;
        let Self { fresh, backlog, .. } = self;
        let mut pop_fresh = || if newest_first { fresh.pop_newest() } else { fresh.pop() };
        match backlog_first {
            true => backlog.pop().or_else(pop_fresh),
            false => pop_fresh().or_else(|| backlog.pop()),
        }
    }

    /// Puts back a delivery that was popped and could not be attempted.
    pub(crate) fn put_back(&mut self, delivery: QueuedDelivery) {
        self.backlog.bytes += delivery.event.body.len();
        self.backlog.deliveries.push_front(delivery);
    }

    /// Releases the deliveries of an event.
    pub(crate) fn remove_event(&mut self, id: EventId) {
        self.fresh.remove_event(id);
        self.backlog.remove_event(id);
    }

    /// Releases everything; it is in the database.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether both queues are empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.deliveries.is_empty() && self.backlog.deliveries.is_empty()
    }

    /// Bytes of bodies held.
    pub(crate) fn bytes(&self) -> usize {
        self.fresh.bytes + self.backlog.bytes
    }

    /// Room for a page as (deliveries, bytes), once the backlog has run low.
    pub(crate) fn room_for_page(&self) -> Option<(usize, usize)> {
        let left = self.backlog.deliveries.len();
        let bytes_left = MAX_BYTES.saturating_sub(self.backlog.bytes);
        (left == 0 || (left < LOW_WATER && bytes_left > MAX_BYTES / 2))
            .then(|| (MAX_DELIVERIES - left, bytes_left))
    }

    /// Whether either queue has this delivery.
    pub(crate) fn contains(&self, id: DeliveryId) -> bool {
        self.ids().any(|held| held == id)
    }

    /// The ids in both queues.
    pub(crate) fn ids(&self) -> impl Iterator<Item = DeliveryId> + '_ {
        self.deliveries().map(|delivery| delivery.id)
    }

    /// The deliveries in both queues.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &QueuedDelivery> {
        self.fresh.deliveries.iter().chain(&self.backlog.deliveries)
    }
}
