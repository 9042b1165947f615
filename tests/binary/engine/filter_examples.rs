//! The examples of filters in the documentation, published to the real engine.

use serde_json::{Value, json};
use test_support::engine::text;
use test_support::receiver::Receiver;
use test_support::world::{Database, EVENT_TYPE, World};

const DOCUMENT: &str = include_str!("../../../docs/events-and-filters.md");

/// Filter, `data`, and whether the event is delivered.
fn examples() -> Vec<(Value, Value, bool)> {
    let table = DOCUMENT.lines().skip_while(|line| !line.starts_with("| filter | `data` | delivered |")).skip(2);
    let cell = |cell: &str| serde_json::from_str(cell.trim().trim_matches('`')).unwrap();
    let example = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        (cell(cells[0]), cell(cells[1]), cells[2].trim() == "yes")
    };
    table.take_while(|line| line.starts_with('|')).map(example).collect()
}

#[test]
fn every_example_of_a_filter_in_the_documentation_is_true() {
    let world = World::new(Database::sqlite());
    let examples = examples();
    assert!(examples.len() > 15, "the table of examples was not found");
    let receiver = Receiver::ok();
    let webhook = world.webhook(&receiver, json!({}));
    let path = format!("/v1/webhooks/{}", text(&webhook, "id"));
    for (filter, data, is_delivered) in examples {
        let change = json!({"filters": filter}).to_string();
        world.api.try_call("PATCH", &path, Some(change.as_bytes())).unwrap().expect(200);
        let event = json!({"event_type": EVENT_TYPE, "data": data});
        let published = world.api.post("/v1/events", &event).expect(202).json();
        assert_eq!(published["deliveries"] == 1, is_delivered, "{filter} {data}");
    }
}
