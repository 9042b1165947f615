//! What the teller needs of the engine: notices that wait, and whether they are this node's to tell.

use std::sync::Arc;

use super::super::context::ENGINE;
use super::EngineHandle;
use crate::store::{Store, StoreResult};

impl EngineHandle {
    /// Whether this node tells: one does for the whole cluster.
    pub(crate) fn is_teller(&self) -> bool {
        self.is_accepting() && self.0.context.rights.is_steward()
    }

    /// Whether there is any application that could be told.
    pub(crate) fn has_listeners(&self) -> bool {
        self.0.settings.listeners().are_there()
    }

    /// Waits until this node may have written a notice.
    pub(crate) async fn noticed(&self) {
        self.0.context.noticed.notified().await;
    }

    /// A read for all organizations, in the line of the engine.
    pub(crate) async fn read_for_all<T, F>(&self, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        Arc::clone(&self.0.context).read(ENGINE, read).await
    }

    /// A write for all organizations.
    pub(crate) async fn write_for_all<T, F>(&self, write: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        Arc::clone(&self.0.context).write(write).await
    }
}
