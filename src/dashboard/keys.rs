//! An organization's API keys: for its owners, and on an organization's page for the admin.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::json;

use super::components::{self, Complaints};
use super::error::PageError;
use super::form::{Form, can_be_corrected, cursor_query};
use super::layout::{self, Section};
use super::response::see_other;
use super::session_cookie::session;
use super::state::Dashboard;
use super::time;
use super::viewer::Viewer;
use crate::api::line::Line;
use crate::api::pagination::List;
use crate::api::problem::Problem;
use crate::api::{Api, keys, path_id};
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Role};
use crate::domain::session::SignIn;
use crate::domain::time::UnixMillis;

const TITLE: &str = "API keys";
const REVOKED: &str = "The key was revoked. It no longer works.";
/// Fields that show their own errors.
pub(crate) const FIELDS: &[&str] = &["name", "role", "expires_at"];
/// Offered lifetimes in days.
const LIFETIMES: [(&str, &str); 4] =
    [("", "Never"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In 365 days")];
const DAY_MS: i64 = 86_400_000;

/// Whose keys a page manages, and its addresses.
pub(crate) struct KeyScope {
    /// The organization; `None` for the deployment.
    pub owner: Option<OrganizationId>,
    /// In whose line its calls wait.
    pub by: Line,
    /// The address of the page.
    pub page: String,
    /// Where a new key is posted; each key's own address is below.
    pub address: String,
}

impl KeyScope {
    fn own(viewer: &Viewer) -> Result<Self, Problem> {
        let address = "/keys".to_owned();
        let organization_id = viewer.organization_id()?;
        Ok(Self { owner: Some(organization_id), by: organization_id.into(), page: address.clone(), address })
    }

    pub(super) fn deployment() -> Self {
        let address = "/deployment-keys".to_owned();
        Self { owner: None, by: Line::Admin, page: address.clone(), address }
    }

    fn roles(&self) -> &'static [Role] {
        if self.owner.is_some() { &Role::ALL } else { &Role::OF_DEPLOYMENT }
    }

    fn what(&self) -> &'static str {
        if self.owner.is_some() { "API key" } else { "deployment key" }
    }
}

/// The form as it was submitted, with its errors.
#[derive(Default)]
pub(crate) struct SubmittedForm<'a> {
    pub problem: Option<&'a Problem>,
    pub form: Form,
}

/// `GET /keys`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let content = own_content(&viewer, &request, &api, &dashboard, &SubmittedForm::default()).await?;
    Ok(layout::page(&viewer, Section::Keys, TITLE, &content))
}

