//! The page and its sections.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::fields::{kind, paragraphs, resolve, table, target, words};
use crate::api::route_spec::RouteSpec;

/// One call: its method in lower case, its path, and its description.
struct Call<'a>(String, &'static str, &'a Value);

/// The whole page.
pub(crate) fn render(routes: &'static [RouteSpec], document: &Value, style: &str) -> Markup {
    // the requests to receivers have a separate section
    let tags =
        list(&document["tags"]).iter().filter(|tag| !calls(routes, document, text(&tag["name"])).is_empty());
    let info = &document["info"];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Ringback API" }
                style { (PreEscaped(style)) }
            }
            body {
                a.skip href="#content" { "To the content" }
                div.page {
                    (navigation(routes, document, tags.clone()))
                    main #content {
                        h1 { "Ringback API" }
                        p.dim { "Version " (text(&info["version"])) " · " a href="/openapi.json" { "OpenAPI 3.1 document" } }
                        (paragraphs(text(&info["description"])))
                        @for tag in tags {
                            h2 id={"tag-" (slug(text(&tag["name"])))} { (text(&tag["name"])) }
                            p { (text(&tag["description"])) }
                            @for call in calls(routes, document, text(&tag["name"])) { (operation(document, &call)) }
                        }
                        (receiving(document))
                        (event_types(document))
                        (schemas(document))
                        (errors(document))
                    }
                }
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn slug(name: &str) -> String {
    name.to_ascii_lowercase().replace(' ', "-")
}

/// The calls of a section, in the order of the table of routes.
fn calls<'a>(routes: &'static [RouteSpec], document: &'a Value, tag: &str) -> Vec<Call<'a>> {
    let all = routes.iter().map(|spec| {
        let method = spec.method.as_str().to_ascii_lowercase();
        let described = &document["paths"][spec.path][&method];
        Call(method, spec.path, described)
    });
    all.filter(|Call(_, _, described)| described["tags"][0] == tag).collect()
}

fn navigation<'a>(
    routes: &'static [RouteSpec],
    document: &Value,
    tags: impl Iterator<Item = &'a Value>,
) -> Markup {
    let extra = [
        ("receiving", "What receivers get"),
        ("event-types", "Samples of events"),
        ("schemas", "Schemas"),
        ("errors", "Errors"),
    ];
    html! {
        nav aria-label="Sections" {
            @for tag in tags {
                a.section href={"#tag-" (slug(text(&tag["name"])))} { (text(&tag["name"])) }
                ul { @for Call(_, _, described) in calls(routes, document, text(&tag["name"])) {
                    li { a href={"#" (text(&described["operationId"]))} { (text(&described["summary"])) } }
                } }
            }
            @for (anchor, name) in extra { a.section href={"#" (anchor)} { (name) } }
        }
    }
}

fn operation(document: &Value, Call(method, path, described): &Call<'_>) -> Markup {
    let body = &described["requestBody"];
    html! {
        section {
            h3 id=(text(&described["operationId"])) { (text(&described["summary"])) }
            div.call { span class={"method " (method)} { (method.to_ascii_uppercase()) } code { (path) } }
            (paragraphs(text(&described["description"])))
            (parameters(document, list(&described["parameters"])))
            @if body.is_object() {
                h4 { "Body" @if body["required"] == false { span.dim { " (may be left out)" } } }
                @for (media_type, content) in entries(&body["content"]).chain(entries(&body["x-also-accepts"])) {
                    p.dim { (media_type) }
                    (table(resolve(document, &content["schema"])))
                    @for (_, example) in entries(&content["examples"]) {
                        details { summary { "Example: " (text(&example["summary"])) } (sample(&example["value"])) }
                    }
                }
            }
            (answers(&described["responses"]))
        }
    }
}

