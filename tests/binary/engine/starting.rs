//! How the engine starts, and when it does not.

use std::path::Path;

use serde_json::json;
use test_support::engine::{ADMIN_KEY, Engine, Serve, text};
use test_support::world::{Database, World};

#[test]
fn without_a_master_key_serve_refuses_to_start_and_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let said = Serve::bare(folder.path()).refusal();
    assert!(said.contains("RINGBACK_MASTER_KEY") && said.contains("ringback master-key generate"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn an_unknown_variable_is_refused_by_name() {
    let database = Database::sqlite();
    let said = database.serve().set("RINGBACK_ALOW_HTTP", "true").refusal();
    assert!(said.contains("RINGBACK_ALOW_HTTP") && said.contains("RINGBACK_ALLOW_HTTP"), "{said}");
}

#[test]
fn a_wrong_master_key_is_refused_without_showing_it() {
    let database = Database::sqlite();
    let said = database.serve().set("RINGBACK_MASTER_KEY", "c2VjcmV0").refusal();
    assert!(said.contains("RINGBACK_MASTER_KEY") && said.contains("32 bytes"), "{said}");
    assert!(!said.contains("c2VjcmV0"), "{said}");
}

fn start_dev(folder: &Path) -> Engine {
    Serve::bare(folder).argument("--dev").set("RINGBACK_ADMIN_KEY", ADMIN_KEY).start()
}

fn owner_key(engine: &Engine) -> String {
    let line = engine.greeting.iter().find(|line| line.contains("owner key")).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn dev_prints_a_key_that_works_and_the_urls_and_makes_its_organization_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = start_dev(folder.path());
    let key = owner_key(&engine);
    let greeting = engine.greeting.join("\n");
    assert!(greeting.contains("/v1/webhooks") && greeting.contains("/metrics"), "{greeting}");
    let webhook = json!({"url": "http://127.0.0.1:9999/hook"});
    engine.api(&key).post("/v1/webhooks", &webhook).expect(201);
    engine.kill();

    let engine = start_dev(folder.path());
    assert_eq!(owner_key(&engine), key, "the second start has the key of the first");
    let webhooks = engine.api(&key).get("/v1/webhooks").expect(200).json();
    assert_eq!(webhooks["data"].as_array().unwrap().len(), 1);
    let organizations = engine.api(ADMIN_KEY).get("/v1/organizations").expect(200).json();
    let names: Vec<&str> =
        organizations["data"].as_array().unwrap().iter().map(|organization| text(organization, "name")).collect();
    assert_eq!(names, ["dev"]);
}

#[test]
fn http_targets_and_private_addresses_are_refused_unless_the_operator_allows_them() {
    let database = Database::sqlite();
    let strict = database.serve().set("RINGBACK_ALLOW_HTTP", "false").set("RINGBACK_ALLOWED_NETWORKS", "");
    let world = World::start(database, strict);
    for (url, code) in [
        ("http://receiver.example/hook", "https_required"),
        ("https://127.0.0.1/hook", "url_forbidden"),
        ("https://169.254.169.254/latest", "url_forbidden"),
    ] {
        let problem = world.api.post("/v1/webhooks", &json!({"url": url})).expect(422).json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["errors"][0]["field"], "url");
    }
}
