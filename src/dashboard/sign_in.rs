//! Sign-in with an API key or a link, and sign-out.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use url::{Position, Url};

use super::error::{PageError, for_visitor};
use super::form::Form;
use super::layout;
use super::outside::{self, Outside};
use super::response::see_other;
use super::session_cookie::{begin_visit, begin_with_key, came_by_link, end_sessions, sessions_of, signed_in};
use super::state::Dashboard;
use super::viewer::Preferences;
use crate::api::Api;
use crate::api::auth::Permission;
use crate::api::caller::{Caller, address, caller_of};
use crate::api::key_text::hash_key;
use crate::api::problem::ErrorCode;
use crate::api::sessions;
use crate::api::sign_in_links::{self, Entry};
use crate::domain::session::SignIn;

const NO_ORGANIZATION: &str =
    "This key of the deployment belongs to no organization. Use a key of the organization, or an admin key.";
const ONLY_PUBLISHES: &str =
    "This key can only publish events. Use a viewer, manager or owner key, or the admin key.";

/// A placeholder for our own origin: only the path, query and fragment of an address are used.
const ANY_ORIGIN: &str = "http://ringback.invalid";
/// Longer addresses are dropped. Smaller: signing in loses a page with many filters. Larger: the redirect does not
/// fit into a header.
const MAX_NEXT_BYTES: usize = 2_048;

/// Of the form, which anybody can send. Smaller: a long address to continue at is an error instead of dropped.
const MAX_FORM_BYTES: usize = 64 * 1024;

const UNKNOWN: &str =
    "This key is unknown, expired or revoked. Check that you copied all of it, or ask for a new one.";

/// `GET /sign-in?next=&ticket=`, `?link=`, and where these lead on to.
pub(crate) async fn read(
    request: HttpRequest,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let next = inner_address(query.text("next"));
    if let Some(ticket) = query.given("ticket") {
        let now = api.engine().now();
        let Some(key_hash) = dashboard.tickets.take(ticket, now) else {
            let used = "This link was already used, or the engine has restarted since. Restart the engine for a new link, or sign in with a key.";
            return Ok(page(&request, &dashboard, &next, Some(used)));
        };
        return match caller_of(&api, key_hash, address(&request)).await {
            Ok(caller) => enter_with((&request, &api, &dashboard), &caller, key_hash, &next).await,
            Err(problem) if problem.code() == ErrorCode::Unauthorized => {
                Ok(page(&request, &dashboard, &next, Some(UNKNOWN)))
            }
            Err(problem) => Err(problem.into()),
        };
    }
    // with HEAD a program looks where a link leads, and must not use it up
    if let Some(link) = query.given("link").filter(|_| request.method() != Method::HEAD) {
        return match sign_in_links::enter(&api, link, address(&request)).await {
            Err(problem) => Ok(for_visitor(&problem, &dashboard.portal, &request)),
            Ok(Entry::Begun { token, return_url }) => {
                let mut response = go_on(&next, true);
                begin_visit(&dashboard, &mut response, &token, return_url.as_deref());
                Ok(response)
            }
            Ok(Entry::Refused { return_url }) => Ok(outside(&request, &dashboard, Outside::LinkOver, return_url)),
        };
    }
    if signed_in(&api, &dashboard, &request).await?.is_some() {
        return Ok(see_other(&next));
    }
    let is_visit = query.is_ticked("visit");
    let lost = "The browser did not store the session cookie. Allow cookies, and open the dashboard over HTTPS (or on localhost).";
    Ok(match query.is_ticked("began") {
        true if is_visit => outside(&request, &dashboard, Outside::NoCookie, None),
        true => page(&request, &dashboard, &next, Some(lost)),
        false if query.is_ticked("left") => outside(&request, &dashboard, Outside::SignedOut, None),
        false if query.is_ticked("over") => outside(&request, &dashboard, Outside::Over, None),
        false => page(&request, &dashboard, &next, None),
    })
}

/// What a visitor sees who is not signed in. Where they came from is what a link says, or their browser.
fn outside(
    request: &HttpRequest,
    dashboard: &Dashboard,
    outside: Outside,
    return_url: Option<String>,
) -> HttpResponse {
    let known = || came_by_link(dashboard, request)?.return_url;
    outside::page(request, &dashboard.portal, outside, return_url.or_else(known).as_deref())
}

/// `POST /sign-in`.
pub(crate) async fn enter(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read_within(&request, payload, MAX_FORM_BYTES).await?;
    let next = inner_address(form.text("next"));
    let key_hash = hash_key(form.text("key"));
    match caller_of(&api, key_hash, address(&request)).await {
        Ok(caller) if may_enter(&caller) => {
            enter_with((&request, &api, &dashboard), &caller, key_hash, &next).await
        }
        Ok(Caller::Deployment { .. }) => Ok(page(&request, &dashboard, &next, Some(NO_ORGANIZATION))),
        Ok(_) => Ok(page(&request, &dashboard, &next, Some(ONLY_PUBLISHES))),
        Err(problem) if problem.code() == ErrorCode::Unauthorized => {
            Ok(page(&request, &dashboard, &next, Some(UNKNOWN)))
        }
        Err(problem) => Err(problem.into()),
    }
}

