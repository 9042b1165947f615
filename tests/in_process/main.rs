//! The parts of the engine, put together in the test's own process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod dashboard;
mod database;
mod faulty_store;
mod openapi;
mod readme;
mod receiver_snippet;
mod simulation;
mod transport;
mod world;
