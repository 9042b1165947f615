//! An event's way as one trace: what the collector of traces gets, and what receivers are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::test::TestRequest;
use ringback::config::{OtlpSettings, SvixSettings};
use ringback::engine::SpanExporter;
use ringback::transport::CollectorAddress;
use serde_json::{Value, json};
use test_support::collector::{Collector, Span};

use crate::database::{Database, on_every_store};
use crate::svix;
use crate::world::{Head, TestClock, World, eventually};

on_every_store!(
    an_event_is_one_trace_from_its_publishers_span_to_the_receiver,
    a_trace_begins_here_when_the_publisher_sends_none_or_nonsense,
    every_event_of_a_batch_belongs_to_the_trace_of_the_request,
    a_message_of_the_svix_compatible_api_belongs_to_the_trace_of_its_request,
    a_resend_belongs_to_the_trace_of_its_event,
    a_trace_that_its_publisher_does_not_record_is_passed_on_and_not_recorded,
    without_a_collector_a_publishers_trace_is_passed_on_as_it_came,
    a_header_of_the_webhook_itself_is_not_touched,
    what_the_engine_publishes_about_a_webhook_is_another_trace,
    a_publishing_that_is_refused_is_a_span_with_the_reason,
);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const STATE: &str = "vendor=a b,other@tenant=1";
const HEADERS: [(&str, &str); 3] = [
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("tracestate", STATE),
    ("baggage", "user=secret"),
];

/// A world, and who collects its spans.
struct Traced {
    world: World,
    collector: Collector,
    exporter: SpanExporter,
}

impl Traced {
    async fn on(database: Database, sample_ratio: f64) -> Self {
        let collector = Collector::start();
        let settings = OtlpSettings { sample_ratio, ..OtlpSettings::default() };
        let url = format!("{}/v1/traces", collector.endpoint());
        let address = CollectorAddress::new(url, Vec::new(), None).unwrap();
        let exporter = SpanExporter::start(&settings, address, [7; 32], Arc::new(TestClock::new())).unwrap();
        let svix: SvixSettings = svix::settings();
        Self { world: World::traced(database, &svix, Some(exporter.traces())).await, collector, exporter }
    }

    /// The spans with this name, once there are so many.
    async fn spans(&self, name: &str, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans `{name}`"), async || {
            let spans: Vec<Span> = self.collector.spans().into_iter().filter(|span| span.name == name).collect();
            (spans.len() >= count).then_some(spans)
        })
        .await
    }

    /// Everything that was recorded.
    fn end(self) -> Vec<Span> {
        self.exporter.stop();
        self.collector.spans()
    }
}

fn post(key: &str, path: &str, headers: &[(&str, &str)], body: Value) -> TestRequest {
    let mut request = TestRequest::post().uri(path).insert_header(("authorization", format!("Bearer {key}")));
    for header in headers {
        request = request.append_header(*header);
    }
    request.set_payload(body.to_string())
}

fn event(number: u32) -> Value {
    json!({"event_type": "call.completed", "data": {"number": number, "what": "payload-of-a-customer"}})
}

/// The id of an event that was published with these headers.
async fn publish(world: &World, key: &str, headers: &[(&str, &str)]) -> String {
    let answer = world.send(post(key, "/v1/events", headers, event(1))).await.ok(202);
    answer["id"].as_str().unwrap().to_owned()
}

/// The values of a header in each request that receivers got.
fn told(world: &World, name: &str) -> Vec<Option<String>> {
    let heads = world.receivers.heads.lock().unwrap();
    let value = |head: &Head| {
        let values: Vec<&str> =
            head.iter().filter(|(other, _)| other == name).map(|(_, value)| &**value).collect();
        assert!(values.len() <= 1, "{name}: {values:?}");
        values.first().map(|&value| value.to_owned())
    };
    heads.iter().map(value).collect()
}

