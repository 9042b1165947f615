//! Endpoints that sign with a private key, whose receivers have the public one.

use ringback::config::SvixSettings;
use ringback::domain::secret::SecretKind;
use ringback::domain::signing::Verifier;
use serde_json::{Value, json};

use super::{app_id, environment_token, settings, world};
use crate::dashboard::browser::Browser;
use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    a_private_key_signs_and_only_its_public_key_is_ever_shown,
    replaced_keys_of_both_kinds_sign_along_in_one_header,
    what_nobody_supplies_is_of_the_kind_that_the_setting_says,
    in_an_organization_with_envelopes_the_documents_signature_is_there_while_a_secret_can_make_it,
);

/// The first key of RFC 8032, and its public key; the texts were made with Python's `cryptography`.
const PRIVATE: &str =
    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const URL: &str = "https://example.com/hook";
const ENDPOINT: &str = "/app/app/endpoint/main";

async fn call(world: &World, method: &str, path: &str, body: Value) -> Value {
    let answer = world.svix(&environment_token(), method, path, body).await;
    assert!((200..300).contains(&answer.status), "{path} {}", answer.text);
    answer.json()
}

/// An application with an endpoint, and the key of its owner.
async fn with_endpoint(world: &World, endpoint: Value) -> String {
    let made = call(world, "POST", "/app", json!({"name": "App", "uid": "app"})).await;
    call(world, "POST", "/app/app/endpoint", endpoint).await;
    world.key(&made["id"].as_str().unwrap().replace("app_", "org_"), "owner").await
}

async fn secret(world: &World) -> String {
    call(world, "GET", &format!("{ENDPOINT}/secret"), json!({})).await["key"].as_str().unwrap().to_owned()
}

async fn rotate(world: &World, body: Value) -> String {
    let rotated = call(world, "POST", &format!("{ENDPOINT}/secret/rotate"), body).await;
    rotated["key"].as_str().unwrap().to_owned()
}

/// The headers of the attempt of the newest delivery.
async fn sent(world: &World, owner: &str) -> Value {
    let delivery = world.delivered(owner).await;
    let found = world.get(owner, &format!("/v1/webhooks/logs/{delivery}")).await.ok(200);
    assert_eq!(found["attempts"].as_array().unwrap().len(), 1, "{found}");
    found["attempts"][0]["request_headers"].clone()
}

/// Publishes a message, and gives the headers that it was sent with.
async fn publish(world: &World, owner: &str) -> Value {
    let message = call(world, "POST", "/app/app/msg", json!({"eventType": "a.b", "payload": {"n": 1.5}})).await;
    eventually("it is in the log", async || {
        let headers = sent(world, owner).await;
        (headers["svix-id"] == message["id"]).then_some(headers)
    })
    .await
}

/// Whether a receiver with this key accepts the last body with these headers.
fn is_accepted(world: &World, headers: &Value, prefix: &str, shown: &str) -> bool {
    let header = |name: &str| headers[format!("{prefix}-{name}")].as_str().unwrap();
    let body = world.receivers.received.lock().unwrap().last().cloned().unwrap();
    let verifier = Verifier::parse(shown).unwrap_or_else(|error| panic!("{error}"));
    verifier.verify_standard(header("id"), header("timestamp").parse().unwrap(), &body, header("signature"))
}

/// The versions of a list of signatures.
fn versions(headers: &Value, name: &str) -> Vec<String> {
    let signatures = headers[name].as_str().unwrap().split(' ');
    signatures.map(|signature| signature.split_once(',').unwrap().0.to_owned()).collect()
}

