//! Matching one event against the webhooks of its organization.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is wrong")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event_types::built_in;
use ringback::domain::filter::Filter;
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::patterns::EventPattern;
use ringback::domain::secret::Secret;
use ringback::domain::subscriptions::Subscriptions;
use ringback::domain::time::UnixMillis;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const ORGANIZATION: OrganizationId = OrganizationId(1);
const SIZES: [i64; 3] = [1, 1_000, 10_000];

fn endpoint(id: i64, events: &[&str], filter: Option<Value>) -> Endpoint {
    Endpoint {
        events: events.iter().map(|text| EventPattern::parse(text).unwrap()).collect(),
        filter: filter.map(|source| Filter::parse(&source).unwrap()),
        ..Endpoint::new(EndpointId(id), ORGANIZATION, "", Secret::new(String::new()), UnixMillis(0))
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
                b.iter(|| subscriptions.matching(ORGANIZATION, "call.completed", &[], black_box(&data)));
            });
        }
    }
}

criterion_group!(benches, matching);
criterion_main!(benches);
