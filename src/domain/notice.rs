//! Notices: what the applications of the management environment are told about the webhooks of other organizations. Svix calls
//! them operational webhooks.

use serde::{Deserialize, Serialize};

use super::attempt::{NextStep, Outcome};
use super::delivery::QueuedDelivery;
use super::endpoint::Endpoint;
use super::ids::{EndpointId, OrganizationId};
use super::round::RoundPlace;
use super::time::UnixMillis;

/// After so many attempts of its schedule that failed, a delivery is told as failing: Svix's server does the same.
const FAILING_AFTER: u32 = 4;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    Created,
    Updated,
    Deleted,
    Disabled,
    Enabled,
    /// A delivery failed, with no retries left.
    Exhausted,
    /// A delivery failed several times, and is retried.
    Failing,
    /// A delivery succeeded after one of the two before.
    Recovered,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Updated,
        Self::Deleted,
        Self::Disabled,
        Self::Enabled,
        Self::Exhausted,
        Self::Failing,
        Self::Recovered,
    ];

    /// The type of its message.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Created => "endpoint.created",
            Self::Updated => "endpoint.updated",
            Self::Deleted => "endpoint.deleted",
            Self::Disabled => "endpoint.disabled",
            Self::Enabled => "endpoint.enabled",
            Self::Exhausted => "message.attempt.exhausted",
            Self::Failing => "message.attempt.failing",
            Self::Recovered => "message.attempt.recovered",
        }
    }

    /// What its type says to whoever chooses types.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Created => "An endpoint was made",
            Self::Updated => "An endpoint was changed, its secret and headers too",
            Self::Deleted => "An endpoint was deleted",
            Self::Disabled => "An endpoint was disabled, by a person or because it failed for days",
            Self::Enabled => "An endpoint was enabled",
            Self::Exhausted => "The last attempt to send a message failed",
            Self::Failing => "Four attempts to send a message failed, and another follows",
            Self::Recovered => "A message arrived after it was told as failing or exhausted",
        }
    }

    /// Reads the type of a message; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.event_type() == text)
    }
}

/// Something that is to be told, if anyone listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// Whose webhook it is about.
    pub organization_id: OrganizationId,
    pub kind: NoticeKind,
    /// Names its cause: two with the same one are the same.
    pub cause: String,
    pub facts: NoticeFacts,
}

/// What is known; kept as JSON, of which other versions may have written more or less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeFacts {
    pub endpoint_id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_uid: Option<String>,
    /// The own id of the organization; filled in when it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_uid: Option<String>,
    /// Of the event of the attempt; filled in when it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_uid: Option<String>,
    /// Of a webhook that the engine disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<i64>,
    /// The engine disabled it, and not a person.
    #[serde(default)]
    pub is_automatic: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<NoticedAttempt>,
}

/// The attempt that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticedAttempt {
    pub delivery_id: i64,
    pub event_id: i64,
    pub number: u32,
    /// `None` without a response.
    pub response_code: Option<u16>,
    pub at: i64,
    /// It is told only if the attempt before it failed: this one was resent, and perhaps after a success.
    #[serde(default)]
    pub needs_failure: bool,
}

impl NewNotice {
    /// About a webhook as it is now.
    pub(crate) fn of_endpoint(kind: NoticeKind, endpoint: &Endpoint) -> Self {
        let Endpoint { id, organization_id, version, .. } = *endpoint;
        Self {
            organization_id,
            kind,
            cause: format!("{}/{}/{version}", kind.event_type(), id.0),
            facts: NoticeFacts {
                endpoint_id: id.0,
                endpoint_uid: endpoint.uid.as_ref().map(ToString::to_string),
                ..NoticeFacts::default()
            },
        }
    }

    /// About a webhook that is deleted.
    pub(crate) fn of_deleted(organization_id: OrganizationId, id: EndpointId, uid: Option<String>) -> Self {
        let kind = NoticeKind::Deleted;
        let facts = NoticeFacts { endpoint_id: id.0, endpoint_uid: uid, ..NoticeFacts::default() };
        Self { organization_id, kind, cause: format!("{}/{}", kind.event_type(), id.0), facts }
    }

    /// About a change of a webhook that was active before it, or not.
    pub(crate) fn of_change(was_active: bool, after: &Endpoint) -> Vec<Self> {
        let switched = match (was_active, after.active) {
            (true, false) => Some(NoticeKind::Disabled),
            (false, true) => Some(NoticeKind::Enabled),
            _ => None,
        };
        let kinds = std::iter::once(NoticeKind::Updated).chain(switched);
        kinds.map(|kind| Self::of_endpoint(kind, after)).collect()
    }

    /// About a webhook that the engine has disabled.
    pub(crate) fn of_disabled(endpoint: &Endpoint, failing_since: Option<UnixMillis>) -> Self {
        let mut notice = Self::of_endpoint(NoticeKind::Disabled, endpoint);
        notice.facts.is_automatic = true;
        notice.facts.failing_since = failing_since.or(endpoint.disabled_at).map(|since| since.0);
        notice
    }

