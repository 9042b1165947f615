//! Test events: a real, signed event that is sent at once, outside the queue. A successful one closes the breaker.

use std::sync::{Arc, PoisonError};

use super::super::event_assembly::assemble_operational;
use super::super::messages::BreakerReset;
use super::super::operational::operational_event;
use super::super::publication::{Publication, TestError, TestResult};
use super::super::request::RequestTemplate;
use super::EngineHandle;
use crate::domain::attempt::{AttemptResult, NextStep, Outcome, Verdict, judge};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::domain::follow_up::follow_up;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId};
use crate::domain::last_failure::LastFailure;
use crate::domain::machine::Announcement;
use crate::domain::rotation::{SecretId, SecretTerms};
use crate::domain::statistics::StatisticsDelta;
use crate::store::{EndpointStart, NewEvent, SavedHealth, Store, StoreResult, WriteBatch};
use crate::telemetry;

/// The attempts of one test event.
struct TestAttempts {
    /// The last one decides.
    outcomes: Vec<Outcome>,
    result: AttemptResult,
    is_success: bool,
    /// The secret that the receiver accepted after it had refused another.
    accepted_secret: Option<SecretId>,
}

/// A test event that succeeded.
struct TestSuccess {
    endpoint: Endpoint,
    outcome: Outcome,
    event: Arc<Event>,
    accepted_secret: Option<SecretId>,
}

impl EngineHandle {
    /// Sends one real, signed event to a webhook, at once and without retries, whether it is active, paused or limited,
    /// and stores it in the log. A success closes its breaker. An error if nothing could be sent, or the result could not
    /// be stored.
    pub async fn send_test(
        &self,
        webhook: &EndpointStart,
        publication: &Publication,
    ) -> Result<TestResult, TestError> {
        let (endpoint, now) = (&webhook.endpoint, self.now());
        let (event_id, delivery_id) = {
            let mut ids = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.begin_run(now, 2);
            (EventId(ids.next(now)), DeliveryId(ids.next(now)))
        };
        let shape = self.0.settings.subscriptions().body_shape(publication.organization_id);
        let event = Arc::new(publication.event(event_id, shape, now));
        let delivery = QueuedDelivery::first(delivery_id, now, event.clone());
        let TestAttempts { outcomes, result, is_success, accepted_secret } =
            self.attempt_test(webhook, delivery).await?;
        let success = outcomes.last().filter(|_| is_success).map(|outcome| TestSuccess {
            endpoint: endpoint.clone(),
            outcome: outcome.clone(),
            event: event.clone(),
            accepted_secret,
        });
        let new = NewEvent {
            event,
            deliveries: vec![(delivery_id, endpoint.id)],
            labels: None,
            idempotency: None,
            batch: None,
        };
        let statistics = outcomes.iter().map(StatisticsDelta::of).collect();
        let failures = outcomes.iter().filter_map(LastFailure::of).collect();
        let mut batch = WriteBatch { events: vec![new], outcomes, statistics, failures, ..WriteBatch::default() };
        let (engine, finished_at) = (self.clone(), self.now());
        // event, delivery and outcomes in one commit: no reader ever sees the delivery pending
        let write = self.0.context.clone().write(move |store| {
            let notified = success.map_or(Ok(None), |success| engine.add_recovery(store, &success, &mut batch))?;
            store.commit(&batch, finished_at)?;
            Ok(notified)
        });
        let written = write.await.inspect_err(|_| self.change_in_doubt());
        if let Some(notified) = written? {
            let (organization_id, url) = (endpoint.organization_id, Arc::from(endpoint.url.as_str()));
            let reset = BreakerReset::TestSucceeded { url, accepted_secret };
            self.breaker_was_reset(organization_id, endpoint.id, reset);
            self.work_added(organization_id, notified);
        }
        Ok(TestResult { delivery_id, is_success, result })
    }

