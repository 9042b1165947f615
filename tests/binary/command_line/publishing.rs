//! Events and the delivery log from the command line.

use serde_json::{Value, json};
use test_support::engine::{eventually, text as field};
use test_support::receiver::{Receiver, reply};

use super::text;
use super::world::{World, rows};

fn delivery(world: &World, status: &str) -> Value {
    eventually("a delivery ends", || {
        world.json(&format!("logs list --status {status}"))["data"].as_array().unwrap().first().cloned()
    })
}

#[test]
fn an_event_is_published_as_it_is_written_once_and_sent_again_on_request() {
    let world = World::new();
    let receiver = Receiver::ok();
    let webhook = world.json(&format!("webhooks create --url {}", receiver.url()));
    let line = "events publish call.completed --idempotency-key one --data -";
    let data = "{\"n\": 1e400, \"text\": \"\\u00e9\"}";
    let said = world.said_with_input(line, data);
    assert!(said.contains("deliveries  1"), "{said}");
    assert_eq!(world.said_with_input(line, data), said, "once");
    eventually("it arrives", || (receiver.count() == 1).then_some(()));
    let body = receiver.seen()[0].body.clone();
    assert!(text(&body).ends_with(&format!("\"data\":{data}}}")), "{}", text(&body));

    let listed = rows(&world.said("events list --event-type call.completed --from 2h"));
    assert_eq!((listed.len(), listed[0][1].as_str(), listed[0][3].as_str()), (1, "call.completed", "1"));
    assert_eq!(world.json("events list --to 2h")["data"], json!([]));
    let delivered = delivery(&world, "success");
    let event = world.said(&format!("events get {}", listed[0][0]));
    assert!(event.contains("\"n\": 1e400") && event.contains(field(&delivered, "id")), "{event}");
    let document = world.said(&format!("events get {} --json", listed[0][0]));
    assert!(document.contains(&format!("\"data\":{data}}}")), "{document}");

    let again = format!("events replay {} --webhook {}", listed[0][0], field(&webhook, "id"));
    assert_eq!(world.said(&again), "deliveries sent again: 1\n");
    eventually("it arrives again", || (receiver.count() == 2).then_some(()));
    let output = world.command("events publish call.missed --data {} --organization customer-1").output().unwrap();
    assert!(!text(&output.stderr).contains("no webhook subscribes"), "{}", text(&output.stderr));
    world.said(&format!("webhooks delete {} --yes", field(&webhook, "id")));
    let output = world.command("events publish call.missed --data {}").output().unwrap();
    assert!(text(&output.stderr).contains("no webhook subscribes"), "{}", text(&output.stderr));
}

#[test]
fn the_log_is_searched_by_every_filter_and_a_failed_delivery_is_sent_again() {
    let world = World::new();
    let receiver =
        Receiver::answering(|number| if number == 1 { reply(400).body("not this one") } else { reply(200) });
    let webhook = world.json(&format!("webhooks create --url {}", receiver.url()));
    let id = field(&webhook, "id");
    world.said("events publish call.completed --data {\"n\":1}");
    let failed = delivery(&world, "failed");
    for (filters, count) in [
        (format!("--webhook {id} --status failed"), 1),
        (String::from("--event-type call.completed --response-code 4xx --from 1h"), 1),
        (String::from("--response-code 400 --to 2100-01-01T00:00:00+02:00"), 1),
        (String::from("--response-code 5xx"), 0),
        (String::from("--status success"), 0),
        (String::from("--event-type call.missed"), 0),
        (String::from("--webhook wh_0000000000000"), 0),
        (String::from("--to 1h"), 0),
    ] {
        let found = world.json(&format!("logs list {filters}"));
        assert_eq!(found["data"].as_array().unwrap().len(), count, "{filters}");
    }
    let row = &rows(&world.said("logs list"))[0];
    assert_eq!(&row[..6], [field(&failed, "id"), id, "call.completed", "failed", "1", "400"]);
    let shown = world.said(&format!("logs get {}", field(&failed, "id")));
    assert!(shown.contains("\"n\": 1") && shown.contains("not this one"), "{shown}");
    let attempts = &world.json(&format!("logs get {}", field(&failed, "id")))["attempts"];
    assert_eq!(attempts[0]["response_code"], 400);

    let retried = world.said(&format!("logs retry {}", field(&failed, "id")));
    assert!(retried.contains("status           pending"), "{retried}");
    delivery(&world, "success");
    assert_eq!(world.said(&format!("webhooks recover {id} --since 1h")), "deliveries sent again: 0\n");
    assert_eq!(
        world.said(&format!("webhooks recover {id} --since 1h --status success")),
        "deliveries sent again: 1\n"
    );
    assert_eq!(world.json(&format!("webhooks resume {id}"))["deliveries"].as_u64().map(|n| n <= 1), Some(true));
}

#[test]
fn a_test_fails_when_the_receiver_does() {
    let world = World::new();
    let receiver = Receiver::answering(|number| if number == 1 { reply(503) } else { reply(200) });
    let webhook = world.json(&format!("webhooks create --url {}", receiver.url()));
    let line = format!("webhooks test {} --event-type batch.completed", field(&webhook, "id"));
    let output = world.command(&line).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("the test failed: 503"));
    assert!(text(&output.stdout).contains("response_code  503"), "{}", text(&output.stdout));
    assert!(world.said(&line).contains("success"));
    assert!(text(&receiver.seen()[1].body).contains("batch.completed"));
}
