//! The rules, without the world: plain functions of (state, input, now, random).
//!
//! Nothing here depends on actix, Diesel, awc or tokio; time and randomness are parameters.

pub mod asymmetric;
pub mod attempt;
pub mod audit;
pub mod breaker;
pub mod cluster;
pub(crate) mod concurrency;
pub mod delivery;
pub mod egress_proxy;
pub mod endpoint;
pub mod event;
pub(crate) mod event_type_registry;
pub mod event_types;
pub(crate) mod fair_queue;
pub mod filter;
pub(crate) mod follow_up;
pub mod health;
pub mod ids;
pub mod json_text;
pub mod labels;
pub mod last_failure;
pub(crate) mod limiter;
pub mod machine;
pub mod nearest;
pub mod notice;
pub mod organization;
pub mod patterns;
pub mod public_keys;
pub mod random;
pub mod retry;
pub mod rotation;
pub mod round;
pub(crate) mod schema_bounds;
pub mod secret;
pub mod sent_request;
pub mod session;
pub mod signing;
pub mod statistics;
pub(crate) mod step_size;
pub mod subscriptions;
pub mod svix;
pub mod svix_id;
pub mod target;
pub mod time;
pub(crate) mod token_ends;
