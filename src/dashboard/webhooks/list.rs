//! The list of webhooks.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::last_day::{activity, show};
use super::settings;
use crate::api::auth::Permission;
use crate::api::{Api, webhooks};
use crate::dashboard::activity::Activity;
use crate::dashboard::components;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::long_url;
use crate::dashboard::viewer::Viewer;
use crate::domain::health::EndpointState;
use crate::store::{EndpointSearch, EndpointStart};

/// In an address: every webhook that does not deliver, but for those that a person disabled.
const TROUBLED: &str = "troubled";
/// Event types named in a row.
const MAX_CHIPS: usize = 3;

/// `GET /webhooks`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let query = Form::parse(request.query_string().as_bytes());
    let cursor = query.given("cursor");
    let asked = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(cursor.map(|it| ("cursor", it)))
        .finish();
    let shown = Shown::read(query.text("state"));
    let rows = match &shown {
        Shown::All => webhooks::page(&api, organization_id, &asked).await?,
        Shown::Some { search, .. } => webhooks::search(&api, organization_id, search.clone(), &asked).await?,
    };
    let ids = rows.data.iter().map(|row| row.endpoint.id).collect();
    let activities = activity(&api, organization_id, ids, viewer.now).await?;
    let may_manage = viewer.may(Permission::Manage);
    let content = html! {
        div.head {
            h1 { "Webhooks" }
            @if may_manage && (!rows.data.is_empty() || !matches!(shown, Shown::All)) { a.button.primary href="/webhooks/new" { "Add webhook" } }
        }
        @match query.text("done") {
            "deleted" => { (components::done("The webhook was deleted and its pending deliveries were cancelled.")) }
            "enabled" => { (components::done("The webhook is enabled. Its pending deliveries are sent now.")) }
            "disabled" => { (components::done("The webhook is disabled. Pending deliveries wait, and new events are not sent to it.")) }
            _ => {}
        }
        section.card.flush #live data-live hx-get=(viewer.address) hx-trigger="refresh" hx-select="#live" hx-swap="morph:outerHTML" hx-target="this" {
            @if let Shown::Some { title, .. } = &shown { header { h2 { (title) } a href="/webhooks" { "Show all webhooks" } } }
            @if rows.data.is_empty() { (shown.nothing(may_manage)) } @else {
                div.wide { table.stack {
                    thead { tr {
                        th scope="col" { "Webhook" } th scope="col" { "Events" } th scope="col" { "State" }
                        th scope="col" { "Success, 24 h" }
                        @if may_manage { th scope="col" { span.sr { "Actions" } } }
                    } }
                    tbody { @for (found, activity) in rows.data.iter().zip(&activities) { (row(found, activity, may_manage)) } }
                } }
                (components::pager(&rows, &shown.address(), cursor.is_none()))
            }
        }
    };
    Ok(layout::page(&viewer, Section::Webhooks, "Webhooks", &content))
}

/// Which webhooks are listed.
enum Shown {
    All,
    Some { name: &'static str, title: String, search: EndpointSearch },
}

impl Shown {
    /// Those in a state, by its name in an address.
    fn read(name: &str) -> Self {
        if name == TROUBLED {
            let title = "Failing, paused, or disabled by Ringback".to_owned();
            return Self::Some { name: TROUBLED, title, search: EndpointSearch::Troubled };
        }
        let states =
            [EndpointState::Healthy, EndpointState::Failing, EndpointState::Paused, EndpointState::Disabled];
        let named = states.into_iter().find(|state| components::described(*state).1 == name);
        named.map_or(Self::All, |state| {
            let (_, name, _) = components::described(state);
            Self::Some { name, title: format!("Only {name} webhooks"), search: EndpointSearch::State(state) }
        })
    }

    fn address(&self) -> String {
        match self {
            Self::All => "/webhooks".to_owned(),
            Self::Some { name, .. } => format!("/webhooks?state={name}"),
        }
    }

    fn nothing(&self, may_manage: bool) -> Markup {
        match self {
            Self::All => nothing(may_manage),
            Self::Some { .. } => components::empty("None", &html! { p { "No webhook is in this state now." } }),
        }
    }
}

fn nothing(may_manage: bool) -> Markup {
    components::empty(
        "No webhooks yet",
        &html! {
            p { "A webhook is a URL that receives your events: signed, and retried until accepted." }
            @if may_manage { a.button.primary href="/webhooks/new" { "Add webhook" } }
            @else { p { "Ask someone with a manager or owner key to add one." } }
        },
    )
}

fn row(found: &EndpointStart, activity: &Activity, may_manage: bool) -> Markup {
    let EndpointStart { endpoint, health } = found;
    let address = format!("/webhooks/{}", endpoint.id);
    html! {
        tr {
            td data-label="Webhook" { div.about {
                (long_url::link(&address, &endpoint.url))
                @if let Some(description) = &endpoint.description { span.dim.small.break { (description) } }
            } }
            td data-label="Events" { (settings::events(&endpoint.events, MAX_CHIPS)) }
            td data-label="State" { (components::state(EndpointState::of(endpoint, Some(health)))) }
            td data-label="Success, 24 h" { (show(activity)) }
            @if may_manage { td.right data-label="" { (switch(&address, endpoint.active, &endpoint.url, "list")) } }
        }
    }
}

/// The button to enable or disable a webhook; `from` is the page to return to.
pub(crate) fn switch(address: &str, is_active: bool, url: &str, from: &str) -> Markup {
    let (verb, active) = if is_active { ("Disable", "false") } else { ("Enable", "true") };
    html! {
        form method="post" action={ (address) "/active" } {
            input type="hidden" name="active" value=(active);
            input type="hidden" name="from" value=(from);
            @if from == "list" { button.small aria-label={ (verb) " " (url) } { (verb) } } @else { button { (verb) } }
        }
    }
}
