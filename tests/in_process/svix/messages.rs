//! Messages for a later time, with a retention of their own, and what is known before one is made.

use std::time::Duration;

use ringback::store::ErasureStore;
use serde_json::{Value, json};

use super::{app_id, environment_token, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    a_message_for_a_later_time_waits_until_then_and_says_so_everywhere,
    a_message_for_a_later_time_can_be_sent_now_or_called_off,
    times_that_are_over_too_far_or_contradictory_are_told_apart,
    a_payload_is_kept_as_long_as_its_message_asks,
    a_precheck_knows_whether_a_message_would_reach_anybody,
    several_payloads_are_erased_in_one_call_and_unknown_ones_are_named,
);

const URL: &str = "https://example.com/hook";
const HOUR: Duration = Duration::from_secs(3_600);

/// A world with the application `app`, and its endpoint `main`.
async fn with_endpoint(database: Database) -> World {
    let world = world(database).await;
    let token = environment_token();
    world.svix(&token, "POST", "/app", json!({"name": "App", "uid": "app"})).await.ok(201);
    world.svix(&token, "POST", "/app/app/endpoint", json!({"url": URL, "uid": "main"})).await.ok(201);
    world
}

/// Of the world when a test begins, and later by so many seconds.
fn instant(seconds: i64) -> String {
    ringback::domain::time::UnixMillis(super::NOW * 1_000 + 7 + seconds * 1_000).to_string()
}

async fn publish(world: &World, fields: Value) -> Value {
    let mut message = json!({"eventType": "user.signup", "payload": {"n": 1}});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    world.svix(&environment_token(), "POST", "/app/app/msg", message).await.ok(202)
}

async fn get(world: &World, path: &str) -> Value {
    world.svix(&environment_token(), "GET", path, "").await.ok(200)
}

fn received(world: &World) -> usize {
    world.receivers.received.lock().unwrap().len()
}

/// The engine looks at the endpoint's queue again, as it does after a change; its timers are those of real time.
async fn look_again(world: &World, number: u8) {
    let change = json!({"description": format!("change {number}")});
    world.svix(&environment_token(), "PATCH", "/app/app/endpoint/main", change).await.ok(200);
}

/// Another message arrives: whatever was due before it has been sent.
async fn until_another_arrives(world: &World) {
    let marker = publish(world, json!({"eventType": "the.marker"})).await;
    let path = format!("/app/app/msg/{}/endpoint", marker["id"].as_str().unwrap());
    eventually("the marker is delivered", async || {
        (get(world, &path).await["data"][0]["status"] == 0).then_some(())
    })
    .await;
}

async fn a_message_for_a_later_time_waits_until_then_and_says_so_everywhere(database: Database) {
    let world = with_endpoint(database).await;
    let at = instant(3_600);
    let made = publish(&world, json!({"deliverAt": "2024-12-16T12:30:45.007+01:00", "eventId": "late"})).await;
    assert_eq!(made["deliverAt"], json!(at));
    until_another_arrives(&world).await;
    assert_eq!(received(&world), 1);
    assert_eq!(get(&world, "/app/app/msg/late").await["deliverAt"], json!(at));
    let listed = get(&world, "/app/app/msg").await;
    assert_eq!((&listed["data"][1]["deliverAt"], listed["data"][0].get("deliverAt")), (&json!(at), None));
    for path in ["/app/app/msg/late/endpoint", "/app/app/endpoint/main/msg?status=1"] {
        let row = &get(&world, path).await["data"][0];
        assert_eq!(
            (&row["status"], &row["statusText"], &row["nextAttempt"]),
            (&json!(1), &json!("pending"), &json!(at))
        );
    }
    assert_eq!(get(&world, "/app/app/attempt/msg/late").await["data"], json!([]));
    world.clock.advance(HOUR - Duration::from_millis(1));
    look_again(&world, 1).await;
    until_another_arrives(&world).await;
    assert_eq!(received(&world), 2, "not a millisecond too early");
    world.clock.advance(Duration::from_millis(1));
    look_again(&world, 2).await;
    let attempts = async || get(&world, "/app/app/attempt/msg/late").await["data"][0]["status"].as_u64();
    assert_eq!(eventually("it is delivered", attempts).await, 0);
    assert_eq!(get(&world, "/app/app/msg/late").await["deliverAt"], json!(at));
}

