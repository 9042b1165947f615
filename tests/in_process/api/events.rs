//! Publishing.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use futures_util::future::{join, join3};
use serde_json::json;

use crate::database::{Database, on_every_store};
use crate::world::{Answer, World, eventually};

on_every_store!(
    an_event_is_accepted_with_the_number_of_its_deliveries,
    the_same_key_and_body_get_the_first_response_again_and_another_body_is_refused,
    a_body_that_is_not_a_json_object_is_refused_with_the_position,
    deep_json_is_refused_before_anything_recursive_reads_it,
    every_bad_field_is_named_at_once,
    a_body_over_the_limit_is_refused_and_nothing_is_stored,
    a_body_is_json_whatever_its_content_type_says_unless_it_is_compressed,
    a_stopping_engine_takes_nothing_in,
    a_flush_ends_although_something_is_always_being_written,
    a_hundred_requests_at_once_with_one_key_make_one_event,
    events_are_listed_newest_first_and_found_by_type_and_time,
    an_event_is_shown_with_its_body_as_it_is_sent_and_its_deliveries,
    an_outcome_whose_commit_panics_is_written_with_a_later_one_and_its_webhook_goes_on,
    the_store_may_make_a_checkpoint_after_some_commits_also_when_one_has_failed,
    a_checkpoint_that_a_reader_held_up_is_made_later_without_another_commit,
);

async fn publish(world: &World, key: &str, idempotency_key: &str, body: &str) -> Answer {
    let request = actix_web::test::TestRequest::post().uri("/v1/events");
    let request = request.insert_header(("authorization", format!("bearer {key}")));
    let request = request.insert_header(("idempotency-key", idempotency_key));
    world.send(request.set_payload(body.to_owned())).await
}

async fn an_event_is_accepted_with_the_number_of_its_deliveries(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/", "events": ["call.*"]})).await;
    world.webhook(&owner, json!({"url": "https://example.com/", "active": false})).await;
    world
        .webhook(
            &owner,
            json!({"url": "https://example.com/", "events": ["call.completed"], "filters": {"min_duration": 60}}),
        )
        .await;
    for (duration, deliveries) in [(345, 2), (5, 1)] {
        let body = json!({"event_type": "call.completed", "data": {"duration_seconds": duration}});
        let answer = world.post(&owner, "/v1/events", body).await;
        let published = answer.ok(202);
        assert!(published["id"].as_str().unwrap().starts_with("msg_"));
        assert_eq!(published["timestamp"], "2024-12-16T10:30:45.007Z");
        assert_eq!(published["event_type"], "call.completed");
        assert_eq!(published["deliveries"], deliveries, "{duration}");
        assert_eq!(answer.header("idempotent-replay"), None);
    }
}

async fn the_same_key_and_body_get_the_first_response_again_and_another_body_is_refused(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let body = r#"{"event_type":"call.missed","data":{"n":1}}"#;
    let first = publish(&world, &owner, "order-1", body).await;
    let again = publish(&world, &owner, "order-1", body).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.text, again.text);
    assert_eq!(first.header("idempotent-replay"), None);
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    let other = publish(&world, &owner, "order-1", r#"{"event_type":"call.missed","data":{"n":2}}"#).await;
    other.problem(422, "idempotency_key_reused");
    // a key belongs to its organization
    let stranger = world.owner().await;
    let theirs = publish(&world, &stranger, "order-1", body).await;
    assert_ne!(theirs.ok(202)["id"], first.json()["id"]);
    let long = "x".repeat(256);
    let fields = publish(&world, &owner, &long, "{}").await.problem(422, "validation_failed");
    assert_eq!(fields, ["Idempotency-Key", "data", "event_type"]);
}

