//! How much of a supervisor's mailbox is used. actix mailboxes do not report when they are full.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Deliveries in one supervisor's mailbox. Smaller: more of them are read back from the database. Larger: a
/// supervisor that is behind holds more memory than its window.
const MAILBOX_CREDITS: usize = 1_024;

/// Shared by a supervisor and the router.
#[derive(Default)]
pub(crate) struct MailboxCredits {
    queued: AtomicUsize,
    overflowed: AtomicBool,
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

    /// Marks that deliveries were left in the database. Returns whether the supervisor needs a message about it.
    pub(super) fn overflow(&self) -> bool {
        !self.overflowed.swap(true, Ordering::AcqRel)
    }

    /// The supervisor has read that message.
    pub(super) fn overflow_seen(&self) {
        self.overflowed.store(false, Ordering::Release);
    }
}
