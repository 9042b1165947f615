//! One HTTP request of a delivery: its result, and what that means (contract, "What an answer means").

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::ids::{DeliveryId, EndpointId, OrganizationId};
use super::retry::parse_retry_after;
use super::sent_request::SentRequest;
use super::time::UnixMillis;

mod fault;
mod proxy_fault;
mod token_fault;

pub use fault::{DnsFault, TlsFault, in_words};
pub use proxy_fault::ProxyFault;
pub use token_fault::TokenFault;

/// Why there is no response. A receiver's failure is an outcome, not an error of this engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptError {
    /// The whole attempt did not fit into the endpoint's timeout.
    Timeout,
    /// The host name has no address.
    DnsFailure(DnsFault),
    /// Nothing listens on that port.
    ConnectionRefused,
    /// The connection was closed or reset before a response.
    ConnectionReset,
    /// The same for a reused connection, within a second: the receiver had already closed it when the request arrived (see
    /// [`super::follow_up`]). API and metrics show it as a connection reset.
    IdleConnectionClosed,
    /// Any other failure to connect: unreachable network or host.
    ConnectionFailed,
    /// The same, by the account of the egress proxy. API and metrics show it as a failed connection.
    ProxyFailure(ProxyFault),
    /// The TLS handshake failed.
    TlsFailure(TlsFault),
    /// The bytes that came back are not an acceptable HTTP/1.1 response.
    InvalidResponse,
    /// The address is not allowed as a target; no connection was made.
    BlockedAddress,
    /// The stored URL or headers can't be made into a request.
    InvalidRequest,
    /// There was no token of OAuth 2.0 for it; nothing was sent to the receiver.
    TokenFailure(TokenFault),
}

impl AttemptError {
    /// Every error; one example of those with a detail.
    pub(crate) const ALL: [Self; 12] = [
        Self::Timeout,
        Self::DnsFailure(DnsFault::NoSuchName),
        Self::ConnectionRefused,
        Self::ConnectionReset,
        Self::IdleConnectionClosed,
        Self::ConnectionFailed,
        Self::ProxyFailure(ProxyFault::Unreachable),
        Self::TlsFailure(TlsFault::Broken),
        Self::InvalidResponse,
        Self::BlockedAddress,
        Self::InvalidRequest,
        Self::TokenFailure(TokenFault::Timeout),
    ];

    /// The name in the API, the database and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::DnsFailure(_) => "dns_failure",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset | Self::IdleConnectionClosed => "connection_reset",
            Self::ConnectionFailed | Self::ProxyFailure(_) => "connection_failed",
            Self::TlsFailure(_) => "tls_failure",
            Self::InvalidResponse => "invalid_response",
            Self::BlockedAddress => "blocked_address",
            Self::InvalidRequest => "invalid_request",
            Self::TokenFailure(_) => "token_failure",
        }
    }

    /// What exactly went wrong and what to do, in a sentence; `None` where the error says everything. Never for a forbidden
    /// address: nobody may learn what is there.
    pub fn detail(self) -> Option<String> {
        match self {
            Self::DnsFailure(fault) => Some(fault.to_string()),
            Self::ProxyFailure(fault) => Some(fault.to_string()),
            Self::TlsFailure(fault) => Some(fault.to_string()),
            Self::TokenFailure(fault) => Some(fault.to_string()),
            _ => None,
        }
    }

    /// The same as it is stored; [`in_words`] reads it.
    pub(crate) fn detail_code(self) -> Option<String> {
        match self {
            Self::DnsFailure(fault) => Some(fault.stored()),
            Self::ProxyFailure(fault) => Some(fault.code().to_owned()),
            Self::TlsFailure(fault) => Some(fault.stored()),
            Self::TokenFailure(fault) => Some(fault.stored()),
            _ => None,
        }
    }
}

