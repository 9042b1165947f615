//! Lists of messages and attempts: what is filtered, in which order, and what a query may say.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringback::domain::ids::{EventId, instant_in};
use serde_json::{Value, json};

use super::{environment_token, world};
use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    few_rows_among_many_are_on_the_first_page,
    after_an_instant_come_the_oldest_and_the_previous_page_leads_on,
    a_message_has_one_time_wherever_it_is_shown,
    a_message_that_has_succeeded_is_a_success_however_a_resend_ends,
    a_destination_has_the_status_of_its_last_attempt_and_always_a_next_one,
    what_a_query_can_t_say_is_told_apart_from_what_it_may_not,
    an_endpoint_s_messages_go_on_from_any_message_of_it,
);

const URL: &str = "https://example.com/hook";

/// A world with the application `app`, and its endpoint `main`.
async fn with_endpoint(database: Database) -> World {
    let world = world(database).await;
    let token = environment_token();
    world.svix(&token, "POST", "/app", json!({"name": "App", "uid": "app"})).await.ok(201);
    world.svix(&token, "POST", "/app/app/endpoint", json!({"url": URL, "uid": "main"})).await.ok(201);
    world
}

async fn publish(world: &World, number: usize) -> Value {
    let message = json!({"eventType": "a.b", "eventId": format!("n{number}"), "payload": {"n": number}});
    world.svix(&environment_token(), "POST", "/app/app/msg", message).await.ok(202)
}

async fn get(world: &World, path: &str) -> Value {
    world.svix(&environment_token(), "GET", &format!("/app/app/{path}"), "").await.ok(200)
}

/// The rows' field, and whether these are all.
fn column(page: &Value, field: &str) -> (Vec<Value>, bool) {
    let rows = page["data"].as_array().unwrap().iter();
    (rows.map(|row| row[field].clone()).collect(), page["done"].as_bool().unwrap())
}

async fn until_attempted(world: &World, path: &str, count: usize) -> Value {
    eventually(&format!("{path} has {count} attempts"), async || {
        let page = get(world, path).await;
        (page["data"].as_array().unwrap().len() == count).then_some(page)
    })
    .await
}

async fn few_rows_among_many_are_on_the_first_page(database: Database) {
    let world = with_endpoint(database).await;
    let token = environment_token();
    for name in ["rare.type", "common.type"] {
        world.svix(&token, "POST", "/event-type", json!({"name": name, "description": "x"})).await.ok(201);
    }
    world.receivers.status.store(400, Ordering::SeqCst);
    let rare = json!({"eventType": "rare.type", "payload": {}, "channels": ["rare"]});
    let rare = world.svix(&token, "POST", "/app/app/msg", rare).await.ok(202)["id"].clone();
    let of_rare = format!("attempt/msg/{}", rare.as_str().unwrap());
    until_attempted(&world, &of_rare, 1).await;
    world.receivers.status.store(200, Ordering::SeqCst);
    let organization = get(&world, "").await["id"].as_str().unwrap().replace("app_", "org_");
    let owner = world.key(&organization, "owner").await;
    let batch: Vec<Value> = (0..700).map(|n| json!({"event_type": "common.type", "data": {"n": n}})).collect();
    for _ in 0..3 {
        world.post(&owner, "/v1/events/batch", json!(batch)).await.ok(202);
    }
    eventually("all are sent", async || (world.receivers.received.lock().unwrap().len() >= 2_101).then_some(()))
        .await;
    let by_message = ["status=3", "channel=rare", "event_types=rare.type"];
    let (by_message, id) = (by_message.map(|query| format!("endpoint/main/msg?{query}&limit=1")), "id");
    for path in by_message {
        assert_eq!(column(&get(&world, &path).await, id), (vec![rare.clone()], true), "{path}");
    }
    for query in ["status=2", "status_code_class=400", "channel=rare", "event_types=rare.type"] {
        let path = format!("attempt/endpoint/main?{query}");
        assert_eq!(column(&get(&world, &path).await, "msgId"), (vec![rare.clone()], true), "{path}");
    }
    let none = get(&world, "endpoint/main/msg?channel=none").await;
    assert_eq!((&none["data"], &none["iterator"], &none["done"]), (&json!([]), &json!(null), &json!(true)));
    // and forwards in time
    let path = format!("endpoint/main/msg?channel=rare&iterator=-{}", EventId(0));
    assert_eq!(column(&get(&world, &path).await, id), (vec![rare.clone()], true));
}

