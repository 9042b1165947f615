//! The transport against real sockets: what it sends, whom it refuses to reach, and what it makes of receivers
//! that misbehave.

#![allow(clippy::disallowed_methods, reason = "real sockets run in real time")]

mod blocked;
mod client_certificates;
mod early_answers;
mod exchange;
mod hostile_receivers;
mod misbehaving;
mod name_servers;
mod odd_heads;
mod proxy;
mod starved;
mod support;
mod tls;
mod tokens;
