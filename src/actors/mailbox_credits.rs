//! How much of a supervisor's mailbox is used. actix mailboxes do not report when they are full.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use crate::domain::time::UnixMillis;

/// Deliveries in one supervisor's mailbox. Smaller: more of them are read back from the database. Larger: a
/// supervisor that is behind holds more memory than its window.
const MAILBOX_CREDITS: usize = 1_024;

/// Shared by a supervisor and the router.
pub(crate) struct MailboxCredits {
    queued: AtomicUsize,
    overflowed: AtomicBool,
    /// The earliest turn of those that were left in the database, in Unix milliseconds.
    left_since: AtomicI64,
}

impl Default for MailboxCredits {
    fn default() -> Self {
        let (queued, overflowed) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { queued, overflowed, left_since: AtomicI64::new(i64::MAX) }
    }
}

impl MailboxCredits {
    /// Takes room for this many deliveries; `false` if there is none.
    pub(super) fn take(&self, count: usize) -> bool {
        if self.queued.load(Ordering::Relaxed) + count > MAILBOX_CREDITS {
            return false;
        }
        self.queued.fetch_add(count, Ordering::Relaxed);
        true
    }

    /// Returns room: the supervisor has read the deliveries.
    pub(super) fn give_back(&self, count: usize) {
        self.queued.fetch_sub(count, Ordering::Relaxed);
    }

    /// Marks that deliveries were left in the database whose turns come at `since` or later; `None`: at an unknown time.
    /// Returns whether the supervisor needs a message about it.
    pub(super) fn overflow(&self, since: Option<UnixMillis>) -> bool {
        self.left_since.fetch_min(since.map_or(i64::MIN, |at| at.0), Ordering::AcqRel);
        !self.overflowed.swap(true, Ordering::AcqRel)
    }

    /// The supervisor has read that message; returns since when.
    pub(super) fn overflow_seen(&self) -> Option<UnixMillis> {
        self.overflowed.swap(false, Ordering::AcqRel);
        let since = self.left_since.swap(i64::MAX, Ordering::AcqRel);
        (since != i64::MIN).then_some(UnixMillis(since))
    }
}
