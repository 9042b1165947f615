//! What Ringback promises when things go wrong: the real binary, killed, starved of disk, files and database, beside
//! receivers and clients that mean harm. The README's table of promises names these tests.
//!
//! What is measured is printed: `cargo test --test binary faults:: -- --nocapture`. Several have a long mode, see `just --list`.

mod backlog;
mod duplicates;
mod durable_answers;
mod egress_proxy;
mod full_disk;
mod hostile_receivers;
mod killed_at_random;
mod memory;
mod open_files;
mod postgres_gone;
mod secrets;
mod slow_clients;
mod targets;
