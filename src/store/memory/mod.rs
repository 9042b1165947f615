//! The reference: the same store in memory, as simple as it can be. Nothing is indexed and nothing survives.
//! The conformance suite compares the databases with it, and tests of other parts run on it.

mod attempts;
mod audit;
mod changes;
mod cluster;
mod cluster_rows;
mod erasure;
mod log;
mod maintenance;
mod notices;
mod queue;
mod sessions;
mod state;
mod statistics;
mod svix;
mod tasks;
mod tenants;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::cluster_rows::Place;
use self::state::MemoryState;
use super::cluster::OnlyNode;
use crate::domain::audit::AuditEntry;
use crate::domain::time::Clock;

/// The [`Store`](super::Store) in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Arc<Mutex<MemoryState>>,
    node: Arc<OnlyNode>,
    /// Of one that several nodes share.
    place: Option<Arc<Place>>,
    /// Written with the next change of settings.
    entry: Option<AuditEntry>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store for several nodes, which all see this clock; this is the handle of the first.
    pub fn shared(clock: Arc<dyn Clock>) -> Self {
        Self { place: Some(Place::new(clock)), ..Self::default() }
    }

    /// The handle of another node, or of a program beside the nodes, on the same data.
    pub fn of_another_node(&self) -> Self {
        let place = self.place.as_ref().map(|place| place.of_another());
        Self { state: Arc::clone(&self.state), node: Arc::clone(&self.node), place, entry: None }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
