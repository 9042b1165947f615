//! The API from the outside: requests in, responses out, over the real handlers and actors and each store.

mod audit;
mod batches;
mod credentials;
mod deleting;
mod docs;
mod doubt;
mod erasing;
mod event_types;
mod events;
mod fairness;
mod health;
mod labels;
mod limits;
mod logs;
mod organizations;
mod requests;
mod resending;
mod roles;
mod server;
mod tenants;
mod webhook_keys;
mod webhooks;
