//! The API of `tests/api` on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects by unwrapping it")]

#[path = "api/batches.rs"]
mod batches;
#[path = "api/conditions.rs"]
mod conditions;
#[path = "api/docs.rs"]
mod docs;
#[path = "api/event_types.rs"]
mod event_types;
#[path = "api/events.rs"]
mod events;
#[path = "api/faulty_store.rs"]
mod faulty_store;
#[path = "api/logs.rs"]
mod logs;
#[path = "api/organizations.rs"]
mod organizations;
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "api/requests.rs"]
mod requests;
#[path = "api/roles.rs"]
mod roles;
#[path = "api/sending_again.rs"]
mod sending_again;
#[path = "api/server.rs"]
mod server;
#[path = "api/support.rs"]
mod support;
#[path = "api/webhooks.rs"]
mod webhooks;

mod database {
    use std::sync::Arc;

    use ringback::domain::entropy::CountingEntropy;
    use ringback::domain::secret::Secret;
    use ringback::store::cipher::Cipher;
    use ringback::store::memory::MemoryStore;
    use ringback::store::{self, Store};

    use crate::postgres_server;

    /// A new database of the test server; in memory when PostgreSQL is not installed, which is said loudly.
    pub(crate) fn open() -> Arc<dyn Store> {
        match postgres_server::shared() {
            Some(server) => store::open(&server.create_database(), cipher()).unwrap(),
            None => Arc::new(MemoryStore::default()),
        }
    }

    fn cipher() -> Cipher {
        let key = Secret::new("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned());
        Cipher::from_master_key(&key, Arc::new(CountingEntropy::default())).ok().unwrap()
    }
}