async fn requests(world: &World, count: usize) {
    let received = async || (world.receivers.heads.lock().unwrap().len() >= count).then_some(());
    eventually(&format!("{count} requests"), received).await;
}

async fn an_event_is_one_trace_from_its_publishers_span_to_the_receiver(database: Database) {
    let traced = Traced::on(database, 0.0).await;
    let world = &traced.world;
    let owner = world.owner().await;
    let url = "https://example.com:8443/token-of-the-path?key=token-of-the-query";
    let webhook = world.webhook(&owner, json!({"url": url})).await;
    let id = publish(world, &owner, &HEADERS).await;
    let delivery = world.delivered(&owner).await;
    let attempt = traced.spans("attempt delivery", 1).await.remove(0);
    let publish = traced.spans("publish event", 1).await.remove(0);
    let commit = traced.spans("commit event", 1).await.remove(0);
    for span in [&publish, &commit, &attempt] {
        assert_eq!((span.trace.as_str(), span.state.as_str()), (TRACE, STATE));
        assert_eq!(span.get("messaging.message.id"), id);
        assert!(!span.is_error, "{span:?}");
    }
    assert_eq!(publish.parent, PARENT);
    assert_eq!((&commit.parent, &attempt.parent), (&publish.id, &publish.id));
    assert_eq!(told(world, "traceparent"), [Some(format!("00-{TRACE}-{}-01", attempt.id))]);
    assert_eq!(told(world, "tracestate"), [Some(STATE.to_owned())]);
    assert_eq!(told(world, "baggage"), [None]);
    for (name, value) in [
        ("server.address", "example.com"),
        ("server.port", "8443"),
        ("url.scheme", "https"),
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("ringback.attempt.number", "1"),
        ("ringback.delivery.id", &delivery),
        ("ringback.webhook.id", webhook.rsplit('/').next().unwrap()),
    ] {
        assert_eq!(attempt.get(name), value, "{name}");
    }
    assert_eq!(attempt.nanoseconds, 3_000_000, "as long as the attempt");
    for secret in ["token-of-the-path", "token-of-the-query", "payload-of-a-customer", "user=secret"] {
        assert!(!traced.collector.has_seen(secret), "{secret}");
    }
    assert_eq!(traced.end().len(), 3);
}

async fn a_trace_begins_here_when_the_publisher_sends_none_or_nonsense(database: Database) {
    let traced = Traced::on(database, 1.0).await;
    let world = &traced.world;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let good = HEADERS[0].1;
    let (zero_trace, zero_span) = (good.replace(TRACE, &"0".repeat(32)), good.replace(PARENT, &"0".repeat(16)));
    let (upper, version, long) = (good.to_uppercase(), good.replacen("00", "ff", 1), format!("{good}-00"));
    let wrong = [&good[..54], &zero_trace, &zero_span, &upper, &version, &long, "x"];
    let mut cases: Vec<Vec<(&str, &str)>> = wrong.iter().map(|text| vec![("traceparent", *text)]).collect();
    cases.push(Vec::new());
    cases.push(vec![("traceparent", good), ("traceparent", good)]);
    cases.push(vec![("tracestate", STATE)]);
    for headers in &cases {
        publish(world, &owner, headers).await;
    }
    let attempts = traced.spans("attempt delivery", cases.len()).await;
    let publishings = traced.spans("publish event", cases.len()).await;
    let mut traces: Vec<&str> = publishings.iter().map(|span| span.trace.as_str()).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), cases.len(), "each event has a trace of its own");
    for publish in &publishings {
        assert!(publish.parent.is_empty() && publish.state.is_empty() && publish.trace != TRACE, "{publish:?}");
        let attempt = attempts.iter().find(|span| span.trace == publish.trace).unwrap();
        assert_eq!(attempt.parent, publish.id);
        let told = told(world, "traceparent");
        assert!(told.contains(&Some(format!("00-{}-{}-01", attempt.trace, attempt.id))), "{told:?}");
    }
    assert!(told(world, "tracestate").iter().all(Option::is_none));
    // a state that is too long is left out, and the rest counts
    let long_state = format!("vendor={}", "x".repeat(10_240));
    publish(world, &owner, &[HEADERS[0], ("tracestate", &long_state)]).await;
    let last = traced.spans("attempt delivery", cases.len() + 1).await.pop().unwrap();
    assert_eq!((last.trace.as_str(), last.state.as_str()), (TRACE, ""));
}