async fn a_message_for_a_later_time_can_be_sent_now_or_called_off(database: Database) {
    let world = with_endpoint(database).await;
    let token = environment_token();
    for name in ["now", "never"] {
        publish(&world, json!({"deliverAt": instant(60), "eventId": name})).await;
    }
    world.svix(&token, "POST", "/app/app/msg/now/endpoint/main/resend", "").await.ok(202);
    let attempts = async || get(&world, "/app/app/attempt/msg/now").await["data"][0]["status"].as_u64();
    assert_eq!(eventually("it is delivered", attempts).await, 0);
    world.svix(&token, "DELETE", "/app/app/msg/never/content", "").await.ok(204);
    let rows = get(&world, "/app/app/msg/never/endpoint?expanded_statuses=true").await;
    assert_eq!((&rows["data"][0]["status"], &rows["data"][0]["nextAttempt"]), (&json!(4), &json!(null)));
    world.clock.advance(HOUR);
    look_again(&world, 3).await;
    until_another_arrives(&world).await;
    assert_eq!(received(&world), 2, "each once, and one never");
}

async fn times_that_are_over_too_far_or_contradictory_are_told_apart(database: Database) {
    let world = with_endpoint(database).await;
    for over in [instant(0), instant(-3_600), instant(-999_999)] {
        let made = publish(&world, json!({"deliverAt": over})).await;
        assert_eq!(made.get("deliverAt"), None);
    }
    eventually("they are sent at once", async || (received(&world) == 3).then_some(())).await;
    publish(&world, json!({"deliverAt": instant(24 * 3_600), "payloadRetentionHours": 25})).await;
    publish(&world, json!({"deliverAt": null, "payloadRetentionHours": null, "payloadRetentionPeriod": null}))
        .await;
    let invalid = async |fields: Value| {
        let mut message = json!({"eventType": "user.signup", "payload": {}});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        world.svix(&environment_token(), "POST", "/app/app/msg", message).await.svix_invalid()
    };
    for text in [instant(24 * 3_600 + 1), String::from("tomorrow"), String::from("2024-12-16T12:30:45")] {
        assert_eq!(invalid(json!({"deliverAt": text})).await, ["body.deliverAt"], "{text}");
    }
    let both = json!({"deliverAt": instant(2 * 3_600), "payloadRetentionHours": 2});
    assert_eq!(invalid(both).await, ["body.deliverAt"], "nothing would be left to send");
}

async fn a_payload_is_kept_as_long_as_its_message_asks(database: Database) {
    let world = with_endpoint(database).await;
    let token = environment_token();
    let days = |days: i64| json!({"payloadRetentionPeriod": days, "eventId": format!("days{days}")});
    publish(&world, json!({"payloadRetentionHours": 2, "eventId": "hours", "deliverAt": instant(3_600)})).await;
    for number in [5, 90] {
        publish(&world, days(number)).await;
    }
    let invalid = async |fields: Value| {
        let mut message = json!({"eventType": "user.signup", "payload": {}});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        world.svix(&token, "POST", "/app/app/msg", message).await.svix_invalid()
    };
    for number in [4, 91, -1, i64::MAX] {
        assert_eq!(invalid(json!({"payloadRetentionPeriod": number})).await, ["body.payloadRetentionPeriod"]);
    }
    for number in [0, 2_161, i64::MIN] {
        assert_eq!(invalid(json!({"payloadRetentionHours": number})).await, ["body.payloadRetentionHours"]);
    }
    let both = json!({"payloadRetentionHours": 200, "payloadRetentionPeriod": 7});
    assert_eq!(invalid(both).await, ["body.payloadRetentionHours"]);
    let forget_after = |hours: u32| {
        let now = ringback::domain::time::UnixMillis(super::NOW * 1_000 + 7) + HOUR * hours;
        world.store.erase_expired_payloads(now, 9).unwrap().erased
    };
    assert_eq!((forget_after(1), forget_after(2), forget_after(119)), (0, 1, 0));
    assert_eq!(get(&world, "/app/app/msg/hours").await["payload"], json!({"expired": true}));
    let resend = "/app/app/msg/hours/endpoint/main/resend";
    world.svix(&token, "POST", resend, "").await.svix_error(400, "missing_payload");
    assert_eq!(get(&world, "/app/app/msg/days5").await["payload"], json!({"n": 1}));
    assert_eq!((forget_after(120), forget_after(90 * 24)), (1, 1));
}

