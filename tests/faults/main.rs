//! What Ringback promises when things go wrong: the real binary, killed, starved of disk, files and database, beside
//! receivers and clients that mean harm. The README's table of promises names these tests.
//!
//! What is measured is printed: `cargo test --test faults -- --nocapture`. Several have a long mode, see `just --list`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests run in the machine's time")]

#[path = "../support/authority.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod authority;
mod backlog;
mod duplicates;
mod durable_answers;
#[path = "../support/engine.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod engine;
#[path = "../support/forbidden.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod forbidden;
mod full_disk;
#[path = "../support/hostile.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod hostile;
#[path = "../support/hostile_crowd.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod hostile_crowd;
mod hostile_receivers;
mod killed_at_random;
#[path = "../support/long_run.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod long_run;
mod memory;
#[path = "../support/name_server.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod name_server;
mod open_files;
#[path = "../support/paced.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod paced;
#[path = "../support/pausing_proxy.rs"]
mod pausing_proxy;
mod postgres_gone;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod postgres_server;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod process;
#[path = "../support/raw_receiver.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod raw_receiver;
#[path = "../support/receiver.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod receiver;
#[path = "../support/requirements.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod requirements;
mod secrets;
mod slow_clients;
#[path = "../support/small_disk.rs"]
mod small_disk;
#[path = "../support/system_calls.rs"]
mod system_calls;
#[path = "../support/tally.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod tally;
mod targets;
#[path = "../support/world.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod world;
