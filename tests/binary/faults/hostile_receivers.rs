//! Every hostile receiver of the security rules at once, beside a healthy one.

use serde_json::{Value, json};
use test_support::authority::Authority;
use test_support::engine::{eventually, text};
use test_support::hostile::{Hostile, Means};
use test_support::process::resident_bytes;
use test_support::receiver::Receiver;
use test_support::world::{Database, World};

const EVENTS: usize = 3;

fn meaning(delivery: &Value) -> Option<Means> {
    if let Some(status) = delivery["response_code"].as_u64() {
        return Some(Means::Answer(status as u16));
    }
    // the errors are a closed list: what it does not hold is found to be none of those that are expected
    delivery["error"].as_str().map(|error| match error {
        "timeout" => Means::Error("timeout"),
        "connection_reset" => Means::Error("connection_reset"),
        "invalid_response" => Means::Error("invalid_response"),
        "tls_failure" => Means::Error("tls_failure"),
        _ => Means::Error("another"),
    })
}

/// The test's own events alone: a webhook that is disabled or failing gets no operational event about itself.
fn assert_outcomes(world: &World, hostile: &Hostile, webhook: &Value) {
    let log = world.logs(webhook);
    assert!(!log.is_empty(), "{}: nothing in the log", hostile.name);
    for delivery in &log {
        // a webhook that is gone cancels or keeps what it was not sent any more
        if hostile.behaviour.phrase == "410" && delivery["attempt_count"] == 0 {
            continue;
        }
        let meant = meaning(delivery);
        assert!(
            meant.is_some_and(|meant| hostile.behaviour.means.contains(&meant)),
            "{}: {delivery}",
            hostile.name
        );
        let is_success = matches!(meant, Some(Means::Answer(200..=299)));
        assert_eq!(delivery["status"] == "success", is_success, "{}: {delivery}", hostile.name);
        let path = format!("/v1/webhooks/logs/{}", text(delivery, "id"));
        // `json` fails when the response is not JSON, and the client when it is not UTF-8
        let detail = world.api.get(&path).expect(200).json();
        let attempt = &detail["attempts"][0];
        if hostile.behaviour.phrase.contains("<script>") {
            assert_eq!(attempt["response_headers"]["x-script"], "<script>alert(1)</script>", "{attempt}");
            assert_eq!(attempt["response_headers"]["x-bytes"], "\u{fffd}\u{fffd}", "{attempt}");
            let body = text(attempt, "response_body");
            assert!(body.starts_with('\0') && body.ends_with("<script>alert(1)</script>"), "{body:?}");
        }
        assert!(attempt["response_body"].as_str().is_none_or(|body| body.len() <= 3 * 16 * 1024));
    }
}

#[test]
fn all_hostile_receivers_at_once_get_their_outcomes_and_leave_neither_a_socket_nor_a_healthy_endpoint_harmed() {
    let authority = Authority::new();
    let hostile = Hostile::all(&authority);
    let healthy = Receiver::ok();
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_CA_FILE", authority.file.to_str().unwrap());
    let world = World::start(database, serve.set("RINGBACK_DELIVERY_IDLE_LINGER_SECONDS", "0"));
    let healthy_webhook = world.webhook(&healthy, json!({"timeout": 1, "retry": 0}));
    // the first delivery opens what stays open: files of the database, threads
    world.publish(0);
    world.eventually_idle();
    let before = (world.engine.open_sockets(), resident_bytes(world.engine.pid()));

    let webhooks: Vec<Value> = hostile
        .iter()
        .map(|hostile| {
            let webhook = json!({"url": hostile.url, "timeout": 1, "retry": 0});
            world.api.post("/v1/webhooks", &webhook).expect(201).json()
        })
        .collect();
    for number in 1..=EVENTS {
        world.publish(number);
    }
    // a webhook that is gone keeps what it was not sent: everything else ends
    let gone: Vec<&Value> = hostile
        .iter()
        .zip(&webhooks)
        .filter(|(one, _)| one.behaviour.phrase == "410")
        .map(|(_, it)| &it["id"])
        .collect();
    eventually("every delivery has ended", || {
        let pending = world.api.get("/v1/webhooks/logs?limit=200&status=pending").expect(200).json();
        pending["data"].as_array().unwrap().iter().all(|row| gone.contains(&&row["webhook_id"])).then_some(())
    });
    for (hostile, webhook) in hostile.iter().zip(&webhooks) {
        assert_outcomes(&world, hostile, webhook);
    }

    let log = world.logs(&healthy_webhook);
    assert_eq!(log.len(), EVENTS + 1);
    for delivery in &log {
        assert_eq!(
            (&delivery["status"], &delivery["attempt_count"]),
            (&json!("success"), &json!(1)),
            "{delivery}"
        );
    }
    hostile.iter().for_each(Hostile::release);
    hostile.iter().for_each(Hostile::assert_every_connection_is_closed);
    // its connection to the healthy receiver may be closed meanwhile
    eventually("no more sockets are open than before", || (world.engine.open_sockets() <= before.0).then_some(()));
    println!(
        "measured: {} hostile receivers, {} deliveries each: open sockets {} before, {} after; memory {} KiB before, {} after",
        hostile.len(),
        EVENTS,
        before.0,
        world.engine.open_sockets(),
        before.1 / 1024,
        resident_bytes(world.engine.pid()) / 1024,
    );
}