async fn every_event_of_a_batch_belongs_to_the_trace_of_the_request(database: Database) {
    let traced = Traced::on(database, 0.0).await;
    let world = &traced.world;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let batch = json!([event(1), {"event_type": "no.such", "data": {}}, event(2), event(3)]);
    world.send(post(&owner, "/v1/events/batch", &HEADERS, batch)).await.ok(202);
    let publishings = traced.spans("publish event", 3).await;
    let attempts = traced.spans("attempt delivery", 3).await;
    assert!(publishings.iter().all(|span| span.trace == TRACE && span.parent == PARENT), "{publishings:?}");
    for publish in &publishings {
        let of_event = |span: &&Span| span.get("messaging.message.id") == publish.get("messaging.message.id");
        assert_eq!(attempts.iter().find(of_event).unwrap().parent, publish.id);
    }
    assert_eq!(traced.end().len(), 9);
}

async fn a_message_of_the_svix_compatible_api_belongs_to_the_trace_of_its_request(database: Database) {
    let traced = Traced::on(database, 0.0).await;
    let world = &traced.world;
    let token = svix::environment_token();
    world.svix(&token, "POST", "/app", json!({"name": "App", "uid": "app"})).await.ok(201);
    world.svix(&token, "POST", "/app/app/endpoint", json!({"url": "https://example.com/"})).await.ok(201);
    let message = json!({"eventType": "user.signup", "payload": {"n": 1}});
    world.send(post(&token, "/api/v1/app/app/msg", &HEADERS, message)).await.ok(202);
    let attempt = traced.spans("attempt delivery", 1).await.remove(0);
    let publish = traced.spans("publish event", 1).await.remove(0);
    assert_eq!((publish.trace.as_str(), publish.parent.as_str()), (TRACE, PARENT));
    assert_eq!((attempt.trace.as_str(), attempt.parent), (TRACE, publish.id));
}

async fn a_resend_belongs_to_the_trace_of_its_event(database: Database) {
    for (ratio, headers) in [(0.0, &HEADERS[..]), (1.0, &[])] {
        let traced = Traced::on(database, ratio).await;
        let world = &traced.world;
        let owner = world.owner().await;
        world.webhook(&owner, json!({"url": "https://example.com/"})).await;
        world.receivers.status.store(400, Ordering::SeqCst);
        let id = publish(world, &owner, headers).await;
        let first = traced.spans("attempt delivery", 1).await.remove(0);
        assert!(first.is_error);
        assert_eq!(first.get("error.type"), "400");
        world.delivered(&owner).await;
        world.receivers.status.store(200, Ordering::SeqCst);
        world.post(&owner, &format!("/v1/events/{id}/replay"), json!({})).await.ok(202);
        let second = traced.spans("attempt delivery", 2).await.remove(1);
        assert!(!second.is_error);
        assert_eq!(second.get("http.request.resend_count"), "1");
        assert_eq!((&second.trace, &second.parent, &second.state), (&first.trace, &first.parent, &first.state));
        assert_ne!(second.id, first.id);
    }
}

async fn a_trace_that_its_publisher_does_not_record_is_passed_on_and_not_recorded(database: Database) {
    let traced = Traced::on(database, 1.0).await;
    let world = &traced.world;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let unrecorded = HEADERS[0].1.replace("-01", "-00");
    publish(world, &owner, &[("traceparent", &unrecorded), HEADERS[1]]).await;
    requests(world, 1).await;
    assert_eq!(told(world, "traceparent"), [Some(unrecorded)]);
    assert_eq!(told(world, "tracestate"), [Some(STATE.to_owned())]);
    world.delivered(&owner).await;
    assert_eq!(traced.end(), []);
}

