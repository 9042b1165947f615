//! What happens at the doors: requests that were answered, and publishers that were turned away.

use std::time::Duration;

use tracing::{debug, error, warn};

use super::events::{API, INGEST};
use super::metrics::count_http_request;
use super::rarely::Rarely;
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Of a path in a log line. Longer: whoever asks for nonsense fills the log faster.
const MAX_PATH_CHARACTERS: usize = 200;

/// The API or the dashboard answered a request.
pub(crate) struct HttpRequestServed<'a> {
    /// The pattern that matched, for example `/v1/webhooks/{id}`; `None` when none did.
    pub route: Option<&'a str>,
    /// For example `GET`; unusual ones count as `other`.
    pub method: &'a str,
    /// Of the answer.
    pub status: u16,
    /// As it was asked for, without the query: that may hold what signs somebody in.
    pub path: &'a str,
    /// From the head of the request to the head of the answer.
    pub duration: Duration,
    /// Whose key was accepted.
    pub organization_id: Option<OrganizationId>,
    /// Which key.
    pub key_id: Option<KeyId>,
    /// As in the answer's `x-request-id`.
    pub request_id: &'a str,
}

impl HttpRequestServed<'_> {
    /// Counts it and writes a line at debug; one at error for a defect of ours, so that the id that the caller was given
    /// is found.
    pub(crate) fn emit(&self) {
        count_http_request(self.route.unwrap_or("unmatched"), self.method, self.status);
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: API,
                    method = self.method, path = self.short_path(), status = self.status,
                    duration_ms = self.duration.as_micros() as f64 / 1e3,
                    organization = self.organization_id.map(tracing::field::display),
                    key = self.key_id.map(tracing::field::display),
                    request_id = self.request_id, "request answered"
                )
            };
        }
        match self.status {
            500 => line!(error),
            _ => line!(debug),
        }
    }

    fn short_path(&self) -> &str {
        let end = self.path.char_indices().nth(MAX_PATH_CHARACTERS).map_or(self.path.len(), |(end, _)| end);
        &self.path[..end]
    }
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overload {
    /// Events wait for their commit.
    UncommittedEvents,
    /// The same, by their bytes.
    UncommittedBytes,
    /// Large bodies arrive at once.
    ArrivingBytes,
    /// A commit that began has not ended for as long as publishers wait.
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

/// A publisher was refused with 503 because there is too much of something.
pub(crate) struct IngestOverloaded {
    /// Of what.
    pub cause: Overload,
    /// When.
    pub now: UnixMillis,
    /// Events that wait for their commit; `None` where they are not the cause.
    pub uncommitted_events: Option<usize>,
}

impl IngestOverloaded {
    /// Writes a warning now and then: refusals come by the thousand.
    pub(crate) fn emit(&self) {
        static GATES: [Rarely; 4] = [const { Rarely::new() }; 4];
        let Some(left_out) = GATES[self.cause as usize].opens(self.now) else { return };
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
            HttpRequestServed {
                route: None,
                method,
                status: 404,
                path,
                duration,
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