async fn after_an_instant_come_the_oldest_and_the_previous_page_leads_on(database: Database) {
    let world = with_endpoint(database).await;
    publish(&world, 99).await;
    world.clock.advance(Duration::from_millis(20));
    let after = ringback::domain::time::Clock::now(&*world.clock);
    let mut ids = Vec::new();
    for number in 0..9 {
        world.clock.advance(Duration::from_millis(10));
        ids.push(publish(&world, number).await["id"].clone());
    }
    let before = after + Duration::from_millis(65);
    until_attempted(&world, "attempt/endpoint/main", 10).await;
    for (path, field) in [("msg", "id"), ("endpoint/main/msg", "id"), ("attempt/endpoint/main", "msgId")] {
        let list = async |query: &str| {
            let page = get(&world, &format!("{path}?limit=3&{query}")).await;
            let (rows, done) = column(&page, field);
            let places: Vec<usize> =
                rows.iter().map(|id| ids.iter().position(|other| other == id).unwrap()).collect();
            (places, done, page)
        };
        let (rows, done, page) = list(&format!("after={after}")).await;
        assert_eq!((rows, done), (vec![2, 1, 0], false), "{path}");
        let iterator = page["prevIterator"].as_str().unwrap();
        let (rows, done, page) = list(&format!("after={after}&iterator={iterator}")).await;
        assert_eq!((rows, done), (vec![5, 4, 3], false), "{path}");
        let older = page["iterator"].as_str().unwrap();
        let (rows, done, _) = list(&format!("after={after}&iterator={older}")).await;
        assert_eq!((rows, done), (vec![2, 1, 0], true), "{path}: not those before the instant");
        let iterator = page["prevIterator"].as_str().unwrap();
        let (rows, done, _) = list(&format!("iterator={iterator}")).await;
        assert_eq!((rows, done), (vec![8, 7, 6], true), "{path}");
        let both = list(&format!("after={after}&before={before}")).await;
        assert_eq!((both.0, both.1), (vec![5, 4, 3], false), "{path}: the newest of a period");
        let (rows, done, _) =
            list(&format!("after={after}&before={before}&iterator={}", both.2["iterator"].as_str().unwrap()))
                .await;
        assert_eq!((rows, done), (vec![2, 1, 0], true), "{path}");
    }
}

async fn a_message_has_one_time_wherever_it_is_shown(database: Database) {
    let world = with_endpoint(database).await;
    for number in 0..3 {
        world.clock.advance(Duration::from_millis(3));
        let made = publish(&world, number).await;
        let id: EventId = made["id"].as_str().unwrap().parse().unwrap();
        let expected = json!(instant_in(id.0));
        until_attempted(&world, &format!("attempt/msg/{id}"), 1).await;
        let shown = [
            made,
            get(&world, &format!("msg/{id}")).await,
            get(&world, "msg?limit=1").await["data"][0].clone(),
            get(&world, "endpoint/main/msg?limit=1").await["data"][0].clone(),
        ];
        assert!(shown.iter().all(|message| message["timestamp"] == expected), "{expected} {shown:?}");
    }
}

async fn a_message_that_has_succeeded_is_a_success_however_a_resend_ends(database: Database) {
    let world = with_endpoint(database).await;
    let id = publish(&world, 1).await["id"].clone();
    until_attempted(&world, "attempt/msg/n1", 1).await;
    let list = async |query: &str| column(&get(&world, &format!("endpoint/main/msg{query}")).await, "status");
    let resend = async |status: u16, attempts: usize| {
        world.receivers.status.store(status, Ordering::SeqCst);
        let path = "/app/app/msg/n1/endpoint/main/resend";
        world.svix(&environment_token(), "POST", path, "").await.ok(202);
        until_attempted(&world, "attempt/msg/n1", attempts).await;
    };
    resend(500, 2).await;
    assert_eq!(list("").await, (vec![json!(2)], true), "what came last");
    assert_eq!(list("?status=0").await, (vec![json!(0)], true));
    for status in [1, 2, 3] {
        assert_eq!(list(&format!("?status={status}")).await, (vec![], true), "{status}");
    }
    resend(500, 3).await;
    assert_eq!(column(&get(&world, "endpoint/main/msg?status=0").await, "id"), (vec![id], true));
    // one that never succeeded
    world.svix(&environment_token(), "PATCH", "/app/app/endpoint/main", json!({"description": "x"})).await.ok(200);
    publish(&world, 2).await;
    let waits = async || {
        let page = get(&world, "endpoint/main/msg?status=3").await;
        (page["data"][0]["eventId"] == "n2").then_some(page)
    };
    let waiting = eventually("it waits for a retry", waits).await;
    assert_eq!(waiting["data"].as_array().unwrap().len(), 1);
    assert_eq!(list("?status=0").await, (vec![json!(0)], true));
}

