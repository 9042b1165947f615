//! The API from the outside: requests in, answers out, over the real handlers and actors and a store in
//! memory. `api_sqlite` and `api_postgres` are the same on the databases.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod batches;
mod conditions;
mod database;
mod docs;
mod event_types;
mod events;
mod faulty_store;
mod logs;
mod organizations;
mod requests;
mod roles;
mod sending_again;
mod server;
mod support;
mod webhooks;