/// `POST /keys`: the only response that shows the key, and therefore not a redirect.
pub(crate) async fn create(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let ring = KeyScope::own(&viewer)?;
    let form = Form::read(&request, payload).await?;
    match create_from(&viewer, &api, &ring, &form).await {
        Ok(content) => Ok(layout::page(&viewer, Section::Keys, "New API key", &content)),
        Err(problem) if can_be_corrected(&problem) => {
            let said = SubmittedForm { problem: Some(&problem), form };
            let content = own_content(&viewer, &request, &api, &dashboard, &said).await?;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(layout::with_status(status, &viewer, Section::Keys, TITLE, &content))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// `POST /keys/{key_id}/revoke`.
pub(crate) async fn revoke(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    revoke_in(&KeyScope::own(&viewer)?, &request, &api).await
}

async fn own_content(
    viewer: &Viewer,
    request: &HttpRequest,
    api: &Api,
    dashboard: &Dashboard,
    said: &SubmittedForm<'_>,
) -> Result<Markup, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let ring = KeyScope::own(viewer)?;
    let signed_in_with = signed_in_with(request, api, dashboard).await?;
    let keys = page(api, &ring, &query).await?;
    Ok(html! {
        div.head {
            h1 { (TITLE) }
            a.button.primary href="#add" { "Create API key" }
        }
        (done(&query))
        (Complaints::of(said.problem).summary(FIELDS))
        @if said.problem.is_some() { (add_card(viewer, &ring, said)) }
        (table(viewer, &ring, &keys, &query, signed_in_with))
        @if said.problem.is_none() { (add_card(viewer, &ring, said)) }
    })
}

/// The hash of the key that the viewer signed in with.
pub(super) async fn signed_in_with(
    request: &HttpRequest,
    api: &Api,
    dashboard: &Dashboard,
) -> Result<Option<[u8; 32]>, Problem> {
    Ok(session(api, dashboard, request).await?.and_then(|session| match session.began_with {
        SignIn::Key(hash) => Some(hash),
        SignIn::Link(_) => None,
    }))
}

pub(super) async fn page(api: &Api, ring: &KeyScope, query: &Form) -> Result<List<ApiKey>, Problem> {
    keys::page(api, ring.by, ring.owner, &cursor_query(query.given("cursor"))).await
}

/// Confirms a revocation.
pub(crate) fn done(query: &Form) -> Markup {
    html! { @if query.text("done") == "revoked" { (components::done(REVOKED)) } }
}

/// Creates a key and shows it.
pub(crate) async fn create_from(
    viewer: &Viewer,
    api: &web::Data<Api>,
    ring: &KeyScope,
    form: &Form,
) -> Result<Markup, Problem> {
    let expires_at = expiry(form, viewer);
    let body = json!({ "name": form.text("name"), "role": form.text("role"), "expires_at": expires_at });
    let (key, text) = keys::create_from(api, ring.by, ring.owner, body.to_string().as_bytes()).await?;
    Ok(html! {
        div.head { h1 { "New " (ring.what()) } }
        section.card {
            div.note-box.warn role="status" {
                strong { "Copy this key now: it is shown only once. " }
                "Ringback stores only its hash."
            }
            (components::copyable("new-key", text.expose()))
            dl.facts {
                dt { "Name" } dd { (key.name) }
                dt { "Role" } dd { (role_badge(key.role)) " " (ring.may(key.role)) }
                dt { "Expires" } dd { (expires(&key, viewer)) }
            }
            p.dim { "Send it with every API request, in the header "
                code { "Authorization: Bearer " (key.prefix) "…" } "."
                @if ring.owner.is_none() { " The header " code { "Ringback-Organization" } " names the organization." } }
            div.actions { a.button.primary href=(ring.page) { "I have copied it" } }
        }
    })
}

/// Revokes the key in the path and shows the others again.
pub(crate) async fn revoke_in(
    ring: &KeyScope,
    request: &HttpRequest,
    api: &web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id: KeyId = path_id(request, "key_id", "key")?;
    keys::revoke_key(api, ring.by, ring.owner, id).await?;
    Ok(see_other(&format!("{}?done=revoked", ring.page)))
}

/// The `expires_at` of the API call, from a day or a lifetime. Unreadable input is passed on for the API to reject.
fn expiry(form: &Form, viewer: &Viewer) -> Option<String> {
    if let Some(day) = form.given("expires_on") {
        // until the end of that day
        let end = time::parse_input(&format!("{day}T23:59:59"), viewer.zone());
        return Some(end.map_or_else(|| day.to_owned(), |end| end.to_string()));
    }
    let lifetime = form.given("expires_in")?;
    let is_offered = LIFETIMES.iter().any(|(days, _)| *days == lifetime);
    let days = lifetime.parse::<i64>().ok().filter(|_| is_offered);
    Some(days.map_or_else(|| lifetime.to_owned(), |days| UnixMillis(viewer.now.0 + days * DAY_MS).to_string()))
}

impl KeyScope {
    /// What a key with a role is good for.
    fn may(&self, role: Role) -> &'static str {
        if self.owner.is_some() { may(role) } else { may_everywhere(role) }
    }
}

/// The same of a key of the deployment. Only the role admin opens the dashboard.
fn may_everywhere(role: Role) -> &'static str {
    match role {
        Role::Publisher => "Can publish events in every organization.",
        Role::Viewer => "Can view webhooks, logs and events of every organization.",
        Role::Manager => {
            "Can view everything, manage webhooks and event types, and resend, in every organization."
        }
        Role::Owner => "Can do everything in every organization, but not manage organizations.",
        Role::Admin => "Can do everything: also manage organizations, the catalogue and deployment keys.",
    }
}

fn may(role: Role) -> &'static str {
    match role {
        Role::Publisher => "Can publish events. Can't open the dashboard.",
        Role::Viewer => "Can view webhooks, logs and events.",
        Role::Manager => "Can view everything, manage webhooks and event types, and resend.",
        Role::Owner => "Can do everything, including managing API keys.",
        Role::Admin => "Can do everything in every organization.",
    }
}

fn role_badge(role: Role) -> Markup {
    let class = match role {
        Role::Owner | Role::Admin => "warn",
        Role::Manager => "info",
        Role::Viewer | Role::Publisher => "off",
    };
    html! { span.badge.plain.(class) { (role.as_str()) } }
}

fn expires(key: &ApiKey, viewer: &Viewer) -> Markup {
    html! {
        @match key.expires_at {
            None => { "never" }
            Some(at) => {
                @if key.is_expired(viewer.now) { span.badge.bad { "expired" } " " }
                (time::dated(at, viewer.zone()))
            }
        }
    }
}

pub(crate) fn table(
    viewer: &Viewer,
    ring: &KeyScope,
    keys: &List<ApiKey>,
    query: &Form,
    signed_in_with: Option<[u8; 32]>,
) -> Markup {
    html! {
        section.card.flush {
            @if keys.data.is_empty() {
                (components::empty(&format!("No {}s yet", ring.what()), &html! { p {
                    @if ring.owner.is_some() { "Publishers and dashboard users each need a key. Create the first one below: an owner key, which can create all others." }
                    @else { "Create one below for a backend that acts in all organizations, so that it does not need the admin key." }
                } }))
            } @else {
                div.wide { table.stack {
                    thead { tr {
                        @for heading in ["Name", "Role", "Prefix", "Created", "Expires"] { th scope="col" { (heading) } }
                        th scope="col" { span.sr { "Actions" } }
                    } }
                    tbody { @for key in &keys.data {
                        (row(viewer, ring, key, signed_in_with == Some(key.hash)))
                    } }
                } }
                (components::pager(keys, &ring.page, query.given("cursor").is_none()))
            }
        }
    }
}

