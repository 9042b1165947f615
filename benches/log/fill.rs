//! A database like that of a busy deployment after some weeks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use indicatif::ProgressBar;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use ringback::domain::attempt::{AttemptError, AttemptResult, NextStep, Outcome, Response};
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::Event;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator, KeyId, OrganizationId};
use ringback::domain::organization::{ApiKey, Organization, Role};
use ringback::domain::round::Rounds;
use ringback::domain::secret::Secret;
use ringback::domain::time::UnixMillis;
use ringback::store::{NewEvent, ReplayTargets, Store, WriteBatch};
use sha2::{Digest, Sha256};

/// The API key of the large organization.
pub(crate) const KEY: &str = "rbk_0123456789012345678901234567890123456789012";
/// The period of the events: less than retention.
pub(crate) const PERIOD: Duration = Duration::from_secs(25 * 86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const EVENTS_A_COMMIT: usize = 2_000;
const WEBHOOKS: usize = 50;
const SMALL_ORGANIZATIONS: usize = 4;

/// Event types, and how many of 100,000 events have each.
pub(crate) const TYPES: [(&str, u32); 14] = [
    ("call.completed", 40_000),
    ("call.initiated", 25_000),
    ("call.connected", 15_000),
    ("call.in_progress", 8_000),
    ("call.recording_ready", 5_000),
    ("call.transcript_ready", 3_000),
    ("call.summary_ready", 2_000),
    ("call.missed", 1_000),
    ("call.analysis_complete", 800),
    ("call.failed", 100),
    ("batch.initiated", 50),
    ("batch.completed", 44),
    ("batch.in_progress", 5),
    ("batch.failed", 1),
];

/// The purpose of a webhook; also its description, so that it is found again through the API.
pub(crate) const ALL: &str = "everything";
pub(crate) const SOME: &str = "some types";
/// Many deliveries, all of one type.
pub(crate) const INITIATED: &str = "call.initiated only";
/// Few deliveries.
pub(crate) const BATCHES: &str = "batches only";
pub(crate) const REPLAYED: &str = "replays only";

struct Webhook {
    id: EndpointId,
    purpose: &'static str,
    types: Vec<usize>,
}

struct Tenant {
    id: OrganizationId,
    webhooks: Vec<Webhook>,
}

/// Fills an empty database; the newest deliveries are `pending`, for a retry in a year.
pub(crate) fn fill(store: &dyn Store, deliveries: u64, pending: u64, now: UnixMillis) -> anyhow::Result<()> {
    let bar = ProgressBar::new(deliveries);
    let begin = now - PERIOD;
    let mut filling = Filling {
        store,
        ids: IdGenerator::new(0, 0),
        random: SmallRng::seed_from_u64(7),
        begin,
        now,
        deliveries,
        pending,
        made: 0,
        events: 0,
    };
    let tenants: Vec<Tenant> =
        (0..=SMALL_ORGANIZATIONS).map(|place| filling.tenant(place)).collect::<anyhow::Result<_>>()?;
    let doomed = filling.webhook(tenants[0].id, "deleted")?;
    let mut outcomes = Vec::new();
    let mut replayed = Vec::new();
    while filling.made < deliveries || !outcomes.is_empty() {
        let mut events = Vec::new();
        let recorded = std::mem::take(&mut outcomes);
        while events.len() < EVENTS_A_COMMIT && filling.made < deliveries {
            let new = filling.event(&tenants, doomed);
            outcomes.extend(
                new.deliveries
                    .iter()
                    .filter(|(_, webhook)| *webhook != doomed)
                    .map(|delivery| filling.outcome(&new, *delivery)),
            );
            events.push(new);
        }
        let first = events.first().filter(|new| new.event.organization_id == tenants[0].id);
        replayed.extend(first.map(|new| new.event.id).filter(|_| replayed.len() < 100));
        store.commit(&WriteBatch { events, outcomes: recorded, ..WriteBatch::default() }, now)?;
        bar.set_position(filling.made);
    }
    filling.replay(&tenants[0], &replayed)?;
    store.delete_endpoint(tenants[0].id, doomed, now)?;
    bar.finish_and_clear();
    Ok(())
}

struct Filling<'a> {
    store: &'a dyn Store,
    ids: IdGenerator,
    random: SmallRng,
    begin: UnixMillis,
    now: UnixMillis,
    deliveries: u64,
    pending: u64,
    made: u64,
    events: u64,
}

