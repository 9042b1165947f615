//! The stores that the API is tested on.

use std::sync::Arc;

use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::store::cipher::Cipher;
use ringback::store::memory::MemoryStore;
use ringback::store::{self, Store};

/// Makes each function a test on each store.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[actix_web::test] async fn $test() { super::$test(crate::database::Database::Memory).await })+
        }
        mod sqlite {
            $(#[actix_web::test] async fn $test() { super::$test(crate::database::Database::Sqlite).await })+
        }
        mod postgres {
            $(#[actix_web::test] async fn $test() { super::$test(crate::database::Database::Postgres).await })+
        }
    };
}
pub(crate) use on_every_store;
use test_support::postgres;

/// The kind of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database {
    Memory,
    Sqlite,
    Postgres,
}

impl Database {
    /// The URL of a new database; `None` for a store in memory. In memory instead of PostgreSQL where that is not
    /// installed, which is printed.
    pub(crate) fn create(self) -> Option<String> {
        match self {
            Self::Memory => None,
            Self::Sqlite => {
                let folder = tempfile::Builder::new().prefix("ringback-api-").tempdir().unwrap().keep();
                Some(format!("sqlite://{}", folder.join("api.db").display()))
            }
            Self::Postgres => postgres::shared().map(|server| server.create_database()),
        }
    }

    /// The store at a URL, or a new one in memory.
    pub(crate) fn open_at(url: Option<&str>) -> Arc<dyn Store> {
        url.map_or_else(
            || Arc::new(MemoryStore::default()) as Arc<dyn Store>,
            |url| store::open(url, cipher()).unwrap(),
        )
    }
}

fn cipher() -> Cipher {
    let key = Secret::new("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned());
    Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default())).ok().unwrap()
}
