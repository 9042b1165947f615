//! Operational events: the engine publishes them about an organization's own webhooks, as events like the others.
//!
//! They are stored in the commit of the outcome that caused them, and only if a webhook subscribes to them. One about a
//! webhook never goes to that webhook, and none reports the failed delivery of another operational event, so that two
//! failing webhooks don't report each other for ever.

use serde_json::json;
use serde_json::value::RawValue;

use super::publication::Publication;
use crate::domain::attempt::Outcome;
use crate::domain::event::Event;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::machine::Announcement;
use crate::domain::time::UnixMillis;
use crate::store::{IdempotencyKey, NewEvent};

/// An operational event to be published with the outcome that caused it.
#[derive(Debug)]
pub(crate) struct OperationalEvent {
    pub publication: Publication,
    /// The webhook that it is about, which does not get it.
    pub about: EndpointId,
    /// It reports that the webhook was disabled, and is withheld if the commit finds that it was not.
    pub reports_disabling: bool,
}

impl OperationalEvent {
    /// The same event, to be matched again; what it reports is in the database.
    pub(crate) fn again(new: &NewEvent, about: EndpointId, data: Box<RawValue>) -> Self {
        let Event { organization_id, ref event_type, occurred_at, .. } = *new.event;
        let time = (occurred_at.to_string(), occurred_at);
        let mut publication = Publication::new(organization_id, event_type.clone(), time, data);
        publication.idempotency = new.idempotency.clone();
        Self { publication, about, reports_disabling: false }
    }
}

/// Makes the event of an announcement. `event_type` is the type of the event whose attempt caused it.
pub(crate) fn operational_event(
    announcement: Announcement,
    outcome: &Outcome,
    event_type: &str,
    event_id: &str,
    url: &str,
) -> Option<OperationalEvent> {
    let webhook_id = outcome.endpoint_id;
    let now = outcome.finished_at;
    let (name, data) = match announcement {
        Announcement::Failing { since } => {
            ("webhook.failing", json!({ "webhook_id": webhook_id, "url": url, "failing_since": since }))
        }
        Announcement::Recovered { failing_since } => (
            "webhook.recovered",
            json!({
                "webhook_id": webhook_id, "url": url, "failing_since": failing_since, "recovered_at": now
            }),
        ),
        Announcement::Disabled(reason) => (
            "webhook.disabled",
            json!({
                "webhook_id": webhook_id, "url": url, "disabled_reason": reason.as_str(), "disabled_at": now
            }),
        ),
        Announcement::Exhausted => (
            "delivery.exhausted",
            json!({
                "delivery_id": outcome.delivery_id, "event_id": event_id, "webhook_id": webhook_id,
                "event_type": event_type, "attempt_count": outcome.number,
                "response_code": outcome.result.response.as_ref().ok().map(|response| response.status),
                "error": outcome.result.response.as_ref().err().map(|error| error.as_str()),
            }),
        ),
    };
    let mut publication = publication(outcome.organization_id, name, now, &data)?;
    publication.idempotency = Some(IdempotencyKey::of_operational(outcome.delivery_id, outcome.number, name));
    let reports_disabling = matches!(announcement, Announcement::Disabled(_));
    Some(OperationalEvent { publication, about: webhook_id, reports_disabling })
}

fn publication(
    organization_id: OrganizationId,
    event_type: &str,
    now: UnixMillis,
    data: &serde_json::Value,
) -> Option<Publication> {
    // an object of strings and numbers always serializes
    let data = RawValue::from_string(data.to_string()).ok()?;
    Some(Publication::new(organization_id, event_type.to_owned(), (now.to_string(), now), data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::{AttemptError, AttemptResult, NextStep};
    use crate::domain::endpoint::DisabledReason;
    use crate::domain::event_types::OPERATIONAL;
    use crate::domain::ids::DeliveryId;
    use serde_json::Value;
    use std::time::Duration;

    fn outcome() -> Outcome {
        Outcome {
            organization_id: OrganizationId(1),
            endpoint_id: EndpointId(2),
            delivery_id: DeliveryId(3),
            number: 4,
            started_at: UnixMillis(1),
            finished_at: UnixMillis(2),
            ordered: false,
            request: crate::domain::sent_request::SentRequest::default(),
            result: AttemptResult { response: Err(AttemptError::Timeout), duration: Duration::ZERO },
            next: NextStep::Failed,
        }
    }

    #[test]
    fn every_operational_event_has_the_fields_of_its_documented_sample() {
        let announcements = [
            Announcement::Failing { since: UnixMillis(1) },
            Announcement::Recovered { failing_since: UnixMillis(1) },
            Announcement::Disabled(DisabledReason::Gone),
            Announcement::Exhausted,
        ];
        for announcement in announcements {
            let made = operational_event(announcement, &outcome(), "call.completed", "msg_1", "https://a.example");
            let publication = made.unwrap().publication;
            let documented = OPERATIONAL.iter().find(|known| known.name == publication.event_type).unwrap();
            let sample: Value = serde_json::from_str(documented.sample).unwrap();
            let data: Value = serde_json::from_str(publication.data.get()).unwrap();
            let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&data), keys(&sample), "{}", documented.name);
        }
    }
}
