//! The real binary: real processes, real sockets, real databases, `kill -9`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests run in the machine's time")]

/// Makes each function a test on each database.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test(test_support::world::Database::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $test() {
                if let Some(database) = test_support::world::Database::postgres() {
                    super::$test(database);
                }
            })+
        }
    };
}

mod cluster;
mod command_line;
mod engine;
mod faults;
mod load;
