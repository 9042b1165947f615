//! Applications, endpoints and messages as the rest of Ringback sees them.

use serde_json::{Value, json};

use super::{environment_token, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    an_application_is_an_organization_whose_webhooks_are_signed_as_svix_does_whoever_makes_them,
    a_message_with_an_own_id_is_accepted_once_and_its_repetition_gets_the_same_answer,
    null_takes_away_what_absent_leaves_and_a_put_replaces_everything,
    own_ids_are_unique_in_their_environment_alone,
    pages_of_messages_follow_each_other_and_lead_back_whatever_is_filtered,
    what_was_erased_reads_as_erased_and_is_not_sent_again,
    a_secret_is_replaced_ten_times_within_a_day_and_all_of_them_sign,
);

const URL: &str = "https://example.com/hook";

async fn application(world: &World) -> Value {
    world.svix(&environment_token(), "POST", "/app", json!({"name": "App", "uid": "app"})).await.ok(201)
}

async fn publish(world: &World, message: Value) -> Value {
    world.svix(&environment_token(), "POST", "/app/app/msg", message).await.ok(202)
}

fn headers_of(attempt: &Value) -> Vec<String> {
    let mut names: Vec<String> = attempt["request_headers"].as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

async fn an_application_is_an_organization_whose_webhooks_are_signed_as_svix_does_whoever_makes_them(
    database: Database,
) {
    let world = world(database).await;
    let made = application(&world).await;
    let id = made["id"].as_str().unwrap().replace("app_", "org_");
    let organization = world.get(ADMIN, "/v1/organizations/app").await.ok(200);
    assert_eq!((&organization["id"], &organization["body"]), (&json!(id), &json!("verbatim")));
    let owner = world.key(&id, "owner").await;
    world.svix(&environment_token(), "POST", "/app/app/endpoint", json!({"url": URL})).await.ok(201);
    world.webhook(&owner, json!({"url": URL})).await;
    let payload = json!({"a": [1, {"b": null}]});
    let message = publish(&world, json!({"eventType": "Never.Registered", "payload": payload})).await;
    let path = format!("/v1/events/{}", message["id"].as_str().unwrap());
    let event = eventually("both have it", async || {
        let event = world.get(&owner, &path).await.ok(200);
        let rows = event["deliveries"].as_array().unwrap().clone();
        (rows.len() == 2 && rows.iter().all(|row| row["status"] == "success")).then_some(event)
    });
    let event = event.await;
    assert_eq!((&event["payload"], &event["event_type"]), (&payload, &json!("Never.Registered")));
    for row in event["deliveries"].as_array().unwrap() {
        let path = format!("/v1/webhooks/logs/{}", row["id"].as_str().unwrap());
        let delivery = world.get(&owner, &path).await.ok(200);
        let names = ["content-type", "svix-id", "svix-signature", "svix-timestamp", "user-agent"];
        assert_eq!(headers_of(&delivery["attempts"][0]), names);
        assert_eq!(delivery["attempts"][0]["request_headers"]["svix-id"], message["id"]);
    }
    let webhooks = world.get(&owner, "/v1/webhooks").await.ok(200);
    let schedules: Vec<&Value> =
        webhooks["data"].as_array().unwrap().iter().map(|webhook| &webhook["retry_schedule"]).collect();
    let of_svix = json!([5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
    assert_eq!(schedules, [&Value::Null, &of_svix], "the newest first: ours has the deployment's defaults");
}

async fn a_message_with_an_own_id_is_accepted_once_and_its_repetition_gets_the_same_answer(database: Database) {
    let world = world(database).await;
    application(&world).await;
    let token = environment_token();
    let named = json!({"eventType": "a.b", "eventId": "evt_1", "payload": {"n": 1}});
    let first = world.svix_once(&token, "key-1", "/app/app/msg", &named).await.ok(202);
    assert_eq!(world.svix_once(&token, "key-1", "/app/app/msg", &named).await.ok(202)["id"], first["id"]);
    world.svix_once(&token, "key-2", "/app/app/msg", &named).await.svix_error(409, "conflict");
    world.svix(&token, "POST", "/app/app/msg", named.clone()).await.svix_error(409, "conflict");
    assert_eq!(world.svix(&token, "GET", "/app/app/msg/evt_1", "").await.ok(200)["id"], first["id"]);
    let unnamed = json!({"eventType": "a.b", "payload": {"n": 2}});
    let keyed = world.svix_once(&token, "key-1", "/app/app/msg", &unnamed).await.ok(202);
    assert_eq!(keyed, first, "the body is not compared");
    let again = publish(&world, unnamed.clone()).await;
    assert_ne!(publish(&world, unnamed).await["id"], again["id"], "without a key both are accepted");
    world.svix(&token, "DELETE", "/app/app", "").await.ok(204);
    application(&world).await;
    world.svix(&token, "POST", "/app/app/msg", named).await.ok(202);
}

async fn null_takes_away_what_absent_leaves_and_a_put_replaces_everything(database: Database) {
    let world = world(database).await;
    application(&world).await;
    let token = environment_token();
    let call = async |method: &str, body: Value| world.svix(&token, method, "/app/app/endpoint/main", body).await;
    let everything = json!({
        "url": URL, "uid": "main", "description": "x", "rateLimit": 7, "channels": ["eu"], "metadata": {"a": "b"},
        "disabled": true,
    });
    let made = call("PUT", everything.clone()).await.ok(201);
    assert_eq!(
        (&made["throttleRate"], &made["channels"], &made["version"]),
        (&json!(7), &json!(["eu"]), &json!(1))
    );
    let changed = call("PATCH", json!({"channels": null, "disabled": false})).await.ok(200);
    assert_eq!(
        (&changed["channels"], &changed["rateLimit"], &changed["disabled"]),
        (&json!(null), &json!(7), &json!(false))
    );
    assert_eq!(call("PATCH", json!({"url": null})).await.svix_invalid(), ["body.url"]);
    assert_eq!(call("PATCH", json!({"throttleRate": null})).await.ok(200)["rateLimit"], Value::Null);
    assert_eq!(call("PATCH", json!({"metadata": null})).await.ok(200)["metadata"], json!({}));
    let nulls = json!({
        "url": URL, "uid": "main", "description": null, "rateLimit": null, "channels": null, "metadata": null,
        "filterTypes": null, "disabled": null, "version": null, "secret": null,
    });
    let replaced = call("PUT", nulls).await.ok(200);
    for (field, expected) in [("description", json!("")), ("metadata", json!({})), ("uid", json!("main"))] {
        assert_eq!(replaced[field], expected, "{field}");
    }
    let errors = json!({"url": "ftp://x", "uid": "ep_x", "rateLimit": 0, "channels": [], "filterTypes": []});
    let mut places = call("PUT", errors).await.svix_invalid();
    places.sort();
    assert_eq!(places, ["body.channels", "body.filterTypes", "body.rateLimit", "body.uid", "body.url"]);
}

async fn own_ids_are_unique_in_their_environment_alone(database: Database) {
    let world = world(database).await;
    application(&world).await;
    let other = token(&json!({"sub": "org_another"}));
    let there = json!({"name": "App", "uid": "app"});
    let made = world.svix(&other, "POST", "/app", there.clone()).await.ok(201);
    world.svix(&other, "POST", "/app", there.clone()).await.svix_error(409, "conflict");
    assert_eq!(world.svix(&other, "POST", "/app?get_if_exists=true", there).await.ok(200)["id"], made["id"]);
    assert_eq!(world.svix(&other, "GET", "/app", "").await.ok(200)["data"].as_array().unwrap().len(), 1);
    let ours = world.svix(&environment_token(), "GET", "/app/app", "").await.ok(200);
    assert_ne!(ours["id"], made["id"]);
    assert_eq!(world.get(ADMIN, "/v1/organizations/app").await.ok(200)["created_at"], ours["createdAt"]);
    let path = format!("/app/{}", made["id"].as_str().unwrap());
    world.svix(&environment_token(), "GET", &path, "").await.svix_error(404, "not_found");
}

async fn pages_of_messages_follow_each_other_and_lead_back_whatever_is_filtered(database: Database) {
    let world = world(database).await;
    application(&world).await;
    let mut ids = Vec::new();
    for number in 0..7 {
        let channels = if number % 2 == 0 { json!(["even"]) } else { Value::Null };
        let message =
            json!({"eventType": format!("t.{}", number % 3), "payload": {"n": number}, "channels": channels});
        ids.push(publish(&world, message).await["id"].clone());
    }
    ids.reverse();
    let token = environment_token();
    let get = async |query: &str| {
        let page = world.svix(&token, "GET", &format!("/app/app/msg?{query}"), "").await.ok(200);
        let rows: Vec<Value> = page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
        (rows, page)
    };
    for (filter, expected) in [
        ("", ids.clone()),
        ("channel=even", ids.iter().step_by(2).cloned().collect()),
        ("event_types=t.1,t.2", vec![ids[1].clone(), ids[2].clone(), ids[4].clone(), ids[5].clone()]),
    ] {
        let (mut seen, mut iterator, mut last) = (Vec::new(), String::new(), Value::Null);
        loop {
            let (rows, page) = get(&format!("{filter}&limit=2{iterator}")).await;
            seen.extend(rows);
            last = if page["data"].as_array().unwrap().is_empty() { last } else { page.clone() };
            if page["done"] == true {
                break;
            }
            iterator = format!("&iterator={}", page["iterator"].as_str().unwrap());
        }
        assert_eq!(seen, expected, "{filter}");
        let back = last["prevIterator"].as_str().unwrap();
        let (rows, _) = get(&format!("{filter}&limit=1&iterator={back}")).await;
        let first_of_last = expected.iter().position(|id| *id == last["data"][0]["id"]).unwrap();
        assert_eq!(rows, expected[first_of_last - 1..first_of_last], "{filter}: the one before");
    }
    let (_, without) = get("with_content=false&limit=1").await;
    assert_eq!(without["data"][0]["payload"], json!({}));
}

async fn what_was_erased_reads_as_erased_and_is_not_sent_again(database: Database) {
    let world = world(database).await;
    application(&world).await;
    let token = environment_token();
    world.svix(&token, "POST", "/app/app/endpoint", json!({"url": URL, "uid": "main"})).await.ok(201);
    publish(&world, json!({"eventType": "a.b", "eventId": "evt_1", "payload": {"pii": 1}})).await;
    let attempt = eventually("it is delivered", async || {
        let attempts = world.svix(&token, "GET", "/app/app/attempt/msg/evt_1", "").await.ok(200);
        attempts["data"].get(0).cloned()
    });
    let attempt = attempt.await;
    let path = format!("/app/app/msg/evt_1/attempt/{}", attempt["id"].as_str().unwrap());
    assert_ne!(world.svix(&token, "GET", &path, "").await.ok(200)["response"], "EXPUNGED");
    world.svix(&token, "DELETE", &format!("{path}/content"), "").await.ok(204);
    assert_eq!(world.svix(&token, "GET", &path, "").await.ok(200)["response"], "EXPUNGED");
    world.svix(&token, "POST", "/app/app/msg/evt_1/endpoint/main/resend", "{}").await.ok(202);
    world.svix(&token, "DELETE", "/app/app/msg/evt_1/content", "").await.ok(204);
    let message = world.svix(&token, "GET", "/app/app/msg/evt_1", "").await.ok(200);
    assert_eq!(message["payload"], json!({"expired": true}));
    let resent = world.svix(&token, "POST", "/app/app/msg/evt_1/endpoint/main/resend", "{}").await;
    resent.svix_error(400, "missing_payload");
}

async fn a_secret_is_replaced_ten_times_within_a_day_and_all_of_them_sign(database: Database) {
    let world = world(database).await;
    application(&world).await;
    let token = environment_token();
    world.svix(&token, "POST", "/app/app/endpoint", json!({"url": URL, "uid": "main"})).await.ok(201);
    for _ in 0..10 {
        world.svix(&token, "POST", "/app/app/endpoint/main/secret/rotate", "{}").await.ok(200);
    }
    let eleventh = world.svix(&token, "POST", "/app/app/endpoint/main/secret/rotate", "{}").await;
    eleventh.svix_error(400, "limit_reached");
    let message = publish(&world, json!({"eventType": "a.b", "payload": {}})).await;
    let organization = world.get(ADMIN, "/v1/organizations/app").await.ok(200);
    let owner = world.key(organization["id"].as_str().unwrap(), "owner").await;
    let signatures = eventually("it is delivered", async || {
        let path = format!("/v1/events/{}", message["id"].as_str().unwrap());
        let event = world.get(&owner, &path).await.ok(200);
        let path = format!("/v1/webhooks/logs/{}", event["deliveries"][0]["id"].as_str()?);
        let delivery = world.get(&owner, &path).await.ok(200);
        delivery["attempts"][0]["request_headers"]["svix-signature"].as_str().map(str::to_owned)
    });
    assert_eq!(signatures.await.split(' ').count(), 11);
}
