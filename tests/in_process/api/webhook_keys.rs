//! Webhooks of our own API that sign with a private key, and where their receivers find the public one.

use ringback::domain::signing::Verifier;
use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    a_webhook_can_sign_with_a_private_key_that_nobody_sees,
    anyone_who_knows_a_webhook_finds_its_valid_public_keys,
    what_has_no_public_key_looks_like_what_does_not_exist,
    a_rotation_can_change_what_signs_and_both_verify_meanwhile,
    a_signature_is_chosen_at_the_creation_or_with_a_rotation,
);

const URL: &str = "https://example.com/hook";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

async fn owner(world: &World) -> String {
    let organization = world.organization("Acme").await;
    world.key(&organization, "owner").await
}

async fn create(world: &World, owner: &str, body: Value) -> Value {
    world.post(owner, "/v1/webhooks", body).await.ok(201)
}

fn address(webhook: &Value) -> String {
    format!("/.well-known/webhook-keys/{}", text(&webhook["id"]))
}

/// The public keys that anyone gets, as Standard Webhooks writes them.
async fn published(world: &World, webhook: &Value) -> Vec<String> {
    let answer = world.get("", &address(webhook)).await.ok(200);
    answer["keys"].as_array().unwrap().iter().map(|key| text(&key["public_key"])).collect()
}

/// Publishes an event, and gives the headers that it was sent with.
async fn publish(world: &World, owner: &str) -> Value {
    let event = json!({"event_type": "call.completed", "data": {"n": 1}});
    let event = world.post(owner, "/v1/events", event).await.ok(202);
    eventually("it is in the log", async || {
        let delivery = world.delivered(owner).await;
        let found = world.get(owner, &format!("/v1/webhooks/logs/{delivery}")).await.ok(200);
        let headers = found["attempts"][0]["request_headers"].clone();
        (headers["webhook-id"] == event["id"]).then_some(headers)
    })
    .await
}

fn is_accepted(world: &World, headers: &Value, shown: &str) -> bool {
    let body = world.receivers.received.lock().unwrap().last().cloned().unwrap();
    let header = |name: &str| headers[name].as_str().unwrap();
    let verifier = Verifier::parse(shown).unwrap_or_else(|error| panic!("{error}"));
    let timestamp = header("webhook-timestamp").parse().unwrap();
    verifier.verify_standard(header("webhook-id"), timestamp, &body, header("webhook-signature"))
}

async fn a_webhook_can_sign_with_a_private_key_that_nobody_sees(database: Database) {
    let world = World::on(database).await;
    let owner = owner(&world).await;
    let made = create(&world, &owner, json!({"url": URL, "signature": "ed25519"})).await;
    assert_eq!(made["signature"], "ed25519");
    let public = text(&made["public_key"]);
    assert!(public.starts_with("whpk_") && made["secret"] == made["public_key"], "{made}");
    let headers = publish(&world, &owner).await;
    assert!(headers["webhook-signature"].as_str().unwrap().starts_with("v1a,"), "{headers}");
    assert_eq!(headers["x-acme-signature"], Value::Null);
    assert!(is_accepted(&world, &headers, &public), "{headers}");
    let path = format!("/v1/webhooks/{}", text(&made["id"]));
    assert_eq!(world.get(&owner, &path).await.ok(200)["public_key"], public.as_str());
    for path in ["/v1/webhooks", path.as_str(), &format!("{path}/secret"), "/v1/audit-log", &address(&made)] {
        let answer = world.get(&owner, path).await;
        assert!(answer.status == 200 && !answer.text.contains("whsk_"), "{path} {}", answer.text);
    }
    let usual = create(&world, &owner, json!({"url": URL})).await;
    assert_eq!((&usual["signature"], &usual["public_key"]), (&json!("hmac"), &Value::Null));
}

