//! The engine from outside: the real binary, real sockets, real databases, `kill -9`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests run in the machine's time")]

/// Makes each function a test on each database.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test(crate::world::Database::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $test() {
                if let Some(database) = crate::world::Database::postgres() {
                    super::$test(database);
                }
            })+
        }
    };
}

mod bad_input;
mod deleting;
mod delivering;
mod document;
mod dying;
#[path = "../support/engine.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod engine;
mod examples;
mod idempotency;
mod logging;
mod master_key;
#[path = "../support/postgres.rs"]
mod postgres_server;
#[path = "../support/raw_receiver.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod raw_receiver;
#[path = "../support/receiver.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod receiver;
mod retrying;
mod reused_connections;
mod rotating;
mod sending_again;
mod starting;
mod statistics;
mod stopping;
#[path = "../support/world.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod world;
