//! `/api/v1/event-type`.

use serde_json::{Value, json};

use super::{environment_token, of_application, token, world};
use crate::database::{Database, on_every_store};
use crate::world::World;

on_every_store!(
    an_event_type_is_created_read_and_listed,
    what_is_optional_may_be_null_and_unknown_fields_are_ignored,
    an_archived_type_is_created_again_and_another_one_is_not,
    a_put_replaces_everything_and_creates_what_is_missing,
    a_patch_leaves_what_is_absent_and_takes_away_what_is_null,
    a_deleted_type_is_archived_unless_it_is_expunged,
    lists_come_in_pages_in_the_order_of_names,
    a_page_of_large_schemas_is_short_and_goes_on,
    a_type_with_flags_is_seen_by_tokens_with_one_of_them,
    wrong_input_is_refused_with_its_place,
    the_management_environment_has_the_types_of_its_messages,
);

async fn create(world: &World, name: &str) -> Value {
    let new = json!({"name": name, "description": "about it"});
    world.svix(&environment_token(), "POST", "/event-type", new).await.ok(201)
}

async fn names(world: &World, token: &str, query: &str) -> Vec<String> {
    let list = world.svix(token, "GET", &format!("/event-type?{query}"), "").await.ok(200);
    let data = list["data"].as_array().unwrap();
    data.iter().map(|event_type| event_type["name"].as_str().unwrap().to_owned()).collect()
}

async fn an_event_type_is_created_read_and_listed(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    let schemas = json!({"1": {"type": "object", "examples": [{"z": 1, "a": "é"}]}, "2": {"type": "string"}});
    let new = json!({
        "name": "user.signup", "description": "A user signed up", "schemas": schemas, "featureFlags": ["beta", "b2"],
        "groupName": "user", "deprecated": true,
    });
    let made = world.svix(&token, "POST", "/event-type", &new).await.ok(201);
    let expected = json!({
        "name": "user.signup", "description": "A user signed up", "archived": false, "deprecated": true,
        "schemas": schemas, "featureFlag": "beta", "featureFlags": ["beta", "b2"], "groupName": "user",
        "createdAt": made["createdAt"], "updatedAt": made["createdAt"],
    });
    assert_eq!(made, expected);
    assert_eq!(world.svix(&token, "GET", "/event-type/user.signup", "").await.ok(200), expected);
    let list = world.svix(&token, "GET", "/event-type?with_content=true", "").await.ok(200);
    let whole = json!({
        "data": [expected], "iterator": "user.signup", "prevIterator": "-user.signup", "done": true,
    });
    assert_eq!(list, whole);
    let list = world.svix(&token, "GET", "/event-type", "").await.ok(200);
    assert_eq!(list["data"][0]["schemas"], Value::Null);
    world.svix(&token, "GET", "/event-type/user", "").await.svix_error(404, "not_found");
    world.svix(&token, "GET", "/event-type/a%20b", "").await.svix_error(404, "not_found");
}

async fn what_is_optional_may_be_null_and_unknown_fields_are_ignored(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    let bare = json!({
        "name": "a", "description": "", "archived": null, "deprecated": null, "schemas": null, "featureFlag": null,
        "featureFlags": null, "groupName": null, "somethingNew": {"x": 1},
    });
    let made = world.svix(&token, "POST", "/event-type", bare).await.ok(201);
    for (name, value) in [
        ("archived", json!(false)),
        ("deprecated", json!(false)),
        ("schemas", Value::Null),
        ("featureFlag", Value::Null),
        ("featureFlags", Value::Null),
        ("groupName", Value::Null),
    ] {
        assert_eq!(made[name], value, "{name}");
    }
    let old = json!({"name": "b", "description": "x", "featureFlag": "beta"});
    let made = world.svix(&token, "POST", "/event-type", old).await.ok(201);
    assert_eq!(made["featureFlags"], json!(["beta"]), "as older libraries send it");
    let empty = world.svix(&token, "GET", "/event-type?iterator=b", "").await.ok(200);
    assert_eq!(empty, json!({"data": [], "iterator": null, "done": true}));
}

async fn an_archived_type_is_created_again_and_another_one_is_not(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    create(&world, "a").await;
    let again = json!({"name": "a", "description": "new"});
    world.svix(&token, "POST", "/event-type", &again).await.svix_error(409, "event_type_exists");
    world.svix(&token, "DELETE", "/event-type/a", "").await.ok(204);
    let made = world.svix(&token, "POST", "/event-type", &again).await.ok(201);
    assert_eq!((&made["archived"], &made["description"]), (&json!(false), &json!("new")));
}

async fn a_put_replaces_everything_and_creates_what_is_missing(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    let whole = json!({"description": "x", "schemas": {"1": {}}, "groupName": "g", "featureFlags": ["f"]});
    let made = world.svix(&token, "PUT", "/event-type/a", &whole).await.ok(201);
    assert_eq!((&made["name"], &made["groupName"]), (&json!("a"), &json!("g")));
    let put = world.svix(&token, "PUT", "/event-type/a", json!({"description": "y"})).await.ok(200);
    assert_eq!(put["createdAt"], made["createdAt"]);
    for field in ["schemas", "groupName", "featureFlag", "featureFlags"] {
        assert_eq!(put[field], Value::Null, "{field}");
    }
    world.svix(&token, "PUT", "/event-type/a", "{}").await.svix_invalid();
    let places = world.svix(&token, "PUT", "/event-type/a%20b", &whole).await.svix_invalid();
    assert_eq!(places, ["path.event_type_name"]);
}

