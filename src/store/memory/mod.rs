//! The reference: the same store in memory, as simple as it can be. Nothing is indexed and nothing survives.
//! The conformance suite compares the databases with it, and tests of other parts run on it.

mod attempts;
mod audit;
mod changes;
mod cluster;
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

use self::state::MemoryState;
use super::cluster::OnlyNode;
use crate::domain::audit::AuditEntry;

/// The [`Store`](super::Store) in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Arc<Mutex<MemoryState>>,
    node: Arc<OnlyNode>,
    /// Written with the next change of settings.
    entry: Option<AuditEntry>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
