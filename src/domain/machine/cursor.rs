//! How far an endpoint's queue was read: a page begins where the last one ended. Ended deliveries stay in front of the
//! queue's index for as long as an old snapshot of the database is open (a dump, a replica), and a page that began at the
//! head would pass all of them each time.
//!
//! The rule: every pending delivery up to the cursor is in the machine's memory. Whatever is put into the queue before it
//! is announced to the machine (an event that was committed late or while the clock was set back, a retry, a delivery that
//! found no room in memory, a resend) and lowers the cursor. Where the place is not known, it goes back to the head.

use std::time::Duration;

use crate::domain::delivery::{QueuePosition, QueuedDelivery};
use crate::domain::ids::DeliveryId;
use crate::domain::time::UnixMillis;

/// The queue is read from its head at least this often while pages are read. Smaller: an endpoint with many ended
/// deliveries in front reads more. Larger: a delivery whose announcement was lost waits longer.
pub(crate) const HEAD_EVERY: Duration = Duration::from_secs(60);

/// Where the next page of an endpoint's queue begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCursor {
    /// Behind this; `None` is the head.
    after: Option<QueuePosition>,
    /// When the queue was last read from its head.
    head_read_at: Option<UnixMillis>,
    /// How far it was lowered since the page that is being read was asked for; `None`: not at all.
    lowered: Option<Option<QueuePosition>>,
}

impl QueueCursor {
    /// Whether the next page must begin at the head. Also after the clock was set back: nothing is known about the places
    /// of what came since.
    pub(crate) fn is_overdue(&self, now: UnixMillis) -> bool {
        self.head_read_at.is_none_or(|at| now < at || now.since(at) >= HEAD_EVERY)
    }

    /// Begins a page; returns behind which position it begins.
    pub(super) fn begin_page(&mut self, now: UnixMillis) -> Option<QueuePosition> {
        if self.is_overdue(now) {
            self.after = None;
        }
        if self.after.is_none() {
            self.head_read_at = Some(now);
        }
        self.lowered = None;
        self.after
    }

    /// The page is there, and ended here.
    pub(super) fn page_read(&mut self, end: Option<QueuePosition>) {
        self.after = match self.lowered.take() {
            Some(lowered) => end.min(lowered),
            None => end,
        };
    }

    /// The page could not be read.
    pub(super) fn page_failed(&mut self) {
        self.lowered = None;
        if self.after.is_none() {
            self.head_read_at = None;
        }
    }

    /// Something pending may be anywhere.
    pub(super) fn go_to_head(&mut self) {
        self.lower(None);
    }

    /// This delivery is not in memory, or not for long.
    pub(super) fn go_before(&mut self, queued_at: UnixMillis, id: DeliveryId) {
        self.lower(Some(QueuePosition { queued_at, id: DeliveryId(id.0.saturating_sub(1)) }));
    }

    /// The same for this delivery as it was read.
    pub(super) fn go_before_delivery(&mut self, delivery: &QueuedDelivery) {
        self.go_before(delivery.queued_at, delivery.id);
    }

    /// Deliveries are pending whose turns come at this instant or later.
    pub(super) fn go_to_instant(&mut self, queued_at: UnixMillis) {
        self.lower(Some(QueuePosition { queued_at, id: DeliveryId(i64::MIN) }));
    }

    fn lower(&mut self, after: Option<QueuePosition>) {
        self.after = self.after.min(after);
        self.lowered = Some(self.lowered.map_or(after, |lowered| lowered.min(after)));
    }

    /// Lowers the cursor of an endpoint without a machine: see [`Self::go_to_instant`].
    pub(crate) fn lowered_to(mut self, queued_at: UnixMillis) -> Self {
        self.go_to_instant(queued_at);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(at: i64, id: i64) -> Option<QueuePosition> {
        Some(QueuePosition { queued_at: UnixMillis(at), id: DeliveryId(id) })
    }

    #[test]
    fn a_page_begins_where_the_last_one_ended_unless_something_came_before_it_meanwhile() {
        let mut cursor = QueueCursor::default();
        assert_eq!(cursor.begin_page(UnixMillis(1_000)), None);
        cursor.page_read(position(500, 7));
        assert_eq!(cursor.begin_page(UnixMillis(1_000)), position(500, 7));
        cursor.go_before(UnixMillis(400), DeliveryId(3));
        cursor.go_before(UnixMillis(450), DeliveryId(4));
        cursor.page_read(position(600, 1));
        assert_eq!(cursor.begin_page(UnixMillis(1_000)), position(400, 2));
        cursor.go_before(UnixMillis(900), DeliveryId(3));
        cursor.page_read(position(600, 1));
        assert_eq!(cursor.begin_page(UnixMillis(1_000)), position(600, 1));
        cursor.go_to_head();
        cursor.page_read(position(600, 1));
        assert_eq!(cursor.begin_page(UnixMillis(1_000)), None);
    }

    #[test]
    fn the_head_is_read_every_minute_and_after_the_clock_was_set_back() {
        let mut cursor = QueueCursor::default();
        cursor.begin_page(UnixMillis(100_000));
        cursor.page_read(position(90_000, 7));
        assert_eq!(cursor.begin_page(UnixMillis(159_999)), position(90_000, 7));
        assert_eq!(cursor.begin_page(UnixMillis(160_000)), None);
        cursor.page_read(position(90_000, 7));
        assert_eq!(cursor.begin_page(UnixMillis(159_999)), None);
    }

    #[test]
    fn a_head_that_could_not_be_read_is_read_again() {
        let mut cursor = QueueCursor::default();
        cursor.begin_page(UnixMillis(100_000));
        cursor.page_failed();
        assert!(cursor.is_overdue(UnixMillis(100_000)));
    }
}
