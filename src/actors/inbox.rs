//! What waits for persistence to write it.
//!
//! A message for each event and outcome would wake persistence's thread for each, most of the time only to be told to
//! wait for the write in flight. After every write persistence looks here by itself; it is told only when it rests.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix::Addr;

use super::messages::{CollectInbox, Ingest, RecordOutcome};
use super::persistence::Persistence;
use super::post;
use crate::domain::ids::EndpointId;
use crate::store::SavedHealth;

/// Bounded by the permits of its events and the machines' limits on unrecorded outcomes.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Waiting,
    /// Persistence will look again, or was told to.
    will_be_collected: bool,
}

/// What is to be written.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Events.
    pub ingests: Vec<Ingest>,
    /// How attempts ended.
    pub outcomes: Vec<RecordOutcome>,
    /// Changed without an attempt. Goes the way of the outcomes, so that the condition of a later one is written later.
    pub health: HashMap<EndpointId, SavedHealth>,
}

impl Waiting {
    /// Adds an endpoint's condition; an earlier one is out of date.
    pub(crate) fn save(&mut self, saved: SavedHealth) {
        self.health.insert(saved.health.endpoint_id, saved);
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.ingests.is_empty() && self.outcomes.is_empty() && self.health.is_empty()
    }
}

/// Whether persistence must be told that something is here.
#[must_use = "what is put here is not written until persistence looks"]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    /// It looks by itself.
    WillBeMade,
    /// It rests.
    MustBeAskedFor,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something.
    pub(crate) fn put(&self, add: impl FnOnce(&mut Waiting)) -> Collection {
        let mut state = self.lock();
        add(&mut state.waiting);
        match std::mem::replace(&mut state.will_be_collected, true) {
            true => Collection::WillBeMade,
            false => Collection::MustBeAskedFor,
        }
    }

    /// Takes everything. Persistence promises to call this again after a write when it `will_write` or when there is
    /// anything here; otherwise it rests, and must be told.
    pub(crate) fn collect(&self, will_write: bool) -> Waiting {
        let mut state = self.lock();
        state.will_be_collected = will_write || !state.waiting.is_empty();
        std::mem::take(&mut state.waiting)
    }
}

impl Collection {
    /// Tells persistence, if it must be told.
    pub(crate) fn ask(self, persistence: &Addr<Persistence>) {
        if self == Self::MustBeAskedFor {
            post(persistence, CollectInbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::EndpointHealth;
    use crate::domain::ids::OrganizationId;
    use crate::domain::time::UnixMillis;

    fn health(endpoint_id: i64, failing_since: i64) -> SavedHealth {
        let healthy = EndpointHealth::healthy(OrganizationId(1), EndpointId(endpoint_id));
        let health = EndpointHealth { failing_since: Some(UnixMillis(failing_since)), ..healthy };
        SavedHealth { health, url: "https://a.example".into() }
    }

    #[test]
    fn persistence_is_told_once_when_it_rests_and_never_while_it_will_look_by_itself() {
        let inbox = Inbox::default();
        let put = |health| inbox.put(|waiting| waiting.save(health));
        assert_eq!(put(health(1, 1)), Collection::MustBeAskedFor);
        assert_eq!(put(health(2, 1)), Collection::WillBeMade, "it was told already");
        assert_eq!(put(health(2, 2)), Collection::WillBeMade);
        let taken = inbox.collect(false).health;
        assert_eq!((taken.len(), taken[&EndpointId(2)].clone()), (2, health(2, 2)), "the later one counts");
        assert_eq!(put(health(2, 2)), Collection::WillBeMade, "it writes what it took, and looks again");
        assert!(!inbox.collect(false).is_empty());
        assert!(inbox.collect(true).is_empty());
        assert_eq!(put(health(3, 1)), Collection::WillBeMade, "it writes something else");
        assert!(!inbox.collect(false).is_empty());
        assert!(inbox.collect(false).is_empty());
        assert_eq!(put(health(3, 2)), Collection::MustBeAskedFor, "it found nothing, and rests");
    }
}
