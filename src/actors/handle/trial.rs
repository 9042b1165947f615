//! A test of a webhook: a real, signed event, sent now and by itself. One that succeeds is a probe.

use std::sync::{Arc, PoisonError};

use super::super::messages::Relief;
use super::super::operational::operational_event;
use super::super::persistence::assemble_operational;
use super::super::request::RequestTemplate;
use super::{EngineHandle, Publication, TestError, TestResult};
use crate::domain::attempt::{AttemptResult, NextStep, Outcome, Verdict, judge};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::Endpoint;
use crate::domain::follow_up::follow_up;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId};
use crate::domain::last_failure::LastFailure;
use crate::domain::machine::Announcement;
use crate::domain::rotation::{SecretId, SecretTerms};
use crate::domain::statistics::StatisticsDelta;
use crate::store::{EndpointStart, NewEvent, SavedHealth, Store, StoreResult, WriteBatch};
use crate::telemetry;

/// What was sent.
struct Tried {
    /// The last one decides.
    outcomes: Vec<Outcome>,
    result: AttemptResult,
    is_success: bool,
    /// The secret that was taken after another one had been refused.
    accepted_secret: Option<SecretId>,
}

/// What a success changes beside the log.
struct Proof {
    endpoint: Endpoint,
    outcome: Outcome,
    event: Arc<crate::domain::event::Event>,
    accepted_secret: Option<SecretId>,
}

impl EngineHandle {
    /// Sends one real, signed event to a webhook, now and once, whether it is active, paused or limited, and writes it into
    /// the log. A success closes its breaker. An error when nothing could be sent, or was sent and not written down.
    pub async fn send_test(
        &self,
        webhook: &EndpointStart,
        publication: &Publication,
    ) -> Result<TestResult, TestError> {
        let (endpoint, now) = (&webhook.endpoint, self.now());
        let (event_id, delivery_id) = {
            let mut ids = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner);
            (EventId(ids.next(now)), DeliveryId(ids.next(now)))
        };
        let event = Arc::new(publication.event(event_id, now));
        let delivery = QueuedDelivery::first(delivery_id, now, event.clone());
        let Tried { outcomes, result, is_success, accepted_secret } = self.try_out(webhook, delivery).await?;
        let proof = outcomes.last().filter(|_| is_success).map(|outcome| Proof {
            endpoint: endpoint.clone(),
            outcome: outcome.clone(),
            event: event.clone(),
            accepted_secret,
        });
        let new = NewEvent { event, deliveries: vec![(delivery_id, endpoint.id)], idempotency: None };
        let statistics = outcomes.iter().map(StatisticsDelta::of).collect();
        let failures = outcomes.iter().filter_map(LastFailure::of).collect();
        let mut batch = WriteBatch { events: vec![new], outcomes, statistics, failures, ..WriteBatch::default() };
        let (engine, finished_at) = (self.clone(), self.now());
        // event, delivery and outcomes in one commit: nobody else ever sees it pending
        let write = self.0.context.clone().write(move |store| {
            let told = proof.map_or(Ok(None), |proof| engine.prove(store, &proof, &mut batch))?;
            store.commit(&batch, finished_at)?;
            Ok(told)
        });
        if let Some(told) = write.await? {
            let (organization_id, url) = (endpoint.organization_id, Arc::from(endpoint.url.as_str()));
            self.relieved(organization_id, endpoint.id, Relief::Tested { url, accepted_secret });
            self.work_added(organization_id, told);
        }
        Ok(TestResult { delivery_id, is_success, result })
    }

    /// Sends it until an answer decides.
    async fn try_out(&self, webhook: &EndpointStart, mut delivery: QueuedDelivery) -> Result<Tried, TestError> {
        let (endpoint, accepted) = (&webhook.endpoint, webhook.health.accepted_secret);
        let template = RequestTemplate::new(endpoint, &self.0.context.settings);
        let secrets = SecretTerms::of(endpoint);
        let mut outcomes: Vec<Outcome> = Vec::new();
        loop {
            let started_at = self.now();
            let secret = secrets.next(accepted, delivery.refused(), started_at);
            let secret = secret.unwrap_or_else(|| secrets.newest());
            let number = delivery.attempts_made + 1;
            let request = template.request(&delivery, number, secret, started_at);
            let headers = request.headers.clone();
            let attempt = self.0.context.transport.attempt(request).await;
            let finished_at = self.now();
            let result = match attempt {
                Ok(result) => result,
                Err(fault) => {
                    telemetry::AttemptNotMade { fault, now: finished_at }.emit();
                    // the attempt before it decides, when there is one
                    let Some(last) = outcomes.last_mut() else { return Err(TestError::NotMade(fault)) };
                    last.next = NextStep::Failed;
                    let result = last.result.clone();
                    return Ok(Tried { outcomes, result, is_success: false, accepted_secret: None });
                }
            };
            let again = follow_up(&delivery, secret, &result.answer, &secrets, accepted, finished_at);
            let is_success = judge(&result.answer, endpoint.retry_on, finished_at) == Verdict::Success;
            outcomes.push(Outcome {
                organization_id: endpoint.organization_id,
                endpoint_id: endpoint.id,
                delivery_id: delivery.id,
                number,
                started_at,
                finished_at,
                ordered: endpoint.ordered,
                request_headers: template.mask().apply(headers),
                result: result.clone(),
                next: match again {
                    Some(_) => NextStep::AgainAt(finished_at),
                    None if is_success => NextStep::Succeeded,
                    None => NextStep::Failed,
                },
            });
            let Some(again) = again else {
                let accepted_secret = (is_success && !delivery.refused().is_empty()).then_some(secret);
                return Ok(Tried { outcomes, result, is_success, accepted_secret });
            };
            delivery = again;
        }
    }

    /// Adds to the commit what a success changes: the condition as it is now, and that the webhook works again when its
    /// organization was told that it fails. Returns who is told; `None` when there is nothing to change.
    fn prove(
        &self,
        store: &dyn Store,
        proof: &Proof,
        batch: &mut WriteBatch,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        let Endpoint { organization_id, id, url, .. } = &proof.endpoint;
        let Some(found) = store.endpoint(*organization_id, *id)? else { return Ok(None) };
        let before = found.health;
        let newest = SecretTerms::of(&found.endpoint).newest();
        let accepted_secret = match proof.accepted_secret {
            Some(secret) => (secret != newest).then_some(secret),
            None => before.accepted_secret,
        };
        let after = EndpointHealth { accepted_secret, ..EndpointHealth::healthy(*organization_id, *id) };
        if found.endpoint.url != *url || after == before {
            return Ok(None);
        }
        batch.health.push(SavedHealth { health: after, url: Arc::from(url.as_str()) });
        let mut told = Vec::new();
        if let Some(failing_since) = before.failing_since.filter(|_| before.notified) {
            let (announcement, event) = (Announcement::Recovered { failing_since }, &proof.event);
            let event_id = event.id.to_string();
            let recovered = operational_event(announcement, &proof.outcome, &event.event_type, &event_id, url);
            let subscriptions = self.0.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
            let mut ids = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner);
            let now = proof.outcome.finished_at;
            let new = recovered.and_then(|event| assemble_operational(&event, &subscriptions, &mut ids, now));
            told.extend(new.iter().flat_map(|new| new.deliveries.iter().map(|(_, endpoint_id)| *endpoint_id)));
            batch.events.extend(new);
        }
        Ok(Some(told))
    }
}
