//! The commands of `docs/customers.md` run as they stand there.

use std::process::{Command, Stdio};

use serde_json::json;
use test_support::engine::ADMIN_KEY;
use test_support::requirements::missing;
use test_support::world::{Database, World};

/// What is in blocks of `sh`.
fn commands() -> String {
    let text = include_str!("../../../docs/customers.md");
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect()
}

#[test]
fn the_walk_through_for_a_product_with_customers_works_as_it_is_written() {
    let world = World::new(Database::sqlite());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &format!("{}\necho \" key=$KEY\"", commands())]).stdin(Stdio::null());
    shell.env("ENGINE", format!("http://{}", world.engine.address())).env("RINGBACK_ADMIN_KEY", ADMIN_KEY);
    let Ok(output) = shell.output() else { return missing("sh") };
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if complaints.contains("curl: not found") || complaints.contains("curl: command not found") {
        return missing("curl");
    }
    assert!(output.status.success(), "{said}\n{complaints}");
    let key = said.rsplit_once("key=").unwrap().1.trim();
    let backend = world.api.with_key(key);
    let organizations = backend.get("/v1/organizations").expect(200).json();
    let uids: Vec<_> = organizations["data"].as_array().unwrap().iter().map(|it| it["uid"].clone()).collect();
    assert_eq!(uids[..3], [json!("customer-3"), json!("customer-2"), json!("customer-1")]);
    let header = ("ringback-organization", "customer-1");
    let events = backend.call_with_header("GET", "/v1/events", "", header).expect(200).json();
    let event = &events["data"][0];
    assert_eq!((&event["event_type"], &event["delivery_count"]), (&json!("invoice.paid"), &json!(1)));
}