async fn a_body_that_is_not_a_json_object_is_refused_with_the_position(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let post = |body: &[u8]| world.call(&owner, "POST", "/v1/events", body.to_vec());
    for bad in [
        &b"{"[..],
        b"{\"event_type\":}",
        b"not json",
        b"{\"event_type\":\"call.completed\",\"data\":{}} x",
        b"{'a':1}",
        b"[1,]",
    ] {
        let answer = post(bad).await;
        answer.problem(400, "invalid_json");
        assert!(answer.json()["detail"].as_str().unwrap().contains("line 1 column"), "{}", answer.text);
    }
    let answer = post(b"{\"event_type\":\"\xff\"}").await;
    answer.problem(400, "invalid_json");
    assert!(answer.json()["detail"].as_str().unwrap().contains("byte 15"), "{}", answer.text);
    for scalar in ["1", "null", "\"x\"", "[]", " [{}] "] {
        post(scalar.as_bytes()).await.problem(422, "validation_failed");
    }
}

async fn deep_json_is_refused_before_anything_recursive_reads_it(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let nested = |depth: usize| {
        let data = format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"event_type":"call.completed","data":{data}}}"#)
    };
    assert_eq!(world.call(&owner, "POST", "/v1/events", nested(127)).await.status, 202);
    world.call(&owner, "POST", "/v1/events", nested(128)).await.problem(422, "json_too_deep");
    world.call(&owner, "POST", "/v1/events", nested(200_000)).await.problem(422, "json_too_deep");
    let open = "[".repeat(100_000);
    world.call(&owner, "POST", "/v1/webhooks", open).await.problem(422, "json_too_deep");
}

