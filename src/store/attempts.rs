//! Lists of events, of attempts, and of an endpoint's deliveries with their events, that are read in both directions.

use bytes::Bytes;

use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::ids::{DeliveryId, EndpointId, EventId};
use crate::domain::labels::EventLabels;
use crate::domain::round::RoundPlace;
use crate::domain::time::UnixMillis;

/// The place of an attempt in a list: newer deliveries are greater, and of one delivery newer attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptPosition {
    pub delivery_id: DeliveryId,
    /// From 1.
    pub number: u32,
}

/// Where a page begins. Its rows are newest first, whatever the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEdge<P> {
    /// The newest rows.
    Newest,
    /// The newest rows of those that are older.
    OlderThan(P),
    /// The oldest rows of those that are newer.
    NewerThan(P),
}

impl<P: Copy> PageEdge<P> {
    /// Whether the rows are read from the newest one on.
    pub(super) fn is_backwards(self) -> bool {
        !matches!(self, Self::NewerThan(_))
    }
}

/// Whose attempts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptsOf {
    /// Of an endpoint, also of one that was deleted.
    Endpoint(EndpointId),
    /// Of an event, at all endpoints or at one.
    Event(EventId, Option<EndpointId>),
}

impl AttemptsOf {
    pub(super) fn endpoint_id(self) -> Option<EndpointId> {
        match self {
            Self::Endpoint(id) => Some(id),
            Self::Event(_, endpoint_id) => endpoint_id,
        }
    }

    pub(super) fn event_id(self) -> Option<EventId> {
        match self {
            Self::Endpoint(_) => None,
            Self::Event(id, _) => Some(id),
        }
    }
}

/// A class of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeClass {
    /// No response.
    NoResponse,
    /// Codes that begin with this digit.
    Digit(u16),
}

/// Which deliveries a list is about; an absent field matches all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    pub of: AttemptsOf,
    /// Of one of these types; none: of all.
    pub event_types: Vec<String>,
    /// Whose events have this channel.
    pub channel: Option<String>,
    /// Created at or after.
    pub from: Option<UnixMillis>,
    /// Created before.
    pub to: Option<UnixMillis>,
}

impl ListFilter {
    /// All deliveries.
    pub fn all(of: AttemptsOf) -> Self {
        Self { of, event_types: Vec::new(), channel: None, from: None, to: None }
    }

    /// Whether events of a type are listed.
    pub(super) fn has_type(&self, event_type: &str) -> bool {
        self.event_types.is_empty() || self.event_types.iter().any(|known| known == event_type)
    }
}

/// Which attempts of these deliveries to return; an absent field matches all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFilter {
    pub deliveries: ListFilter,
    /// Whether the response was a 2xx.
    pub succeeded: Option<bool>,
    pub code_class: Option<CodeClass>,
}

impl AttemptFilter {
    pub(super) fn has_code(&self, code: Option<u16>) -> bool {
        let succeeded = is_success(code);
        let class = code.map_or(CodeClass::NoResponse, |code| CodeClass::Digit(code / 100));
        self.succeeded.is_none_or(|wanted| wanted == succeeded)
            && self.code_class.is_none_or(|wanted| wanted == class)
    }
}

/// Whether an attempt with this response succeeded.
pub(super) fn is_success(code: Option<u16>) -> bool {
    code.is_some_and(|code| (200..300).contains(&code))
}

/// Which page of the attempts to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptPageRequest {
    pub edge: PageEdge<AttemptPosition>,
    /// At most this many.
    pub limit: usize,
    /// Whether responses are read as well.
    pub with_response: bool,
}

