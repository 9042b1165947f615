//! Schemas as tables of fields.

use maud::{Markup, html};
use serde_json::Value;

/// Text in which `code` stands between backticks.
pub(crate) fn words(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// Text of several paragraphs.
pub(crate) fn paragraphs(text: &str) -> Markup {
    html! { @for paragraph in text.split("\n\n") { p { (words(paragraph)) } } }
}

/// The name that a reference ends in.
pub(crate) fn target(reference: &Value) -> Option<&str> {
    reference["$ref"].as_str()?.rsplit('/').next()
}

/// What a reference refers to, or the value itself.
pub(crate) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

/// A table of an object's fields, those that must be there first; nothing for a schema without fields.
pub(crate) fn table(schema: &Value) -> Markup {
    let Some(properties) = schema["properties"].as_object() else { return html! { p { (kind(schema)) } } };
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
    let is_input = schema["additionalProperties"] == Value::Bool(false);
    let (first, rest): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| required(name));
    html! {
        div.wide { table {
            thead { tr { th { "Field" } th { "Type" } th { "Meaning" } } }
            tbody { @for (name, field) in first.into_iter().chain(rest) { tr {
                td { code { (name) } @if is_input && required(name) { br; span.dim { "required" } } }
                td { (kind(field)) }
                td { (words(field["description"].as_str().unwrap_or_default())) }
            } } }
        } }
    }
}

/// The type of a value with its limits.
pub(crate) fn kind(schema: &Value) -> Markup {
    if let Some(name) = target(schema) {
        return html! { a href={"#schema-" (name)} { (name) } };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return html! { @for (index, choice) in choices.iter().enumerate() { @if index > 0 { " or " } (kind(choice)) } };
    }
    let name = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        name => name.as_str().unwrap_or_default().to_owned(),
    };
    html! {
        (name)
        @if let Some(format) = schema["format"].as_str() { " (" (format) ")" }
        @if schema.get("items").is_some() { " of " (kind(&schema["items"])) }
        @if schema["additionalProperties"].is_object() { " of " (kind(&schema["additionalProperties"])) }
        @if let Some(constant) = schema.get("const") { " " code { (constant) } }
        @for limit in limits(schema) { br; span.dim { (limit) } }
        @if let Some(pattern) = schema["pattern"].as_str() { br; code { (pattern) } }
        @if let Some(default) = schema.get("default") { br; span.dim { "default " } code { (default) } }
    }
}

fn limits(schema: &Value) -> Vec<String> {
    let between = |least: &str, most: &str, unit: &str| match (schema.get(least), schema.get(most)) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (None, None) => None,
    };
    let choices = schema["enum"]
        .as_array()
        .map(|choices| choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    [
        choices,
        between("minimum", "maximum", ""),
        between("minLength", "maxLength", " characters"),
        between("minItems", "maxItems", " items"),
        between("minProperties", "maxProperties", " fields"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
