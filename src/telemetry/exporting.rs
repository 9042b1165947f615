//! What happens to spans on their way to a collector.

use tracing::{info, warn};

use super::log_throttle::OutageLog;
use super::metrics::{METRICS, SPAN_LOSSES};
use crate::domain::time::UnixMillis;

const TRACES: &str = "ringback::traces";

static OUTAGES: OutageLog = OutageLog::new();

/// Why spans were dropped, in the order of [`SPAN_LOSSES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpansDropped {
    /// The collector is slower than spans are made.
    Full,
    /// It could not be reached, or has failed again and again.
    NotTaken,
    /// It does not want them.
    Refused,
}

impl SpansDropped {
    pub(crate) fn count(self, spans: usize) {
        METRICS.trace_spans_dropped.get(SPAN_LOSSES[self as usize]).increment(spans as u64);
    }
}

/// A collector took spans.
pub(crate) struct SpansExported {
    pub spans: usize,
    /// Before that, it had not.
    pub has_recovered: bool,
}

impl SpansExported {
    pub(crate) fn emit(&self) {
        METRICS.trace_spans_exported.increment(self.spans as u64);
        if self.has_recovered && OUTAGES.works_again() {
            info!(target: TRACES, "the collector takes spans again");
        }
    }
}

/// A collector did not take spans.
pub(crate) struct ExportFailed<'a> {
    pub now: UnixMillis,
    pub reason: &'a str,
    /// Given up; 0: they are sent again.
    pub dropped: usize,
    pub cause: SpansDropped,
}

impl ExportFailed<'_> {
    /// Counts those that are dropped, and logs a warning, throttled.
    pub(crate) fn emit(&self) {
        if self.dropped > 0 {
            self.cause.count(self.dropped);
        }
        if let Some(left_out) = OUTAGES.fails(self.now) {
            warn!(
                target: TRACES, error = self.reason, dropped = self.dropped, left_out,
                "the collector does not take spans: see that otlp_endpoint is its address for OTLP over HTTP; deliveries are not affected"
            );
        }
    }
}