impl Filling<'_> {
    /// The first one has nearly everything.
    fn tenant(&mut self, place: usize) -> anyhow::Result<Tenant> {
        let id = OrganizationId(self.ids.next(self.begin));
        self.store.create_organization(&Organization::named(id, place.to_string(), self.begin))?;
        let purposes = match place {
            0 => [INITIATED, BATCHES, REPLAYED].into_iter().chain((3..WEBHOOKS).map(some_or_all)).collect(),
            _ => vec![ALL, SOME],
        };
        if place == 0 {
            self.store.create_key(&ApiKey {
                id: KeyId(self.ids.next(self.begin)),
                organization_id: Some(id),
                name: String::from("bench"),
                role: Role::Owner,
                hash: Sha256::digest(KEY.as_bytes()).into(),
                prefix: KEY[..12].to_owned(),
                created_at: self.begin,
                expires_at: None,
                last_used_at: None,
            })?;
        }
        let mut webhooks = Vec::new();
        for (number, purpose) in purposes.into_iter().enumerate() {
            let types = (0..TYPES.len()).filter(|&index| wants(purpose, number, index)).collect();
            webhooks.push(Webhook { id: self.webhook(id, purpose)?, purpose, types });
        }
        Ok(Tenant { id, webhooks })
    }

    fn webhook(&mut self, organization_id: OrganizationId, purpose: &str) -> anyhow::Result<EndpointId> {
        let id = EndpointId(self.ids.next(self.begin));
        self.store.create_endpoint(&Endpoint {
            description: Some(purpose.to_owned()),
            ..Endpoint::new(
                id,
                organization_id,
                "https://receiver.example/hook",
                Secret::new(String::from("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0")),
                self.begin,
            )
        })?;
        Ok(id)
    }

    /// The next one, to one to three of the webhooks that want it.
    fn event(&mut self, tenants: &[Tenant], doomed: EndpointId) -> NewEvent {
        let passed = PERIOD.mul_f64(self.made as f64 / self.deliveries as f64);
        let at = self.begin + passed;
        let tenant = if self.random.random_ratio(9, 10) { 0 } else { self.random.random_range(1..tenants.len()) };
        let tenant = &tenants[tenant];
        let mut ticket = self.random.random_range(0..100_000);
        let kind = TYPES.iter().position(|&(_, share)| {
            let drawn = ticket < share;
            ticket = ticket.saturating_sub(share);
            drawn
        });
        let kind = kind.unwrap_or_default();
        let mut wanting: Vec<&Webhook> =
            tenant.webhooks.iter().filter(|webhook| webhook.types.contains(&kind)).collect();
        let id = EventId(self.ids.next(at));
        let mut deliveries = Vec::new();
        for _ in 0..self.random.random_range(1..=3) {
            if !wanting.is_empty() {
                let webhook = wanting.swap_remove(self.random.random_range(0..wanting.len()));
                deliveries.push((DeliveryId(self.ids.next(at)), webhook.id));
            }
        }
        self.events += 1;
        if tenant.id == tenants[0].id && self.events.is_multiple_of((self.deliveries / 100).max(1)) {
            deliveries.push((DeliveryId(self.ids.next(at)), doomed));
        }
        self.made += deliveries.len() as u64;
        let body = format!(
            r#"{{"event_type":"{}","timestamp":"{at}","webhook_id":"{id}","data":{{"call_id":"{}","seconds":{}}}}}"#,
            TYPES[kind].0,
            self.random.random::<u64>(),
            self.random.random::<u16>(),
        );
        let event = Event {
            id,
            organization_id: tenant.id,
            event_type: TYPES[kind].0.to_owned(),
            occurred_at: at,
            accepted_at: at,
            body: Bytes::from(body),
            trace: None,
        };
        NewEvent { event: Arc::new(event), deliveries, labels: None, idempotency: None, batch: None }
    }

    fn outcome(&mut self, new: &NewEvent, (delivery_id, endpoint_id): (DeliveryId, EndpointId)) -> Outcome {
        let at = new.event.accepted_at;
        let retry = NextStep::RetryAt(self.now + YEAR);
        let one_in = |random: &mut SmallRng, share: u64| {
            random.random_ratio(1, u32::try_from(share.max(1)).unwrap_or(u32::MAX))
        };
        let ending = self.random.random_range(0..1_000);
        // a handful of each, whatever the total
        let (number, answer, next) = if self.made + self.pending > self.deliveries {
            (1, Ok(503), retry)
        } else if one_in(&mut self.random, self.deliveries / 10) {
            (1, Ok(418), NextStep::Failed)
        } else if one_in(&mut self.random, self.deliveries / 200) {
            (2, Ok(503), retry)
        } else if one_in(&mut self.random, self.deliveries / 50) {
            (1, Err(AttemptError::DnsFailure(ringback::domain::attempt::DnsFault::Silence)), retry)
        } else {
            match ending {
                0..9 => (4, Ok(503), NextStep::Failed),
                9..15 => (4, Ok(500), NextStep::Failed),
                15..20 => (4, Err(AttemptError::Timeout), NextStep::Failed),
                20..25 => (1, Ok(404), NextStep::Failed),
                25..30 => (4, Err(AttemptError::ConnectionRefused), NextStep::Failed),
                30..40 => (2, Ok(200), NextStep::Succeeded),
                40..45 => (1, Ok(204), NextStep::Succeeded),
                _ => (1, Ok(200), NextStep::Succeeded),
            }
        };
        let response = |status| Response::new(status, Vec::new(), Bytes::from_static(b"{\"ok\":true}"));
        Outcome {
            organization_id: new.event.organization_id,
            endpoint_id,
            delivery_id,
            number,
            started_at: at,
            finished_at: at,
            ordered: false,
            request: ringback::domain::sent_request::SentRequest::default(),
            result: AttemptResult {
                response: answer.map(response),
                duration: Duration::from_millis(self.random.random_range(1..400)),
            },
            next,
        }
    }

    /// Replays events to a webhook that did not get them.
    fn replay(&mut self, tenant: &Tenant, events: &[EventId]) -> anyhow::Result<()> {
        let Some(webhook) = tenant.webhooks.iter().find(|webhook| webhook.purpose == REPLAYED) else {
            return Ok(());
        };
        let targets = ReplayTargets::Endpoints(vec![webhook.id]);
        for &id in events {
            let mut made = Vec::new();
            let (ids, now) = (&mut self.ids, self.now);
            let mut next_id = || {
                let id = ids.next(now);
                made.push(DeliveryId(id));
                id
            };
            self.store.replay_event(tenant.id, id, &targets, Rounds::Schedule, &mut next_id, now)?;
            let Some(event) = self.store.event(tenant.id, id)? else { continue };
            let event = Event {
                id,
                organization_id: tenant.id,
                event_type: event.record.event_type,
                occurred_at: now,
                accepted_at: now,
                body: event.body,
                trace: None,
            };
            let new = NewEvent {
                event: Arc::new(event),
                deliveries: Vec::new(),
                labels: None,
                idempotency: None,
                batch: None,
            };
            let outcomes = made.into_iter().map(|delivery| self.outcome(&new, (delivery, webhook.id))).collect();
            self.store.commit(&WriteBatch { outcomes, ..WriteBatch::default() }, now)?;
        }
        Ok(())
    }
}

fn some_or_all(number: usize) -> &'static str {
    if number.is_multiple_of(5) { ALL } else { SOME }
}

/// Whether a webhook gets events of a type.
fn wants(purpose: &str, number: usize, kind: usize) -> bool {
    match purpose {
        ALL => true,
        INITIATED => TYPES[kind].0 == "call.initiated",
        BATCHES => TYPES[kind].0.starts_with("batch."),
        REPLAYED => false,
        _ => !(number + kind).is_multiple_of(3),
    }
}
