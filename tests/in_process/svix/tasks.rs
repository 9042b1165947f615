//! Background tasks: `recover`, `replay-missing`, `bulk-replay`, and the list of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringback::domain::ids::TaskId;
use ringback::domain::svix::Environment;
use ringback::domain::time::UnixMillis;
use ringback::store::{BackgroundTask, TaskKind, TaskSelection, TaskStatus, TaskStore};
use serde_json::{Value, json};

use super::{NOW, environment_token, of_application, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    an_endpoint_gets_what_it_never_got_once_and_only_what_it_wants,
    what_a_filter_of_the_data_refuses_is_not_missing,
    what_was_sent_before_is_sent_again_by_a_selection,
    a_recovery_is_a_task_that_counts_what_it_sends,
    tasks_are_listed_for_the_environment_and_for_one_application,
    a_task_that_nobody_carries_out_goes_on_where_it_stopped,
    a_task_goes_on_after_the_database_was_away,
    what_a_task_can_not_be_is_said_field_by_field,
    a_repeated_request_is_the_same_task,
);

const SINCE: &str = "2024-12-16T00:00:00Z";

async fn application(world: &World, uid: &str) -> String {
    let new = json!({"name": uid, "uid": uid});
    let made = world.svix(&environment_token(), "POST", "/app", new).await.ok(201);
    made["id"].as_str().unwrap().replace("app_", "org_")
}

async fn endpoint(world: &World, application: &str, uid: &str, more: Value) {
    let mut new = json!({"url": format!("https://example.com/{uid}"), "uid": uid});
    new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.svix(&environment_token(), "POST", &format!("/app/{application}/endpoint"), new).await.ok(201);
}

async fn publish(world: &World, application: &str, number: u32, more: Value) {
    let mut message = json!({"eventType": "a", "payload": {"number": number}});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.svix(&environment_token(), "POST", &format!("/app/{application}/msg"), message).await.ok(202);
    world.clock.advance(Duration::from_millis(10));
}

