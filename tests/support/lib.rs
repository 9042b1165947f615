//! What the test crates share: the engine's binary as a process, its API's client, receivers that behave and that do not,
//! PostgreSQL servers, name servers, certificate authorities. Knows the engine by its binary and its API only: a change
//! of the engine does not rebuild this.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real sockets and processes run in real time")]

pub mod authority;
pub mod binary;
pub mod cluster;
pub mod collector;
pub mod engine;
pub mod forbidden;
pub mod forward_proxy;
pub mod hostile;
pub mod hostile_crowd;
pub mod long_run;
pub mod name_server;
pub mod next_addresses;
pub mod paced;
pub mod pausing_proxy;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod raw_receiver;
pub mod receiver;
pub mod requirements;
pub mod small_disk;
pub mod system_calls;
pub mod tally;
pub mod unreliable_proxy;
pub mod world;
pub mod wrong_clock;
