//! The load-testing harness: publishes to an engine, plays its receivers, and reports the result together with a baseline,
//! which is what this machine can do without an engine.
//!
//! `scenario` defines a run; `publisher` and `pace` make its requests, `receiver` and `arrivals` record the deliveries,
//! `baseline` measures without an engine, `phase` measures one phase, `measurement` adds phases up, `run` puts the whole
//! together, and `report` presents it. `fairness` is a run of its own kind.

mod arrivals;
mod baseline;
pub(crate) mod clock;
pub mod error;
mod event_stamp;
pub mod fairness;
mod http;
mod latency;
mod measurement;
mod number_set;
mod pace;
pub mod phase;
mod publisher;
pub mod receiver;
pub(crate) mod receiver_behaviour;
pub mod report;
pub mod run;
pub mod scenario;
pub mod target_engine;