/// Why an attempt was not made: this machine lacked a resource, or its egress proxy failed. It says nothing about the receiver, so it is not an
/// outcome: the delivery is due as before, and the attempt is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalFault {
    /// No file descriptor, of the process or of the machine.
    OpenFiles,
    /// No memory for a socket.
    Memory,
    /// No local port towards this receiver.
    Ports,
    /// This node's lease was not renewed in time: another node may have taken over.
    Lease,
    /// No connection to the egress proxy.
    ProxyUnreachable,
    /// The egress proxy wants other credentials (407).
    ProxyCredentials,
    /// What answers at the egress proxy's address is none, refuses everything, or does not speak HTTP/1.1.
    ProxyAnswer,
    /// The egress proxy takes connections and answers about none of several receivers.
    ProxySilent,
}

impl LocalFault {
    /// Every fault.
    pub(crate) const ALL: [Self; 8] = [
        Self::OpenFiles,
        Self::Memory,
        Self::Ports,
        Self::Lease,
        Self::ProxyUnreachable,
        Self::ProxyCredentials,
        Self::ProxyAnswer,
        Self::ProxySilent,
    ];

    /// Whether the egress proxy is what fails.
    pub(crate) fn is_of_proxy(self) -> bool {
        matches!(self, Self::ProxyUnreachable | Self::ProxyCredentials | Self::ProxyAnswer | Self::ProxySilent)
    }

    /// The name in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OpenFiles => "open_files",
            Self::Memory => "memory",
            Self::Ports => "ports",
            Self::Lease => "lease",
            Self::ProxyUnreachable => "proxy_unreachable",
            Self::ProxyCredentials => "proxy_credentials",
            Self::ProxyAnswer => "proxy_answer",
            Self::ProxySilent => "proxy_silent",
        }
    }
}

/// A response, as far as it is kept: headers and body are excerpts (see the transport's limits).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, values with invalid UTF-8 replaced; at most 8 KiB in all.
    pub headers: Vec<(String, String)>,
    /// The first 16 KiB of the body, unchanged.
    pub body: Bytes,
    /// Why it is no longer.
    pub body_end: BodyEnd,
}

/// Why no more of a body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// That was all.
    Whole,
    /// As much as is kept was there; perhaps more followed.
    Full,
    /// The rest did not come in the attempt's time.
    Stalled,
    /// The connection was closed before the end, or what came is no body.
    Cut,
}

impl Response {
    /// With a body that came whole.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Self {
        Self { status, headers, body, body_end: BodyEnd::Whole }
    }

    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptResult {
    /// The response, or why there is none.
    pub response: Result<Response, AttemptError>,
    /// From the start of the attempt to the response's head, or to the failure.
    pub duration: Duration,
}

/// Responses that are final by default, but that an endpoint wants retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// 4xx other than 410.
    pub client_errors: bool,
    /// 3xx.
    pub redirects: bool,
}

/// What an attempt means for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Success,
    /// Failed, and worth another attempt; `not_before` is the receiver's `Retry-After`.
    Retry {
        /// Never earlier than this.
        not_before: Option<UnixMillis>,
    },
    /// Failed, and not worth a retry.
    Fail,
    /// Failed, and the receiver is permanently gone (410).
    Gone,
}

/// Applies the contract's table of responses.
pub fn judge(answer: &Result<Response, AttemptError>, retry_on: RetryOn, now: UnixMillis) -> Verdict {
    let response = match answer {
        Ok(response) => response,
        Err(AttemptError::BlockedAddress) => return Verdict::Fail,
        Err(_) => return Verdict::Retry { not_before: None },
    };
    let retry = || Verdict::Retry {
        not_before: response.header("retry-after").and_then(|text| parse_retry_after(text, now)),
    };
    match response.status {
        200..=299 => Verdict::Success,
        410 => Verdict::Gone,
        408 | 425 | 429 | 500..=599 => retry(),
        400..=499 if retry_on.client_errors => retry(),
        300..=399 if retry_on.redirects => retry(),
        300..=499 => Verdict::Fail,
        // 1xx as a final response, or a code outside HTTP's range
        _ => Verdict::Retry { not_before: None },
    }
}

