//! The engine from outside: the real binary, real sockets, real databases, `kill -9`.

mod backing_up;
mod bad_input;
mod deleting;
mod delivering;
mod document;
mod dying;
mod examples;
mod filter_examples;
mod gauges;
mod idempotency;
mod logging;
mod master_key;
mod retrying;
mod reused_connections;
mod rotating;
mod sending_again;
mod starting;
mod statistics;
mod stopping;
mod svix_import;
mod tracing;
mod upgrading;
mod walkthrough;