async fn a_patch_leaves_what_is_absent_and_takes_away_what_is_null(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    let whole = json!({"description": "x", "schemas": {"1": {}}, "groupName": "g", "featureFlags": ["f"]});
    world.svix(&token, "PUT", "/event-type/a", &whole).await.ok(201);
    let patched = world.svix(&token, "PATCH", "/event-type/a", json!({"deprecated": true})).await.ok(200);
    assert_eq!((&patched["groupName"], &patched["deprecated"]), (&json!("g"), &json!(true)));
    let change = json!({"groupName": null, "featureFlags": null, "archived": true});
    let patched = world.svix(&token, "PATCH", "/event-type/a", change).await.ok(200);
    assert_eq!((&patched["groupName"], &patched["featureFlags"]), (&Value::Null, &Value::Null));
    assert_eq!((&patched["archived"], &patched["schemas"]), (&json!(true), &whole["schemas"]));
    let change = json!({"schemas": null, "featureFlag": "g", "description": "y"});
    let patched = world.svix(&token, "PATCH", "/event-type/a", change).await.ok(200);
    assert_eq!((&patched["schemas"], &patched["featureFlags"]), (&Value::Null, &json!(["g"])));
    for field in ["description", "archived", "deprecated"] {
        let places = world.svix(&token, "PATCH", "/event-type/a", json!({ field: null })).await.svix_invalid();
        assert_eq!(places, [format!("body.{field}")]);
    }
    world.svix(&token, "PATCH", "/event-type/b", "{}").await.svix_error(404, "not_found");
}

async fn a_deleted_type_is_archived_unless_it_is_expunged(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    create(&world, "a").await;
    create(&world, "b").await;
    world.svix(&token, "DELETE", "/event-type/a?expunge=false", "").await.ok(204);
    assert_eq!(names(&world, &token, "").await, ["b"]);
    assert_eq!(names(&world, &token, "include_archived=true").await, ["a", "b"]);
    assert_eq!(world.svix(&token, "GET", "/event-type/a", "").await.ok(200)["archived"], true);
    world.svix(&token, "DELETE", "/event-type/a?expunge=true", "").await.ok(204);
    world.svix(&token, "GET", "/event-type/a", "").await.svix_error(404, "not_found");
    for query in ["", "?expunge=true"] {
        world.svix(&token, "DELETE", &format!("/event-type/a{query}"), "").await.svix_error(404, "not_found");
    }
}

async fn lists_come_in_pages_in_the_order_of_names(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    for name in ["c", "a", "d", "b", "e"] {
        create(&world, name).await;
    }
    let list = world.svix(&token, "GET", "/event-type?limit=2", "").await.ok(200);
    assert_eq!(
        (&list["iterator"], &list["prevIterator"], &list["done"]),
        (&json!("b"), &json!("-a"), &json!(false))
    );
    assert_eq!(names(&world, &token, "limit=2&iterator=b").await, ["c", "d"]);
    assert_eq!(names(&world, &token, "limit=2&iterator=d").await, ["e"]);
    assert_eq!(names(&world, &token, "limit=2&iterator=-e").await, ["c", "d"]);
    assert_eq!(names(&world, &token, "order=descending&limit=3").await, ["e", "d", "c"]);
    for query in ["order=x", "with_content=x"] {
        let answer = world.svix(&token, "GET", &format!("/event-type?{query}"), "").await;
        answer.svix_error(400, "generic_error");
    }
    for query in ["limit=251", "iterator=a%20b"] {
        let places = world.svix(&token, "GET", &format!("/event-type?{query}"), "").await.svix_invalid();
        assert!(places[0].starts_with("query."), "{query}: {places:?}");
    }
}

async fn a_page_of_large_schemas_is_short_and_goes_on(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    for number in 10..30 {
        let schema = json!({"1": {"enum": ["v".repeat(700_000)]}});
        let new = json!({"name": format!("t{number}"), "description": "x", "schemas": schema});
        world.svix(&token, "POST", "/event-type", new).await.ok(201);
    }
    for (order, back) in [("ascending", false), ("descending", true)] {
        let (mut seen, mut iterator) = (Vec::new(), String::new());
        loop {
            let path = format!("/event-type?limit=250&with_content=true&order={order}{iterator}");
            let answer = world.svix(&token, "GET", &path, "").await;
            let page = answer.ok(200);
            assert!(answer.text.len() < 12_000_000, "{}", answer.text.len());
            seen.extend(page["data"].as_array().unwrap().iter().map(|event_type| event_type["name"].clone()));
            if page["done"] == true {
                break;
            }
            iterator = format!("&iterator={}", page["iterator"].as_str().unwrap());
        }
        let mut expected: Vec<Value> = (10..30).map(|number| json!(format!("t{number}"))).collect();
        if back {
            expected.reverse();
        }
        assert_eq!(seen, expected, "{order}");
    }
    let without = world.svix(&token, "GET", "/event-type?limit=250", "").await.ok(200);
    assert_eq!(without["data"].as_array().unwrap().len(), 20);
}