/// The numbers that arrived since this was last asked, sorted.
fn arrived(world: &World) -> Vec<u64> {
    let bodies = std::mem::take(&mut *world.receivers.received.lock().unwrap());
    let number = |body: &bytes::Bytes| serde_json::from_slice::<Value>(body).unwrap()["number"].as_u64().unwrap();
    let mut numbers: Vec<u64> = bodies.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

async fn all_arrived(world: &World, expected: &[u64]) {
    let mut seen = Vec::new();
    eventually(&format!("{expected:?} arrive"), async || {
        seen.extend(arrived(world));
        (seen.len() >= expected.len()).then_some(())
    })
    .await;
    seen.sort_unstable();
    assert_eq!(seen, expected);
}

async fn ended(world: &World, id: &str) -> Value {
    let path = format!("/background-task/{id}");
    eventually(&format!("{id} ends"), async || {
        let task = world.svix(&environment_token(), "GET", &path, "").await.ok(200);
        (task["status"] != "running").then_some(task)
    })
    .await
}

/// What a task of the application's endpoint has sent.
async fn sent(world: &World, endpoint: &str, call: &str, body: Value) -> u64 {
    let path = format!("/app/{endpoint}/{call}");
    let begun = world.svix(&environment_token(), "POST", &path, body).await.ok(202);
    let id = begun["id"].as_str().unwrap();
    assert!(id.starts_with("qtask_") && begun["updatedAt"].is_string(), "{begun}");
    let task = ended(world, id).await;
    assert_eq!((&task["status"], &task["task"]), (&json!("finished"), &begun["task"]), "{task}");
    task["data"]["messagesSent"].as_u64().unwrap()
}

async fn an_endpoint_gets_what_it_never_got_once_and_only_what_it_wants(database: Database) {
    let world = world(database).await;
    let (one, other) = ("one", "other");
    application(&world, one).await;
    application(&world, other).await;
    publish(&world, one, 1, json!({})).await;
    publish(&world, one, 2, json!({"eventType": "b"})).await;
    publish(&world, one, 3, json!({"channels": ["x"]})).await;
    publish(&world, other, 4, json!({})).await;
    world.clock.advance(Duration::from_secs(60));
    let middle = UnixMillis(NOW * 1_000 + 30_000).to_string();
    endpoint(&world, one, "all", json!({})).await;
    publish(&world, one, 5, json!({})).await;
    all_arrived(&world, &[5]).await;
    assert_eq!(sent(&world, "one/endpoint/all", "replay-missing", json!({"since": middle})).await, 0);
    let before = json!({"since": SINCE, "until": middle});
    assert_eq!(sent(&world, "one/endpoint/all", "replay-missing", before).await, 3);
    all_arrived(&world, &[1, 2, 3]).await;
    assert_eq!(sent(&world, "one/endpoint/all", "replay-missing", json!({"since": SINCE})).await, 0);
    let new = json!({"name": "b", "description": "x"});
    world.svix(&environment_token(), "POST", "/event-type", new).await.ok(201);
    endpoint(&world, one, "typed", json!({"filterTypes": ["b"]})).await;
    assert_eq!(sent(&world, "one/endpoint/typed", "replay-missing", json!({"since": SINCE})).await, 1);
    all_arrived(&world, &[2]).await;
    endpoint(&world, one, "channel", json!({"channels": ["x", "y"]})).await;
    assert_eq!(sent(&world, "one/endpoint/channel", "replay-missing", json!({"since": SINCE})).await, 1);
    all_arrived(&world, &[3]).await;
    // what it is now counts
    let all = json!({"url": "https://example.com/channel", "uid": "channel", "disabled": true});
    world.svix(&environment_token(), "PUT", "/app/one/endpoint/channel", &all).await.ok(200);
    assert_eq!(sent(&world, "one/endpoint/channel", "replay-missing", json!({"since": SINCE})).await, 3);
    assert_eq!(arrived(&world), [0u64; 0], "it is disabled");
    let enabled = json!({"disabled": false});
    world.svix(&environment_token(), "PATCH", "/app/one/endpoint/channel", &enabled).await.ok(200);
    all_arrived(&world, &[1, 2, 5]).await;
}

async fn what_a_filter_of_the_data_refuses_is_not_missing(database: Database) {
    let world = world(database).await;
    let id = application(&world, "one").await;
    for number in 1..=3 {
        publish(&world, "one", number, json!({})).await;
    }
    let owner = world.key(&id, "owner").await;
    let new = json!({"url": "https://example.com/hook", "filters": {"number": 2}});
    let path = world.webhook(&owner, new).await;
    let endpoint = path.rsplit('/').next().unwrap().replace("wh_", "ep_");
    let name = format!("one/endpoint/{endpoint}");
    assert_eq!(sent(&world, &name, "replay-missing", json!({"since": SINCE})).await, 1);
    all_arrived(&world, &[2]).await;
}

async fn what_was_sent_before_is_sent_again_by_a_selection(database: Database) {
    let world = world(database).await;
    application(&world, "one").await;
    endpoint(&world, "one", "main", json!({})).await;
    publish(&world, "one", 1, json!({})).await;
    publish(&world, "one", 2, json!({"eventType": "b", "channels": ["x"]})).await;
    all_arrived(&world, &[1, 2]).await;
    let name = "one/endpoint/main";
    eventually("both have ended", async || {
        let rows =
            world.svix(&environment_token(), "GET", "/app/one/endpoint/main/msg?status=0", "").await.ok(200);
        (rows["data"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    for (selection, expected) in [
        (json!({}), vec![1, 2]),
        (json!({"eventTypes": ["b"]}), vec![2]),
        (json!({"channel": "x", "tag": null, "until": null}), vec![2]),
        (json!({"channel": "y"}), vec![]),
        (json!({"tag": "t"}), vec![]),
        (json!({"status": 0, "statusCodeClass": 200}), vec![1, 2]),
        (json!({"status": 2}), vec![]),
        (json!({"statusCodeClass": 500}), vec![]),
        (json!({"statusCodeClass": 0}), vec![]),
    ] {
        let mut body = json!({"since": SINCE});
        body.as_object_mut().unwrap().extend(selection.as_object().unwrap().clone());
        assert_eq!(sent(&world, name, "bulk-replay", body).await, expected.len() as u64, "{selection}");
        all_arrived(&world, &expected).await;
        eventually("all have ended", async || {
            let rows =
                world.svix(&environment_token(), "GET", "/app/one/endpoint/main/msg?status=0", "").await.ok(200);
            (rows["data"].as_array().unwrap().len() == 2).then_some(())
        })
        .await;
    }
}

async fn a_recovery_is_a_task_that_counts_what_it_sends(database: Database) {
    let world = world(database).await;
    application(&world, "one").await;
    endpoint(&world, "one", "main", json!({})).await;
    world.receivers.status.store(410, Ordering::SeqCst);
    publish(&world, "one", 1, json!({})).await;
    all_arrived(&world, &[1]).await;
    eventually("it has failed", async || {
        let rows =
            world.svix(&environment_token(), "GET", "/app/one/endpoint/main/msg?status=2", "").await.ok(200);
        rows["data"].get(0).map(|_| ())
    })
    .await;
    world.receivers.status.store(200, Ordering::SeqCst);
    world.svix(&environment_token(), "PATCH", "/app/one/endpoint/main", json!({"disabled": false})).await.ok(200);
    assert_eq!(sent(&world, "one/endpoint/main", "recover", json!({"since": SINCE})).await, 1);
    all_arrived(&world, &[1]).await;
    assert_eq!(sent(&world, "one/endpoint/main", "recover", json!({"since": SINCE})).await, 0);
}

async fn tasks_are_listed_for_the_environment_and_for_one_application(database: Database) {
    let world = world(database).await;
    let (one, other) = (application(&world, "one").await, application(&world, "other").await);
    let mut ids = Vec::new();
    for (application, call) in [("one", "recover"), ("other", "replay-missing"), ("one", "bulk-replay")] {
        endpoint(&world, application, &format!("for-{call}"), json!({})).await;
        let path = format!("/app/{application}/endpoint/for-{call}/{call}");
        let begun = world.svix(&environment_token(), "POST", &path, json!({"since": SINCE})).await.ok(202);
        let id = begun["id"].as_str().unwrap().to_owned();
        ended(&world, &id).await;
        ids.push(id);
    }
    let list = async |token: &str, query: &str| -> Vec<usize> {
        let path = format!("/background-task{query}");
        let listed = world.svix(token, "GET", &path, "").await.ok(200);
        let place = |task: &Value| ids.iter().position(|id| task["id"] == **id).unwrap();
        listed["data"].as_array().unwrap().iter().map(place).collect()
    };
    let all = environment_token();
    assert_eq!(list(&all, "").await, [2, 1, 0]);
    assert_eq!(list(&all, "?order=ascending&limit=2").await, [0, 1]);
    assert_eq!(list(&all, &format!("?order=ascending&iterator={}", ids[1])).await, [2]);
    assert_eq!(list(&all, &format!("?iterator=-{}", ids[1])).await, [2]);
    assert_eq!(list(&all, "?task=endpoint.bulk-replay&status=finished").await, [2]);
    assert_eq!(list(&all, "?task=message.broadcast").await, [0usize; 0]);
    assert_eq!(list(&all, "?status=running").await, [0usize; 0]);
    for (id, own) in [(&one, vec![2, 0]), (&other, vec![1])] {
        let token = token(&of_application(id));
        assert_eq!(list(&token, "").await, own);
        for (place, id) in ids.iter().enumerate() {
            let found = world.svix(&token, "GET", &format!("/background-task/{id}"), "").await;
            assert_eq!(found.status, if own.contains(&place) { 200 } else { 404 });
        }
    }
    let elsewhere = token(&json!({"sub": "org_another"}));
    assert_eq!(list(&elsewhere, "").await, [0usize; 0]);
    world.svix(&elsewhere, "GET", &format!("/background-task/{}", ids[0]), "").await.svix_error(404, "not_found");
    world.svix(&all, "GET", "/background-task/qtask_x", "").await.svix_error(404, "not_found");
    for query in ["status=over", "task=x"] {
        let path = format!("/background-task?{query}");
        world.svix(&all, "GET", &path, "").await.svix_error(400, "generic_error");
    }
    let wrong = world.svix(&all, "GET", "/background-task?iterator=x", "").await;
    assert_eq!(wrong.svix_invalid(), ["query.iterator"]);
}

async fn a_task_that_nobody_carries_out_goes_on_where_it_stopped(database: Database) {
    let world = world(database).await;
    let id = application(&world, "one").await;
    publish(&world, "one", 1, json!({})).await;
    publish(&world, "one", 2, json!({})).await;
    let listed = world.svix(&environment_token(), "GET", "/app/one/msg", "").await.ok(200);
    let first: ringback::domain::ids::EventId = listed["data"][1]["id"].as_str().unwrap().parse().unwrap();
    endpoint(&world, "one", "main", json!({})).await;
    let made = world.svix(&environment_token(), "GET", "/app/one/endpoint/main", "").await.ok(200);
    // as the process that died has left it
    let left = BackgroundTask {
        id: TaskId(first.0 + 1),
        environment: Environment::default(),
        organization_id: id.parse().unwrap(),
        endpoint_id: made["id"].as_str().unwrap().replace("ep_", "wh_").parse().unwrap(),
        kind: TaskKind::Missing,
        since: UnixMillis(0),
        until: UnixMillis(NOW * 1_000 + 60_000),
        selection: TaskSelection::default(),
        status: TaskStatus::Running,
        place: Some(first.0),
        sent: 40,
        failure: None,
        version: 3,
        created_at: UnixMillis(NOW * 1_000),
        updated_at: UnixMillis(NOW * 1_000),
    };
    assert!(world.store.create_task(&left, 8).unwrap());
    let task = ended(&world, &left.id.to_string()).await;
    assert_eq!((&task["status"], &task["data"]["messagesSent"]), (&json!("finished"), &json!(41)));
    all_arrived(&world, &[2]).await;
}

async fn a_task_goes_on_after_the_database_was_away(database: Database) {
    let world = world(database).await;
    application(&world, "one").await;
    publish(&world, "one", 1, json!({})).await;
    endpoint(&world, "one", "main", json!({})).await;
    *world.store.loses_answer_of.lock().unwrap() = "advance_task";
    assert_eq!(sent(&world, "one/endpoint/main", "replay-missing", json!({"since": SINCE})).await, 1);
    all_arrived(&world, &[1]).await;
}

async fn what_a_task_can_not_be_is_said_field_by_field(database: Database) {
    let world = world(database).await;
    application(&world, "one").await;
    endpoint(&world, "one", "main", json!({})).await;
    for (call, body, places) in [
        ("replay-missing", json!({"since": "yesterday", "until": 5}), vec!["body.until"]),
        ("replay-missing", json!({"since": "yesterday"}), vec!["body.since"]),
        ("replay-missing", json!({"since": "2099-01-01T00:00:00Z"}), vec!["body.since"]),
        ("replay-missing", json!({}), vec!["body"]),
        ("recover", json!({"since": "2024-11-16T00:00:00Z"}), vec!["body.since"]),
        ("bulk-replay", json!({"since": SINCE, "status": 3}), vec!["body.status"]),
        ("bulk-replay", json!({"since": SINCE, "statusCodeClass": 404}), vec!["body.statusCodeClass"]),
        (
            "bulk-replay",
            json!({"since": SINCE, "eventTypes": ["a b"], "channel": "", "tag": "\n"}),
            vec!["body.eventTypes", "body.channel", "body.tag"],
        ),
    ] {
        let path = format!("/app/one/endpoint/main/{call}");
        assert_eq!(world.svix(&environment_token(), "POST", &path, &body).await.svix_invalid(), places, "{body}");
    }
    let missing = "/app/one/endpoint/missing/replay-missing";
    world.svix(&environment_token(), "POST", missing, json!({"since": SINCE})).await.svix_error(404, "not_found");
}

async fn a_repeated_request_is_the_same_task(database: Database) {
    let world = world(database).await;
    application(&world, "one").await;
    endpoint(&world, "one", "main", json!({})).await;
    let (token, body) = (environment_token(), json!({"since": SINCE}));
    let path = "/app/one/endpoint/main/replay-missing";
    let first = world.svix_once(&token, "k", path, &body).await;
    let again = world.svix_once(&token, "k", path, &body).await;
    assert_eq!((again.status, &again.text), (202, &first.text));
    let listed = world.svix(&token, "GET", "/background-task", "").await.ok(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}
