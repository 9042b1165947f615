//! The parts of an attempt that are ours: a step of the state machine, the signatures, the request.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark stops at the first thing that is wrong")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use ringback::actors::context::ActorSettings;
use ringback::actors::request::RequestTemplate;
use ringback::domain::attempt::{Response, RetryOn};
use ringback::domain::breaker::BreakerConfig;
use ringback::domain::delivery::QueuedDelivery;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::Event;
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::machine::{EndpointMachine, Input, MachineLimits, MachineSettings, SentBefore};
use ringback::domain::retry::RetrySchedule;
use ringback::domain::secret::Secret;
use ringback::domain::signing::SigningKey;
use ringback::domain::time::UnixMillis;

const ORGANIZATION: OrganizationId = OrganizationId(1);
const NOW: UnixMillis = UnixMillis(1_750_000_000_123);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId(3),
        organization_id: ORGANIZATION,
        url: "https://receiver.example/hook".to_owned(),
        description: None,
        active: true,
        disabled_reason: None,
        disabled_at: None,
        events: Vec::new(),
        filter: None,
        timeout: Duration::from_secs(10),
        retry: RetrySchedule::default(),
        retry_on: RetryOn::default(),
        headers: Vec::new(),
        rate_limit: None,
        max_in_flight: 32,
        ordered: false,
        secret: Secret::new(SECRET.to_owned()),
        previous_secret: None,
        created_at: NOW,
        updated_at: NOW,
        version: 1,
    }
}

fn body(bytes: usize) -> Bytes {
    Bytes::from(format!("{{\"data\":\"{}\"}}", "x".repeat(bytes)))
}

fn delivery(id: i64, body: &Bytes) -> QueuedDelivery {
    let event = Event {
        id: EventId(id),
        organization_id: ORGANIZATION,
        event_type: "call.completed".to_owned(),
        occurred_at: NOW,
        accepted_at: NOW,
        body: body.clone(),
    };
    let (id, event) = (DeliveryId(id), Arc::new(event));
    QueuedDelivery { id, attempts_made: 0, attempts_in_earlier_rounds: 0, due_at: NOW, event }
}

fn limits() -> MachineLimits {
    let breaker = BreakerConfig {
        failure_threshold: 8,
        initial_pause: Duration::from_secs(5),
        max_pause: Duration::from_secs(600),
    };
    MachineLimits { breaker, disable_after: Duration::from_secs(5 * 86_400) }
}

fn settings() -> ActorSettings {
    ActorSettings {
        node: 0,
        max_active_endpoints: 100,
        crowded_attempts: 100,
        payload_memory_bytes: 64 * 1024 * 1024,
        max_uncommitted_events: 100,
        max_uncommitted_bytes: 64 * 1024 * 1024,
        limits: limits(),
        idle_linger: Duration::from_secs(5),
        retention: Duration::from_secs(30 * 86_400),
        header_prefix: "x-callintel".to_owned(),
        user_agent: "Ringback/bench".to_owned(),
    }
}

/// One delivery from its commit to its recorded outcome: three steps.
fn machine(c: &mut Criterion) {
    let health = EndpointHealth::healthy(ORGANIZATION, EndpointId(3));
    let settings = MachineSettings::of(&endpoint());
    let mut machine = EndpointMachine::new(settings, limits(), health, SentBefore::UnknownUntil(NOW));
    let mut rng = SmallRng::seed_from_u64(1);
    machine.step(Input::Wake, NOW, &mut rng);
    machine.step(Input::Loaded { deliveries: Vec::new(), more: false, next_due_at: None }, NOW, &mut rng);
    let answer = Ok(Response { status: 200, headers: Vec::new(), body: Bytes::new() });
    let body = body(1_024);
    let mut id = 0;
    c.bench_function("machine/delivery", |bencher| {
        bencher.iter(|| {
            id += 1;
            let delivery_id = DeliveryId(id);
            let started = machine.step(Input::Committed(vec![delivery(id, &body)]), NOW, &mut rng);
            assert_eq!(started.len(), 1);
            black_box(machine.step(Input::AttemptFinished { delivery_id, answer: &answer }, NOW, &mut rng));
            machine.step(Input::OutcomesRecorded(&[delivery_id]), NOW, &mut rng)
        });
    });
}

fn signing(c: &mut Criterion) {
    let key = SigningKey::new(&Secret::new(SECRET.to_owned()));
    let mut group = c.benchmark_group("signing");
    for bytes in [100, 1_024, 65_536] {
        let body = body(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("both schemes/{bytes}"), |bencher| {
            bencher.iter(|| (key.sign_document(&body), key.sign_standard(EventId(5), 1_750_000_000, &body)));
        });
    }
    group.finish();
}

fn request(c: &mut Criterion) {
    let template = RequestTemplate::new(&endpoint(), &settings());
    let delivery = delivery(7, &body(1_024));
    c.bench_function("request/1024", |bencher| bencher.iter(|| template.request(&delivery, 1, NOW)));
}

criterion_group!(benches, machine, signing, request);
criterion_main!(benches);
