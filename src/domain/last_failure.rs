//! The newest failed attempt of an endpoint, which its owner looks for first.

use super::attempt::{AttemptError, NextStep, Outcome};
use super::ids::{DeliveryId, EndpointId, OrganizationId};
use super::time::UnixMillis;

/// Bytes of a response's body that are kept. Smaller: only the head of an error page is visible. Larger: a row that is
/// written every few seconds while an endpoint fails, and read with each page about it, repeats more of the log.
pub(crate) const EXCERPT_BYTES: usize = 512;

/// A failed attempt, as far as it is shown with its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    /// When the attempt ended.
    pub at: UnixMillis,
    /// The log may no longer have this delivery.
    pub delivery_id: DeliveryId,
    /// `None` without a response.
    pub response_code: Option<u16>,
    /// `None` with a response; by its name in the API.
    pub error: Option<String>,
    /// At most [`EXCERPT_BYTES`] of the response's body, unchanged; `None` without a response.
    pub excerpt: Option<Vec<u8>>,
}

impl LastFailure {
    /// The record of a failed attempt; `None` for one that succeeded.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        if outcome.next == NextStep::Succeeded {
            return None;
        }
        let answer = outcome.result.response.as_ref();
        Some(Self {
            organization_id: outcome.organization_id,
            endpoint_id: outcome.endpoint_id,
            at: outcome.finished_at,
            delivery_id: outcome.delivery_id,
            response_code: answer.ok().map(|response| response.status),
            error: answer.err().map(|error| AttemptError::as_str(*error).to_owned()),
            excerpt: answer.ok().map(|response| beginning(&response.body).to_vec()),
        })
    }

    /// The excerpt as text.
    pub fn text(&self) -> Option<String> {
        self.excerpt.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// The part that is kept, without a character that was cut.
fn beginning(body: &[u8]) -> &[u8] {
    let Some(cut) = body.get(..EXCERPT_BYTES).filter(|cut| cut.len() < body.len()) else { return body };
    match std::str::from_utf8(cut) {
        // an incomplete character at the end was cut here; any other invalid text was sent like that
        Err(fault) if fault.error_len().is_none() => &cut[..fault.valid_up_to()],
        _ => cut,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::domain::attempt::{AttemptResult, Response};

    fn outcome(answer: Result<(u16, &[u8]), AttemptError>, next: NextStep) -> Outcome {
        let answer = answer.map(|(status, body)| Response::new(status, Vec::new(), Bytes::copy_from_slice(body)));
        Outcome {
            organization_id: OrganizationId(1),
            endpoint_id: EndpointId(2),
            delivery_id: DeliveryId(3),
            number: 1,
            started_at: UnixMillis(4),
            finished_at: UnixMillis(5),
            ordered: false,
            request: crate::domain::sent_request::SentRequest::default(),
            result: AttemptResult { response: answer, duration: Duration::ZERO },
            next,
        }
    }

    #[test]
    fn every_attempt_that_does_not_succeed_is_a_failure_whether_it_is_retried_or_not() {
        assert_eq!(LastFailure::of(&outcome(Ok((200, b"ok")), NextStep::Succeeded)), None);
        for next in [NextStep::Failed, NextStep::RetryAt(UnixMillis(9))] {
            let answered = LastFailure::of(&outcome(Ok((500, b"oh")), next)).unwrap();
            assert_eq!((answered.response_code, answered.error.as_deref()), (Some(500), None));
            assert_eq!((answered.at, answered.text().as_deref()), (UnixMillis(5), Some("oh")));
            let silent = LastFailure::of(&outcome(Err(AttemptError::Timeout), next)).unwrap();
            assert_eq!((silent.response_code, silent.error.as_deref()), (None, Some("timeout")));
            assert_eq!(silent.text(), None);
        }
    }

    #[test]
    fn an_excerpt_is_short_and_ends_with_a_whole_character() {
        let excerpt =
            |body: &[u8]| LastFailure::of(&outcome(Ok((500, body)), NextStep::Failed)).unwrap().excerpt.unwrap();
        assert_eq!(excerpt(&[b'a'; EXCERPT_BYTES]).len(), EXCERPT_BYTES);
        assert_eq!(excerpt(&[b'a'; 16_384]).len(), EXCERPT_BYTES);
        let cut = format!("a{}", "é".repeat(EXCERPT_BYTES));
        assert_eq!(excerpt(cut.as_bytes()), &cut.as_bytes()[..EXCERPT_BYTES - 1]);
        // bytes that are not text stay unchanged
        assert_eq!(excerpt(&[0xff; 600]), [0xff; EXCERPT_BYTES]);
        assert_eq!(excerpt(b"\xc3"), b"\xc3", "nothing was cut");
    }
}
