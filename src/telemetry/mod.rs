//! Seeing what happens: one struct per thing that happens, whose `emit` writes the log line and counts the metric
//! together, so that the two can't drift apart.
//!
//! Rules: no secret, no URL and nothing that a client chooses is a label; a log line names ids and at most a
//! host, because a URL may hold a token. An attempt is a line at debug, a condition that a person should know of
//! is info or warn. A gauge counts things alive now and is a function pair, see [`gauges`].

pub(crate) mod events;
pub(crate) mod gauges;
pub(crate) mod logging;
pub mod metrics;
mod rarely;
mod requests;

pub(crate) use events::*;
pub(crate) use logging::{LoggingError, install_logging};
pub(crate) use metrics::install_metrics;
pub(crate) use requests::{HttpRequestServed, IngestOverloaded, Overload};
