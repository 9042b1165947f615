//! Logs and metrics: one struct for each thing that happens, whose `emit` writes the log line and counts the metric
//! together, so that the two can't drift apart.
//!
//! Rules: no secret, no URL and nothing that a client chooses is a label; a log line names ids and at most a host, because
//! a URL may hold a token. An attempt is a line at debug; something that an operator should know is info or warn. A gauge
//! counts things alive now, see [`gauges`]. Every metric is declared in [`metrics`].

mod cluster;
pub(crate) mod events;
mod exporting;
pub(crate) mod gauges;
mod http_requests;
mod log_throttle;
pub(crate) mod logging;
mod metric_spec;
pub mod metrics;
mod requests;
pub mod traces;
mod watching;

pub(crate) use cluster::{
    ClockOffset, ClusterSeen, FormerProcessEnded, NeighbourFound, NodeJoined, NodeJoinedAgain, NodeLeft,
    PartitionsMoved, PushEnded, RightsEnded, RightsLost,
};
pub(crate) use events::*;
pub(crate) use exporting::{ExportFailed, SpansDropped, SpansExported};
pub use logging::LogFormat;
pub(crate) use logging::{LoggingError, install_logging};
pub(crate) use metrics::install_metrics;
pub(crate) use requests::{HttpRequestServed, IngestOverloaded, Overload, StoreMissed};
pub(crate) use watching::{CertificatesCounted, DatabaseMeasured, OldestPending, WebhooksCounted};