async fn enter_with(
    (request, api, dashboard): (&HttpRequest, &web::Data<Api>, &Dashboard),
    caller: &Caller,
    key_hash: [u8; 32],
    next: &str,
) -> Result<HttpResponse, PageError> {
    let token = sessions::begin(api, caller.organization_id(), SignIn::Key(key_hash)).await?;
    let mut response = go_on(next, false);
    begin_with_key(dashboard, request, &mut response, &token);
    Ok(response)
}

/// To a page that notices when the browser does not keep its session.
fn go_on(next: &str, is_visit: bool) -> HttpResponse {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("began", "1").append_pair("next", next);
    if is_visit {
        query.append_pair("visit", "1");
    }
    see_other(&format!("/sign-in?{}", query.finish()))
}

/// `POST /sign-out`.
pub(crate) async fn leave(
    request: HttpRequest,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    for session in sessions_of(&api, &dashboard, &request).await? {
        sessions::end(&api, &session).await?;
    }
    let is_visitor = came_by_link(&dashboard, &request).is_some();
    let mut response = see_other(if is_visitor { "/sign-in?left=1" } else { "/sign-in" });
    end_sessions(&dashboard, &mut response);
    Ok(response)
}

/// Whether a key may open the dashboard: all except those that can only publish.
fn may_enter(caller: &Caller) -> bool {
    match caller {
        Caller::Admin { .. } => true,
        Caller::Deployment { .. } => false,
        Caller::Key { .. } => Permission::Read.check(caller, None).is_ok(),
    }
}

/// Where to continue after a sign-in: only to our own pages, or a link could lead to another site.
fn inner_address(next: &str) -> String {
    own_page(next).unwrap_or_else(|| "/".to_owned())
}

/// Parses an address as browsers do, and normalizes it: browsers drop tabs and line breaks, treat `\` as `/` and
/// resolve `..`, so the text alone does not show where it leads.
fn own_page(next: &str) -> Option<String> {
    if !next.starts_with('/') || next.len() > MAX_NEXT_BYTES {
        return None;
    }
    let base = Url::parse(ANY_ORIGIN).ok()?;
    let there = base.join(next).ok()?;
    let address = &there[Position::BeforePath..];
    // the result must mean the same on its own: a path that begins with two slashes is a host name
    let is_ours = there.origin() == base.origin() && base.join(address).ok()? == there;
    let is_page = !matches!(there.path(), "/sign-in" | "/sign-out");
    (is_ours && is_page).then(|| address.to_owned())
}

fn page(request: &HttpRequest, dashboard: &Dashboard, next: &str, complaint: Option<&str>) -> HttpResponse {
    let content = form(next, complaint, !dashboard.secure);
    let status = if complaint.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    layout::door(status, &Preferences::of(request), None, "Sign in", &content)
}

fn form(next: &str, complaint: Option<&str>, is_dev: bool) -> Markup {
    html! {
        div.card {
            header {
                span.brand { (layout::logo()) "Ringback" }
                p.dim { "Webhooks that arrive: signed, retried and logged." }
            }
            h1 { "Sign in" }
            @if let Some(complaint) = complaint { p.note-box.bad role="alert" id="complaint" { (complaint) } }
            form.form method="post" action="/sign-in" {
                input type="hidden" name="next" value=(next);
                // password managers store the key under this name
                input.sr type="text" name="account" value="Ringback" autocomplete="username" readonly tabindex="-1" aria-hidden="true";
                div.field {
                    label for="key" { "API key" }
                    input #key type="password" name="key" required autofocus autocomplete="current-password"
                        spellcheck="false" placeholder="rbk_…" aria-invalid=[complaint.map(|_| "true")]
                        aria-describedby={ "key-help" @if complaint.is_some() { " complaint" } };
                    p.help #key-help { "A viewer, manager or owner key of your organization, or the deployment's admin key." }
                }
                button.primary { "Sign in" }
            }
            @if is_dev {
                p.note-box.info { "The engine runs with " code { "--dev" } ": the link printed at startup signs in once without a key. The owner key is printed next to it." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_continues_only_to_pages_of_our_own() {
        for (next, expected) in [
            ("/logs?status=failed#row-1", "/logs?status=failed#row-1"),
            ("/a\r\nb", "/ab"),
            ("/\0x", "/%00x"),
            ("/ä?ö", "/%C3%A4?%C3%B6"),
            ("/keys/../logs", "/logs"),
        ] {
            assert_eq!(inner_address(next), expected, "{next:?}");
            assert_eq!(inner_address(expected), expected, "what was written is read as it is");
        }
        let long = format!("/{}", "a".repeat(MAX_NEXT_BYTES));
        for foreign in [
            "",
            "keys",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/..//evil.example",
            "/.//evil.example",
            "/sign-in?x",
            "/a/../sign-in",
            "/sign-out",
            "http://ringback.invalid/keys",
            &long,
        ] {
            assert_eq!(inner_address(foreign), "/", "{foreign:?}");
        }
    }
}