async fn anyone_who_knows_a_webhook_finds_its_valid_public_keys(database: Database) {
    let world = World::on(database).await;
    let owner = owner(&world).await;
    let made = create(&world, &owner, json!({"url": URL, "signature": "ed25519"})).await;
    let answer = world.get("", &address(&made)).await;
    assert!(answer.header("cache-control").is_some_and(|value| value == "public, max-age=300"));
    let key = &answer.ok(200)["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["expires_at"]), (&json!("OKP"), &json!("Ed25519"), &Value::Null));
    let from_text = data_encoding::BASE64.decode(&text(&key["public_key"]).as_bytes()["whpk_".len()..]).unwrap();
    assert_eq!(data_encoding::BASE64URL_NOPAD.decode(text(&key["x"]).as_bytes()).unwrap(), from_text);

    let rotate = format!("/v1/webhooks/{}/secret/rotate", text(&made["id"]));
    let second = text(&world.post(&owner, &rotate, json!({})).await.ok(200)["secret"]);
    assert_eq!(published(&world, &made).await, [second.clone(), text(&made["secret"])]);
    let third = text(&world.post(&owner, &rotate, json!({"overlap_seconds": 0})).await.ok(200)["secret"]);
    assert_eq!(
        published(&world, &made).await,
        [third, text(&made["secret"])],
        "what was replaced without an overlap is gone"
    );
    assert!(!second.is_empty());

    let deleted = world.call(&owner, "DELETE", &format!("/v1/webhooks/{}", text(&made["id"])), "").await;
    assert_eq!(deleted.status, 204);
    world.get("", &address(&made)).await.problem(404, "not_found");
}

async fn what_has_no_public_key_looks_like_what_does_not_exist(database: Database) {
    let world = World::on(database).await;
    let owner = owner(&world).await;
    let shared = create(&world, &owner, json!({"url": URL})).await;
    let of_shared = world.get("", &address(&shared)).await;
    for unknown in ["wh_0000000000001", "nonsense", "org_1"] {
        let of_nothing = world.get("", &format!("/.well-known/webhook-keys/{unknown}")).await;
        assert_eq!((of_shared.status, of_nothing.status), (404, 404));
        assert_eq!(of_shared.json()["detail"], of_nothing.json()["detail"]);
    }
    let without_id = world.get("", "/.well-known/webhook-keys").await;
    assert!(without_id.status == 404 && without_id.text.contains("add its id"), "{}", without_id.text);
}

async fn a_rotation_can_change_what_signs_and_both_verify_meanwhile(database: Database) {
    let world = World::on(database).await;
    let owner = owner(&world).await;
    let made = create(&world, &owner, json!({"url": URL, "secret": SECRET})).await;
    let rotate = format!("/v1/webhooks/{}/secret/rotate", text(&made["id"]));
    let public = text(&world.post(&owner, &rotate, json!({"signature": "ed25519"})).await.ok(200)["secret"]);
    assert_eq!(published(&world, &made).await, [public.as_str()]);
    let headers = publish(&world, &owner).await;
    for shown in [SECRET, public.as_str()] {
        assert!(is_accepted(&world, &headers, shown), "{shown} {headers}");
    }
    let own = json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let refused = world.post(&owner, &rotate, own).await;
    assert!(refused.status == 422 && refused.text.contains("send signature hmac too"), "{}", refused.text);
    let shared = text(&world.post(&owner, &rotate, json!({"signature": "hmac"})).await.ok(200)["secret"]);
    assert!(shared.starts_with("whsec_"), "{shared}");
    assert_eq!(published(&world, &made).await, [public.as_str()], "it signs until its end");
    let headers = publish(&world, &owner).await;
    for shown in [SECRET, public.as_str(), shared.as_str()] {
        assert!(is_accepted(&world, &headers, shown), "{shown} {headers}");
    }
}

async fn a_signature_is_chosen_at_the_creation_or_with_a_rotation(database: Database) {
    let world = World::on(database).await;
    let owner = owner(&world).await;
    for (body, field) in [
        (json!({"url": URL, "signature": "rsa"}), "signature"),
        (json!({"url": URL, "signature": 1}), "signature"),
        (json!({"url": URL, "signature": "ed25519", "secret": SECRET}), "secret"),
        (json!({"url": URL, "public_key": "whpk_x"}), "public_key"),
    ] {
        let refused = world.post(&owner, "/v1/webhooks", body.clone()).await;
        assert_eq!(refused.status, 422, "{body}");
        assert_eq!(refused.json()["errors"][0]["field"], field, "{}", refused.text);
    }
    let made = create(&world, &owner, json!({"url": URL, "signature": null})).await;
    let path = format!("/v1/webhooks/{}", text(&made["id"]));
    let refused = world.patch(&owner, &path, json!({"signature": "ed25519"})).await;
    assert!(refused.status == 422 && refused.text.contains("secret/rotate"), "{}", refused.text);
    let both = json!({"signature": "ed25519", "secret": SECRET});
    assert_eq!(world.post(&owner, &format!("{path}/secret/rotate"), both).await.status, 422);
}