    /// About an attempt of a delivery; `None` for most.
    pub(crate) fn of_attempt(outcome: &Outcome, delivery: &QueuedDelivery) -> Option<Self> {
        let place = RoundPlace::of(outcome.number, delivery.attempts_not_counted);
        let (kind, needs_failure) = kind_of(outcome, delivery, place)?;
        let Outcome { organization_id, endpoint_id, delivery_id, number, finished_at, .. } = *outcome;
        let attempt = NoticedAttempt {
            delivery_id: delivery_id.0,
            event_id: delivery.event.id.0,
            number,
            response_code: outcome.result.response.as_ref().ok().map(|response| response.status),
            at: finished_at.0,
            needs_failure,
        };
        let facts = NoticeFacts { endpoint_id: endpoint_id.0, attempt: Some(attempt), ..NoticeFacts::default() };
        let cause = format!("{}/{}/{number}", kind.event_type(), delivery_id.0);
        Some(Self { organization_id, kind, cause, facts })
    }
}

/// What an attempt tells, and whether only after a failure.
fn kind_of(outcome: &Outcome, delivery: &QueuedDelivery, place: RoundPlace) -> Option<(NoticeKind, bool)> {
    match outcome.next {
        // of a manual attempt whoever made it learns
        NextStep::Failed if !place.is_manual() => Some((NoticeKind::Exhausted, false)),
        NextStep::RetryAt(_) if !place.is_manual() && place.in_its_round() == FAILING_AFTER => {
            Some((NoticeKind::Failing, false))
        }
        NextStep::Succeeded if !place.is_manual() && place.in_its_round() > FAILING_AFTER => {
            Some((NoticeKind::Recovered, false))
        }
        NextStep::Succeeded => {
            let begins_later_round = place.in_its_round() == 1 && outcome.number > 1;
            (begins_later_round && delivery.follow_up.is_none()).then_some((NoticeKind::Recovered, true))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::{AttemptError, AttemptResult};
    use crate::domain::event::Event;
    use crate::domain::ids::{DeliveryId, EventId};
    use crate::domain::round::Rounds;
    use crate::domain::sent_request::SentRequest;
    use std::sync::Arc;
    use std::time::Duration;

    fn told(number: u32, attempts_not_counted: i32, next: NextStep) -> Option<(NoticeKind, bool)> {
        let event = Event {
            id: EventId(4),
            organization_id: OrganizationId(1),
            event_type: "a.b".to_owned(),
            occurred_at: UnixMillis(0),
            accepted_at: UnixMillis(0),
            body: bytes::Bytes::new(),
            trace: None,
        };
        let first = QueuedDelivery::first(DeliveryId(3), UnixMillis(0), Arc::new(event));
        let delivery = QueuedDelivery { attempts_made: number - 1, attempts_not_counted, ..first };
        let outcome = Outcome {
            organization_id: OrganizationId(1),
            endpoint_id: EndpointId(2),
            delivery_id: DeliveryId(3),
            number,
            started_at: UnixMillis(1),
            finished_at: UnixMillis(2),
            ordered: false,
            request: SentRequest::default(),
            result: AttemptResult { response: Err(AttemptError::Timeout), duration: Duration::ZERO },
            next,
        };
        let notice = NewNotice::of_attempt(&outcome, &delivery)?;
        Some((notice.kind, notice.facts.attempt.unwrap().needs_failure))
    }

    #[test]
    fn a_delivery_is_told_at_its_fourth_failure_at_its_last_and_when_it_succeeds_after_one_of_them() {
        let retry = NextStep::RetryAt(UnixMillis(9));
        for number in [1, 2, 3, 5, 6] {
            assert_eq!(told(number, 0, retry), None);
        }
        assert_eq!(told(4, 0, retry), Some((NoticeKind::Failing, false)));
        assert_eq!(told(1, 0, NextStep::Failed), Some((NoticeKind::Exhausted, false)));
        for number in 1..=4 {
            assert_eq!(told(number, 0, NextStep::Succeeded), None, "nothing was told before");
        }
        assert_eq!(told(5, 0, NextStep::Succeeded), Some((NoticeKind::Recovered, false)));
        assert_eq!(told(6, 5, NextStep::Succeeded), Some((NoticeKind::Recovered, true)), "sent again");
    }

    #[test]
    fn of_a_manual_attempt_only_a_success_is_told() {
        let manual = 5 - Rounds::Once.begins_at();
        assert_eq!(told(6, manual, NextStep::Failed), None);
        assert_eq!(told(6, manual, NextStep::Succeeded), Some((NoticeKind::Recovered, true)));
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in NoticeKind::ALL {
            assert_eq!(NoticeKind::parse(kind.event_type()), Some(kind));
        }
        assert_eq!(NoticeKind::parse("endpoint.moved"), None);
    }
}
