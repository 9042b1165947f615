//! The description of the API says what the API does: every route is in it, with words, examples and errors; its
//! examples follow its own schemas; and the copy in `docs/openapi.json` is the one that is served.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

use std::collections::BTreeSet;

use ringback::api::auth::Permission;
use ringback::api::openapi;
use ringback::api::problem::ErrorCode;
use ringback::api::routes::{ROUTES, RouteSpec};
use serde_json::{Value, json};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
const RENEW: &str = "RINGBACK_UPDATE_OPENAPI=1 cargo test --test openapi";

fn described(spec: &RouteSpec) -> &'static Value {
    &openapi::document()["paths"][spec.path][spec.method.as_str().to_ascii_lowercase()]
}

fn name(spec: &RouteSpec) -> String {
    format!("{} {}", spec.method, spec.path)
}

fn has_words(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() > 3)
}

#[test]
fn the_copy_in_docs_is_what_is_served() {
    if std::env::var_os("RINGBACK_UPDATE_OPENAPI").is_some() {
        std::fs::write(SNAPSHOT, openapi::text()).unwrap();
    }
    let copy = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(copy == openapi::text(), "docs/openapi.json is out of date; look at what changed after: {RENEW}");
}

#[test]
fn every_route_is_described_with_words_examples_and_errors() {
    let mut complaints = Vec::new();
    for spec in ROUTES {
        let operation = described(spec);
        if operation.is_null() {
            complaints.push(format!("{} is not described: add it to src/api/openapi/", name(spec)));
            continue;
        }
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                complaints.push(format!("{}: {what}", name(spec)));
            }
        };
        expect(has_words(&operation["summary"]), "no summary");
        expect(operation["description"].as_str().is_some_and(|text| !text.starts_with('\n')), "no description");
        let responses = operation["responses"].as_object().unwrap();
        let good: Vec<_> = responses.iter().filter(|(status, _)| status.starts_with('2')).collect();
        expect(good.len() == 1, "needs one good answer");
        for (_, response) in good {
            let contents = response["content"].as_object().into_iter().flatten();
            contents
                .for_each(|(_, content)| expect(content.get("example").is_some(), "its answer has no example"));
        }
        let bad = responses.iter().filter(|(status, _)| !status.starts_with('2'));
        expect(bad.clone().count() > 0, "no error responses");
        for (status, response) in bad {
            let examples = &response["content"]["application/problem+json"]["examples"];
            expect(examples.as_object().is_some_and(|it| !it.is_empty()), &format!("{status} has no example"));
        }
        for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            let examples = content["examples"].as_object();
            expect(examples.is_some_and(|examples| !examples.is_empty()), "its body has no example");
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn nothing_is_described_that_does_not_exist_and_names_are_unique() {
    let operations = openapi::operations();
    for operation in &operations {
        let exists = ROUTES.iter().any(|spec| spec.method == operation.method && spec.path == operation.path);
        assert!(exists, "{} {} is described, but there is no such route", operation.method, operation.path);
    }
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), operations.len(), "two operations have the same id");
    let tags: Vec<&Value> =
        openapi::document()["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for operation in &operations {
        assert!(
            tags.iter().any(|tag| **tag == operation.tag),
            "{}: no such section {}",
            operation.id,
            operation.tag
        );
    }
}

#[test]
fn errors_follow_from_the_permission_the_path_and_the_body() {
    for spec in ROUTES {
        let operation = described(spec);
        let has = |status: &str| operation["responses"].get(status).is_some();
        let is_open = spec.permission == Permission::Open;
        for status in ["401", "403", "503"] {
            assert!(is_open || has(status), "{}: {status}", name(spec));
        }
        assert_eq!(operation["security"] == json!([]), is_open, "{}", name(spec));
        assert!(!spec.path.contains('{') || has("404"), "{}", name(spec));
        let has_body = operation.get("requestBody").is_some();
        for status in ["400", "408", "413", "415", "422"] {
            assert!(!has_body || has(status), "{}: {status}", name(spec));
        }
    }
}

#[test]
fn every_error_code_is_listed_and_answered_somewhere() {
    let text = openapi::text();
    let listed = openapi::document()["x-error-codes"].as_array().unwrap();
    for code in ErrorCode::ALL {
        assert!(listed.iter().any(|it| it["code"] == code.as_str() && has_words(&it["help"])), "{code:?}");
        // is said by paths, not by operations
        let is_of_a_path = *code == ErrorCode::MethodNotAllowed;
        let reference = format!("\"#/components/examples/{}\"", code.as_str());
        assert!(is_of_a_path || text.contains(&reference), "{code:?} is answered by no operation");
    }
}

/// Every reference names something.
fn check_references(value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(openapi::document().pointer(pointer).is_some(), "{reference} names nothing");
            }
            fields.values().for_each(check_references);
        }
        Value::Array(items) => items.iter().for_each(check_references),
        _ => {}
    }
}

#[test]
fn references_name_something_and_objects_that_are_sent_are_closed() {
    check_references(openapi::document());
    for operation in openapi::operations() {
        for (_, schema, _) in operation.body.into_iter().flat_map(|body| body.content) {
            let Some(reference) = schema["$ref"].as_str() else { continue };
            let mut schema = openapi::document().pointer(&reference[1..]).unwrap();
            while let Some(reference) = schema["items"]["$ref"].as_str() {
                schema = openapi::document().pointer(&reference[1..]).unwrap();
            }
            assert_eq!(schema["additionalProperties"], false, "{reference}");
        }
    }
}

/// What is wrong with `value` by a schema of the document.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let root = json!({"components": openapi::document()["components"], "allOf": [schema]});
    let validator = jsonschema::options().should_validate_formats(true).build(&root).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn examples_follow_their_schemas() {
    let mut complaints = Vec::new();
    let mut check = |place: String, schema: &Value, value: &Value| {
        complaints.extend(faults(schema, value).into_iter().map(|fault| format!("{place}: {fault}")));
    };
    let document = openapi::document();
    for spec in ROUTES {
        let operation = described(spec);
        for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            for (key, example) in content["examples"].as_object().into_iter().flatten() {
                check(format!("{} {key}", name(spec)), &content["schema"], &example["value"]);
            }
        }
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            for (_, content) in response["content"].as_object().into_iter().flatten() {
                let examples = content["examples"].as_object().into_iter().flatten();
                let examples = examples
                    .map(|(_, it)| &document.pointer(&it["$ref"].as_str().unwrap()[1..]).unwrap()["value"]);
                for example in content.get("example").into_iter().chain(examples) {
                    check(format!("{} {status}", name(spec)), &content["schema"], example);
                }
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if let Some(example) = parameter.get("example") {
                check(format!("{} {}", name(spec), parameter["name"]), &parameter["schema"], example);
            }
        }
    }
    for (key, parameter) in document["components"]["parameters"].as_object().unwrap() {
        if let Some(example) = parameter.get("example") {
            check(key.clone(), &parameter["schema"], example);
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_pattern_of_a_secret_takes_what_the_engine_takes() {
    let schema = &openapi::document()["components"]["schemas"]["WebhookSecret"]["properties"]["secret"];
    for length in 20..=70 {
        let secret = format!("whsec_{}", data_encoding::BASE64.encode(&vec![0xa5; length]));
        assert_eq!(faults(schema, &json!(secret)).is_empty(), (24..=64).contains(&length), "{length}");
    }
}