fn parameters(document: &Value, parameters: &[Value]) -> Markup {
    html! { @if !parameters.is_empty() {
        h4 { "Parameters" }
        div.wide { table {
            thead { tr { th { "Name" } th { "Type" } th { "Meaning" } } }
            tbody { @for parameter in parameters.iter().map(|it| resolve(document, it)) { tr {
                td { code { (text(&parameter["name"])) } br; span.dim { (text(&parameter["in"])) } }
                td { (kind(&parameter["schema"])) }
                td { (words(text(&parameter["description"]))) }
            } } }
        } }
    } }
}

fn answers(responses: &Value) -> Markup {
    let is_good = |status: &str| status.starts_with('2');
    html! {
        @for (status, response) in entries(responses).filter(|(status, _)| is_good(status)) {
            h4 { "Response " (status) }
            p { (words(text(&response["description"]))) }
            // those of every response are in the introduction
            @for (name, header) in entries(&response["headers"]).filter(|(_, header)| header.get("$ref").is_none()) {
                p { "Header " code { (name) } ": " (words(text(&header["description"]))) }
            }
            @for (_, content) in entries(&response["content"]) {
                @if let Some(name) = target(&content["schema"]) { p { a href={"#schema-" (name)} { (name) } } }
                details { summary { "Example" } (sample(&content["example"])) }
            }
        }
        h4 { "Errors" }
        div.wide { table { tbody {
            @for (status, response) in entries(responses).filter(|(status, _)| !is_good(status)) { tr {
                td { (status) }
                td { @for code in codes(response) { a href={"#error-" (code)} { code { (code) } } " " } }
            } }
        } } }
    }
}

fn codes(response: &Value) -> impl Iterator<Item = &str> {
    list(&response["x-codes"]).iter().map(text)
}

/// JSON with indentation; a text verbatim.
fn sample(value: &Value) -> Markup {
    let shown = value.as_str().map_or_else(|| format!("{value:#}"), str::to_owned);
    html! { pre tabindex="0" { code { (shown) } } }
}

fn receiving(document: &Value) -> Markup {
    let described = &document["webhooks"]["event"]["post"];
    let content = &described["requestBody"]["content"]["application/json"];
    html! {
        h2 #receiving { (text(&described["summary"])) }
        div.call { span.method.post { "POST" } span { "your URL" } }
        (paragraphs(text(&described["description"])))
        (parameters(document, list(&described["parameters"])))
        h4 { "Body" }
        (table(resolve(document, &content["schema"])))
        (sample(&content["example"]))
    }
}

fn event_types(document: &Value) -> Markup {
    html! {
        h2 #event-types { "Samples of events" }
        p { "The " code { "data" } " of each type of event that every organization has. Operational events are made by the engine, \
            and delivered only to webhooks that ask for them by name." }
        @for event_type in list(&document["x-event-types"]) {
            h3 id={"event-type-" (text(&event_type["name"]))} { code { (text(&event_type["name"])) } }
            p { (text(&event_type["description"])) @if event_type["operational"] == true { span.dim { " · operational" } } }
            (sample(&event_type["sample"]))
        }
    }
}

fn schemas(document: &Value) -> Markup {
    html! {
        h2 #schemas { "Schemas" }
        p { "Objects that are sent may hold no other fields than these; in responses, later versions may add some." }
        @for (name, schema) in entries(&document["components"]["schemas"]) {
            h3 id={"schema-" (name)} { (name) }
            @if let Some(description) = schema["description"].as_str() { p { (words(description)) } }
            (table(schema))
        }
    }
}

fn errors(document: &Value) -> Markup {
    html! {
        h2 #errors { "Errors" }
        p { "Errors are " code { "application/problem+json" } " (" a href="#schema-Problem" { "Problem" } "). Look at "
            code { "code" } ": this list is closed." }
        @for error in list(&document["x-error-codes"]) {
            div id={"error-" (text(&error["code"]))} {
                h3 { code { (text(&error["code"])) } span.dim { " " (error["status"].to_string()) } }
                p { strong { (text(&error["title"])) } ". " (words(text(&error["help"]))) }
            }
        }
    }
}
