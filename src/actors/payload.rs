//! The budget of memory for event bodies that wait for delivery or are in flight, shared by all endpoints.
//!
//! Large bodies may take three quarters of it; the rest is for small ones, so that receivers that hang on large events
//! don't keep small events of others in the database. Of both an organization may take its share. Deliveries without
//! room stay in the database and are read later. An endpoint never waits with none at all: one small delivery is always
//! let through.

use std::sync::Arc;

use super::fairness::shares::{Holding, OrganizationShare, Resource, Shares};
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
    shares: Arc<Shares>,
}

impl PayloadMemory {
    /// `budget` is in bytes, and at least [`MAX_BODY_BYTES`] and a third more, or the largest bodies never find room.
    pub(crate) fn new(budget: usize, shares: Arc<Shares>) -> Self {
        Self { budget, shares }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.shares.held(Resource::PayloadBytes)
    }

    /// Whether there is no room for large bodies of this organization.
    pub(crate) fn is_crowded(&self, share: &OrganizationShare) -> bool {
        self.held() >= self.for_large() || share.is_used_up_below(Resource::PayloadBytes, self.for_large())
    }

    fn for_large(&self) -> usize {
        self.budget - self.budget / 4
    }

    /// Takes room for bodies of which the largest has `largest` bytes; `None` if there is none.
    pub(crate) fn try_hold(
        &self,
        share: &Arc<OrganizationShare>,
        bytes: usize,
        largest: usize,
    ) -> Option<Holding> {
        let limit = if largest <= SMALL_BYTES { self.budget } else { self.for_large() };
        share.try_take_below(Resource::PayloadBytes, bytes, limit).ok()
    }

    /// Takes room for a page before it is read, and cuts the request down to the room there is.
    pub(crate) fn hold_page(&self, share: &Arc<OrganizationShare>, request: &mut DueRequest) -> Holding {
        let largest = request.max_bytes.max(MAX_BODY_BYTES);
        if let Some(held) = self.try_hold(share, largest, largest) {
            request.max_first_bytes = usize::MAX;
            return held;
        }
        request.max_bytes = request.max_bytes.min(SMALL_PAGE_BYTES);
        request.max_first_bytes = SMALL_BYTES;
        self.try_hold(share, SMALL_PAGE_BYTES, SMALL_BYTES).unwrap_or_else(|| {
            request.max_deliveries = 1;
            request.max_bytes = 0;
            share.take_anyway(Resource::PayloadBytes, SMALL_BYTES)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::fairness::shares::Capacities;
    use crate::domain::ids::OrganizationId;
    use crate::domain::time::UnixMillis;

    const MIB: usize = 1024 * 1024;

    fn request() -> DueRequest {
        DueRequest {
            now: UnixMillis(0),
            max_deliveries: 256,
            max_bytes: 512 * 1024,
            max_first_bytes: usize::MAX,
            after: None,
            known: Vec::new(),
        }
    }

    fn memory(budget: usize) -> PayloadMemory {
        let capacities = Capacities { payload_bytes: budget, ..Capacities::default() };
        PayloadMemory::new(budget, Shares::new(capacities))
    }

    #[test]
    fn large_bodies_leave_a_quarter_to_small_ones_and_all_memory_is_returned() {
        let memory = memory(64 * MIB);
        let [hangs, other] = [1, 2].map(|id| memory.shares.of(OrganizationId(id)));
        let large: Vec<_> = (0..10).map_while(|_| memory.try_hold(&hangs, 10 * MIB, 10 * MIB)).collect();
        assert_eq!(large.len(), 4);
        let small: Vec<_> = (0..4_000).map_while(|_| memory.try_hold(&other, SMALL_BYTES, SMALL_BYTES)).collect();
        assert!(small.len() > 1_000, "{}", small.len());
        drop((large, small));
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn an_organization_with_large_bodies_leaves_room_for_a_large_one_of_another() {
        let memory = memory(256 * MIB);
        let [hangs, other] = [1, 2].map(|id| memory.shares.of(OrganizationId(id)));
        let large: Vec<_> = (0..100).map_while(|_| memory.try_hold(&hangs, 10 * MIB, 10 * MIB)).collect();
        assert!((10..=16).contains(&large.len()), "{}", large.len());
        assert!(memory.try_hold(&hangs, 10 * MIB, 10 * MIB).is_none());
        assert!(!memory.is_crowded(&other));
        assert!(memory.try_hold(&other, 10 * MIB, 10 * MIB).is_some());
    }

    #[test]
    fn concurrent_page_reads_exceed_the_budget_by_at_most_one_small_delivery_each() {
        let memory = memory(16 * MIB);
        let share = memory.shares.of(OrganizationId(1));
        let mut pages = Vec::new();
        for _ in 0..1_000 {
            let mut request = request();
            let held = memory.hold_page(&share, &mut request);
            assert!(held.amount() >= request.max_bytes.max(request.max_first_bytes.min(MAX_BODY_BYTES)));
            pages.push((held, request));
        }
        assert_eq!(pages[0].1.max_deliveries, 256);
        let last = &pages[999].1;
        assert_eq!((last.max_deliveries, last.max_bytes, last.max_first_bytes), (1, 0, SMALL_BYTES));
        assert!(memory.held() <= 16 * MIB + 1_000 * SMALL_BYTES);
        for (held, _) in &mut pages {
            held.resize(0);
        }
        assert_eq!(memory.held(), 0);
    }
}
