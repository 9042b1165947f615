//! Whose webhooks anyone is told about. All of it is in memory: a commit asks while it is put together, and waits for no read.

use parking_lot::RwLock;

use crate::domain::ids::OrganizationId;
use crate::store::{Listening, Store, StoreResult};

/// What the store said, kept equal to it as organizations change. The store decides itself when a notice is written.
#[derive(Default)]
pub(super) struct Listeners {
    known: RwLock<Listening>,
}

impl Listeners {
    /// Asks for everything again.
    pub(super) fn read(&self, store: &dyn Store) -> StoreResult<()> {
        let read = store.listening()?;
        *self.known.write() = read;
        Ok(())
    }

    /// Asks again about an organization that was made or changed. Everything is asked for only when it is told itself: its name
    /// says about whom.
    pub(super) fn read_one(&self, store: &dyn Store, id: OrganizationId) -> StoreResult<()> {
        let Some(environment) = store.environment_of(id)? else { return Ok(()) };
        if environment.is_management() {
            return self.read(store);
        }
        // its environment never changes
        if !environment.is_default() && self.are_there() {
            let is_told = store.is_told(id)?;
            self.known.write().to_others.insert(id, is_told);
        }
        Ok(())
    }

    /// An organization was deleted.
    pub(super) fn forget(&self, store: &dyn Store, id: OrganizationId) -> StoreResult<()> {
        if self.known.read().applications.contains(&id) {
            return self.read(store);
        }
        self.known.write().to_others.remove(&id);
        Ok(())
    }

    /// Whether there is any application that could be told.
    pub(super) fn are_there(&self) -> bool {
        !self.known.read().applications.is_empty()
    }

    /// Whether anyone is told about an organization's webhooks.
    pub(super) fn listen_to(&self, id: OrganizationId) -> bool {
        self.known.read().includes(id)
    }
}
