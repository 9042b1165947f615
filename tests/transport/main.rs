//! The transport against real sockets: what it sends, whom it refuses to reach, and what it makes of receivers
//! that misbehave.

mod blocked;
mod exchange;
mod misbehaving;
mod support;
mod tls;
