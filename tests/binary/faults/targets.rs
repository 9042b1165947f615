//! Forbidden targets, through the API and the engine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use test_support::engine::{Answer, Serve, text};
use test_support::forbidden::{Canary, host, neighbours, refused};
use test_support::name_server::{NameServer, Reply};
use test_support::raw_receiver::Receiver;
use test_support::world::{Database, EVENT_TYPE, World};

/// An engine as it is without exceptions; `http:` is allowed, so that nothing but the address is in the way.
fn strict(change: impl FnOnce(Serve) -> Serve) -> World {
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_ALLOWED_NETWORKS", "");
    World::start(database, change(serve))
}

fn call(world: &World, method: &str, path: &str, body: &Value) -> Answer {
    world.api.try_call(method, path, Some(body.to_string().as_bytes())).unwrap()
}

fn path(webhook: &Value) -> String {
    format!("/v1/webhooks/{}", text(webhook, "id"))
}

fn assert_forbidden(answer: Answer, url: &str) {
    let problem = answer.expect(422).json();
    assert_eq!(
        (&problem["code"], &problem["errors"][0]["field"]),
        (&json!("url_forbidden"), &json!("url")),
        "{url}"
    );
}

/// What anybody sees of an attempt at a forbidden address.
fn assert_nothing_but_blocked(world: &World, delivery: &Value) {
    assert_eq!(
        (&delivery["status"], &delivery["error"]),
        (&json!("failed"), &json!("blocked_address")),
        "{delivery}"
    );
    let path = format!("/v1/webhooks/logs/{}", text(delivery, "id"));
    let detail = world.api.get(&path).expect(200).json();
    let attempts = detail["attempts"].as_array().unwrap();
    for attempt in attempts {
        assert_eq!(attempt["error"], "blocked_address", "{attempt}");
        for field in ["response_code", "response_headers", "response_body"] {
            assert!(attempt[field].is_null() || attempt[field] == json!({}), "{field} in {attempt}");
        }
    }
    assert!(!attempts.is_empty() && delivery["response_code"].is_null(), "{detail}");
}

#[test]
fn both_ends_of_every_refused_range_are_refused_by_post_put_and_patch_and_their_neighbours_are_not() {
    let canary = Canary::new();
    let world = strict(|serve| serve);
    let good = json!({"url": "https://receiver.example/hook", "active": false});
    let webhook = world.api.post("/v1/webhooks", &good).expect(201).json();
    let port = canary.port;
    let written_otherwise =
        ["0x7f.1", "2130706433", "0177.0.0.1", "１２７.０.０.１", "127.0.0.1.", "localhost", "a.LOCALHOST"];
    let hosts = refused().map(host).chain(written_otherwise.map(str::to_owned));
    for host in hosts {
        for url in [format!("https://{host}/"), format!("http://{host}:{port}/hook")] {
            let forbidden = json!({"url": url});
            assert_forbidden(call(&world, "POST", "/v1/webhooks", &forbidden), &url);
            assert_forbidden(call(&world, "PUT", &path(&webhook), &forbidden), &url);
            assert_forbidden(call(&world, "PATCH", &path(&webhook), &forbidden), &url);
        }
    }
    assert_eq!(world.read_webhook(&webhook)["url"], good["url"], "nothing was changed");
    for address in neighbours() {
        let allowed = json!({"url": format!("https://{}/", host(address)), "active": false});
        world.api.post("/v1/webhooks", &allowed).expect(201);
        call(&world, "PATCH", &path(&webhook), &json!({"url": allowed["url"]})).expect(200);
    }
    canary.assert_untouched();
}

#[test]
fn a_name_that_leads_to_a_forbidden_address_is_blocked_in_every_way_that_something_is_sent() {
    let canary = Canary::new();
    let names = NameServer::replying(|question| {
        let public = IpAddr::from([8, 8, 8, 8]);
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        match question.name.split('.').next().unwrap() {
            "v4" => Reply::Addresses(vec![v4]),
            "v6" => Reply::Addresses(vec![IpAddr::V6(Ipv6Addr::LOCALHOST)]),
            "mapped" => Reply::Addresses(vec![IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())]),
            "mixed" => Reply::Addresses(vec![public, v4]),
            "alias" => Reply::Alias(vec!["b.example", "c.example"], vec![v4]),
            "metadata" => Reply::Addresses(vec![IpAddr::from([169, 254, 169, 254])]),
            _ => Reply::Addresses(Vec::new()),
        }
    });
    let world = strict(|serve| serve.set("RINGBACK_DNS_SERVERS", &names.address.to_string()));
    for name in ["v4", "v6", "mapped", "mixed", "alias", "metadata"] {
        let url = format!("http://{name}.rebinding.example:{}/hook", canary.port);
        let webhook = world.api.post("/v1/webhooks", &json!({"url": url})).expect(201).json();

        let test = world.api.post(&format!("{}/test", path(&webhook)), &json!({})).expect(200).json();
        let answered = ["status", "error", "response_code", "response_body"].map(|field| test[field].clone());
        assert_eq!(answered, [json!("failed"), json!("blocked_address"), Value::Null, Value::Null], "{name}");

        let event = world.publish(1);
        let blocked = |delivery: &Value| delivery["event_id"] == event.as_str() && delivery["status"] == "failed";
        let delivery = world.eventually_delivery(&webhook, "the delivery failed", blocked);
        assert_nothing_but_blocked(&world, &delivery);

        let retry = format!("/v1/webhooks/logs/{}/retry", text(&delivery, "id"));
        world.api.post(&retry, &json!({})).expect(202);
        world.eventually_idle();
        let replay = json!({"webhook_id": webhook["id"]});
        world.api.post(&format!("/v1/events/{event}/replay"), &replay).expect(202);
        world.eventually_idle();
        let recover = json!({"since": "2020-01-01T00:00:00Z"});
        world.api.post(&format!("{}/recover", path(&webhook)), &recover).expect(202);
        world.eventually_idle();
        let log = world.logs(&webhook);
        let attempts: u64 = log.iter().map(|delivery| delivery["attempt_count"].as_u64().unwrap()).sum();
        assert_eq!(attempts, 6, "test, event, retry, replay, and both deliveries recovered: {log:?}");
        log.iter().for_each(|delivery| assert_nothing_but_blocked(&world, delivery));
        world.api.try_call("DELETE", &path(&webhook), None).unwrap().expect(204);
    }
    canary.assert_untouched();
}

