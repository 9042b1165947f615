//! The API from the outside: requests in, answers out, over the real handlers and actors and a store in
//! memory.

mod events;
mod faulty_store;
mod logs;
mod organizations;
mod roles;
mod support;
mod webhooks;
