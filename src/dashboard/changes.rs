//! Who changed what: for owners that of their organization, for the admin that of the deployment.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::Value;

use super::components;
use super::error::PageError;
use super::form::{Form, cursor_query};
use super::layout::{self, Section};
use super::time;
use super::viewer::Viewer;
use crate::api::Api;
use crate::api::audit::{self, ActorView, AuditView};

const TITLE: &str = "Changes";
const PATH: &str = "/changes";

/// `GET /changes`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let cursor = query.given("cursor");
    let list = audit::page(&api, viewer.caller.organization_id(), &cursor_query(cursor)).await?;
    let content = html! {
        div.head { h1 { (TITLE) } }
        p.dim { (what_is_here(&viewer)) }
        section.card.flush {
            @if list.data.is_empty() {
                (components::empty("No changes yet", &html! { p { "What is created, changed or deleted from now on appears here with who did it." } }))
            } @else {
                div.wide { table.stack {
                    thead { tr { @for name in ["When", "Who", "What", "Change"] { th scope="col" { (name) } } } }
                    tbody { @for row in &list.data { tr id={ "row-" (row.id) } {
                        td data-label="When" { (time::instant(row.at, viewer.zone())) }
                        td data-label="Who" { div { (who(&row.actor)) } }
                        td data-label="What" { div { (what(row)) } }
                        td data-label="Change" { div { (difference(row)) } }
                    } } }
                } }
                (components::pager(&list, PATH, cursor.is_none()))
            }
        }
    };
    Ok(layout::page(&viewer, Section::Changes, TITLE, &content))
}

fn what_is_here(viewer: &Viewer) -> &'static str {
    match viewer.caller.organization_id() {
        Some(_) => "Who changed webhooks, event types and keys of this organization in the last 90 days.",
        None => {
            "Who changed keys of the deployment and the catalogue, and who deleted organizations, in the last 90 days. \
             An organization's own changes are on its pages."
        }
    }
}

fn who(actor: &ActorView) -> Markup {
    html! {
        @match (actor.r#type, &actor.key_id, &actor.name) {
            ("admin_key", ..) => { "Admin key" }
            (_, Some(_), Some(name)) => { "Key " (name) }
            (_, Some(id), None) => { "Key " code { (id) } }
            (_, None, Some(name)) => { (name) }
            (_, None, None) => { "Someone by a sign-in link" }
        }
        @if actor.r#type != "admin_key" { " " span.dim.small { (actor.role.as_str()) } }
    }
}

fn what(row: &AuditView) -> Markup {
    let (kind, verb) = row.action.split_once('.').unwrap_or((row.action, ""));
    let is_there = row.after.is_some();
    html! {
        (kind.replace('_', " ")) " " (verb.replace('_', " "))
        br;
        @match kind {
            "webhook" if is_there => { a href={ "/webhooks/" (row.subject) } { code { (row.subject) } } }
            "event" => { a href={ "/events/" (row.subject) } { code { (row.subject) } } }
            "attempt" => { a href={ "/logs/" (row.subject) } { code { (row.subject) } } }
            _ => { code { (row.subject) } }
        }
    }
}

/// The fields that differ, as they were and as they are.
fn difference(row: &AuditView) -> Markup {
    let fields = |view: &Option<Value>| view.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (fields(&row.before), fields(&row.after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let is_change = row.before.is_some() && row.after.is_some();
    let list = html! {
        dl.facts { @for name in &names {
            dt { (name) }
            dd {
                @if let Some(old) = before.get(*name) { del { (shown(old)) } }
                @if is_change { " → " }
                @if let Some(new) = after.get(*name) { ins { (shown(new)) } }
            }
        } }
    };
    html! {
        @if names.is_empty() { span.dim { "–" } }
        @else if is_change && names.len() <= 3 { (list) }
        @else { details { summary { (components::count(names.len() as u64, "field", "fields")) } (list) } }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