async fn a_destination_has_the_status_of_its_last_attempt_and_always_a_next_one(database: Database) {
    let world = with_endpoint(database).await;
    publish(&world, 1).await;
    until_attempted(&world, "attempt/msg/n1", 1).await;
    let row = async |name: &str| get(&world, &format!("msg/{name}/endpoint")).await["data"][0].clone();
    let sent = row("n1").await;
    assert_eq!((&sent["status"], sent.get("nextAttempt")), (&json!(0), Some(&json!(null))));
    world.receivers.status.store(500, Ordering::SeqCst);
    publish(&world, 2).await;
    until_attempted(&world, "attempt/msg/n2", 1).await;
    let retried = row("n2").await;
    assert_eq!((&retried["status"], &retried["statusText"]), (&json!(2), &json!("fail")));
    assert!(retried["nextAttempt"].is_string(), "{retried}");
    let of_endpoint = get(&world, "endpoint/main/msg?limit=1").await;
    assert_eq!(of_endpoint["data"][0]["status"], 3, "the message itself is still being sent");
}

async fn what_a_query_can_t_say_is_told_apart_from_what_it_may_not(database: Database) {
    let world = with_endpoint(database).await;
    publish(&world, 1).await;
    until_attempted(&world, "attempt/msg/n1", 1).await;
    let call = async |path: &str| world.svix(&environment_token(), "GET", &format!("/app/app/{path}"), "").await;
    for path in [
        "msg?limit=abc",
        "msg?limit=-1",
        "msg?limit=",
        "msg?before=x",
        "msg?with_content=1",
        "endpoint?order=x",
        "endpoint/main/msg?status=9",
        "endpoint/main/msg?status=",
        "attempt/endpoint/main?status_code_class=201",
        "attempt/endpoint/main?after=",
        "endpoint/main/stats?since=x",
    ] {
        call(path).await.svix_error(400, "generic_error");
    }
    let get_or_create = "/app?get_if_exists=1";
    world
        .svix(&environment_token(), "POST", get_or_create, json!({"name": "x"}))
        .await
        .svix_error(400, "generic_error");
    for (path, place) in [
        ("msg?limit=251", "limit"),
        ("msg?iterator=", "iterator"),
        ("endpoint/main/msg?iterator=x", "iterator"),
        ("msg?channel=a%20b", "channel"),
        ("attempt/endpoint/main?channel=", "channel"),
        ("attempt/msg/n1?endpoint_id=a%20b", "endpoint_id"),
    ] {
        assert_eq!(call(path).await.svix_invalid(), [format!("query.{place}")], "{path}");
    }
    for path in
        ["msg", "endpoint", "endpoint/main/msg", "attempt/endpoint/main", "attempt/msg/n1", "msg/n1/endpoint"]
    {
        let page = get(&world, &format!("{path}?limit=0")).await;
        assert_eq!(page, json!({"data": [], "iterator": null, "done": false}), "{path}");
    }
    let now = ringback::domain::time::UnixMillis(super::NOW * 1_000 + 1_000).to_string();
    let utc = now.replace('T', "%20").replace('Z', "%20UTC");
    assert_eq!(get(&world, &format!("msg?before={utc}")).await["data"].as_array().unwrap().len(), 1);
    assert_eq!(get(&world, &format!("msg?after={utc}")).await["data"], json!([]));
}

async fn an_endpoint_s_messages_go_on_from_any_message_of_it(database: Database) {
    let world = with_endpoint(database).await;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(publish(&world, number).await["id"].as_str().unwrap().to_owned());
    }
    let list = async |query: &str| {
        let page = get(&world, &format!("endpoint/main/msg?limit=2&{query}")).await;
        let rows = column(&page, "id").0;
        (rows.iter().map(|id| ids.iter().position(|other| id == other).unwrap()).collect::<Vec<_>>(), page)
    };
    let (rows, page) = list("").await;
    assert_eq!(rows, [5, 4]);
    assert_eq!((&page["iterator"], &page["prevIterator"]), (&json!(ids[4]), &json!(format!("-{}", ids[5]))));
    assert_eq!(list(&format!("iterator={}", ids[4])).await.0, [3, 2]);
    let (rows, page) = list(&format!("iterator=-{}", ids[1])).await;
    assert_eq!((rows, &page["prevIterator"]), (vec![3, 2], &json!(format!("-{}", ids[3]))));
    assert_eq!(list(&format!("iterator=-{}", ids[4])).await.0, [5]);
    // of a message that the endpoint did not get
    world.svix(&environment_token(), "PATCH", "/app/app/endpoint/main", json!({"disabled": true})).await.ok(200);
    let missed = publish(&world, 6).await["id"].as_str().unwrap().to_owned();
    assert_eq!(list(&format!("iterator={missed}")).await.0, [5, 4]);
    assert_eq!(list(&format!("iterator=-{missed}")).await.0, [0usize; 0]);
}
