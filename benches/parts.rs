//! The parts of a delivery without a network: signatures, a step of the state machine, the way from an event to
//! the outcomes of its deliveries.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is wrong")]

#[path = "support/engine.rs"]
mod engine;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use ringback::actors::request::RequestTemplate;
use ringback::domain::attempt::Response;
use ringback::domain::breaker::BreakerConfig;
use ringback::domain::delivery::QueuedDelivery;
use ringback::domain::event::Event;
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId};
use ringback::domain::machine::{EndpointMachine, Input, MachineLimits, MachineSettings, RateLimitHistory};
use ringback::domain::retry::RetrySchedule;
use ringback::domain::rotation::{SecretId, SecretTerms};
use ringback::domain::secret::Secret;
use ringback::domain::signing::SigningKey;
use ringback::domain::time::UnixMillis;

use engine::{ORGANIZATION, delivered, endpoint, publication, settings, with_actors};

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

fn signing(c: &mut Criterion) {
    let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
    let body = Bytes::from(vec![b'x'; 1_024]);
    c.bench_function("both signatures of 1 KiB", |b| {
        b.iter(|| (key.sign_document(black_box(&body)), key.sign_standard(EventId(7), 1_767_225_600, &body)));
    });
}

fn machine(c: &mut Criterion) {
    let settings = MachineSettings {
        active: true,
        url: String::new(),
        retry: RetrySchedule::default(),
        retry_on: Default::default(),
        rate_limit: None,
        max_in_flight: 32,
        ordered: false,
        secrets: SecretTerms::of(&endpoint(1)),
    };
    let limits = MachineLimits {
        breaker: BreakerConfig {
            failure_threshold: 8,
            initial_pause: Duration::from_secs(5),
            max_pause: Duration::from_secs(600),
        },
        disable_after: Duration::from_secs(86_400),
    };
    let health = EndpointHealth::healthy(ORGANIZATION, EndpointId(1));
    let mut machine = EndpointMachine::new(settings, limits, health, RateLimitHistory::UnknownUntil(NOW));
    let mut rng = SmallRng::seed_from_u64(1);
    machine.step(
        Input::Loaded { deliveries: Vec::new(), more: false, next_due_at: None, end: None },
        NOW,
        &mut rng,
    );
    let event = Arc::new(Event {
        id: EventId(1),
        organization_id: ORGANIZATION,
        event_type: "call.completed".to_owned(),
        occurred_at: NOW,
        accepted_at: NOW,
        body: Bytes::from_static(b"{}"),
        trace: None,
    });
    let answer = Ok(Response::new(200, Vec::new(), Bytes::new()));
    let mut number = 0;
    c.bench_function("the three steps of a delivery: committed, answered, recorded", |b| {
        b.iter(|| {
            number += 1;
            let delivery_id = DeliveryId(number);
            let delivery = QueuedDelivery::first(delivery_id, NOW, event.clone());
            machine.step(Input::Committed(vec![delivery.clone()]), NOW, &mut rng);
            machine.step(Input::AttemptFinished { delivery: &delivery, response: &answer }, NOW, &mut rng);
            black_box(machine.step(Input::OutcomesRecorded(&[delivery_id]), NOW, &mut rng));
        });
    });
}

fn request(c: &mut Criterion) {
    let template = RequestTemplate::new(&endpoint(1), &settings(1));
    let event = Event {
        id: EventId(1),
        organization_id: ORGANIZATION,
        event_type: "call.completed".to_owned(),
        occurred_at: NOW,
        accepted_at: NOW,
        body: Bytes::from(vec![b'x'; 1_024]),
        trace: None,
    };
    let event = Arc::new(event);
    let delivery = QueuedDelivery::first(DeliveryId(2), NOW, event);
    let secret = SecretId::of(&endpoint(1).secret);
    c.bench_function("the request of an attempt, signatures included", |b| {
        b.iter(|| template.request(black_box(&delivery), 1, secret, NOW));
    });
}

fn fan_out(c: &mut Criterion) {
    const EVENTS: usize = 500;
    let mut group =
        c.benchmark_group("events through all actors and SQLite in memory, receivers that answer at once");
    group.sample_size(10);
    for endpoints in [1, 10, 100] {
        group.throughput(Throughput::Elements((EVENTS * endpoints) as u64));
        group.bench_with_input(BenchmarkId::new("deliveries, fan-out", endpoints), &endpoints, |b, &endpoints| {
            b.iter_custom(|rounds| {
                let measured = with_actors(endpoints, async |actors| {
                    let begin = tokio::time::Instant::now();
                    for _ in 0..rounds {
                        let publications = (0..EVENTS).map(|_| publication()).collect();
                        actors.handle.publish_all(publications, None).await.unwrap();
                        delivered(actors.handle.store().as_ref()).await.unwrap();
                    }
                    begin.elapsed()
                });
                measured.unwrap()
            });
        });
    }
}

criterion_group!(benches, signing, machine, request, fan_out);
criterion_main!(benches);
