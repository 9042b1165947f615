//! Follow-up attempts: made at once after another one, with their own number and log entry, and using up no retry
//! (contract, "What an answer means", "Rotation").
//!
//! There are two causes: a reused connection that turned out to be closed, and a secret that was refused while another one
//! is valid. Each occurs at most once for an attempt of the schedule (once for each secret), so follow-ups end.

use super::attempt::{AttemptError, Response};
use super::delivery::QueuedDelivery;
use super::rotation::{SecretId, SecretTerms};
use super::time::UnixMillis;

/// Whether a response may mean that the receiver has another secret.
pub(crate) fn is_refusal(answer: &Result<Response, AttemptError>) -> bool {
    matches!(answer, Ok(Response { status: 401 | 403, .. }))
}

/// The delivery for the follow-up attempt; `None` when the response decides about it.
///
/// `signed_with` is the secret of the attempt's CallIntel signature, `accepted` the one that the receiver last accepted.
pub(crate) fn follow_up(
    delivery: &QueuedDelivery,
    signed_with: SecretId,
    answer: &Result<Response, AttemptError>,
    secrets: &SecretTerms,
    accepted: Option<SecretId>,
    now: UnixMillis,
) -> Option<QueuedDelivery> {
    let closed = matches!(answer, Err(AttemptError::IdleConnectionClosed));
    if !closed && !is_refusal(answer) {
        return None;
    }
    let mut known = delivery.follow_up.as_deref().cloned().unwrap_or_default();
    if closed {
        if std::mem::replace(&mut known.on_fresh_connection, true) {
            return None;
        }
    } else {
        known.refused.push(signed_with);
        secrets.next(accepted, &known.refused, now)?;
    }
    Some(QueuedDelivery {
        id: delivery.id,
        attempts_made: delivery.attempts_made + 1,
        attempts_not_counted: delivery.attempts_not_counted + 1,
        queued_at: delivery.queued_at,
        due_at: now,
        event: delivery.event.clone(),
        follow_up: Some(Box::new(known)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::domain::event::Event;
    use crate::domain::ids::{DeliveryId, EventId, OrganizationId};

    const NOW: UnixMillis = UnixMillis(1_000);

    fn delivery() -> QueuedDelivery {
        let event = Event {
            id: EventId(1),
            organization_id: OrganizationId(1),
            event_type: "call.completed".to_owned(),
            occurred_at: NOW,
            accepted_at: NOW,
            body: Bytes::new(),
            trace: None,
        };
        QueuedDelivery::first(DeliveryId(2), NOW, Arc::new(event))
    }

    fn answered(status: u16) -> Result<Response, AttemptError> {
        Ok(Response::new(status, Vec::new(), Bytes::new()))
    }

    fn only_secret() -> SecretTerms {
        SecretTerms::for_tests(&[(0, None)])
    }

    #[test]
    fn a_connection_that_was_closed_is_followed_by_one_fresh_one() {
        let (closed, secrets) = (Err(AttemptError::IdleConnectionClosed), only_secret());
        let again = |delivery: &QueuedDelivery| follow_up(delivery, SecretId(0), &closed, &secrets, None, NOW);
        let second = again(&delivery()).unwrap();
        assert_eq!((second.attempts_made, second.attempts_not_counted), (1, 1));
        assert!(second.follow_up.as_ref().unwrap().on_fresh_connection);
        assert!(again(&second).is_none());
    }

    #[test]
    fn no_other_failure_is_followed_at_once() {
        let others = AttemptError::ALL.into_iter().filter(|error| *error != AttemptError::IdleConnectionClosed);
        let secrets = SecretTerms::for_tests(&[(0, None), (1, Some(9_000))]);
        for answer in others.map(Err).chain([200, 400, 404, 410, 429, 503].map(answered)) {
            assert!(follow_up(&delivery(), SecretId(0), &answer, &secrets, None, NOW).is_none(), "{answer:?}");
        }
    }

    #[test]
    fn a_refusal_is_followed_by_each_other_valid_secret_and_then_decides() {
        let secrets = SecretTerms::for_tests(&[(0, None), (1, Some(9_000)), (2, Some(500)), (3, Some(9_000))]);
        for status in [401, 403] {
            let mut signed = Vec::new();
            let mut next = Some(delivery());
            while let Some(delivery) = next {
                let refused = delivery.follow_up.as_ref().map_or(&[][..], |known| &known.refused);
                let secret = secrets.next(None, refused, NOW).unwrap();
                signed.push(secret.0);
                next = follow_up(&delivery, secret, &answered(status), &secrets, None, NOW);
            }
            assert_eq!(signed, [0, 1, 3]);
        }
        assert!(follow_up(&delivery(), SecretId(0), &answered(401), &only_secret(), None, NOW).is_none());
    }

    #[test]
    fn a_secret_that_was_replaced_during_its_attempt_is_followed_by_the_new_one() {
        let again = follow_up(&delivery(), SecretId(7), &answered(401), &only_secret(), None, NOW).unwrap();
        assert_eq!(again.follow_up.unwrap().refused, [SecretId(7)]);
    }

    #[test]
    fn a_closed_connection_and_a_refusal_can_follow_each_other() {
        let secrets = SecretTerms::for_tests(&[(0, None), (1, Some(9_000))]);
        let refused = follow_up(&delivery(), SecretId(0), &answered(401), &secrets, None, NOW).unwrap();
        let closed = Err(AttemptError::IdleConnectionClosed);
        let after = follow_up(&refused, SecretId(1), &closed, &secrets, None, NOW).unwrap();
        let known = after.follow_up.as_deref().unwrap();
        assert!(known.on_fresh_connection && known.refused == [SecretId(0)]);
        assert!(follow_up(&after, SecretId(1), &answered(401), &secrets, None, NOW).is_none());
    }
}
