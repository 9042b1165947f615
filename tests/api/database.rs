//! The store in memory.

use std::sync::Arc;

use ringback::store::Store;
use ringback::store::memory::MemoryStore;

pub(crate) fn open() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}
