//! `ringback svix import` from a database as Svix's server leaves it, into a running engine.

use std::process::Output;

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use test_support::engine::{Api, Engine, Serve, eventually};
use test_support::postgres::{execute_in, shared};
use test_support::receiver::{Receiver, Seen};
use test_support::world::Database;

on_both_databases!(
    what_was_brought_over_is_delivered_to_and_verifies_with_the_old_secrets,
    a_second_run_changes_nothing_and_a_later_one_what_has_changed,
);

const JWT_SECRET: &str = "secret-that-both-servers-have";
const MAIN_SECRET: &str = "main-secret-of-the-other-server";
const ENVIRONMENT: &str = "org_2LBxC0aPqkzW3eUuTn5RfVdGm7S";
const ACME: &str = "app_2LBxFYmgXDq3bNSJG8zTvVeYj1A";
const PLAIN: &str = "ep_2LBxGqWm0hTnE5cUoRr7sKdLw9Z";
const ENCRYPTED: &str = "ep_2LBxHvKd4sYbQ8jXpAa1mNcZt6E";
const FORBIDDEN: &str = "ep_2LBxIwRf9uGzL2kMrBb3oPeWv5C";

/// What is read of the tables, and a column that is not.
const TABLES: &str = "
    CREATE TABLE eventtype (id TEXT PRIMARY KEY, org_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
        deleted BOOLEAN NOT NULL, deprecated BOOLEAN NOT NULL DEFAULT FALSE, schemas JSON, feature_flag TEXT,
        created_at TIMESTAMPTZ NOT NULL DEFAULT now());
    CREATE TABLE application (id TEXT PRIMARY KEY, org_id TEXT NOT NULL, uid TEXT, name TEXT NOT NULL, rate_limit INTEGER,
        deleted BOOLEAN NOT NULL DEFAULT FALSE, created_at TIMESTAMPTZ NOT NULL DEFAULT now());
    CREATE TABLE applicationmetadata (id TEXT PRIMARY KEY, data JSONB NOT NULL);
    CREATE TABLE endpoint (id TEXT PRIMARY KEY, app_id TEXT NOT NULL, key BYTEA NOT NULL, url TEXT NOT NULL,
        description TEXT NOT NULL DEFAULT '', event_types_ids JSONB, version INTEGER NOT NULL DEFAULT 1, rate_limit INTEGER,
        deleted BOOLEAN NOT NULL DEFAULT FALSE, disabled BOOLEAN NOT NULL DEFAULT FALSE, uid TEXT, old_keys JSONB,
        channels JSONB, headers JSONB, first_failure_at TIMESTAMPTZ);
    CREATE TABLE endpointmetadata (id TEXT PRIMARY KEY, data JSONB NOT NULL)";

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A symmetric key as the other server stores it: encrypted with its main secret.
fn sealed(key: &[u8]) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new_from_slice(&mac(MAIN_SECRET.as_bytes(), b"main")).unwrap();
    let nonce = [9; 24];
    [&[0x81][..], &nonce, &cipher.encrypt(&XNonce::from(nonce), key).unwrap()].concat()
}

/// The database of the other server.
struct Source(String);

