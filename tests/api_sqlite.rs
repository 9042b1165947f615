//! The API of `tests/api` on SQLite.

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
    use ringback::store::{self, Store};

    /// A new database; its folder goes with the process's temporary files.
    pub(crate) fn open() -> Arc<dyn Store> {
        let folder = tempfile::Builder::new().prefix("ringback-api-").tempdir().unwrap().keep();
        store::open(&format!("sqlite://{}", folder.join("api.db").display()), cipher()).unwrap()
    }

    fn cipher() -> Cipher {
        let key = Secret::new("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned());
        Cipher::from_master_key(&key, Arc::new(CountingEntropy::default())).ok().unwrap()
    }
}
