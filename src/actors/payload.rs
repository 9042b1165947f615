//! The budget of memory for event bodies that wait for delivery or are in flight, shared by all endpoints.
//!
//! Large bodies may take three quarters of it; the rest is for small ones, so that receivers that hang on large events
//! don't keep small events of others in the database. Deliveries without room stay there and are read later. An endpoint
//! never waits with none at all: one small delivery is always let through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::event::MAX_BODY_BYTES;
use crate::store::DueRequest;

/// Size of a small body. Smaller: more events wait while receivers hang on large ones. Larger: more is let through without
/// room, this much for each of `max_active_endpoints`.
const SMALL_BYTES: usize = 16 * 1024;
/// Bytes of a page of small bodies, read while there is no room for large ones.
const SMALL_PAGE_BYTES: usize = 4 * SMALL_BYTES;

/// Counts the bytes held.
#[derive(Debug)]
pub struct PayloadMemory {
    budget: usize,
    held: AtomicUsize,
}

/// Bytes held of the budget, until this is dropped.
#[derive(Debug)]
pub(crate) struct PayloadShare {
    memory: Arc<PayloadMemory>,
    bytes: usize,
}

impl PayloadMemory {
    /// `budget` is in bytes, and at least [`MAX_BODY_BYTES`] and a third more, or the largest bodies never find room.
    pub(crate) fn new(budget: usize) -> Arc<Self> {
        Arc::new(Self { budget, held: AtomicUsize::new(0) })
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether there is no room for large bodies.
    pub(crate) fn is_crowded(&self) -> bool {
        self.held() >= self.for_large()
    }

    fn for_large(&self) -> usize {
        self.budget - self.budget / 4
    }

    /// Takes room whether there is any or not.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> PayloadShare {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        PayloadShare { memory: self.clone(), bytes }
    }

    /// Takes room for bodies of which the largest has `largest` bytes; `None` if there is none.
    pub(crate) fn try_hold(self: &Arc<Self>, bytes: usize, largest: usize) -> Option<PayloadShare> {
        let limit = if largest <= SMALL_BYTES { self.budget } else { self.for_large() };
        let add = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(PayloadShare { memory: self.clone(), bytes })
    }

    /// Takes room for a page before it is read, and cuts the request down to the room there is.
    pub(crate) fn hold_page(self: &Arc<Self>, request: &mut DueRequest) -> PayloadShare {
        let largest = request.max_bytes.max(MAX_BODY_BYTES);
        if let Some(share) = self.try_hold(largest, largest) {
            request.max_first_bytes = usize::MAX;
            return share;
        }
        request.max_bytes = request.max_bytes.min(SMALL_PAGE_BYTES);
        request.max_first_bytes = SMALL_BYTES;
        self.try_hold(SMALL_PAGE_BYTES, SMALL_BYTES).unwrap_or_else(|| {
            request.max_deliveries = 1;
            request.max_bytes = 0;
            self.hold(SMALL_BYTES)
        })
    }
}

impl PayloadShare {
    /// Takes or returns the difference.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.memory.held.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.memory.held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for PayloadShare {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;

    const MIB: usize = 1024 * 1024;

    fn request() -> DueRequest {
        DueRequest {
            now: UnixMillis(0),
            max_deliveries: 256,
            max_bytes: 512 * 1024,
            max_first_bytes: usize::MAX,
            known: Vec::new(),
        }
    }

    #[test]
    fn large_bodies_leave_a_quarter_to_small_ones_and_all_memory_is_returned() {
        let memory = PayloadMemory::new(64 * MIB);
        let large: Vec<_> = (0..10).map_while(|_| memory.try_hold(10 * MIB, 10 * MIB)).collect();
        assert_eq!(large.len(), 4);
        let small: Vec<_> = (0..4_000).map_while(|_| memory.try_hold(SMALL_BYTES, SMALL_BYTES)).collect();
        assert_eq!(memory.held(), 64 * MIB);
        drop((large, small));
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn concurrent_page_reads_exceed_the_budget_by_at_most_one_small_delivery_each() {
        let memory = PayloadMemory::new(16 * MIB);
        let mut pages = Vec::new();
        for _ in 0..1_000 {
            let mut request = request();
            let share = memory.hold_page(&mut request);
            assert!(share.bytes >= request.max_bytes.max(request.max_first_bytes.min(MAX_BODY_BYTES)));
            pages.push((share, request));
        }
        assert_eq!(pages[0].1.max_deliveries, 256);
        let last = &pages[999].1;
        assert_eq!((last.max_deliveries, last.max_bytes, last.max_first_bytes), (1, 0, SMALL_BYTES));
        assert!(memory.held() <= 16 * MIB + 1_000 * SMALL_BYTES);
        for (share, _) in &mut pages {
            share.resize(0);
        }
        assert_eq!(memory.held(), 0);
    }
}
