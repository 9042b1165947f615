//! Traces for a collector, from the real process: they survive it, and no collector can hurt it.

use std::time::{Duration, Instant};

use serde_json::json;
use test_support::collector::{Collector, Span};
use test_support::engine::{ADMIN_KEY, eventually, text};
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, World};

on_both_databases!(
    a_retry_after_a_crash_belongs_to_the_trace_of_its_event,
    a_collector_that_hangs_fails_or_is_gone_costs_spans_and_nothing_else,
);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
const EVENT: &str = r#"{"event_type":"call.completed","data":{}}"#;
/// How long a stop takes with no collector at all, and a slow machine's share.
const STOP_TAKES: Duration = Duration::from_secs(8);

fn attempts(collector: &Collector, count: usize) -> Vec<Span> {
    eventually(&format!("{count} attempts"), || {
        let all = collector.spans().into_iter();
        let attempts: Vec<Span> = all.filter(|span| span.name == "attempt delivery").collect();
        (attempts.len() >= count).then_some(attempts)
    })
}

fn a_retry_after_a_crash_belongs_to_the_trace_of_its_event(database: Database) {
    let collector = Collector::start();
    let serve = database
        .serve()
        .set("RINGBACK_OTLP_ENDPOINT", &collector.endpoint())
        .set("RINGBACK_OTLP_HEADERS", "authorization=Bearer%20of-the-collector")
        .set("OTEL_SERVICE_NAME", "webhooks");
    let mut world = World::start(database, serve);
    let receiver = Receiver::answering(|number| reply(if number <= 2 { 503 } else { 200 }));
    let policy = json!({"max_attempts": 3, "initial_delay_seconds": 3, "backoff_multiplier": 1});
    world.webhook(&receiver, json!({"retry_policy": policy}));
    world.api.call_with_header("POST", "/v1/events", EVENT, TRACEPARENT).expect(202);
    // a trace of ours
    world.publish(1);
    let before = attempts(&collector, 2);
    // what is on disk alone is left
    world.kill_and_restart();
    world.eventually_idle();
    let all = attempts(&collector, 4);
    let publishings: Vec<Span> =
        collector.spans().into_iter().filter(|span| span.name == "publish event").collect();
    assert_eq!(publishings.len(), 2);
    assert_eq!(publishings.iter().filter(|span| span.trace == TRACE).count(), 1);
    for publish in &publishings {
        let of_trace = |spans: &[Span]| spans.iter().filter(|span| span.trace == publish.trace).cloned().collect();
        let (first, both): (Vec<Span>, Vec<Span>) = (of_trace(&before), of_trace(&all));
        assert_eq!((first.len(), both.len()), (1, 2));
        assert!(both.iter().all(|span| span.parent == publish.id), "{both:?}");
        assert_eq!([&both[0], &both[1]].map(|span| span.get("ringback.attempt.number")), ["1", "2"]);
        assert_eq!([&both[0], &both[1]].map(|span| span.is_error), [true, false]);
    }
    let told: Vec<String> = receiver.seen().iter().map(|seen| seen.header("traceparent").to_owned()).collect();
    for span in &all {
        assert!(told.contains(&format!("00-{}-{}-01", span.trace, span.id)), "{told:?}");
    }
    assert_eq!(collector.resource()["service.name"], "webhooks");
    assert!(collector.headers("authorization").iter().all(|value| value == "Bearer of-the-collector"));
    assert!(collector.paths().iter().all(|path| path == "/v1/traces"));
    assert!(!world.engine.log().contains("of-the-collector"));
}

fn a_collector_that_hangs_fails_or_is_gone_costs_spans_and_nothing_else(database: Database) {
    let (hanging, failing) = (Collector::hanging(), Collector::answering(500));
    // nothing listens on this port any more
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut serve = database.serve();
    let mut world: Option<World> = None;
    let mut database = Some(database);
    for endpoint in [failing.endpoint(), hanging.endpoint(), format!("http://{gone}")] {
        serve = serve.set("RINGBACK_OTLP_ENDPOINT", &endpoint);
        match &mut world {
            None => world = Some(World::start(database.take().unwrap(), serve.clone())),
            Some(world) => world.engine.restart(&serve),
        }
        let world = world.as_mut().unwrap();
        let receiver = Receiver::ok();
        let webhook = world.webhook(&receiver, json!({}));
        // more spans than the queue holds
        let events: Vec<_> = (0..1_000).map(|_| json!({"event_type": "call.completed", "data": {}})).collect();
        for _ in 0..3 {
            world.api.post("/v1/events/batch", &json!(events)).expect(202);
        }
        world.eventually_idle();
        assert_eq!(receiver.count(), 3_000, "{endpoint}");
        eventually("spans are lost", || {
            (world.api.metric("ringback_trace_spans_dropped_total", "") > 0.0).then_some(())
        });
        assert_eq!(world.api.metric("ringback_trace_spans_exported_total", ""), 0.0);
        let path = format!("/v1/webhooks/{}", text(&webhook, "id"));
        world.api.try_call("DELETE", &path, None).unwrap().expect(204);
        let begin = Instant::now();
        world.engine.terminate();
        assert!(world.engine.end().success());
        assert!(begin.elapsed() < STOP_TAKES, "{endpoint}: {:?}", begin.elapsed());
    }
    assert!(hanging.requests() >= 1 && failing.requests() >= 1);
    let log = world.unwrap().engine.log();
    assert!(log.contains("the collector does not take spans"), "{log}");
    assert!(!log.contains(ADMIN_KEY));
}