async fn a_precheck_knows_whether_a_message_would_reach_anybody(database: Database) {
    let world = world(database).await;
    let owner = environment_token();
    let made = world.svix(&owner, "POST", "/app", json!({"name": "App", "uid": "app"})).await.ok(201);
    world.svix(&owner, "POST", "/app", json!({"name": "Other", "uid": "other"})).await.ok(201);
    world.svix(&owner, "POST", "/event-type", json!({"name": "a.b", "description": "x"})).await.ok(201);
    let path = "/app/app/msg/precheck/active";
    let is_active = async |event_type: &str, channels: Value| {
        let body = json!({"eventType": event_type, "channels": channels});
        let answer = world.svix(&owner, "POST", path, body).await.ok(200);
        assert_eq!(answer.as_object().unwrap().len(), 1);
        answer["active"].as_bool().unwrap()
    };
    assert!(!is_active("a.b", json!(null)).await, "nobody is there");
    let new = json!({"url": URL, "uid": "typed", "filterTypes": ["a.b"], "channels": ["eu"]});
    world.svix(&owner, "POST", "/app/app/endpoint", new).await.ok(201);
    for (event_type, channels, expected) in [
        ("a.b", json!(["eu"]), true),
        ("a.b", json!(["us", "eu"]), true),
        ("a.b", json!(["us"]), false),
        ("a.b", json!(null), false),
        ("a.c", json!(["eu"]), false),
    ] {
        assert_eq!(is_active(event_type, channels.clone()).await, expected, "{event_type} {channels}");
    }
    world.svix(&owner, "PATCH", "/app/app/endpoint/typed", json!({"disabled": true})).await.ok(200);
    assert!(!is_active("a.b", json!(["eu"])).await, "it is disabled");
    // of a filter, which looks into the payload, it is assumed that it holds
    let organization = made["id"].as_str().unwrap().replace("app_", "org_");
    let key = world.key(&organization, "owner").await;
    world.webhook(&key, json!({"url": URL, "filters": {"name": "one"}})).await;
    assert!(is_active("any.type", json!(null)).await);
    let elsewhere =
        world.svix(&owner, "POST", "/app/other/msg/precheck/active", json!({"eventType": "a.b"})).await;
    assert_eq!(elsewhere.ok(200), json!({"active": false}));
    let invalid = json!({"eventType": "not a type", "channels": ["not a channel"]});
    let places = world.svix(&owner, "POST", path, invalid).await.svix_invalid();
    assert_eq!(places, ["body.eventType", "body.channels"]);
    world
        .svix(&owner, "POST", "/app/none/msg/precheck/active", json!({"eventType": "a.b"}))
        .await
        .svix_error(404, "not_found");
    // its answers are not kept for a repetition
    let body = json!({"eventType": "any.type"});
    assert_eq!(world.svix_once(&owner, "key", path, &body).await.ok(200), json!({"active": true}));
    world.call(ADMIN, "DELETE", &format!("/v1/organizations/{organization}"), "").await.ok(204);
    world.svix_once(&owner, "key", path, &body).await.svix_error(404, "not_found");
}

async fn several_payloads_are_erased_in_one_call_and_unknown_ones_are_named(database: Database) {
    let world = with_endpoint(database).await;
    let owner = environment_token();
    let made = publish(&world, json!({"eventId": "one"})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let two = publish(&world, json!({"eventId": "two"})).await["id"].as_str().unwrap().to_owned();
    publish(&world, json!({"eventId": "kept"})).await;
    let expunge = async |application: &str, ids: Value| {
        let path = format!("/app/{application}/msg/bulk-expunge");
        world.svix(&owner, "POST", &path, json!({ "ids": ids })).await
    };
    let unknown = "msg_00000000000001";
    let answer = expunge("app", json!(["one", two, unknown, "three", "msg_x"])).await.ok(200);
    let expected = json!({
        "one": "expunged", two.as_str(): "expunged", unknown: "not-found", "three": "not-found", "msg_x": "not-found",
    });
    assert_eq!(answer["results"], expected);
    for (name, payload) in
        [(id.as_str(), json!({"expired": true})), ("two", json!({"expired": true})), ("kept", json!({"n": 1}))]
    {
        assert_eq!(get(&world, &format!("/app/app/msg/{name}")).await["payload"], payload, "{name}");
    }
    assert_eq!(expunge("app", json!(null)).await.svix_invalid(), ["body.ids"]);
    world.svix(&owner, "POST", "/app", json!({"name": "Other", "uid": "other"})).await.ok(201);
    assert_eq!(expunge("other", json!(["kept"])).await.ok(200)["results"], json!({"kept": "not-found"}));
    let kept = get(&world, "/app/app/msg/kept").await;
    let by_id = expunge("other", json!([kept["id"]])).await.ok(200);
    assert_eq!(by_id["results"][kept["id"].as_str().unwrap()], "not-found", "it is another application's");
    assert_eq!(get(&world, "/app/app/msg/kept").await["payload"], json!({"n": 1}));
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    assert_eq!(expunge("app", json!(many)).await.svix_invalid(), ["body.ids"]);
    assert_eq!(
        expunge("app", json!([])).await.svix_invalid(),
        ["body.ids"],
        "nothing is forgotten, and that is said"
    );
    let of_app = token(&json!({"org": super::DEFAULT_ENVIRONMENT, "sub": app_id(&id)}));
    assert_ne!(world.svix(&of_app, "POST", "/app/app/msg/bulk-expunge", "{}").await.status, 200);
}
