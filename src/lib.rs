//! Ringback: a webhook delivery engine.
//!
//! A publisher posts an event once; Ringback stores it, fans it out to every endpoint of that organization
//! that wants it, signs it, delivers it over HTTPS, retries with backoff, and keeps a log of what happened.
//! See `ARCHITECTURE.md` for the map.

#![forbid(unsafe_code)]

pub mod actors;
pub mod api;
pub mod config;
pub mod dashboard;
pub mod domain;
pub mod engine;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod load;
pub mod store;
pub mod svix;
pub mod telemetry;
pub mod transport;