async fn without_a_collector_a_publishers_trace_is_passed_on_as_it_came(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/", "active": false})).await;
    publish(&world, &owner, &HEADERS).await;
    world.patch(&owner, &webhook, json!({"active": true})).await.ok(200);
    let id = publish(&world, &owner, &HEADERS).await;
    requests(&world, 1).await;
    world.delivered(&owner).await;
    // read from the database
    world.post(&owner, &format!("/v1/events/{id}/replay"), json!({})).await.ok(202);
    requests(&world, 2).await;
    assert_eq!(told(&world, "traceparent"), [Some(HEADERS[0].1.to_owned()), Some(HEADERS[0].1.to_owned())]);
    assert_eq!(told(&world, "tracestate"), [Some(STATE.to_owned()), Some(STATE.to_owned())]);
    publish(&world, &owner, &[]).await;
    requests(&world, 3).await;
    assert_eq!(told(&world, "traceparent")[2], None);
}

async fn a_header_of_the_webhook_itself_is_not_touched(database: Database) {
    let traced = Traced::on(database, 1.0).await;
    let world = &traced.world;
    let owner = world.owner().await;
    let headers = json!({"traceparent": "its-own"});
    world.webhook(&owner, json!({"url": "https://example.com/", "headers": headers})).await;
    publish(world, &owner, &HEADERS).await;
    requests(world, 1).await;
    assert_eq!(told(world, "traceparent"), [Some("its-own".to_owned())]);
    assert_eq!(told(world, "tracestate"), [None]);
}

async fn what_the_engine_publishes_about_a_webhook_is_another_trace(database: Database) {
    let traced = Traced::on(database, 1.0).await;
    let world = &traced.world;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/a", "events": ["call.*"], "retry": 0})).await;
    world.webhook(&owner, json!({"url": "https://example.com/b", "events": ["delivery.exhausted"]})).await;
    world.receivers.status.store(500, Ordering::SeqCst);
    publish(world, &owner, &HEADERS).await;
    let publishings = traced.spans("publish event", 2).await;
    let own = publishings.iter().find(|span| span.get("ringback.event.type") == "delivery.exhausted").unwrap();
    assert!(own.trace != TRACE && own.parent.is_empty(), "{own:?}");
    let attempts = traced.spans("attempt delivery", 2).await;
    assert!(attempts.iter().any(|span| span.trace == own.trace && span.parent == own.id), "{attempts:?}");
    for (traceparent, state) in told(world, "traceparent").into_iter().zip(told(world, "tracestate")) {
        assert_eq!(traceparent.unwrap().contains(TRACE), state.is_some());
    }
}

async fn a_publishing_that_is_refused_is_a_span_with_the_reason(database: Database) {
    let traced = Traced::on(database, 0.0).await;
    let world = &traced.world;
    let owner = world.owner().await;
    let keyed = [HEADERS[0], ("idempotency-key", "one")];
    for (number, status) in [(1, 202), (1, 202), (2, 422)] {
        world.send(post(&owner, "/v1/events", &keyed, event(number))).await.ok(status);
    }
    let spans = traced.spans("publish event", 3).await;
    assert!(spans.iter().all(|span| span.trace == TRACE && span.parent == PARENT), "{spans:?}");
    assert_eq!(spans.iter().map(|span| span.is_error).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(spans[1].get("ringback.idempotent_replay"), "true");
    assert_eq!(spans[1].get("messaging.message.id"), spans[0].get("messaging.message.id"));
    assert_ne!(spans[1].id, spans[0].id);
    assert_eq!(spans[2].get("error.type"), "idempotency_key_reused");
}
