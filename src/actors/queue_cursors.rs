//! How far the queues of endpoints without a supervisor were read, for their next supervisors.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::ids::EndpointId;
use crate::domain::machine::QueueCursor;
use crate::domain::time::UnixMillis;

/// Cursors are kept up to this number without a check whether they are still of use, which they are for a minute. One
/// takes less than 100 bytes.
const KEPT: usize = 1_024;

/// See [`QueueCursor`].
#[derive(Default)]
pub(crate) struct QueueCursors {
    kept: Mutex<HashMap<EndpointId, QueueCursor>>,
    /// So many were left by the last check: the next one is at twice as many, so that it costs as much as the growth.
    left: AtomicUsize,
    doubts: AtomicU64,
}

impl QueueCursors {
    /// Keeps the cursor of a supervisor that ends.
    pub(crate) fn keep(&self, endpoint_id: EndpointId, cursor: QueueCursor, now: UnixMillis) {
        let mut kept = self.kept();
        kept.insert(endpoint_id, cursor);
        if kept.len() > KEPT.max(2 * self.left.load(Ordering::Relaxed)) {
            kept.retain(|_, cursor| !cursor.is_overdue(now));
            self.left.store(kept.len(), Ordering::Relaxed);
        }
    }

    /// For a supervisor that begins.
    pub(crate) fn take(&self, endpoint_id: EndpointId) -> QueueCursor {
        self.kept().remove(&endpoint_id).unwrap_or_default()
    }

    /// Deliveries became pending, or have other places, and nobody knows where.
    pub(crate) fn forget(&self, endpoint_id: EndpointId) {
        self.kept().remove(&endpoint_id);
    }

    /// Deliveries became pending whose turns come at `since` or later.
    pub(crate) fn lower(&self, endpoint_id: EndpointId, since: UnixMillis) {
        if let Some(cursor) = self.kept().get_mut(&endpoint_id) {
            *cursor = cursor.lowered_to(since);
        }
    }

    /// A commit failed that may have been written: any endpoint can have deliveries that nobody announces. Supervisors
    /// compare [`Self::doubts`].
    pub(crate) fn doubt(&self) {
        self.kept().clear();
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that happened.
    pub(crate) fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<EndpointId, QueueCursor>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_cursors_are_dropped_when_there_are_many() {
        let cursors = QueueCursors::default();
        for id in 0..100_000 {
            // never read from its head: of no use
            cursors.keep(EndpointId(id), QueueCursor::default(), UnixMillis(0));
        }
        assert!(cursors.kept().len() <= KEPT, "{}", cursors.kept().len());
    }
}