async fn a_private_key_signs_and_only_its_public_key_is_ever_shown(database: Database) {
    let world = world(database).await;
    let owner = with_endpoint(&world, json!({"url": URL, "uid": "main", "secret": PRIVATE})).await;
    assert_eq!(secret(&world).await, PUBLIC);
    let headers = publish(&world, &owner).await;
    assert_eq!(versions(&headers, "svix-signature"), ["v1a"]);
    assert!(is_accepted(&world, &headers, "svix", PUBLIC), "{headers}");

    assert_eq!(rotate(&world, json!({"key": PRIVATE})).await, PUBLIC);
    let webhook = &world.get(&owner, "/v1/webhooks").await.ok(200)["data"][0];
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    let ours = world.get(&owner, &format!("{path}/secret")).await.ok(200);
    assert_eq!(ours, json!({"secret": PUBLIC, "previous_secret_expires_at": null, "previous_secrets": []}));
    let token = environment_token();
    for path in ["/app/app/endpoint", ENDPOINT, "/app/app/endpoint/main/secret"] {
        let answer = world.svix(&token, "GET", path, "").await;
        assert!(answer.status == 200 && !answer.text.contains("whsk_"), "{}", answer.text);
    }
    for path in ["/v1/webhooks", path.as_str(), "/v1/audit-log"] {
        let answer = world.get(&owner, path).await;
        assert!(answer.status == 200 && !answer.text.contains("whsk_"), "{}", answer.text);
    }
    if let Some(file) = world.database_url.as_deref().and_then(|url| url.strip_prefix("sqlite://")) {
        for file in [file.to_owned(), format!("{file}-wal")] {
            let bytes = std::fs::read(file).unwrap();
            let key = &PRIVATE.as_bytes()[5..45];
            assert!(!bytes.windows(key.len()).any(|part| part == key), "it is encrypted at rest");
        }
    }
}

async fn replaced_keys_of_both_kinds_sign_along_in_one_header(database: Database) {
    let world = world(database).await;
    let owner = with_endpoint(&world, json!({"url": URL, "uid": "main", "secret": SECRET})).await;
    assert_eq!(rotate(&world, json!({"key": PRIVATE})).await, PUBLIC);
    let generated = rotate(&world, json!({})).await;
    assert!(generated.starts_with("whsec_"), "as the setting says: {generated}");
    let headers = publish(&world, &owner).await;
    assert_eq!(versions(&headers, "svix-signature"), ["v1", "v1a", "v1"]);
    for shown in [SECRET, PUBLIC, generated.as_str()] {
        assert!(is_accepted(&world, &headers, "svix", shown), "{shown} {headers}");
    }
    // without grace, what was replaced ends at once; what was replaced before has its own end
    rotate(&world, json!({"key": PRIVATE, "gracePeriodSeconds": 0})).await;
    let headers = publish(&world, &owner).await;
    assert_eq!(versions(&headers, "svix-signature"), ["v1a", "v1"]);
    assert!(!is_accepted(&world, &headers, "svix", &generated), "{headers}");
}

async fn what_nobody_supplies_is_of_the_kind_that_the_setting_says(database: Database) {
    let svix = SvixSettings { secret_kind: SecretKind::Ed25519, ..settings() };
    let world = World::with_svix(database, &svix).await;
    let owner = with_endpoint(&world, json!({"url": URL, "uid": "main"})).await;
    let first = secret(&world).await;
    let second = rotate(&world, json!({})).await;
    assert!(first.starts_with("whpk_") && second.starts_with("whpk_") && first != second, "{first} {second}");
    let webhook = &world.get(&owner, "/v1/webhooks").await.ok(200)["data"][0];
    let path = format!("/v1/webhooks/{}/secret/rotate", webhook["id"].as_str().unwrap());
    let third = world.post(&owner, &path, json!({})).await.ok(200)["secret"].as_str().unwrap().to_owned();
    assert!(third.starts_with("whpk_"), "our own API replaces a key by one of its kind: {third}");
    let headers = publish(&world, &owner).await;
    for public in [first, second, third] {
        assert!(is_accepted(&world, &headers, "svix", &public), "{public} {headers}");
    }
    let ours = world.post(&owner, "/v1/webhooks", json!({"url": URL})).await.ok(201);
    assert!(ours["secret"].as_str().unwrap().starts_with("whsec_"), "the setting is not that of our own API");
    assert_eq!(rotate(&world, json!({"key": SECRET})).await, SECRET);
}

