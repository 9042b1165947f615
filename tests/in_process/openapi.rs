//! The description of the API says what the API does: every route is in it, with words, examples and errors; its
//! examples follow its own schemas; and the copy in `docs/openapi.json` is the one that is served.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ringback::api::auth::Permission;
use ringback::api::openapi;
use ringback::api::problem::ErrorCode;
use ringback::api::routes::{ROUTES, RouteSpec};
use ringback::config::Settings;
use serde_json::{Value, json};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
const RENEW: &str = "RINGBACK_UPDATE_OPENAPI=1 cargo test --test in_process openapi";

/// With the settings that a deployment has when it sets nothing.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| openapi::document(ROUTES, &Settings::default().signature_header_prefix));

fn described(spec: &RouteSpec) -> &'static Value {
    &DOCUMENT["paths"][spec.path][spec.method.as_str().to_ascii_lowercase()]
}

fn name(spec: &RouteSpec) -> String {
    format!("{} {}", spec.method, spec.path)
}

fn has_words(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() > 3)
}

#[test]
fn the_copy_in_docs_equals_the_served_document() {
    if std::env::var_os("RINGBACK_UPDATE_OPENAPI").is_some() {
        std::fs::write(SNAPSHOT, openapi::text(&DOCUMENT)).unwrap();
    }
    let copy = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(
        copy == openapi::text(&DOCUMENT),
        "docs/openapi.json is out of date; look at what changed after: {RENEW}"
    );
}