/// Whether the verdict shows a receiver that works: it gave a deliberate response, even if that was a refusal.
pub(crate) fn proves_alive(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Retry { .. })
}

/// The record of an attempt, and the next step of its delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    pub delivery_id: DeliveryId,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// When the attempt began.
    pub started_at: UnixMillis,
    /// When it ended.
    pub finished_at: UnixMillis,
    /// Whether the endpoint is ordered: its retry then keeps the delivery's place in the queue.
    pub ordered: bool,
    /// What was sent.
    pub request: SentRequest,
    /// The response or error, and how long it took.
    pub result: AttemptResult,
    /// What the delivery does next.
    pub next: NextStep,
}

/// What a delivery does after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Final: success.
    Succeeded,
    /// Final: failed.
    Failed,
    /// Stays pending; the next attempt is not before this instant.
    RetryAt(UnixMillis),
    /// The same, but this attempt uses up no retry.
    UncountedRetryAt(UnixMillis),
}

impl NextStep {
    /// When the delivery is attempted again; `None` when it has ended.
    pub(crate) fn due_at(self) -> Option<UnixMillis> {
        match self {
            Self::RetryAt(at) | Self::UncountedRetryAt(at) => Some(at),
            Self::Succeeded | Self::Failed => None,
        }
    }
}

/// An attempt in the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRecord {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub started_at: UnixMillis,
    /// Until the response's head, or until the failure.
    pub duration_ms: u64,
    /// `None` without a response.
    pub response_code: Option<u16>,
    /// `None` with a response; see [`AttemptError::as_str`].
    pub error: Option<String>,
    /// See [`AttemptError::detail`].
    pub error_detail: Option<String>,
    /// As sent.
    pub request_headers: serde_json::Map<String, serde_json::Value>,
    /// As received, an excerpt.
    pub response_headers: Option<serde_json::Map<String, serde_json::Value>>,
    /// As received, an excerpt; invalid UTF-8 is replaced.
    pub response_body: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Result<Response, AttemptError> {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Response::new(status, headers, Bytes::new()))
    }

    #[test]
    fn every_response_means_what_the_contract_says() {
        let now = UnixMillis(1_000_000);
        let strict = RetryOn::default();
        let wide = RetryOn { client_errors: true, redirects: true };
        let retry = Verdict::Retry { not_before: None };
        for (status, by_default, widened) in [
            (200, Verdict::Success, Verdict::Success),
            (204, Verdict::Success, Verdict::Success),
            (299, Verdict::Success, Verdict::Success),
            (301, Verdict::Fail, retry),
            (304, Verdict::Fail, retry),
            (400, Verdict::Fail, retry),
            (404, Verdict::Fail, retry),
            (408, retry, retry),
            (410, Verdict::Gone, Verdict::Gone),
            (425, retry, retry),
            (429, retry, retry),
            (499, Verdict::Fail, retry),
            (500, retry, retry),
            (503, retry, retry),
            (599, retry, retry),
        ] {
            assert_eq!(judge(&answer(status, &[]), strict, now), by_default, "{status}");
            assert_eq!(judge(&answer(status, &[]), wide, now), widened, "{status} widened");
        }
    }

    #[test]
    fn a_missing_response_is_retried_unless_the_target_is_forbidden() {
        for error in AttemptError::ALL {
            let verdict = judge(&Err(error), RetryOn::default(), UnixMillis(0));
            assert_eq!(verdict == Verdict::Fail, error == AttemptError::BlockedAddress, "{error:?}");
        }
    }

    #[test]
    fn retry_after_counts_only_for_responses_that_are_retried() {
        let now = UnixMillis(1_000_000);
        let header = [("retry-after", "120")];
        let expected = Verdict::Retry { not_before: Some(UnixMillis(1_120_000)) };
        assert_eq!(judge(&answer(503, &header), RetryOn::default(), now), expected);
        assert_eq!(judge(&answer(200, &header), RetryOn::default(), now), Verdict::Success);
        assert_eq!(judge(&answer(400, &header), RetryOn::default(), now), Verdict::Fail);
    }
}
