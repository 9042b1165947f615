//! The description of this API against the table of routes, and against what is answered.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ringback::svix::openapi::document;
use ringback::svix::routes::ROUTES;
use ringback::svix::{BASE_PATH, Permission, RouteSpec};
use serde_json::{Value, json};

use super::access::{body, call, with_applications};
use super::{app_id, environment_token};
use crate::database::Database;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(ROUTES));

fn described(route: &RouteSpec) -> &'static Value {
    &DOCUMENT["paths"][format!("{BASE_PATH}{}", route.path)][route.method.as_str().to_ascii_lowercase()]
}

fn name(route: &RouteSpec) -> String {
    format!("{} {}", route.method, route.path)
}

/// The component that a reference names.
fn component(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            DOCUMENT.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} names nothing"))
        }
        None => value,
    }
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let operation = described(route);
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{}", name(route));
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{}: its id is another's", name(route));
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let of_path: BTreeSet<String> = parameters
            .iter()
            .map(component)
            .filter(|it| it["in"] == "path")
            .map(|it| format!("{{{}}}", it["name"].as_str().unwrap()))
            .collect();
        let named: BTreeSet<String> =
            route.path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(of_path, named, "{}", name(route));
        let is_open = route.permission == Permission::Open;
        assert_eq!(operation["security"] == json!([]), is_open, "{}", name(route));
        assert_eq!(operation["responses"].get("401").is_none(), is_open, "{}", name(route));
    }
    let paths = DOCUMENT["paths"].as_object().unwrap().values();
    assert_eq!(paths.map(|path| path.as_object().unwrap().len()).sum::<usize>(), ROUTES.len());
}

#[test]
fn the_route_that_publishes_describes_the_headers_of_a_trace() {
    for route in ROUTES {
        let parameters = described(route)["parameters"].as_array().cloned().unwrap_or_default();
        let parameters: Vec<&Value> = parameters.iter().map(component).collect();
        let named = |name: &str| parameters.iter().filter(|it| it["name"] == name && it["in"] == "header").count();
        let publishes = route.path.ends_with("/msg") && route.method == "POST";
        assert_eq!(["traceparent", "tracestate"].map(named), [usize::from(publishes); 2], "{}", name(route));
    }
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_names_a_component_and_every_component_is_used() {
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    let there = ["schemas", "parameters"].into_iter().flat_map(|kind| {
        let names = DOCUMENT["components"][kind].as_object().unwrap().keys();
        names.map(move |name| format!("#/components/{kind}/{name}"))
    });
    let there: BTreeSet<String> = there.collect();
    assert_eq!(found, there.iter().map(String::as_str).collect());
}

/// Closes all objects whose fields are known, so that a field that is not described is a fault.
fn closed(mut schema: Value) -> Value {
    if schema.get("properties").is_some() {
        schema["additionalProperties"] = json!(false);
    }
    match &mut schema {
        Value::Object(fields) => fields.values_mut().for_each(|value| *value = closed(value.take())),
        Value::Array(items) => items.iter_mut().for_each(|item| *item = closed(item.take())),
        _ => {}
    }
    schema
}

/// What is wrong with `value` by a schema of the document.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let root = json!({"components": closed(DOCUMENT["components"].clone()), "allOf": [schema]});
    let validator = jsonschema::options().should_validate_formats(true).build(&root).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[actix_web::test]
async fn what_is_sent_and_answered_is_as_described() {
    let mut complaints = Vec::new();
    for route in ROUTES {
        let operation = described(route);
        let sent = body(route.method.as_str(), route.path);
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let sent: Value = serde_json::from_str(sent).unwrap();
        match schema {
            Value::Null => assert_eq!(sent, json!({}), "{} has a body", name(route)),
            schema => {
                complaints.extend(faults(schema, &sent).into_iter().map(|it| format!("{}: {it}", name(route))))
            }
        }
        let scene = with_applications(Database::Memory).await;
        let (status, case) = call(&scene, &environment_token(), route, &app_id(&scene.one)).await;
        let Some(response) = operation["responses"].get(status.to_string()) else {
            complaints.push(format!("{case}: this status is not described"));
            continue;
        };
        let text = case.split_once(&format!(": {status} ")).unwrap().1;
        let schema = &response["content"]["application/json"]["schema"];
        match serde_json::from_str::<Value>(text) {
            Err(_) => assert!(text.is_empty() && schema.is_null(), "{case}"),
            Ok(answer) => {
                complaints.extend(faults(schema, &answer).into_iter().map(|it| format!("{}: {it}", name(route))));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[actix_web::test]
async fn it_is_read_without_a_token() {
    let world = super::world(Database::Memory).await;
    assert_eq!(world.svix("", "GET", "/openapi.json", "").await.ok(200), *DOCUMENT);
}
