//! Work that waits for persistence to write it.
//!
//! A message for each event and outcome would wake persistence's thread each time, mostly to wait for the write in
//! flight. Persistence looks here after every write; a message is needed only while it is idle.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mailbox::{Mailbox, post};
use super::messages::{CollectInbox, Ingest, Record, RecordOutcome};
use crate::store::SavedHealth;

/// Bounded by the permits of its events and the machines' limits on unrecorded outcomes.
#[derive(Default)]
pub(crate) struct Inbox {
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    pending: PendingWrites,
    /// Persistence will look again, or was asked to.
    will_be_collected: bool,
}

/// Events, outcomes and health to be written.
#[derive(Default)]
pub(crate) struct PendingWrites {
    pub ingests: Vec<Ingest>,
    /// Outcomes and health in one line, so that the health of a later outcome is written later.
    pub records: Vec<Record>,
}

impl PendingWrites {
    pub(crate) fn record(&mut self, outcome: RecordOutcome) {
        self.records.push(Record::Outcome(Box::new(outcome)));
    }

    pub(crate) fn save(&mut self, saved: SavedHealth) {
        self.records.push(Record::Health(Box::new(saved)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ingests.is_empty() && self.records.is_empty()
    }
}

/// Whether persistence needs a message to look into the inbox.
#[must_use = "the inbox is not written until persistence looks"]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    /// It looks after its current write, or was asked already.
    WillHappen,
    /// It is idle.
    MustBeRequested,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something.
    pub(crate) fn put(&self, add: impl FnOnce(&mut PendingWrites)) -> Collection {
        let mut contents = self.lock();
        add(&mut contents.pending);
        match std::mem::replace(&mut contents.will_be_collected, true) {
            true => Collection::WillHappen,
            false => Collection::MustBeRequested,
        }
    }

    /// Takes everything. Persistence promises to call this again after a write when it `will_write` or when there is
    /// anything here; otherwise it is idle, and needs a message.
    pub(crate) fn collect(&self, will_write: bool) -> PendingWrites {
        let mut contents = self.lock();
        contents.will_be_collected = will_write || !contents.pending.is_empty();
        std::mem::take(&mut contents.pending)
    }
}

impl Collection {
    /// Sends persistence a message if it needs one.
    pub(crate) fn request(self, persistence: &impl Mailbox<CollectInbox>) {
        if self == Self::MustBeRequested {
            post(persistence, CollectInbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::EndpointHealth;
    use crate::domain::ids::{EndpointId, OrganizationId};
    use crate::domain::time::UnixMillis;

    fn health(endpoint_id: i64, failing_since: i64) -> SavedHealth {
        let healthy = EndpointHealth::healthy(OrganizationId(1), EndpointId(endpoint_id));
        let health = EndpointHealth { failing_since: Some(UnixMillis(failing_since)), ..healthy };
        SavedHealth { health, url: "https://a.example".into() }
    }

    #[test]
    fn persistence_gets_one_message_while_it_is_idle_and_none_while_it_writes() {
        let inbox = Inbox::default();
        let put = |health| inbox.put(|pending| pending.save(health));
        assert_eq!(put(health(1, 1)), Collection::MustBeRequested);
        assert_eq!(put(health(2, 1)), Collection::WillHappen, "it was asked already");
        assert_eq!(put(health(2, 2)), Collection::WillHappen);
        assert_eq!(inbox.collect(false).records.len(), 3);
        assert_eq!(put(health(2, 2)), Collection::WillHappen, "it writes what it took, and looks again");
        assert!(!inbox.collect(false).is_empty());
        assert!(inbox.collect(true).is_empty());
        assert_eq!(put(health(3, 1)), Collection::WillHappen, "it writes something else");
        assert!(!inbox.collect(false).is_empty());
        assert!(inbox.collect(false).is_empty());
        assert_eq!(put(health(3, 2)), Collection::MustBeRequested, "it found nothing, and is idle");
    }
}