impl Source {
    /// `None` without PostgreSQL.
    fn new(receiver: &Receiver) -> Option<Self> {
        let source = Self(shared()?.create_database());
        TABLES.split(";\n").for_each(|statement| source.run(statement));
        source.run(&format!(
            "INSERT INTO eventtype (id, org_id, name, description, deleted, schemas, feature_flag) VALUES \
             ('evtype_1', '{ENVIRONMENT}', 'invoice.paid', 'paid', FALSE, '{{\"1\": {{\"type\": \"object\"}}}}', 'beta'), \
             ('evtype_2', '{ENVIRONMENT}', 'invoice.sent', 'sent', TRUE, NULL, NULL)"
        ));
        source.run(&format!(
            "INSERT INTO application (id, org_id, uid, name, rate_limit, deleted) VALUES \
             ('{ACME}', '{ENVIRONMENT}', 'acme', 'Acme', 7, FALSE), \
             ('app_2LBxFYmgXDq3bNSJG8zTvVeYj1B', '{ENVIRONMENT}', NULL, 'Gone', NULL, TRUE)"
        ));
        source.run(&format!("INSERT INTO applicationmetadata VALUES ('{ACME}', '{{\"plan\": \"pro\"}}')"));
        let (plain, encrypted) = (HEXLOWER.encode(&[7; 24]), HEXLOWER.encode(&sealed(&[8; 32])));
        let old = json!([
            {"signingKey": BASE64.encode(&sealed(&[5; 24])), "expiration": "2001-01-01T00:00:00Z"},
            {"signingKey": format!("whsec_{}", BASE64.encode(&[6; 24])), "expiration": "2100-01-01T00:00:00Z"},
        ]);
        let url = receiver.url();
        source.run(&format!(
            "INSERT INTO endpoint (id, app_id, key, url, uid, event_types_ids, headers, old_keys) VALUES \
             ('{PLAIN}', '{ACME}', '\\x{plain}', '{url}/plain', 'main', '[\"invoice.paid\", \"invoice.sent\"]', \
              '{{\"x-team\": \"billing\", \"authorization\": \"Bearer x\"}}', NULL), \
             ('{ENCRYPTED}', '{ACME}', '\\x{encrypted}', '{url}/encrypted', NULL, NULL, NULL, '{old}'), \
             ('{FORBIDDEN}', '{ACME}', '\\x{plain}', 'http://10.1.2.3/', NULL, NULL, NULL, NULL)"
        ));
        source.run(&format!("INSERT INTO endpointmetadata VALUES ('{PLAIN}', '{{\"team\": \"a\"}}')"));
        Some(source)
    }

    fn run(&self, statement: &str) {
        execute_in(&self.0, statement);
    }
}

struct Scene {
    serve: Serve,
    engine: Engine,
    source: Source,
    receiver: Receiver,
    database: Database,
}

impl Scene {
    fn new(database: Database) -> Option<Self> {
        let receiver = Receiver::ok();
        let source = Source::new(&receiver)?;
        let serve = database.serve().set("RINGBACK_SVIX_JWT_SECRET", JWT_SECRET);
        let engine = serve.start();
        Some(Self { serve, engine, source, receiver, database })
    }

    fn import(&self, more: &[&str]) -> (Output, String) {
        let to = format!("http://{}", self.engine.address());
        let arguments = ["svix", "import", "--from", &self.source.0, "--to", &to];
        let output = self.serve.run(&[&arguments[..], more].concat());
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output, said)
    }

    fn brought(&self) -> String {
        let (output, said) = self.import(&["--encryption-secret", MAIN_SECRET]);
        assert_eq!(output.status.code(), Some(1), "one is refused: {said}");
        assert!(said.contains(&format!("refused: endpoint {FORBIDDEN}: url: ")), "{said}");
        said
    }

    /// With a token of the environment, as it made its own before.
    fn api(&self) -> Api {
        let output = self.serve.run(&["svix", "token", "--environment", ENVIRONMENT]);
        self.engine.api(String::from_utf8(output.stdout).unwrap().trim())
    }
}

/// Whether a receiver that has this secret takes it.
fn verifies(seen: &Seen, secret: &[u8]) -> bool {
    let (id, timestamp) = (seen.header("svix-id"), seen.header("svix-timestamp"));
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &seen.body].concat();
    let expected = format!("v1,{}", BASE64.encode(&mac(secret, &signed)));
    seen.header("svix-signature").split(' ').any(|signature| signature == expected)
}