/// An attempt in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAttempt {
    pub at: AttemptPosition,
    pub event_id: EventId,
    pub endpoint_id: EndpointId,
    /// The endpoint's URL as it is now; `None` when the endpoint was deleted.
    pub url: Option<String>,
    pub event_type: String,
    /// Whether it was the attempt of a manual round. Known of the last round only: an attempt of an earlier one counts as
    /// scheduled.
    pub is_manual: bool,
    /// When it began.
    pub started_at: UnixMillis,
    pub duration_ms: u64,
    /// `None` without a response.
    pub response_code: Option<u16>,
    /// `None` with a response.
    pub error: Option<String>,
    /// An excerpt. `None` without a response, and when it was not asked for.
    pub response_body: Option<String>,
}

/// Whether attempt `number` was the one of its delivery's manual round.
pub(super) fn is_manual(number: u32, attempts_before_round: i32) -> bool {
    RoundPlace::of(number, attempts_before_round).is_manual()
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgePage<T, P> {
    /// Newest first.
    pub rows: Vec<T>,
    /// Behind this, in the direction of the page, there may be more rows; `None` at the end. A page has fewer rows than its limit
    /// when it has looked at as many as one page may.
    pub next: Option<P>,
}

/// Which page of an endpoint's deliveries to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePageRequest {
    pub edge: PageEdge<DeliveryId>,
    /// At most this many.
    pub limit: usize,
    /// In one of these statuses; none: in any.
    pub statuses: Vec<DeliveryStatus>,
    /// Whether any of its attempts succeeded, however a resend ended; `None` matches all.
    pub succeeded: Option<bool>,
    /// Whether bodies are read as well.
    pub with_body: bool,
}

/// Which events to return; an absent field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventListFilter {
    /// Of one of these types; none: of all.
    pub event_types: Vec<String>,
    pub channel: Option<String>,
    pub tag: Option<String>,
    /// Accepted at or after.
    pub from: Option<UnixMillis>,
    /// Accepted before.
    pub to: Option<UnixMillis>,
}

impl EventListFilter {
    /// Whether an event is returned that was accepted within the period.
    pub(super) fn selects(&self, event_type: &str, labels: &EventLabels) -> bool {
        let has = |wanted: &Option<String>, texts: &[String]| {
            wanted.as_ref().is_none_or(|wanted| texts.contains(wanted))
        };
        (self.event_types.is_empty() || self.event_types.iter().any(|known| known == event_type))
            && has(&self.channel, &labels.channels)
            && has(&self.tag, &labels.tags)
    }
}

/// Which page of an organization's events to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPageRequest {
    pub edge: PageEdge<EventId>,
    /// At most this many.
    pub limit: usize,
    /// Whether bodies are read as well.
    pub with_body: bool,
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEvent {
    pub id: EventId,
    pub event_type: String,
    pub accepted_at: UnixMillis,
    pub labels: EventLabels,
    /// What receivers get. `None` when it was not asked for.
    pub body: Option<Bytes>,
}

/// A delivery with its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub delivery: DeliveryRecord,
    /// When the event happened.
    pub occurred_at: UnixMillis,
    /// When the event was accepted.
    pub accepted_at: UnixMillis,
    pub labels: EventLabels,
    /// What the receiver gets. `None` when it was not asked for.
    pub body: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_a_success_with_2xx_only_and_classes_go_by_the_first_digit() {
        let of = |succeeded, code_class| AttemptFilter {
            deliveries: ListFilter::all(AttemptsOf::Endpoint(EndpointId(1))),
            succeeded,
            code_class,
        };
        for (code, success, class) in [
            (None, false, CodeClass::NoResponse),
            (Some(199), false, CodeClass::Digit(1)),
            (Some(200), true, CodeClass::Digit(2)),
            (Some(299), true, CodeClass::Digit(2)),
            (Some(300), false, CodeClass::Digit(3)),
            (Some(599), false, CodeClass::Digit(5)),
        ] {
            assert!(of(None, None).has_code(code));
            assert!(of(Some(success), Some(class)).has_code(code), "{code:?}");
            assert!(!of(Some(!success), None).has_code(code), "{code:?}");
            assert!(!of(None, Some(CodeClass::Digit(7))).has_code(code), "{code:?}");
        }
    }
}