#[test]
fn a_redirect_to_a_forbidden_address_is_not_followed() {
    let canary = Canary::new();
    let location = format!("http://127.0.0.1:{}/", canary.port);
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let receiver = Receiver::on([127, 0, 0, 2], move |mut connection| {
        while connection.read_request().is_some() {
            counter.fetch_add(1, Ordering::SeqCst);
            connection.send(format!("HTTP/1.1 307 x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let world = strict(|serve| serve.set("RINGBACK_ALLOWED_NETWORKS", "127.0.0.2/32"));
    let webhook = world.api.post("/v1/webhooks", &json!({"url": receiver.url()})).expect(201).json();
    let test = world.api.post(&format!("{}/test", path(&webhook)), &json!({})).expect(200).json();
    assert_eq!((&test["status"], &test["response_code"]), (&json!("failed"), &json!(307)));
    world.publish(1);
    world.eventually_idle();
    let log = world.logs(&webhook);
    assert!(log.len() == 2 && log.iter().all(|delivery| delivery["response_code"] == 307), "{log:?}");
    assert_eq!(requests.load(Ordering::SeqCst), 2, "the test and the delivery");
    canary.assert_untouched();
}

#[test]
fn the_engine_sends_nothing_to_the_ports_that_it_was_given_by_the_system() {
    let names = NameServer::start(|_| Some(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    let database = Database::sqlite();
    // --dev allows loopback targets, and prints where the metrics are
    let serve = database.serve().argument("--dev").set("RINGBACK_METRICS_LISTEN", "127.0.0.1:0");
    let world = World::start(database, serve.set("RINGBACK_DNS_SERVERS", &names.address.to_string()));
    let port_of = |what: &str| -> u16 {
        let line = world.engine.greeting.iter().find(|line| line.contains(what)).unwrap();
        line.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap()
    };
    for port in [port_of("listening on"), port_of("metrics  ")] {
        assert_ne!(port, 0);
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let url = format!("http://{host}:{port}/v1/events");
            // with [::1] allowed as well, `localhost` itself may be reachable, and is blocked when it is connected to
            if host != "localhost" {
                assert_forbidden(world.api.post("/v1/webhooks", &json!({"url": url})), &url);
            }
        }
        let url = format!("http://self.example:{port}/v1/events");
        let webhook = world.api.post("/v1/webhooks", &json!({"url": url})).expect(201).json();
        let test = world.api.post(&format!("{}/test", path(&webhook)), &json!({})).expect(200).json();
        assert_eq!(test["error"], "blocked_address", "{test}");
    }
}

#[test]
fn the_operators_ports_replace_the_built_in_rule() {
    let canary = Canary::new();
    let world = strict(|serve| {
        serve
            .set("RINGBACK_ALLOWED_PORTS", "443,8000-8999")
            .set("RINGBACK_ALLOWED_NETWORKS", "127.0.0.0/8,::1/128")
    });
    for (port, allowed) in [(443, true), (8000, true), (8999, true), (80, false), (9000, false), (22, false)] {
        let url = format!("http://receiver.example:{port}/");
        let answer = world.api.post("/v1/webhooks", &json!({"url": url, "active": false}));
        match allowed {
            true => drop(answer.expect(201)),
            false => {
                assert!(answer.text.contains("443, 8000-8999"), "says what is allowed: {}", answer.text);
                assert_forbidden(answer, &url);
            }
        }
    }
    // the port was allowed when the webhook was made, and no longer is
    let url = format!("http://127.0.0.1:{}/", canary.port);
    assert!(!(8000..9000).contains(&canary.port), "the system gives no such port");
    let mut world = World::new(Database::sqlite());
    let webhook = world.api.post("/v1/webhooks", &json!({"url": url, "events": [EVENT_TYPE]})).expect(201).json();
    world.serve = world.database.serve().set("RINGBACK_ALLOWED_PORTS", "443");
    world.kill_and_restart();
    let test = world.api.post(&format!("{}/test", path(&webhook)), &json!({})).expect(200).json();
    assert_eq!(test["error"], "invalid_request", "{test}");
    canary.assert_untouched();
}
