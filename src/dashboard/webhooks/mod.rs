//! Everything about webhooks: the list, the form, one webhook with what can be done to it.

mod actions;
mod activity;
mod detail;
mod draft;
mod form;
mod lines;
mod list;
mod preview;
mod recover;
mod save;
mod secret;
mod settings;
mod snippets;
mod trial;
mod types;
mod words;

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

pub use actions::{delete, set_active};
pub use detail::read;
pub use list::list;
pub use preview::{filter as preview_filter, retry as preview_retry, sample as preview_sample};
pub use recover::{preview as recover_preview, send as recover_send};
pub use save::{create, edit, new, update};
pub use secret::{reveal, rotate};
pub use trial::{read as trial_read, sample as trial_sample, send as trial_send};

use crate::api::event_types;
use crate::api::problem::Problem;
use crate::api::{Api, path_id};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{MAX_JSON_DEPTH, json_depth};
use crate::domain::ids::{EndpointId, OrganizationId};

fn webhook_id(request: &HttpRequest) -> Result<EndpointId, Problem> {
    path_id(request, "webhook_id", "webhook")
}

/// The way back from a webhook's page.
fn crumbs(endpoint: Option<&Endpoint>) -> Markup {
    html! {
        p.crumbs {
            a href="/webhooks" { "Webhooks" }
            @if let Some(endpoint) = endpoint { " / " a href={ "/webhooks/" (endpoint.id) } { (endpoint.id) } }
        }
    }
}

/// A piece of a page, which htmx asks for.
fn part(markup: &Markup) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(markup.0.clone())
}

/// A realistic `data` of an event type, on lines; none for an unknown type.
async fn pretty_sample(api: &Api, organization_id: OrganizationId, name: &str) -> Result<Option<String>, Problem> {
    let sample = event_types::sample(api, organization_id, name).await?;
    Ok(sample.map(|sample| pretty(sample.get())))
}

/// JSON on lines, with its fields in their order and its numbers as they were written.
fn pretty(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) =
        (String::with_capacity(json.len() * 2), 0_usize, false, false);
    let mut characters = json.chars().filter(|character| !character.is_control()).peekable();
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth.min(MAX_JSON_DEPTH)));
    while let Some(character) = characters.next() {
        if quoted {
            quoted = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            out.push(character);
            continue;
        }
        match character {
            ' ' => {}
            '{' | '[' => {
                while characters.next_if_eq(&' ').is_some() {}
                out.push(character);
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        out.push_str(&line(depth));
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                out.push_str(&line(depth));
                out.push(character);
            }
            ',' => {
                out.push(',');
                out.push_str(&line(depth));
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = character == '"';
                out.push(character);
            }
        }
    }
    out
}

fn is_too_deep(json: &str) -> bool {
    json_depth(json) > MAX_JSON_DEPTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_set_on_lines_and_stays_what_it_was() {
        let json = r#"{"b":45.20,"a":[],"c":{ },"d":[1,{"e":"x, {\"y\": [z]} \\"}],"f":null}"#;
        let lines = pretty(json);
        assert!(
            lines.starts_with("{\n  \"b\": 45.20,\n  \"a\": [],\n  \"c\": {},\n  \"d\": [\n    1,\n    {\n"),
            "{lines}"
        );
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&lines), value(json));
        assert_eq!(pretty(&lines), lines);
    }
}