    /// Sends the test event, and again at once for each follow-up attempt.
    async fn attempt_test(
        &self,
        webhook: &EndpointStart,
        mut delivery: QueuedDelivery,
    ) -> Result<TestAttempts, TestError> {
        let (endpoint, accepted) = (&webhook.endpoint, webhook.health.accepted_secret);
        let template = RequestTemplate::new(endpoint, &self.0.context.settings);
        let secrets = SecretTerms::of(endpoint);
        let mut outcomes: Vec<Outcome> = Vec::new();
        loop {
            let started_at = self.now();
            let secret = secrets.next(accepted, delivery.refused(), started_at);
            let secret = secret.unwrap_or_else(|| secrets.newest());
            let number = delivery.attempts_made + 1;
            let (request, sent) = template.request(&delivery, number, secret, started_at);
            let attempt = self.0.context.transport.attempt(request).await;
            let finished_at = self.now();
            let result = match attempt {
                Ok(result) => result,
                Err(fault) => {
                    telemetry::AttemptNotMade { fault, now: finished_at }.emit();
                    // a follow-up that can't be made leaves the decision to the attempt before it
                    let Some(last) = outcomes.last_mut() else { return Err(TestError::NotMade(fault)) };
                    last.next = NextStep::Failed;
                    let result = last.result.clone();
                    return Ok(TestAttempts { outcomes, result, is_success: false, accepted_secret: None });
                }
            };
            let next = follow_up(&delivery, secret, &result.response, &secrets, accepted, finished_at);
            let is_success = judge(&result.response, endpoint.retry_on, finished_at) == Verdict::Success;
            outcomes.push(Outcome {
                organization_id: endpoint.organization_id,
                endpoint_id: endpoint.id,
                delivery_id: delivery.id,
                number,
                started_at,
                finished_at,
                ordered: endpoint.ordered,
                request: sent,
                result: result.clone(),
                next: match next {
                    Some(_) => NextStep::UncountedRetryAt(finished_at),
                    None if is_success => NextStep::Succeeded,
                    None => NextStep::Failed,
                },
            });
            let Some(next) = next else {
                let accepted_secret = (is_success && !delivery.refused().is_empty()).then_some(secret);
                return Ok(TestAttempts { outcomes, result, is_success, accepted_secret });
            };
            delivery = next;
        }
    }

    /// Adds to the commit the health after a success and, if the organization was notified that the webhook fails, the
    /// operational event that it recovered. Returns the endpoints that get that event; `None` if nothing changes.
    fn add_recovery(
        &self,
        store: &dyn Store,
        success: &TestSuccess,
        batch: &mut WriteBatch,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        let Endpoint { organization_id, id, url, .. } = &success.endpoint;
        let Some(found) = store.endpoint(*organization_id, *id)? else { return Ok(None) };
        let before = found.health;
        let newest = SecretTerms::of(&found.endpoint).newest();
        let accepted_secret = match success.accepted_secret {
            Some(secret) => (secret != newest).then_some(secret),
            None => before.accepted_secret,
        };
        let after = EndpointHealth { accepted_secret, ..EndpointHealth::healthy(*organization_id, *id) };
        if found.endpoint.url != *url || after == before {
            return Ok(None);
        }
        batch.health.push(SavedHealth { health: after, url: Arc::from(url.as_str()) });
        let mut notified = Vec::new();
        if let Some(failing_since) = before.failing_since.filter(|_| before.notified) {
            let (announcement, event) = (Announcement::Recovered { failing_since }, &success.event);
            let event_id = event.id.to_string();
            let recovered = operational_event(announcement, &success.outcome, &event.event_type, &event_id, url);
            let subscriptions = self.0.settings.subscriptions();
            let mut ids = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner);
            let now = success.outcome.finished_at;
            let new = recovered.and_then(|event| assemble_operational(&event, &subscriptions, &mut ids, now));
            notified.extend(new.iter().flat_map(|new| new.deliveries.iter().map(|(_, endpoint_id)| *endpoint_id)));
            batch.events.extend(new);
        }
        Ok(Some(notified))
    }
}
