//! Client certificates and OAuth 2.0 of webhooks: what is accepted, what is shown, and that secrets are not.

use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair};
use ringback::store::MaintenanceStore;
use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::World;

on_every_store!(
    a_certificate_is_described_and_its_key_never_shown,
    a_certificate_that_receivers_would_refuse_is_refused_by_field,
    oauth2_is_described_and_its_secret_never_shown,
    bad_values_of_oauth2_are_refused_by_field,
    a_token_and_a_header_of_its_name_exclude_each_other_whichever_comes_first,
    the_log_masks_the_token,
    a_webhook_that_was_read_can_be_written_back_and_keeps_what_is_hidden,
    what_was_read_of_another_certificate_or_webhook_is_refused,
    the_health_tells_when_the_certificate_ends,
);

const URL: &str = "https://your-domain.com/webhooks";
const CLIENT_SECRET: &str = "only-the-token-endpoint-knows";
const MASK: &str = "********";

/// A certificate and its key in PEM.
fn pem(name: &str, change: impl FnOnce(&mut CertificateParams)) -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = rcgen::date_time_ymd(2035, 6, 1);
    change(&mut params);
    [params.self_signed(&key).unwrap().pem(), key.serialize_pem()]
}

fn setting([certificate, key]: &[String; 2]) -> Value {
    json!({"certificate": certificate, "private_key": key})
}

fn oauth2() -> Value {
    json!({"token_url": "https://auth.example.com/token", "client_id": "us", "client_secret": CLIENT_SECRET, "scope": "a b"})
}

/// The middle of a key, which no mask and no error may hold.
fn inner(key: &str) -> &str {
    key.lines().nth(1).unwrap()
}

