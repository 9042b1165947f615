//! The parts of the engine, put together in the test's own process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod dashboard;
mod database;
mod documentation;
mod faulty_store;
mod held_calls;
mod odd_text;
mod openapi;
mod simulation;
mod svix;
mod tenant;
mod traces;
mod transport;
mod world;
