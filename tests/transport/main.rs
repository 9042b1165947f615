//! The transport against real sockets: what it sends, whom it refuses to reach, and what it makes of receivers
//! that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real sockets run in real time")]

#[path = "../support/authority.rs"]
mod authority;
mod blocked;
mod early_answers;
mod exchange;
#[path = "../support/forbidden.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod forbidden;
#[path = "../support/hostile.rs"]
mod hostile;
mod hostile_receivers;
mod misbehaving;
#[path = "../support/name_server.rs"]
#[allow(dead_code, reason = "shared with other test crates")]
mod name_server;
mod name_servers;
mod odd_heads;
#[path = "../support/raw_receiver.rs"]
mod raw_receiver;
mod starved;
mod support;
mod tls;
