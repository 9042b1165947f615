//! The guarantees of every store, tested on the store in memory, on SQLite and on PostgreSQL; and those that
//! only a database can give: durability, exclusive use, encrypted secrets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects by unwrapping it")]

/// Turns each function into a test on each store.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(&crate::fixture::Fixture::memory()); })+
        }
        mod sqlite {
            $(#[test] fn $test() { super::$test(&crate::fixture::Fixture::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $test() {
                if let Some(fixture) = crate::fixture::Fixture::postgres() {
                    super::$test(&fixture);
                }
            })+
        }
    };
}

mod backlog;
mod bounded_steps;
mod changes;
mod checking;
mod clocks;
mod cluster;
mod databases;
mod delivering;
mod erasing;
mod events;
mod fixture;
mod health;
mod labels_and_audit;
mod lanes;
mod lasting_connections;
mod listing_attempts;
mod managing;
mod master_key;
mod notices;
mod postgres_servers;
mod pruning;
mod publishing;
mod reading_the_log;
mod resending;
mod rounds;
mod same_in_every_store;
mod searching;
mod sessions;
mod sqlite_files;
mod statistics;
mod svix;
mod tasks;
mod times;
mod tombstones;
mod upgrading;
