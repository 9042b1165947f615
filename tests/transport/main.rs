//! The transport against real sockets: what it sends, whom it refuses to reach, and what it makes of receivers
//! that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real sockets run in real time")]

mod blocked;
mod exchange;
mod misbehaving;
mod starved;
mod support;
mod tls;