async fn a_type_with_flags_is_seen_by_tokens_with_one_of_them(database: Database) {
    let world = world(database).await;
    let own = world.organization("own").await;
    for (name, flags) in
        [("a", json!(["beta"])), ("b", json!([])), ("c", json!(["gamma", "beta"])), ("d", json!(null))]
    {
        let new = json!({"name": name, "description": "x", "featureFlags": flags});
        world.svix(&environment_token(), "POST", "/event-type", new).await.ok(201);
    }
    let plain = token(&of_application(&own));
    let mut claims = of_application(&own);
    claims["feature_flags"] = json!(["gamma"]);
    let flagged = token(&claims);
    assert_eq!(names(&world, &plain, "limit=1").await, ["b"]);
    assert_eq!(names(&world, &plain, "limit=1&iterator=b").await, ["d"]);
    assert_eq!(names(&world, &flagged, "").await, ["b", "c", "d"]);
    world.svix(&plain, "GET", "/event-type/c", "").await.svix_error(404, "not_found");
    world.svix(&flagged, "GET", "/event-type/c", "").await.ok(200);
}

async fn wrong_input_is_refused_with_its_place(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    for (body, place) in [
        (json!({"name": "a b", "description": "x"}), "body.name"),
        (json!({"name": "x".repeat(257), "description": "x"}), "body.name"),
        (json!({"description": "x"}), "body.name"),
        (json!({"name": "a", "description": "\u{0}"}), "body.description"),
        (json!({"name": "a", "description": 7}), "body.description"),
        (json!({"name": "a", "description": "x", "schemas": {"1": {"type": 7}}}), "body.schemas"),
        (json!({"name": "a", "description": "x", "featureFlags": ["a b"]}), "body.featureFlags"),
        (json!({"name": "a", "description": "x", "groupName": ""}), "body.groupName"),
    ] {
        let places = world.svix(&token, "POST", "/event-type", &body).await.svix_invalid();
        assert_eq!(places, [place], "{body}");
    }
    for body in ["", "{", "[]", "7", "null", "{\"name\":\"a\"}"] {
        world.svix(&token, "POST", "/event-type", body).await.svix_invalid();
    }
    assert!(names(&world, &token, "").await.is_empty());
}

async fn the_management_environment_has_the_types_of_its_messages(database: Database) {
    let world = world(database).await;
    let token = token(&json!({"sub": "org_00000000000SvixManagement00"}));
    let mut expected = vec![
        "endpoint.created",
        "endpoint.deleted",
        "endpoint.disabled",
        "endpoint.enabled",
        "endpoint.updated",
        "message.attempt.exhausted",
        "message.attempt.failing",
        "message.attempt.recovered",
    ];
    assert_eq!(names(&world, &token, "").await, expected);
    assert_eq!(names(&world, &environment_token(), "").await, [""; 0]);
    let one = world.svix(&token, "GET", "/event-type/endpoint.deleted", "").await.ok(200);
    assert_eq!(
        (&one["archived"], &one["createdAt"], &one["schemas"]),
        (&json!(false), &one["updatedAt"], &json!(null))
    );
    assert!(!one["description"].as_str().unwrap().is_empty());
    // one's own are among them, or in the place of one
    for name in ["a", "endpoint.created", "endpoint.moved", "z"] {
        let new = json!({"name": name, "description": "mine"});
        world.svix(&token, "POST", "/event-type", new).await.ok(201);
    }
    let one = world.svix(&token, "GET", "/event-type/endpoint.created", "").await.ok(200);
    assert_eq!(one["description"], "mine");
    expected.extend(["a", "endpoint.moved", "z"]);
    expected.sort_unstable();
    let (mut found, mut query) = (Vec::new(), String::from("limit=3"));
    loop {
        let list = world.svix(&token, "GET", &format!("/event-type?{query}"), "").await.ok(200);
        let data = list["data"].as_array().unwrap();
        assert!(data.len() <= 3);
        found.extend(data.iter().map(|event_type| event_type["name"].as_str().unwrap().to_owned()));
        if list["done"] == true {
            break;
        }
        query = format!("limit=3&iterator={}", list["iterator"].as_str().unwrap());
    }
    assert_eq!(found, expected);
    let back = names(&world, &token, "limit=3&iterator=-endpoint.updated").await;
    assert_eq!(back, ["endpoint.disabled", "endpoint.enabled", "endpoint.moved"]);
    world.svix(&token, "DELETE", "/event-type/endpoint.created", "").await.ok(204);
    expected.retain(|name| *name != "endpoint.created");
    assert_eq!(names(&world, &token, "").await, expected);
    assert_eq!(names(&world, &token, "include_archived=true").await.len(), expected.len() + 1);
}
