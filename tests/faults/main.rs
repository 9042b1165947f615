//! What Ringback promises when things go wrong: the real binary, killed, starved of disk, files and database, beside
//! receivers and clients that mean harm. The README's table of promises names these tests.
//!
//! What is measured is printed: `cargo test --test faults -- --nocapture`. Several have a long mode, see `just --list`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests run in the machine's time")]

mod backlog;
mod duplicates;
mod durable_answers;
#[path = "../support/engine.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod engine;
mod full_disk;
#[path = "../support/hostile.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod hostile;
mod isolation;
mod killed_at_random;
#[path = "../support/long_run.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod long_run;
mod memory;
mod open_files;
mod postgres_gone;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod postgres_server;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod process;
#[path = "../support/receiver.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod receiver;
mod secrets;
mod slow_clients;
mod targets;
#[path = "../support/world.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod world;