fn row(viewer: &Viewer, ring: &KeyScope, key: &ApiKey, is_own: bool) -> Markup {
    html! {
        tr {
            td data-label="Name" { span.break {
                (key.name)
                @if is_own { div { span.badge.info { "your current key" } } }
            } }
            td data-label="Role" { span { (role_badge(key.role)) div.dim.small { (ring.may(key.role)) } } }
            td data-label="Prefix" { code.nowrap { (key.prefix) "…" } }
            td data-label="Created" { (time::dated(key.created_at, viewer.zone())) }
            td data-label="Expires" { span { (expires(key, viewer)) } }
            td.right { (revoke_button(ring, key, is_own)) }
        }
    }
}

fn revoke_button(ring: &KeyScope, key: &ApiKey, is_own: bool) -> Markup {
    let id = format!("revoke-{}", key.id);
    html! {
        button.small.danger type="button" data-opens={ "#" (id) } aria-label={ "Revoke " (key.name) } { "Revoke" }
        dialog id=(id) aria-labelledby={ (id) "-title" } {
            form.form method="post" action={ (ring.address) "/" (key.id) "/revoke" } {
                h2 id={ (id) "-title" } { "Revoke “" (key.name) "”?" }
                p { "Requests that use it are refused from now on, and anyone signed in with it is signed out. This can't be undone." }
                @if is_own {
                    p.note-box.warn { "You are signed in with this key. You will be signed out, and need another key to sign in again." }
                }
                div.actions {
                    button.danger { "Revoke key" }
                    button type="button" data-closes autofocus { "Cancel" }
                }
            }
        }
    }
}

pub(crate) fn add_card(viewer: &Viewer, ring: &KeyScope, said: &SubmittedForm<'_>) -> Markup {
    let (complaints, form) = (Complaints::of(said.problem), &said.form);
    html! {
        section.card #add {
            h2 { "Create " (ring.what()) }
            form.form method="post" action=(ring.address) {
                (components::text_field("name", "Name", "Who or what will use it, such as “billing service”.",
                    form.text("name"), "text", &complaints))
                fieldset.field aria-describedby="role-error" {
                    legend { "Role" }
                    div.row {
                        @for &role in ring.roles() {
                            label.check {
                                input type="radio" name="role" value=(role.as_str()) required
                                    checked[form.text("role") == role.as_str()];
                                span { (role.as_str()) small { (ring.may(role)) } }
                            }
                        }
                    }
                    (complaints.at("role"))
                }
                div.field {
                    div.row {
                        div.field {
                            label for="expires_in" { "Expires" }
                            select #expires_in name="expires_in" aria-describedby="expires_at-error" {
                                @for (days, name) in LIFETIMES {
                                    option value=(days) selected[form.text("expires_in") == days] { (name) }
                                }
                            }
                        }
                        div.field {
                            label for="expires_on" { "or at the end of this day" }
                            input #expires_on type="date" name="expires_on" value=(form.text("expires_on"))
                                aria-describedby="expires_on-help expires_at-error"
                                aria-invalid=[complaints.is_wrong("expires_at").then_some("true")];
                            p.help #expires_on-help { "In your time zone, " (viewer.look.zone_name) ". Overrides the lifetime." }
                        }
                    }
                    (complaints.at("expires_at"))
                }
                div.actions { button.primary { "Create key" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::caller::Caller;
    use crate::dashboard::viewer::Preferences;
    use jiff::tz::TimeZone;

    fn sent(form: &str) -> Option<String> {
        let zone_name = "America/New_York".to_owned();
        let look = Preferences { zone: TimeZone::get(&zone_name).unwrap(), zone_name, theme: None };
        // 2024-12-16T10:30:45.007Z
        let now = UnixMillis(1_734_345_045_007);
        let viewer = Viewer {
            caller: Caller::ADMIN,
            organization: None,
            is_operator: false,
            door: None,
            look,
            address: String::new(),
            now,
        };
        expiry(&Form::parse(form.as_bytes()), &viewer)
    }

    #[test]
    fn a_key_expires_after_a_lifetime_or_at_the_end_of_a_local_day_or_never() {
        assert_eq!(sent("expires_in=&expires_on="), None);
        assert_eq!(sent("expires_in=30&expires_on=").as_deref(), Some("2025-01-15T10:30:45.007Z"));
        let day = sent("expires_in=30&expires_on=2024-12-31");
        assert_eq!(day.as_deref(), Some("2025-01-01T04:59:59.000Z"), "the day that was typed in counts");
    }

    #[test]
    fn an_unreadable_expiry_never_becomes_a_key_without_one() {
        for nonsense in ["expires_in=7", "expires_in=x", "expires_on=soon", "expires_on=2024-02-31"] {
            let sent = sent(nonsense).unwrap();
            assert!(UnixMillis::parse_rfc3339(&sent).is_none(), "{nonsense}: {sent}");
        }
    }
}
