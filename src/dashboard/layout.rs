//! The frame around every page.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use super::assets::{HTMX, ICON, MORPH, SCRIPT, STYLE};
use super::portal::Portal;
use super::search_box;
use super::view_bar;
use super::viewer::{Preferences, Viewer};
use crate::api::auth::Permission;

/// htmx without what our policy forbids: no eval, no inline styles, no other origins. A 422 is swapped in like a
/// success, as it holds the form with its errors.
const HTMX_SETTINGS: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0,"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},{"code":"422","swap":true},{"code":"[45]..","swap":false,"error":true}]}"#;

/// The sections of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Webhooks,
    /// The delivery log.
    Logs,
    Events,
    EventTypes,
    Keys,
    /// The log of changes.
    Changes,
    /// In no navigation.
    Search,
    Organizations,
    Catalogue,
    DeploymentKeys,
    Usage,
    Cluster,
}

const SECTIONS: [(Section, &str, &str, Permission); 13] = [
    (Section::Overview, "Overview", "/", Permission::Read),
    (Section::Webhooks, "Webhooks", "/webhooks", Permission::Read),
    (Section::Logs, "Logs", "/logs", Permission::Read),
    (Section::Events, "Events", "/events", Permission::Read),
    (Section::EventTypes, "Event types", "/event-types", Permission::Read),
    (Section::Keys, "API keys", "/keys", Permission::Keys),
    (Section::Changes, "Changes", "/changes", Permission::Audit),
    (Section::Organizations, "Organizations", "/organizations", Permission::Admin),
    (Section::Catalogue, "Catalogue", "/catalogue", Permission::Admin),
    (Section::DeploymentKeys, "Deployment keys", "/deployment-keys", Permission::Admin),
    (Section::Usage, "Usage", "/usage", Permission::Admin),
    (Section::Changes, "Changes", "/changes", Permission::Admin),
    (Section::Cluster, "Nodes", "/cluster", Permission::Admin),
];

/// A page for a signed-in viewer.
pub(super) fn page(viewer: &Viewer, section: Section, title: &str, content: &Markup) -> HttpResponse {
    with_status(StatusCode::OK, viewer, section, title, content)
}

/// The same with another status, such as for a form with errors.
pub(crate) fn with_status(
    status: StatusCode,
    viewer: &Viewer,
    section: Section,
    title: &str,
    content: &Markup,
) -> HttpResponse {
    let body = html! {
        a.skip href="#content" { "Skip to content" }
        (view_bar::bar(viewer))
        div.frame {
            (side(viewer, section))
            main.main #content tabindex="-1" {
                p.note-box.warn.stale role="status" { "Out of date: the engine is not responding. Retrying…" }
                (content)
            }
        }
        div.sr #spoken aria-live="polite" {}
    };
    answer(status, viewer.portal(), &document(Some(&viewer.look), viewer.portal(), title, &body))
}

/// A page without navigation, centred in the window.
pub(crate) fn door(
    status: StatusCode,
    look: &Preferences,
    portal: Option<&Portal>,
    title: &str,
    content: &Markup,
) -> HttpResponse {
    answer(status, portal, &document(Some(look), portal, title, &html! { main.door { (content) } }))
}

/// The same without a viewer's preferences.
pub(crate) fn plain(status: StatusCode, title: &str, content: &Markup) -> HttpResponse {
    answer(status, None, &document(None, None, title, &html! { main.door { (content) } }))
}

/// Marks a page that looks like a product's: only such a page may be shown in a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfProduct;

fn answer(status: StatusCode, portal: Option<&Portal>, document: &Markup) -> HttpResponse {
    let mut response =
        HttpResponse::build(status).content_type("text/html; charset=utf-8").body(document.0.clone());
    if portal.is_some() {
        response.extensions_mut().insert(OfProduct);
    }
    response
}

fn document(look: Option<&Preferences>, portal: Option<&Portal>, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[look.and_then(|look| look.theme)] data-zone=[look.map(|look| &look.zone_name)] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="htmx-config" content=(HTMX_SETTINGS);
                title { (title) " · " (portal.map_or("Ringback", Portal::brand)) }
                link rel="stylesheet" href=(*STYLE.path);
                @match portal {
                    Some(portal) => (portal.head()),
                    None => { link rel="icon" type=(ICON.content_type) href=(*ICON.path); }
                }
                script src=(*SCRIPT.path) {}
                script src=(*HTMX.path) defer {}
                script src=(*MORPH.path) defer {}
            }
            body hx-ext="morph" { (body) }
        }
    }
}

fn side(viewer: &Viewer, current: Section) -> Markup {
    html! {
        header.side {
            a.brand href="/" {
                @match viewer.portal() {
                    Some(portal) => (portal.heading()),
                    None => { (logo()) "Ringback" }
                }
            }
            div.who {
                strong { (viewer.organization.as_deref().unwrap_or("This deployment")) }
                span.dim { "signed in as " (viewer.door.as_ref().and_then(|door| door.visitor.name.as_deref()).unwrap_or_else(|| viewer.role())) }
            }
            @if let Some(door) = &viewer.door {
                @if let Some(url) = &door.visitor.return_url { p.back { (way_back(&door.portal, url, "")) } }
            }
            (search_box::field(viewer))
            nav aria-label="Main" { ul.nav {
                @for (section, name, address, permission) in SECTIONS {
                    @if viewer.may(permission) && viewer.caller.is_admin() == (permission == Permission::Admin) {
                        li { a href=(address) aria-current=[(section == current).then_some("page")] { (name) } }
                    }
                }
                // it is about the API of whoever runs this, for which a visitor has no key
                @if viewer.door.is_none() { li { a href="/docs" { "API reference" } } }
            } }
            footer {
                div.field {
                    label.sr for="theme" { "Theme" }
                    select #theme data-theme-choice autocomplete="off" {
                        @for (value, name) in [("system", "System theme"), ("light", "Light"), ("dark", "Dark")] {
                            option value=(value) selected[viewer.look.theme.unwrap_or("system") == value] { (name) }
                        }
                    }
                }
                form method="post" action="/sign-out" { button.small { "Sign out" } }
            }
        }
    }
}

/// Out of the frame, where there is one: the product would be shown inside of itself.
pub(super) fn way_back(portal: &Portal, url: &str, class: &str) -> Markup {
    html! { a class=[(!class.is_empty()).then_some(class)] href=(url) target="_top" { "Back to " (portal.product()) } }
}

pub(crate) fn logo() -> Markup {
    html! {
        svg viewBox="0 0 32 32" aria-hidden="true" {
            path d="M7 21a10 10 0 1 0 2.6-11" {}
            path d="M9 4v6.5h6.5" {}
            circle cx="16" cy="17" r="2" {}
        }
    }
}
