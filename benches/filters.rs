//! Matching one event against the webhooks of its organization.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark stops at the first thing that is wrong")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringback::domain::attempt::RetryOn;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event_types::built_in;
use ringback::domain::filter::Filter;
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::patterns::EventPattern;
use ringback::domain::retry::RetrySchedule;
use ringback::domain::secret::Secret;
use ringback::domain::subscriptions::Subscriptions;
use ringback::domain::time::UnixMillis;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const ORGANIZATION: OrganizationId = OrganizationId(1);
const SIZES: [i64; 3] = [1, 1_000, 10_000];

fn endpoint(id: i64, events: &[&str], filter: Option<Value>) -> Endpoint {
    Endpoint {
        id: EndpointId(id),
        organization_id: ORGANIZATION,
        url: String::new(),
        description: None,
        active: true,
        disabled_reason: None,
        disabled_at: None,
        events: events.iter().map(|text| EventPattern::parse(text).unwrap()).collect(),
        filter: filter.map(|source| Filter::parse(&source).unwrap()),
        timeout: Duration::from_secs(10),
        retry: RetrySchedule::default(),
        retry_on: RetryOn::default(),
        headers: Vec::new(),
        rate_limit: None,
        max_in_flight: 32,
        ordered: false,
        secret: Secret::new(String::new()),
        previous_secrets: Vec::new(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        version: 1,
    }
}

fn subscriptions(size: i64, make: impl Fn(i64) -> Endpoint) -> Subscriptions {
    let mut subscriptions = Subscriptions::default();
    for id in 0..size {
        subscriptions.upsert(&make(id));
    }
    subscriptions
}

/// The document's filter, with a bound that differs when `bound` does.
fn filter(bound: i64) -> Option<Value> {
    Some(json!({"direction": "outbound", "status": "completed", "min_duration": bound}))
}

fn matching(c: &mut Criterion) {
    let data = RawValue::from_string(built_in("call.completed").unwrap().sample.to_owned()).unwrap();
    type MakeEndpoint = fn(i64) -> Endpoint;
    let cases: [(&str, MakeEndpoint); 5] = [
        ("all events", |id| endpoint(id, &[], None)),
        ("two lists", |id| endpoint(id, if id % 2 == 0 { &["call.*"] } else { &["call.completed"] }, None)),
        ("another event", |id| endpoint(id, &["batch.completed"], None)),
        ("one shared filter", |id| endpoint(id, &["call.completed"], filter(60))),
        ("each its own filter", |id| endpoint(id, &["call.completed"], filter(id))),
    ];
    for (name, make) in cases {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            let subscriptions = subscriptions(size, make);
            group.bench_with_input(BenchmarkId::from_parameter(size), &subscriptions, |b, subscriptions| {
                b.iter(|| subscriptions.matching(ORGANIZATION, "call.completed", black_box(&data)));
            });
        }
    }
}

criterion_group!(benches, matching);
criterion_main!(benches);