async fn in_an_organization_with_envelopes_the_documents_signature_is_there_while_a_secret_can_make_it(
    database: Database,
) {
    let world = world(database).await;
    let organization = world.organization("envelopes").await;
    let owner = world.key(&organization, "owner").await;
    let endpoints = format!("/app/{}/endpoint", app_id(&organization));
    let publish = async || {
        let event = json!({"event_type": "call.completed", "data": {}});
        let event = world.post(&owner, "/v1/events", event).await.ok(202);
        eventually("it is in the log", async || {
            let headers = sent(&world, &owner).await;
            (headers["webhook-id"] == event["id"]).then_some(headers)
        })
        .await
    };
    call(&world, "POST", &endpoints, json!({"url": URL, "uid": "main", "secret": PRIVATE})).await;
    let headers = publish().await;
    assert!(headers["x-acme-delivery"].is_string() && headers["x-acme-signature"].is_null(), "{headers}");
    assert_eq!(versions(&headers, "webhook-signature"), ["v1a"]);
    assert!(is_accepted(&world, &headers, "webhook", PUBLIC), "{headers}");

    let rotations = format!("{endpoints}/main/secret/rotate");
    call(&world, "POST", &rotations, json!({"key": SECRET})).await;
    let with_secret = publish().await;
    assert!(with_secret["x-acme-signature"].is_string(), "{with_secret}");
    assert!(with_secret["x-acme-signature-previous"].is_null(), "the key before can't make one: {with_secret}");
    call(&world, "POST", &rotations, json!({"key": PRIVATE})).await;
    let replaced = publish().await;
    assert!(replaced["x-acme-signature"].is_string(), "the replaced secret makes it: {replaced}");
    assert_eq!(versions(&replaced, "webhook-signature"), ["v1a", "v1"]);
}

#[actix_web::test]
async fn a_key_whose_halves_do_not_belong_together_is_refused_and_so_is_a_public_one() {
    let world = world(Database::Memory).await;
    with_endpoint(&world, json!({"url": URL, "uid": "main"})).await;
    let before = secret(&world).await;
    let token = environment_token();
    for wrong in [PRIVATE.replace("whsk_nWGx", "whsk_nWGy"), PUBLIC.to_owned(), PRIVATE[..50].to_owned()] {
        let made = world.svix(&token, "POST", "/app/app/endpoint", json!({"url": URL, "secret": wrong})).await;
        assert_eq!(made.svix_invalid(), ["body.secret"], "{wrong}");
        let path = format!("{ENDPOINT}/secret/rotate");
        let rotated = world.svix(&token, "POST", &path, json!({"key": wrong})).await;
        assert_eq!(rotated.svix_invalid(), ["body.key"], "{wrong}");
    }
    assert_eq!(secret(&world).await, before);
}

#[actix_web::test]
async fn the_dashboard_shows_the_public_key_and_code_that_verifies_with_it() {
    let world = world(Database::Memory).await;
    let owner = with_endpoint(&world, json!({"url": URL, "uid": "main", "secret": PRIVATE})).await;
    let webhook = &world.get(&owner, "/v1/webhooks").await.ok(200)["data"][0];
    let page = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    let browser = Browser::signed_in(&world, &owner).await;
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("<h2>Public key</h2>") && shown.contains(PUBLIC), "{shown}");
    assert!(shown.contains("v1a,") && shown.contains("Ed25519PublicKey"), "{shown}");
    assert!(!shown.contains("whsk_") && !shown.contains("x-acme-signature"), "{shown}");
    let node = browser.get(&format!("{page}?snippet=node")).await.text;
    assert!(node.contains("createPublicKey"), "{node}");
    browser.post(&format!("{page}/rotate"), &[("overlap", "0")]).await;
    let rotated = browser.get(&format!("{page}?done=rotated")).await.text;
    assert!(rotated.contains("whpk_") && !rotated.contains(PUBLIC), "{rotated}");
    call(&world, "POST", "/app/app/endpoint", json!({"url": URL, "uid": "other"})).await;
    let with_secret = &world.get(&owner, "/v1/webhooks").await.ok(200)["data"][0];
    let page = format!("/webhooks/{}", with_secret["id"].as_str().unwrap());
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("svix-signature") && !shown.contains("x-acme-signature"), "{shown}");
}
