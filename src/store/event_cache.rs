//! Events that were read recently, so that an event with ten endpoints behind schedule is not read ten times.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::event::Event;
use crate::domain::ids::{EventId, OrganizationId};

/// Smaller: endpoints that are behind by different amounts read the same bodies again. Larger: more memory in
/// which no new event fits.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Larger events are not cached: a few of them would push out all others.
const MAX_EVENT_BYTES: usize = 16 * 1024;
/// About what an event takes besides its body and type; rather too high.
const OVERHEAD: usize = 256;

/// At most [`MAX_BYTES`] of events, the most recently read. Events never change except that their payload is erased, which
/// [`EventCache::forget`] follows.
#[derive(Default)]
pub(super) struct EventCache {
    cached: Mutex<CachedEvents>,
}

#[derive(Default)]
struct CachedEvents {
    events: HashMap<EventId, Arc<Event>>,
    /// Oldest first.
    order: VecDeque<EventId>,
    bytes: usize,
    /// Grows with each event that is forgotten.
    version: u64,
}

fn size(event: &Event) -> usize {
    event.body.len() + event.event_type.len() + OVERHEAD
}

impl EventCache {
    /// The cached events among `ids` that belong to the organization.
    pub(super) fn find(
        &self,
        organization_id: OrganizationId,
        ids: impl Iterator<Item = EventId>,
    ) -> HashMap<EventId, Arc<Event>> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        ids.filter_map(|id| cached.events.get(&id))
            .filter(|event| event.organization_id == organization_id)
            .map(|event| (event.id, Arc::clone(event)))
            .collect()
    }

    /// To be asked before events are read, for [`Self::keep`].
    pub(super) fn version(&self) -> u64 {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).version
    }

    /// Caches events that were read from the database, unless one was forgotten since `version`: it may be among them.
    pub(super) fn keep(&self, events: &[Arc<Event>], version: u64) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.version != version {
            return;
        }
        for event in events.iter().filter(|event| event.body.len() <= MAX_EVENT_BYTES) {
            cached.add(event);
        }
    }

    /// Forgets an event whose payload was erased.
    pub(super) fn forget(&self, id: EventId) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached.version += 1;
        if let Some(event) = cached.events.remove(&id) {
            cached.bytes -= size(&event);
            cached.order.retain(|cached| *cached != id);
        }
    }

    /// Empties the cache.
    pub(super) fn clear(&self) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = CachedEvents { version: cached.version + 1, ..CachedEvents::default() };
    }
}

impl CachedEvents {
    fn add(&mut self, event: &Arc<Event>) {
        if self.events.contains_key(&event.id) {
            return;
        }
        self.bytes += size(event);
        self.order.push_back(event.id);
        self.events.insert(event.id, Arc::clone(event));
        while self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(event) = self.events.remove(&oldest) {
                self.bytes -= size(&event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::time::UnixMillis;

    const ORGANIZATION: OrganizationId = OrganizationId(1);

    fn event(id: i64, bytes: usize) -> Arc<Event> {
        Arc::new(Event {
            id: EventId(id),
            organization_id: ORGANIZATION,
            event_type: String::from("call.completed"),
            occurred_at: UnixMillis(0),
            accepted_at: UnixMillis(0),
            body: Bytes::from(vec![b'x'; bytes]),
            trace: None,
        })
    }

    fn ids(recent: &EventCache, organization_id: OrganizationId, up_to: i64) -> Vec<i64> {
        let mut ids: Vec<i64> =
            recent.find(organization_id, (0..up_to).map(EventId)).into_keys().map(|id| id.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_cached_event_is_found_by_its_own_organization_only() {
        let recent = EventCache::default();
        recent.keep(&[event(1, 10), event(2, 10), event(1, 10)], 0);
        assert_eq!(ids(&recent, ORGANIZATION, 9), [1, 2]);
        assert!(ids(&recent, OrganizationId(2), 9).is_empty());
        recent.clear();
        assert!(ids(&recent, ORGANIZATION, 9).is_empty());
    }

    #[test]
    fn a_forgotten_event_does_not_come_back_with_a_read_that_began_before() {
        let recent = EventCache::default();
        let before = recent.version();
        recent.keep(&[event(1, 10), event(2, 10)], before);
        recent.forget(EventId(1));
        recent.keep(&[event(1, 10), event(3, 10)], before);
        assert_eq!(ids(&recent, ORGANIZATION, 9), [2]);
        assert_eq!(recent.cached.lock().unwrap().bytes, size(&event(2, 10)));
        recent.keep(&[event(3, 10)], recent.version());
        assert_eq!(ids(&recent, ORGANIZATION, 9), [2, 3]);
    }

    #[test]
    fn the_cache_never_exceeds_its_bound_and_drops_the_oldest_first() {
        let recent = EventCache::default();
        let live = event(0, MAX_EVENT_BYTES);
        for id in 1..=1_000 {
            recent.keep(&[event(id, MAX_EVENT_BYTES), event(1_000_000 + id, MAX_EVENT_BYTES + 1)], 0);
        }
        let found = ids(&recent, ORGANIZATION, 2_000_000);
        assert_eq!(found.last(), Some(&1_000), "and none that is too large");
        assert_eq!(found.len() as i64, 1_001 - found[0], "the last ones");
        assert!((240..=256).contains(&found.len()), "{}", found.len());
        let kept = recent.cached.lock().unwrap();
        assert!(kept.bytes <= MAX_BYTES && kept.bytes == found.len() * size(&live));
        assert_eq!((kept.order.len(), kept.events.len()), (found.len(), found.len()));
    }
}