#[test]
fn the_page_about_webhook_settings_is_made_from_their_table() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/webhook-settings.md");
    let page = ringback::api::webhook_settings::page();
    if std::env::var_os("RINGBACK_UPDATE_OPENAPI").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/webhook-settings.md is out of date; look at what changed after: {RENEW}");
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
        expect(!good.is_empty(), "needs a good answer");
        let schemas: BTreeSet<String> = good
            .iter()
            .map(|(_, answer)| answer["content"].to_string().replace(char::is_whitespace, ""))
            .collect();
        expect(schemas.len() == 1, "its good answers are of different types");
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
    let received = &DOCUMENT["webhooks"]["event"]["post"];
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), operations.len(), "two operations have the same id");
    assert!(!ids.contains(received["operationId"].as_str().unwrap()), "a call has the id of what receivers get");
    // generators make one class of a tag's calls: that of what receivers get would take the place of the calls' own
    let shared = operations.iter().find(|operation| received["tags"][0] == operation.tag);
    assert!(shared.is_none(), "what receivers get shares its tag with calls");
    let tags: Vec<&Value> = DOCUMENT["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
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
fn the_routes_that_publish_describe_the_headers_of_a_trace() {
    for spec in ROUTES {
        let named = |name: &str| {
            let parameters = described(spec)["parameters"].as_array().into_iter().flatten();
            parameters.filter(|it| it["name"] == name && it["in"] == "header" && it["required"] == false).count()
        };
        let publishes = ["/v1/events", "/v1/events/batch"].contains(&spec.path) && spec.method == "POST";
        assert_eq!(["traceparent", "tracestate"].map(named), [usize::from(publishes); 2], "{}", name(spec));
    }
}

#[test]
fn errors_follow_from_the_permission_the_path_and_the_body() {
    for spec in ROUTES {
        let operation = described(spec);
        let has = |status: &str| operation["responses"].get(status).is_some();
        let is_open = spec.permission == Permission::Open;
        for status in ["401", "403", "429", "503"] {
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
fn every_error_code_is_listed_and_returned_by_some_operation() {
    let text = openapi::text(&DOCUMENT);
    let listed = DOCUMENT["x-error-codes"].as_array().unwrap();
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
                assert!(DOCUMENT.pointer(pointer).is_some(), "{reference} names nothing");
            }
            fields.values().for_each(check_references);
        }
        Value::Array(items) => items.iter().for_each(check_references),
        _ => {}
    }
}

#[test]
fn references_name_something_and_objects_that_are_sent_are_closed() {
    check_references(&DOCUMENT);
    for operation in openapi::operations() {
        for (_, schema, _) in operation.body.into_iter().flat_map(|body| body.content) {
            let Some(reference) = schema["$ref"].as_str() else { continue };
            let mut schema = DOCUMENT.pointer(&reference[1..]).unwrap();
            while let Some(reference) = schema["items"]["$ref"].as_str() {
                schema = DOCUMENT.pointer(&reference[1..]).unwrap();
            }
            assert_eq!(schema["additionalProperties"], false, "{reference}");
        }
    }
}

/// What is wrong with `value` by a schema of the document.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let root = json!({"components": DOCUMENT["components"], "allOf": [schema]});
    let validator = jsonschema::options().should_validate_formats(true).build(&root).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn examples_follow_their_schemas() {
    let mut complaints = Vec::new();
    let mut check = |place: String, schema: &Value, value: &Value| {
        complaints.extend(faults(schema, value).into_iter().map(|fault| format!("{place}: {fault}")));
    };
    let document = &*DOCUMENT;
    for spec in ROUTES {
        let operation = described(spec);
        let body = &operation["requestBody"];
        let contents =
            [&body["content"], &body["x-also-accepts"]].into_iter().filter_map(Value::as_object).flatten();
        for (_, content) in contents {
            for (key, example) in content["examples"].as_object().into_iter().flatten() {
                check(format!("{} {key}", name(spec)), &content["schema"], &example["value"]);
            }
        }
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            if !status.starts_with('2') {
                // one schema for all errors: which codes a status has is written beside it
                let codes = response["x-codes"].as_array().unwrap().iter().filter_map(Value::as_str);
                let examples = response["content"]["application/problem+json"]["examples"].as_object().unwrap();
                let examples = examples.keys().map(String::as_str);
                assert_eq!(codes.collect::<BTreeSet<_>>(), examples.collect(), "{} {status}", name(spec));
            }
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
    let received = &document["webhooks"]["event"]["post"];
    let content = &received["requestBody"]["content"]["application/json"];
    check("what receivers get".to_owned(), &content["schema"], &content["example"]);
    for parameter in received["parameters"].as_array().unwrap() {
        check(format!("what receivers get {}", parameter["name"]), &parameter["schema"], &parameter["example"]);
    }
    for (key, parameter) in document["components"]["parameters"].as_object().unwrap() {
        if let Some(example) = parameter.get("example") {
            check(key.clone(), &parameter["schema"], example);
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_pattern_of_a_secret_accepts_the_same_secrets_as_the_engine() {
    let schema = &DOCUMENT["components"]["schemas"]["SecretRotation"]["properties"]["secret"];
    for length in 20..=70 {
        let secret = format!("whsec_{}", data_encoding::BASE64.encode(&vec![0xa5; length]));
        assert_eq!(faults(schema, &json!(secret)).is_empty(), (24..=64).contains(&length), "{length}");
    }
}

#[test]
fn the_pattern_of_a_shown_secret_accepts_public_keys_and_the_longer_ones_of_the_svix_compatible_api() {
    let schema = &DOCUMENT["components"]["schemas"]["WebhookSecret"]["properties"]["secret"];
    let is_accepted = |prefix: &str, length: usize| {
        let text = format!("{prefix}{}", data_encoding::BASE64.encode(&vec![0xa5; length]));
        faults(schema, &json!(text)).is_empty()
    };
    assert!((24..=75).all(|length| is_accepted("whsec_", length)));
    assert!(is_accepted("whpk_", 32) && !is_accepted("whsk_", 64));
}

/// Calls `visit` with every schema in `value` and where it stands: one has a type, names a component, or is a choice.
fn schemas_in<'a>(value: &'a Value, place: &str, visit: &mut dyn FnMut(&str, &'a Value)) {
    const SAMPLES: [&str; 4] = ["example", "examples", "x-event-types", "enum"];
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields.iter().filter(|(key, _)| !SAMPLES.contains(&key.as_str())) {
                let place = format!("{place}/{key}");
                let holds_schemas = ["properties", "schemas"].contains(&key.as_str());
                let is_schema = ["schema", "items", "additionalProperties"].contains(&key.as_str());
                if holds_schemas {
                    let named = inner.as_object().into_iter().flatten();
                    named.for_each(|(name, schema)| visit(&format!("{place}/{name}"), schema));
                } else if is_schema && inner.is_object() {
                    visit(&place, inner);
                } else if key == "anyOf" {
                    inner.as_array().unwrap().iter().for_each(|choice| visit(&place, choice));
                }
                schemas_in(inner, &place, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| schemas_in(item, place, visit)),
        _ => {}
    }
}

/// What a generator of clients would make nothing or something wrong of.
fn complaints_of_generators(place: &str, schema: &Value) -> Vec<&'static str> {
    let types = schema["type"].as_array().map_or(0, |types| types.iter().filter(|name| **name != "null").count());
    let is_object =
        schema["type"] == "object" || schema["type"].as_array().is_some_and(|it| it.contains(&json!("object")));
    let has_fields = ["properties", "additionalProperties"].iter().any(|key| schema.get(key).is_some());
    let has_null = schema["enum"].as_array().is_some_and(|words| words.contains(&Value::Null));
    let is_something = ["type", "$ref", "anyOf"].iter().any(|key| schema.get(key).is_some());
    let is_exotic = ["not", "const", "allOf", "oneOf", "if", "patternProperties", "prefixItems", "nullable"]
        .iter()
        .any(|key| schema.get(key).is_some());
    // of a parameter it is harmless
    let has_default = schema.get("default").is_some() && !place.contains("/parameters/");
    [
        (is_object && !has_fields, "an object without fields becomes one that must be empty: use `free_form`"),
        (has_null, "`null` among words: use `choice` for a component, and `ref_or_null`"),
        (types > 1, "several types become a class around the value: use `anyOf`"),
        (!is_something, "says nothing: give it a type"),
        (is_exotic, "generators differ in what they make of it: say it in words"),
        (has_default, "a field with a default must be given, or is sent unasked: use `or_default`"),
    ]
    .into_iter()
    .filter_map(|(is_bad, complaint)| is_bad.then_some(complaint))
    .collect()
}

#[test]
fn schemas_are_written_so_that_generators_of_clients_understand_them() {
    let mut complaints = Vec::new();
    let mut seen = 0;
    schemas_in(&DOCUMENT, "", &mut |place, schema| {
        seen += 1;
        complaints.extend(complaints_of_generators(place, schema).into_iter().map(|it| format!("{place}: {it}")));
    });
    assert!(seen > 300, "only {seen} schemas were found");
    complaints.dedup();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_set_of_words_stands_once_so_that_clients_have_one_type_of_it() {
    let mut places: Vec<(&Value, String)> = Vec::new();
    schemas_in(&DOCUMENT, "", &mut |place, schema| {
        let Some(words) = schema.get("enum") else { return };
        let before = places.iter().find(|(known, it)| *known == words && it != place);
        assert!(before.is_none(), "{place} and {before:?}: make a component of it");
        places.push((words, place.to_owned()));
    });
}

#[test]
fn every_component_is_used() {
    let text = openapi::text(&DOCUMENT);
    for kind in ["schemas", "parameters", "examples"] {
        for (name, _) in DOCUMENT["components"][kind].as_object().unwrap() {
            let reference = format!("\"#/components/{kind}/{name}\"");
            assert!(text.contains(&reference), "{reference} is used by nothing");
        }
    }
}