fn what_was_brought_over_is_delivered_to_and_verifies_with_the_old_secrets(database: Database) {
    let Some(scene) = Scene::new(database) else { return };
    let (output, said) = scene.import(&["--dry-run", "--encryption-secret", MAIN_SECRET]);
    assert!(output.status.success(), "{said}");
    for expected in [format!("would import application {ACME}"), format!("would import endpoint {PLAIN}")] {
        assert!(said.contains(&expected), "{said}");
    }
    assert_eq!(scene.database.rows("organizations"), 0, "nothing is changed");
    let said = scene.brought();
    for expected in ["event types: 2 imported", "applications: 1 imported", "endpoints: 2 imported, 0 changed"] {
        assert!(said.contains(expected), "{said}");
    }
    let api = scene.api();
    let get = |path: &str| api.get(&format!("/api/v1{path}")).expect(200).json();
    let application = get("/app/acme");
    assert_eq!((&application["id"], &application["rateLimit"]), (&json!(ACME), &json!(7)));
    assert_eq!(application["metadata"], json!({"plan": "pro"}));
    assert_eq!(get("/app")["data"].as_array().unwrap().len(), 1, "deleted ones stay there");
    assert_eq!(get("/event-type/invoice.sent")["archived"], true);
    assert_eq!(get("/event-type/invoice.paid")["featureFlags"], json!(["beta"]));
    let endpoint = get(&format!("/app/{ACME}/endpoint/{PLAIN}"));
    let types: Vec<&str> = endpoint["filterTypes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((types, &endpoint["uid"]), (vec!["invoice.paid", "invoice.sent"], &json!("main")));
    assert_eq!((&endpoint["metadata"], &endpoint["disabled"]), (&json!({"team": "a"}), &json!(false)));
    assert_eq!(get(&format!("/app/{ACME}/endpoint/{ENCRYPTED}"))["disabled"], false);
    let headers = get(&format!("/app/{ACME}/endpoint/{PLAIN}/headers"));
    assert_eq!(headers, json!({"headers": {"x-team": "billing"}, "sensitive": ["authorization"]}));

    let message = json!({"eventType": "invoice.paid", "payload": {"amount": 12}});
    api.post(&format!("/api/v1/app/{ACME}/msg"), &message).expect(202);
    let seen = eventually("both have it", || Some(scene.receiver.seen()).filter(|seen| seen.len() == 2));
    let at = |end: &str| seen.iter().find(|seen| seen.path.ends_with(end)).unwrap();
    assert!(verifies(at("/plain"), &[7; 24]));
    assert_eq!(at("/plain").header("authorization"), "Bearer x");
    let encrypted = at("/encrypted");
    assert!(verifies(encrypted, &[8; 32]), "the newest key");
    assert!(verifies(encrypted, &[6; 24]), "a replaced key that still signs");
    assert!(!verifies(encrypted, &[5; 24]), "one that ended");
}

fn a_second_run_changes_nothing_and_a_later_one_what_has_changed(database: Database) {
    let Some(scene) = Scene::new(database) else { return };
    let (output, said) = scene.import(&[]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("refused: endpoint {ENCRYPTED}: the signing key is encrypted")), "{said}");
    let said = scene.brought();
    for expected in
        ["event types: 0 imported, 0 changed, 2 unchanged", "endpoints: 1 imported, 0 changed, 1 unchanged"]
    {
        assert!(said.contains(expected), "{said}");
    }
    let entries = scene.database.rows("audit_log");
    let said = scene.brought();
    for expected in [
        "event types: 0 imported, 0 changed, 2 unchanged, 0 refused",
        "applications: 0 imported, 0 changed, 1 unchanged, 0 refused",
        "endpoints: 0 imported, 0 changed, 2 unchanged, 1 refused",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(scene.database.rows("audit_log"), entries);
    scene.source.run(&format!("DELETE FROM endpoint WHERE id = '{FORBIDDEN}'"));
    let (output, said) = scene.import(&["--encryption-secret", MAIN_SECRET]);
    assert!(output.status.success() && said.contains("everything is here already"), "{said}");

    scene.source.run("UPDATE application SET name = 'Acme Inc.' WHERE NOT deleted");
    let rotated = HEXLOWER.encode(&[&[1][..], &[4; 24]].concat());
    scene.source.run(&format!("UPDATE endpoint SET disabled = TRUE, key = '\\x{rotated}' WHERE id = '{PLAIN}'"));
    let (output, said) = scene.import(&["--encryption-secret", MAIN_SECRET]);
    assert!(output.status.success(), "{said}");
    for expected in ["applications: 0 imported, 1 changed", "endpoints: 0 imported, 1 changed, 1 unchanged"] {
        assert!(said.contains(expected), "{said}");
    }
    let api = scene.api();
    let get = |path: &str| api.get(&format!("/api/v1{path}")).expect(200).json();
    assert_eq!(get("/app/acme")["name"], "Acme Inc.");
    assert_eq!(get("/app/acme/endpoint/main")["disabled"], true);
    let key = format!("whsec_{}", BASE64.encode(&[4; 24]));
    assert_eq!(get("/app/acme/endpoint/main/secret")["key"], key);
}
