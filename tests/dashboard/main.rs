//! The dashboard from the outside, without a browser: requests in, pages out, over the real handlers and actors and
//! a store in memory.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod access;
mod browser;
mod event_types;
mod events;
mod forms;
mod headers;
mod html;
mod keys;
mod logs;
#[path = "../support/next_addresses.rs"]
mod next_addresses;
mod redirects;
mod sessions;
mod tenant;
mod webhooks;

#[path = "../api/database.rs"]
mod database;
#[path = "../api/faulty_store.rs"]
mod faulty_store;
#[path = "../api/support.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod support;
