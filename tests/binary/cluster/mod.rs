//! Several nodes on one PostgreSQL database: killed, frozen, cut off, restarted.
//!
//! What is measured is printed: `cargo test --test binary cluster:: -- --nocapture`.

mod accepting;
mod at_random;
mod changing;
mod clocks;
mod failing;
mod failover;
mod pooling;
mod svix;