async fn a_certificate_is_described_and_its_key_never_shown(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let (first, second) = (pem("one.example", |_| {}), pem("two.example", |_| {}));
    let body = json!({"url": URL, "client_certificate": setting(&first)});
    let created = world.post(&owner, "/v1/webhooks", body).await;
    let shown = created.ok(201)["client_certificate"].clone();
    let names: Vec<&String> = shown.as_object().unwrap().keys().collect();
    assert_eq!(names, ["issuer", "not_after", "not_before", "sha256_fingerprint", "subject"]);
    assert!(shown["subject"].as_str().unwrap().contains("CN=one.example"));
    assert_eq!(shown["not_after"], "2035-06-01T00:00:00.000Z");
    assert_eq!(shown["sha256_fingerprint"].as_str().unwrap().len(), 64);

    let path = format!("/v1/webhooks/{}", created.json()["id"].as_str().unwrap());
    let untouched = world.call(&owner, "PATCH", &path, r#"{"timeout": 9}"#).await;
    assert_eq!(untouched.ok(200)["client_certificate"], shown);
    let change = json!({"client_certificate": setting(&second)}).to_string();
    let replaced = world.call(&owner, "PATCH", &path, change).await;
    assert!(replaced.ok(200)["client_certificate"]["subject"].as_str().unwrap().contains("CN=two.example"));
    let read = world.get(&owner, &path).await;
    let list = world.get(&owner, "/v1/webhooks").await;
    let audit = world.get(&owner, "/v1/audit-log").await;
    assert!(audit.text.contains("CN=two.example"), "{}", audit.text);
    for answer in [created, untouched, replaced, read, list, audit] {
        assert!(!answer.text.contains("PRIVATE") && !answer.text.contains(inner(&first[1])), "{}", answer.text);
        assert!(!answer.text.contains(inner(&second[1])), "{}", answer.text);
    }
    let removed = world.call(&owner, "PATCH", &path, r#"{"client_certificate": null}"#).await;
    assert_eq!(removed.ok(200)["client_certificate"], Value::Null);
}

async fn a_certificate_that_receivers_would_refuse_is_refused_by_field(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let good = pem("one.example", |_| {});
    let [certificate, key] = good.clone();
    let expired = pem("old.example", |params| params.not_after = rcgen::date_time_ymd(2024, 12, 1));
    let early = pem("new.example", |params| params.not_before = rcgen::date_time_ymd(2030, 1, 1));
    let other = pem("other.example", |_| {});
    let secret =
        format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n-----END ENCRYPTED PRIVATE KEY-----\n", inner(&key));
    let cut = certificate.replace(inner(&certificate), "");
    let many = certificate.repeat(11);
    for (value, field, says) in [
        (setting(&expired), "certificate", "expired at 2024-12-01"),
        (setting(&early), "certificate", "not valid before 2030-01-01"),
        (setting(&[certificate.clone(), other[1].clone()]), "private_key", "is not the key of the certificate"),
        (setting(&[certificate.clone(), secret]), "private_key", "openssl pkey"),
        (setting(&[certificate.clone(), certificate.clone()]), "private_key", "is not a private key in PEM"),
        (setting(&[certificate.clone() + &key, key.clone()]), "certificate", "give that in private_key alone"),
        (setting(&["hello".to_owned(), key.clone()]), "certificate", "is not PEM"),
        (setting(&[cut, key.clone()]), "certificate", ""),
        (setting(&[many, key.clone()]), "certificate", "at most 10"),
        (json!({"certificate": certificate}), "private_key", "required"),
        (json!({"certificate": 7, "private_key": key}), "certificate", "expected a string"),
        (json!({"certificate": certificate, "private_key": key, "password": "x"}), "password", "unknown field"),
    ] {
        let answer = world.post(&owner, "/v1/webhooks", json!({"url": URL, "client_certificate": value})).await;
        assert_eq!(answer.problem(422, "validation_failed"), [format!("client_certificate.{field}")]);
        assert!(answer.text.contains(says), "{says}: {}", answer.text);
        assert!(!answer.text.contains(inner(&key)), "{}", answer.text);
    }
    assert_eq!(world.get(&owner, "/v1/webhooks").await.ok(200)["data"], json!([]));
}

async fn oauth2_is_described_and_its_secret_never_shown(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let created = world.post(&owner, "/v1/webhooks", json!({"url": URL, "oauth2": oauth2()})).await;
    let shown = json!({"token_url": "https://auth.example.com/token", "client_id": "us", "client_secret": MASK, "scope": "a b",
        "audience": null, "client_authentication": "client_secret_basic"});
    assert_eq!(created.ok(201)["oauth2"], shown);
    let path = format!("/v1/webhooks/{}", created.json()["id"].as_str().unwrap());
    // what was read can be written back, also with changes
    let mut back = shown.clone();
    back["client_authentication"] = json!("client_secret_post");
    let changed = world.call(&owner, "PATCH", &path, json!({"oauth2": back}).to_string()).await;
    assert_eq!(changed.ok(200)["oauth2"], back);
    let stored = world.store.scan_endpoints(None, 9).unwrap().remove(0);
    let kept = stored.credentials.oauth2.as_ref().unwrap().client_secret.clone();
    assert_eq!(kept.expose(), CLIENT_SECRET);
    let answers = [
        created,
        changed,
        world.get(&owner, &path).await,
        world.get(&owner, "/v1/webhooks").await,
        world.get(&owner, "/v1/audit-log").await,
    ];
    for answer in answers {
        assert!(!answer.text.contains(CLIENT_SECRET), "{}", answer.text);
    }
    let removed = world.call(&owner, "PATCH", &path, r#"{"oauth2": null}"#).await;
    assert_eq!(removed.ok(200)["oauth2"], Value::Null);
}

async fn bad_values_of_oauth2_are_refused_by_field(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for (name, value, code) in [
        ("token_url", json!("https://127.0.0.1/token"), "url_forbidden"),
        ("token_url", json!("http://auth.example.com/token"), "https_required"),
        ("token_url", Value::Null, "validation_failed"),
        ("client_id", json!(""), "validation_failed"),
        ("client_id", json!("größe"), "validation_failed"),
        ("client_secret", json!("a\r\nx-evil: 1"), "validation_failed"),
        ("client_secret", json!("x".repeat(4_097)), "validation_failed"),
        ("client_secret", json!(MASK), "validation_failed"),
        ("scope", json!(" a"), "validation_failed"),
        ("audience", json!(["a"]), "validation_failed"),
        ("client_authentication", json!("private_key_jwt"), "validation_failed"),
        ("password", json!("x"), "validation_failed"),
    ] {
        let mut body = json!({"url": URL, "oauth2": oauth2()});
        body["oauth2"][name] = value.clone();
        let answer = world.post(&owner, "/v1/webhooks", body).await;
        assert_eq!(answer.problem(422, code), [format!("oauth2.{name}")], "{value}");
    }
    // else whoever may change a webhook could have its secret sent to a server of theirs
    let path = world.webhook(&owner, json!({"url": URL, "oauth2": oauth2()})).await;
    let mut elsewhere = oauth2();
    elsewhere["token_url"] = json!("https://other.example.com/token");
    elsewhere["client_secret"] = json!(MASK);
    let answer = world.call(&owner, "PATCH", &path, json!({"oauth2": elsewhere}).to_string()).await;
    assert_eq!(answer.problem(422, "validation_failed"), ["oauth2.client_secret"]);
}

async fn a_token_and_a_header_of_its_name_exclude_each_other_whichever_comes_first(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let header = json!({"AUTHORIZATION": "Bearer x"});
    let both = json!({"url": URL, "oauth2": oauth2(), "headers": header});
    assert_eq!(world.post(&owner, "/v1/webhooks", both).await.problem(422, "validation_failed"), ["oauth2"]);
    let with_token = world.webhook(&owner, json!({"url": URL, "oauth2": oauth2()})).await;
    let with_header = world.webhook(&owner, json!({"url": URL, "headers": header})).await;
    for (path, change) in [(&with_token, json!({"headers": header})), (&with_header, json!({"oauth2": oauth2()}))]
    {
        let answer = world.call(&owner, "PATCH", path, change.to_string()).await;
        assert_eq!(answer.problem(422, "validation_failed"), ["oauth2"]);
    }
    let swap = json!({"headers": {}, "oauth2": oauth2()}).to_string();
    world.call(&owner, "PATCH", &with_header, swap).await.ok(200);
}

async fn the_log_masks_the_token(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": URL, "oauth2": oauth2(), "headers": {"x-a": "1"}})).await;
    let sent = world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
    let row = format!("/v1/webhooks/logs/{}", sent["delivery_id"].as_str().unwrap());
    let headers = world.get(&owner, &row).await.ok(200)["attempts"][0]["request_headers"].clone();
    assert_eq!((&headers["authorization"], &headers["x-a"]), (&json!(MASK), &json!(MASK)));
}

/// What the store has of a webhook's secrets.
fn hidden(world: &World, path: &str) -> Vec<String> {
    let all = world.store.scan_endpoints(None, 99).unwrap();
    let stored = all.into_iter().find(|endpoint| path.ends_with(&endpoint.id.to_string())).unwrap();
    let mut hidden = vec![stored.secret.shown().into_owned()];
    hidden.extend(stored.headers.iter().map(|header| header.value.expose().to_owned()));
    if let Some(certificate) = &stored.credentials.client_certificate {
        hidden.push(data_encoding::HEXLOWER.encode(certificate.expose_key()));
    }
    hidden.extend(stored.credentials.oauth2.iter().map(|oauth2| oauth2.client_secret.expose().to_owned()));
    hidden
}

/// Every setting that can be set and not read, alone and all of them together.
async fn a_webhook_that_was_read_can_be_written_back_and_keeps_what_is_hidden(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let certificate = setting(&pem("one.example", |_| {}));
    let secret = format!("whsec_{}", data_encoding::BASE64.encode(&[7; 32]));
    let settings = [
        ("secret", json!(secret), 1),
        ("signature", json!("ed25519"), 1),
        ("headers", json!({"x-token": "abc", "x-other": "def"}), 3),
        ("client_certificate", certificate.clone(), 2),
        ("oauth2", oauth2(), 2),
        ("retry_schedule", json!([5, 300]), 1),
    ];
    let mut cases: Vec<(Value, usize)> =
        settings.iter().map(|(name, value, count)| (json!({"url": URL, *name: value}), *count)).collect();
    let all = json!({"url": URL, "secret": secret, "headers": {"x-token": "abc"}, "client_certificate": certificate, "oauth2": oauth2()});
    cases.push((all, 4));
    for (body, count) in cases {
        let path = world.webhook(&owner, body.clone()).await;
        let before = hidden(&world, &path);
        assert_eq!(before.len(), count, "{body}");
        for (method, timeout) in [("PUT", 21), ("PATCH", 22)] {
            let mut read = world.get(&owner, &path).await.ok(200);
            read["timeout"] = json!(timeout);
            let mut written = world.call(&owner, method, &path, read.to_string()).await.ok(200);
            written["updated_at"] = read["updated_at"].clone();
            assert_eq!(written, read, "{method} {body}");
            assert_eq!(hidden(&world, &path), before, "{method} {body}");
        }
    }
}

async fn what_was_read_of_another_certificate_or_webhook_is_refused(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let (first, second) = (setting(&pem("one.example", |_| {})), setting(&pem("two.example", |_| {})));
    let path = world.webhook(&owner, json!({"url": URL, "client_certificate": first})).await;
    let without = world.webhook(&owner, json!({"url": URL})).await;
    let read = world.get(&owner, &path).await.ok(200);
    let view = &read["client_certificate"];
    // as clients write it that know instants
    let mut rewritten = json!({"client_certificate": view});
    rewritten["client_certificate"]["not_after"] = json!("2035-06-01T02:00:00+02:00");
    assert_eq!(world.patch(&owner, &path, rewritten).await.ok(200)["client_certificate"], *view);
    let with = |name: &str, value: Value| {
        let mut view = view.clone();
        view[name] = value;
        json!({"client_certificate": view})
    };
    for (change, field) in [
        (with("sha256_fingerprint", json!("0".repeat(64))), "client_certificate"),
        (with("subject", json!("CN=me")), "client_certificate"),
        (with("not_after", json!("2036-06-01T00:00:00Z")), "client_certificate"),
        (with("not_after", json!("soon")), "client_certificate.not_after"),
        (with("password", json!("x")), "client_certificate.password"),
        (with("private_key", first["private_key"].clone()), "client_certificate.certificate"),
        (json!({"id": read["id"], "signature": "ed25519"}), "signature"),
        (json!({"id": without.rsplit('/').next(), "timeout": 9}), "id"),
        (json!({"id": 7}), "id"),
        (json!({"id": null}), "id"),
        (json!({"state": "disabled"}), "state"),
        (json!({"created_at": read["created_at"]}), "created_at"),
    ] {
        let answer = world.patch(&owner, &path, change.clone()).await;
        let fields = answer.problem(422, "validation_failed");
        assert!(fields.iter().any(|it| it == field), "{change}: {}", answer.text);
    }
    for (method, to) in [("PATCH", without.as_str()), ("POST", "/v1/webhooks")] {
        let body = json!({"url": URL, "client_certificate": view}).to_string();
        let answer = world.call(&owner, method, to, body).await;
        assert_eq!(answer.problem(422, "validation_failed"), ["client_certificate"], "{method}");
    }
    // somebody else has replaced it since
    world.patch(&owner, &path, json!({"client_certificate": second})).await.ok(200);
    let answer = world.call(&owner, "PUT", &path, read.to_string()).await;
    assert_eq!(answer.problem(422, "validation_failed"), ["client_certificate"]);
}

async fn the_health_tells_when_the_certificate_ends(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": URL})).await;
    let health = format!("{path}/health");
    assert_eq!(world.get(&owner, &health).await.ok(200)["client_certificate"], Value::Null);
    // the world begins on 2024-12-16
    for ((year, month, day), state, days_left) in
        [((2024, 12, 30), "expiring", 13), ((2025, 1, 6), "expiring", 20), ((2025, 1, 7), "valid", 21)]
    {
        let ends =
            setting(&pem("one.example", |params| params.not_after = rcgen::date_time_ymd(year, month, day)));
        world.patch(&owner, &path, json!({"client_certificate": ends})).await.ok(200);
        let told = world.get(&owner, &health).await.ok(200)["client_certificate"].clone();
        assert_eq!((&told["state"], &told["days_left"]), (&json!(state), &json!(days_left)), "{told}");
    }
    world.clock.advance(Duration::from_secs(30 * 86_400));
    let told = world.get(&owner, &health).await.ok(200)["client_certificate"].clone();
    assert_eq!((&told["state"], &told["days_left"]), (&json!("expired"), &Value::Null), "{told}");
    assert_eq!(told["not_after"], "2025-01-07T00:00:00.000Z");
}
