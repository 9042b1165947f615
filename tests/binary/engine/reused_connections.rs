//! Connections that the receiver closes just as they are used again.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::engine::text;
use test_support::raw_receiver::{Connection, Receiver};
use test_support::world::{Database, World};

on_both_databases!(
    a_connection_closed_at_once_costs_an_attempt_of_its_own_and_one_closed_after_work_does_not_repeat_it
);

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers the first request of the first connection, reads the second one, and closes after this much work.
fn closing_after(work: Duration) -> impl Fn(Connection) + Send + Sync + 'static {
    move |mut connection| {
        while let Some(request) = connection.read_request() {
            if connection.number == 0 && !String::from_utf8_lossy(&request).contains("first") {
                std::thread::sleep(work);
                return;
            }
            connection.send(OK);
        }
    }
}

fn numbers(receiver: &Receiver, count: usize) -> Vec<String> {
    let number = |request: String| {
        let after = request.split("x-callintel-attempt: ").nth(1).unwrap().to_owned();
        after.split("\r\n").next().unwrap().to_owned()
    };
    (0..count).map(|_| number(receiver.next_request())).collect()
}

fn a_connection_closed_at_once_costs_an_attempt_of_its_own_and_one_closed_after_work_does_not_repeat_it(
    database: Database,
) {
    let world = World::new(database);
    for (work, attempts, status) in [(Duration::ZERO, 2, "success"), (Duration::from_millis(1_500), 1, "failed")] {
        let receiver = Receiver::start(closing_after(work));
        let webhook = json!({"url": receiver.url(), "retry": 0, "events": ["call.missed"]});
        let webhook = world.api.post("/v1/webhooks", &webhook).expect(201).json();
        let publish = |word: &str| {
            let event = json!({"event_type": "call.missed", "data": {"word": word}});
            world.api.post("/v1/events", &event).expect(202);
        };
        publish("first");
        world.eventually_delivery(&webhook, "the first one", |delivery| delivery["status"] == "success");
        assert_eq!(numbers(&receiver, 1), ["1"]);
        publish("second");
        let ended = |delivery: &Value| delivery["status"] == status && delivery["attempt_count"] == attempts;
        test_support::engine::eventually("the second one", || {
            let logs = world.logs(&webhook);
            (logs.len() == 2 && ended(&logs[0])).then_some(())
        });
        let expected: Vec<String> = (1..=attempts).map(|number| number.to_string()).collect();
        assert_eq!(numbers(&receiver, attempts), expected, "no number twice");
        let path = format!("/v1/webhooks/logs/{}", text(&world.logs(&webhook)[0], "id"));
        let detail = world.api.get(&path).expect(200).json();
        let logged = detail["attempts"].as_array().unwrap();
        assert_eq!(logged.len(), attempts, "one entry for each request: {detail}");
        assert_eq!(logged[0]["error"], "connection_reset");
        let path = format!("/v1/webhooks/{}", text(&webhook, "id"));
        world.api.try_call("DELETE", &path, None).unwrap().expect(204);
    }
}