async fn every_bad_field_is_named_at_once(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let publish = async |body: &str| world.call(&owner, "POST", "/v1/events", body).await;
    let all = r#"{"event_type": 7, "data": [1], "timestamp": "2024-12-16", "webhook": 1}"#;
    let fields = publish(all).await.problem(422, "validation_failed");
    assert_eq!(fields, ["data", "event_type", "timestamp", "webhook"]);
    assert_eq!(publish("{}").await.problem(422, "validation_failed"), ["data", "event_type"]);
    let twice = r#"{"event_type":"call.missed","data":{},"data":{}}"#;
    assert_eq!(publish(twice).await.problem(422, "validation_failed"), ["data"]);
    for data in ["null", "1", "\"x\"", "[]", "false"] {
        let body = format!(r#"{{"event_type":"call.missed","data":{data}}}"#);
        assert_eq!(publish(&body).await.problem(422, "validation_failed"), ["data"], "{data}");
    }
    let unknown = publish(r#"{"event_type":"call.vanished","data":{}}"#).await;
    assert_eq!(unknown.problem(422, "unknown_event_type"), ["event_type"]);
    assert!(unknown.text.contains("call.completed"));
    let operational = publish(r#"{"event_type":"webhook.disabled","data":{}}"#).await;
    assert_eq!(operational.problem(422, "reserved_event_type"), ["event_type"]);
    for timestamp in
        ["yesterday", "2024-12-16 10:30:45Z", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]
    {
        let body = json!({"event_type": "call.missed", "data": {}, "timestamp": timestamp});
        let answer = world.post(&owner, "/v1/events", body).await;
        assert_eq!(answer.problem(422, "validation_failed"), ["timestamp"], "{timestamp}");
    }
}

async fn a_body_over_the_limit_is_refused_and_nothing_is_stored(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let sized = |total: usize| {
        let frame = r#"{"event_type":"call.completed","data":{"x":""}}"#.len();
        format!(r#"{{"event_type":"call.completed","data":{{"x":"{}"}}}}"#, "y".repeat(total - frame))
    };
    const LIMIT: usize = 10 * 1024 * 1024;
    world.call(&owner, "POST", "/v1/events", sized(LIMIT + 1)).await.problem(413, "payload_too_large");
    // the request fits, but the body that would be sent does not
    world.call(&owner, "POST", "/v1/events", sized(LIMIT)).await.problem(413, "payload_too_large");
    assert_eq!(world.get(&owner, "/v1/webhooks/logs").await.ok(200)["data"], json!([]));
    assert_eq!(world.call(&owner, "POST", "/v1/events", sized(LIMIT - 200)).await.status, 202);
    let big = format!(r#"{{"url":"https://example.com/","description":"{}"}}"#, "x".repeat(256 * 1024));
    world.call(&owner, "POST", "/v1/webhooks", big).await.problem(413, "payload_too_large");
}

async fn a_body_is_json_whatever_its_content_type_says_unless_it_is_compressed(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let send = async |name: &'static str, value: &'static str| {
        let request = actix_web::test::TestRequest::post().uri("/v1/events");
        let request = request.insert_header(("authorization", format!("Bearer {owner}")));
        let request = request.insert_header((name, value));
        world.send(request.set_payload(r#"{"event_type":"call.missed","data":{}}"#)).await
    };
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "nonsense"] {
        assert_eq!(send("content-type", content_type).await.status, 202, "{content_type}");
    }
    send("content-encoding", "gzip").await.problem(415, "unsupported_encoding");
}

async fn a_stopping_engine_takes_nothing_in(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.actors.stop().await;
    let answer = world.post(&owner, "/v1/events", json!({"event_type": "call.missed", "data": {}})).await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

async fn a_flush_ends_although_something_is_always_being_written(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let (wanted, begun, is_flushed) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let step = async |number| {
        eventually("it is its turn", async || (wanted.get() == number).then_some(())).await;
        begun.set(number);
    };
    let publish = async |number| {
        step(number).await;
        let event = json!({"event_type": "call.missed", "data": {}});
        world.post(&owner, "/v1/events", event).await.ok(202);
    };
    let flush = async {
        step(2).await;
        world.actors.flush().await;
        is_flushed.set(true);
    };
    let begin = async |number| {
        wanted.set(number);
        eventually("it has begun", async || (begun.get() == number).then_some(())).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    let held =
        async || eventually("a commit is held", async || (world.store.held.inside() == 1).then_some(())).await;
    let steps = async {
        world.store.held.hold("commit", 1);
        begin(1).await;
        held().await;
        begin(2).await;
        for number in [3, 4] {
            assert!(!is_flushed.get(), "what came before is not written, or its counts");
            begin(number).await;
            world.store.held.release_all_but_the_next();
            held().await;
        }
        eventually("the flush has ended", async || is_flushed.get().then_some(())).await;
        world.store.held.release();
    };
    join(join3(publish(1), publish(3), publish(4)), join(flush, steps)).await;
}

async fn a_hundred_requests_at_once_with_one_key_make_one_event(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let body = r#"{"event_type":"call.missed","data":{"n":1}}"#;
    let requests = (0..100).map(|_| publish(&world, &owner, "order-1", body));
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.iter().all(|answer| answer.status == 202 && answer.text == answers[0].text));
    let first = answers.iter().filter(|answer| answer.header("idempotent-replay").is_none());
    assert_eq!(first.count(), 1);
    let events = world.get(&owner, "/v1/events").await.ok(200);
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&owner, "/v1/webhooks/logs").await.ok(200)["data"].as_array().unwrap().len(), 1);
}

async fn events_are_listed_newest_first_and_found_by_type_and_time(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let mut ids = Vec::new();
    for event_type in ["call.missed", "call.failed", "call.missed"] {
        let body = json!({"event_type": event_type, "data": {}, "timestamp": "2024-12-01T00:00:00Z"});
        ids.push(world.post(&owner, "/v1/events", body).await.ok(202)["id"].clone());
        world.clock.advance(std::time::Duration::from_secs(60));
    }
    let list = async |query: &str| {
        let page = world.get(&owner, &format!("/v1/events{query}")).await.ok(200);
        page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
    assert_eq!(list("?event_type=call.failed").await, [ids[1].clone()]);
    assert_eq!(list("?from=2024-12-16T10:31:00Z&to=2024-12-16T10:32:00Z").await, [ids[1].clone()]);
    let page = world.get(&owner, "/v1/events?limit=2").await.ok(200);
    let next = format!("?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(list(&next).await, [ids[0].clone()]);
    let expected = json!({
        "id": ids[2], "event_type": "call.missed", "timestamp": "2024-12-01T00:00:00.000Z",
        "created_at": "2024-12-16T10:32:45.007Z", "delivery_count": 1, "channels": [], "tags": [],
    });
    assert_eq!(page["data"][0], expected);
    let bad = "/v1/events?event_type=A&from=x&to=y&limit=0&status=failed";
    let fields = world.get(&owner, bad).await.problem(422, "validation_failed");
    assert_eq!(fields, ["event_type", "from", "limit", "status", "to"]);
    let backwards = "/v1/events?from=2024-12-16T10:32:00Z&to=2024-12-16T10:31:00Z";
    assert_eq!(world.get(&owner, backwards).await.problem(422, "validation_failed"), ["from"]);
}

async fn an_event_is_shown_with_its_body_as_it_is_sent_and_its_deliveries(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let data = r#"{"z":1e400,  "s":"\u00e9\/"}"#;
    let body = format!(r#"{{"event_type":"call.completed","timestamp":"2024-12-16T10:30:45Z","data": {data} }}"#);
    let published = world.call(&owner, "POST", "/v1/events", body).await.ok(202);
    let answer = world.get(&owner, &format!("/v1/events/{}", published["id"].as_str().unwrap())).await;
    let expected = format!(
        r#""payload":{{"event_type":"call.completed","timestamp":"2024-12-16T10:30:45Z","webhook_id":{},"data":{data}}}"#,
        published["id"]
    );
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains(&expected), "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    // the payload holds what no f64 does
    let detail: serde_json::Value = serde_json::from_str(&answer.text.replace("1e400", "1")).unwrap();
    assert_eq!(detail["delivery_count"], 2);
    let deliveries = detail["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 2);
    assert_eq!(format!("/v1/webhooks/{}", deliveries[0]["webhook_id"].as_str().unwrap()), webhook);
    assert!(deliveries.iter().all(|row| row["event_id"] == published["id"]));
}

async fn an_outcome_whose_commit_panics_is_written_with_a_later_one_and_its_webhook_goes_on(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let event = json!({"event_type": "call.completed", "data": {}});
    world.store.outcome_panics.store(true, Ordering::SeqCst);
    let first = world.post(&owner, "/v1/events", event.clone()).await.ok(202);
    let delivered = world.delivered(&owner).await;
    let row = world.get(&owner, &format!("/v1/webhooks/logs/{delivered}")).await.ok(200);
    assert_eq!((&row["event_id"], &row["status"]), (&first["id"], &json!("success")));
    assert_eq!(world.receivers.received.lock().unwrap().len(), 1, "it is not sent again");
    assert!(!world.store.outcome_panics.load(Ordering::SeqCst));
}

async fn the_store_may_make_a_checkpoint_after_some_commits_also_when_one_has_failed(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.store.checkpoint_panics.store(true, Ordering::SeqCst);
    let event = json!({"event_type": "call.completed", "data": {}});
    let checkpoints = || world.store.checkpoints.load(Ordering::SeqCst);
    // each is a commit of its own; after a failure it is left alone for a moment, in which many are made
    for commits in 1..=20_000 {
        world.post(&owner, "/v1/events", event.clone()).await.ok(202);
        if checkpoints() >= 2 {
            assert!(commits >= 16, "{commits} commits: not after every one");
            return;
        }
    }
    panic!("{} checkpoints after 20,000 commits", checkpoints());
}

async fn a_checkpoint_that_a_reader_held_up_is_made_later_without_another_commit(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.store.checkpoints_blocked.store(3, Ordering::SeqCst);
    let event = json!({"event_type": "call.completed", "data": {}});
    let checkpoints = || world.store.checkpoints.load(Ordering::SeqCst);
    while checkpoints() == 0 {
        world.post(&owner, "/v1/events", event.clone()).await.ok(202);
    }
    eventually("the checkpoint is tried again", async || (checkpoints() >= 4).then_some(())).await;
}
