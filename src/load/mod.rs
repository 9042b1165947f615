//! The load-testing harness: publishes to an engine, plays its receivers, and reports what it measured beside what
//! this machine can do with no engine between.
//!
//! `scenario` says what a run does; `publisher` and `pace` make its requests, `receiver` and `arrivals` take what
//! comes, `bare` makes the reference, `measure` a stretch, `counted` adds several up, and `run` makes the whole; `report`
//! shows it.

mod arrivals;
mod bare;
pub(crate) mod behaviour;
pub(crate) mod clock;
mod counted;
pub mod engine;
pub(crate) mod error;
mod http;
mod latency;
pub mod measure;
mod numbers;
mod pace;
mod publisher;
pub mod receiver;
pub mod report;
pub mod run;
pub mod scenario;
mod stamp;
