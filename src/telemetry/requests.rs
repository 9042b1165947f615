//! Requests to the API and the dashboard, and publishers that are refused for overload.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::events::{API, INGEST};
use super::http_requests::known_method;
use super::log_throttle::{LogBudget, LogThrottle};
use super::metrics::METRICS;
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Target of the access log.
pub(super) const ACCESS: &str = "ringback::access";

/// Lines a second of the access log about callers with a valid key. Smaller: a busy engine's log says less. Larger: a line costs
/// as much as some hundred bytes on the disk, and a client that loops writes more of them.
const LINES_OF_CALLERS: u32 = 2_000;
/// The same about everybody else: probes, people who use the dashboard, and strangers, who could fill the disk.
const LINES_OF_OTHERS: u32 = 100;

/// Lines a second about requests for which the database was not there. Smaller: it is said later that there are others.
/// Larger: strangers fill the log during an outage, because their keys are looked for too.
const LINES_OF_OUTAGE: u32 = 1;

/// Characters of a path in a log line. Longer: a client that requests nonsense fills the log faster.
const MAX_PATH_CHARACTERS: usize = 200;

/// The API or the dashboard answered a request.
pub(crate) struct HttpRequestServed<'a> {
    /// The pattern that matched, for example `/v1/webhooks/{id}`; `None` when none did.
    pub route: Option<&'a str>,
    /// For example `GET`; unusual ones count as `other`.
    pub method: &'a str,
    pub status: u16,
    /// As requested, without the query, which may hold a sign-in token.
    pub path: &'a str,
    /// From the head of the request to the head of the response.
    pub duration: Duration,
    /// When the response was ready.
    pub ended_at: Instant,
    /// Of the response's body; `None` if it is not known beforehand.
    pub bytes: Option<u64>,
    /// A key was accepted.
    pub has_key: bool,
    /// The owner of the accepted key; `None` for the admin key, and if none was accepted.
    pub organization_id: Option<OrganizationId>,
    pub key_id: Option<KeyId>,
    /// As in the response's `x-request-id`.
    pub request_id: &'a str,
}

impl HttpRequestServed<'_> {
    /// Counts the request and logs it: in the access log where that is on, else at debug. A defect of ours (500) is a line at
    /// error as well, so that an operator finds the request id that the caller reports.
    pub(crate) fn emit(&self) {
        METRICS.http_requests.count(self.route(), self.method, self.status);
        let has_access_log = tracing::enabled!(target: ACCESS, tracing::Level::INFO);
        if has_access_log {
            self.log_access();
        }
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: API,
                    method = known_method(self.method), path = self.short_path(), status = self.status,
                    duration_ms = self.duration.as_micros() as f64 / 1e3,
                    organization = self.organization_id.map(tracing::field::display),
                    key = self.key_id.map(tracing::field::display),
                    request_id = self.request_id, "request answered"
                )
            };
        }
        match self.status {
            500 => line!(error),
            _ if has_access_log => {}
            _ => line!(debug),
        }
    }

    /// One line of the access log: the request's own id is all that a client chooses of it.
    fn log_access(&self) {
        static OF_CALLERS: LogBudget = LogBudget::new(LINES_OF_CALLERS);
        static OF_OTHERS: LogBudget = LogBudget::new(LINES_OF_OTHERS);
        let budget = if self.has_key { &OF_CALLERS } else { &OF_OTHERS };
        let Some(left_out) = budget.allow(self.ended_at, self.organization_id) else { return };
        info!(
            target: ACCESS,
            method = known_method(self.method), route = self.route(), status = self.status,
            duration_ms = self.duration.as_micros() as f64 / 1e3, bytes = self.bytes,
            organization = self.organization_id.map(tracing::field::display),
            key = self.key_id.map(tracing::field::display),
            request_id = self.request_id, left_out, "request answered"
        );
    }

    fn route(&self) -> &str {
        self.route.unwrap_or("unmatched")
    }

    fn short_path(&self) -> &str {
        let end = self.path.char_indices().nth(MAX_PATH_CHARACTERS).map_or(self.path.len(), |(end, _)| end);
        &self.path[..end]
    }
}

/// The database was not there for a request, which was answered with 503.
pub(crate) struct StoreMissed<'a> {
    pub reason: &'a dyn std::fmt::Display,
    pub at: Instant,
}

impl StoreMissed<'_> {
    /// Logs a warning, within a budget: in an outage every request fails.
    pub(crate) fn emit(&self) {
        static BUDGET: LogBudget = LogBudget::new(LINES_OF_OUTAGE);
        let Some(left_out) = BUDGET.allow(self.at, None) else { return };
        warn!(target: API, reason = %self.reason, left_out, "the database is not available to the API");
    }
}

/// Why publishers are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overload {
    /// Too many events wait for their commit.
    UncommittedEvents,
    /// The events that wait for their commit have too many bytes.
    UncommittedBytes,
    /// Too many bytes of request bodies are arriving at once.
    ArrivingBytes,
    /// A commit takes longer than publishers wait.
    SlowCommit,
}

impl Overload {
    fn as_str(self) -> &'static str {
        match self {
            Self::UncommittedEvents => "events that wait for a commit",
            Self::UncommittedBytes => "bytes that wait for a commit",
            Self::ArrivingBytes => "bytes of requests that arrive",
            Self::SlowCommit => "time that a commit takes",
        }
    }
}

/// A publisher was refused with 503.
pub(crate) struct IngestOverloaded {
    pub cause: Overload,
    pub now: UnixMillis,
    /// Events that wait for their commit; `None` if they are not the cause.
    pub uncommitted_events: Option<usize>,
}

impl IngestOverloaded {
    /// Logs a warning, throttled: refusals come by the thousand.
    pub(crate) fn emit(&self) {
        static THROTTLES: [LogThrottle; 4] = [const { LogThrottle::new() }; 4];
        let Some(left_out) = THROTTLES[self.cause as usize].allow(self.now) else { return };
        warn!(
            target: INGEST,
            too_much = self.cause.as_str(), uncommitted_events = self.uncommitted_events, left_out,
            "overloaded: publishers are refused with 503"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let path = |path: &'static str| {
            let (method, request_id) = ("GET", "1");
            let (organization_id, key_id) = (None, None);
            let duration = Duration::ZERO;
            #[expect(clippy::disallowed_methods, reason = "nothing is made of it")]
            let ended_at = Instant::now();
            HttpRequestServed {
                route: None,
                method,
                status: 404,
                path,
                duration,
                ended_at,
                bytes: None,
                has_key: false,
                organization_id,
                key_id,
                request_id,
            }
            .short_path()
            .chars()
            .count()
        };
        assert_eq!(path("/v1/webhooks"), 12);
        assert_eq!(path(Box::leak("é".repeat(5_000).into_boxed_str())), MAX_PATH_CHARACTERS);
    }
}
