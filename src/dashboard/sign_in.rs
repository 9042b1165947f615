//! Signing in with an API key, and out again.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use url::{Position, Url};

use super::error::PageError;
use super::form::Form;
use super::layout;
use super::response::see_other;
use super::session_cookie::{caller, session_cookie, token};
use super::state::Dashboard;
use super::viewer::Preferences;
use crate::api::Api;
use crate::api::auth::{Caller, Permission, caller_of, hash_key};
use crate::api::problem::{ErrorCode, Problem};

const ONLY_PUBLISHES: &str = "This key can only publish events. The dashboard needs one with the role viewer, manager \
                              or owner, or the admin key.";

/// Stands for our own origin: nothing but a path, a query and a fragment is taken from an address.
const ANY_ORIGIN: &str = "http://ringback.invalid";
/// A longer address is not gone on to. Smaller: a page with many filters is lost by a sign-in. Larger: what follows
/// from it fits into no header.
const MAX_NEXT_BYTES: usize = 2_048;

const UNKNOWN: &str =
    "This key is unknown, expired or revoked. Check that it was copied as a whole, or ask for a new one.";

/// `GET /sign-in?next=&ticket=`.
pub(crate) async fn read(
    request: HttpRequest,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let next = inner_address(query.text("next"));
    if let Some(ticket) = query.given("ticket") {
        let now = api.engine().now();
        let Some(key_hash) = dashboard.sessions.take_ticket(ticket, now) else {
            let used = "This link was used before, or the engine was restarted since. Start it again for a new one, or \
                        sign in with a key.";
            return Ok(page(&request, &dashboard, &next, Some(used)));
        };
        return Ok(enter_with(&api, &dashboard, key_hash, &next));
    }
    if query.is_ticked("began") && caller(&api, &dashboard, &request).await?.is_none() {
        let lost = "The browser did not keep the session. Cookies must be allowed, and the dashboard opened over HTTPS \
                    (or on localhost).";
        return Ok(page(&request, &dashboard, &next, Some(lost)));
    }
    match caller(&api, &dashboard, &request).await? {
        Some(_) => Ok(see_other(&next)),
        None => Ok(page(&request, &dashboard, &next, None)),
    }
}

/// `POST /sign-in`.
pub(crate) async fn enter(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    let next = inner_address(form.text("next"));
    let key_hash = hash_key(form.text("key"));
    match caller_of(&api, key_hash).await {
        Ok(caller) if may_enter(&caller) => Ok(enter_with(&api, &dashboard, key_hash, &next)),
        Ok(_) => Ok(page(&request, &dashboard, &next, Some(ONLY_PUBLISHES))),
        Err(problem) if problem.code() == ErrorCode::Unauthorized => {
            Ok(page(&request, &dashboard, &next, Some(UNKNOWN)))
        }
        Err(problem) => Err(problem.into()),
    }
}

fn enter_with(api: &Api, dashboard: &Dashboard, key_hash: [u8; 32], next: &str) -> HttpResponse {
    let token = dashboard.sessions.begin(key_hash, &mut api.engine().rng(), api.engine().now());
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("began", "1")
        .append_pair("next", next)
        .finish();
    let mut response = see_other(&format!("/sign-in?{query}"));
    // a cookie of ours is always a header's value
    let kept = response.add_cookie(&session_cookie(dashboard, Some(token)));
    if let Err(error) = kept {
        tracing::error!(%error, "a session's cookie was not set");
    }
    response
}

/// `POST /sign-out`.
pub(crate) async fn leave(
    request: HttpRequest,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    if let Some(token) = token(&dashboard, &request) {
        dashboard.sessions.end(&token);
    }
    let mut response = see_other("/sign-in");
    response
        .add_cookie(&session_cookie(&dashboard, None))
        .map_err(|_| Problem::new(ErrorCode::Internal, ErrorCode::Internal.help()))?;
    Ok(response)
}

/// Whether a key may open the dashboard: all except those that can only publish.
fn may_enter(caller: &Caller) -> bool {
    match caller {
        Caller::Admin => true,
        Caller::Key { organization_id, .. } => Permission::Read.check(caller, Some(*organization_id)).is_ok(),
    }
}

/// Where to go on: only to a page of ours, or a link could lead anywhere after a sign-in.
fn inner_address(next: &str) -> String {
    own_page(next).unwrap_or_else(|| "/".to_owned())
}

/// Reads an address as a browser does, and rewrites it: browsers drop tabs and line ends, take `\\` for `/`, and walk up
/// from `..`, so what an address looks like says little about where it leads.
fn own_page(next: &str) -> Option<String> {
    if !next.starts_with('/') || next.len() > MAX_NEXT_BYTES {
        return None;
    }
    let base = Url::parse(ANY_ORIGIN).ok()?;
    let there = base.join(next).ok()?;
    let address = &there[Position::BeforePath..];
    // it must lead there by itself, too: a path that begins with two slashes is a host's name
    let is_ours = there.origin() == base.origin() && base.join(address).ok()? == there;
    let is_page = !matches!(there.path(), "/sign-in" | "/sign-out");
    (is_ours && is_page).then(|| address.to_owned())
}

fn page(request: &HttpRequest, dashboard: &Dashboard, next: &str, complaint: Option<&str>) -> HttpResponse {
    let content = form(next, complaint, !dashboard.secure);
    let status = if complaint.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    layout::door(status, &Preferences::of(request), "Sign in", &content)
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
                // a password manager wants a name to keep the key under
                input.sr type="text" name="account" value="Ringback" autocomplete="username" readonly tabindex="-1" aria-hidden="true";
                div.field {
                    label for="key" { "API key" }
                    input #key type="password" name="key" required autofocus autocomplete="current-password"
                        spellcheck="false" placeholder="rbk_…" aria-invalid=[complaint.map(|_| "true")]
                        aria-describedby={ "key-help" @if complaint.is_some() { " complaint" } };
                    p.help #key-help { "A key of your organization with the role viewer, manager or owner, or the deployment's \
                        admin key." }
                }
                button.primary { "Sign in" }
            }
            @if is_dev {
                p.note-box.info { "The engine runs with " code { "--dev" } ": the link that it printed when it started signs in \
                    once, without a key. The owner key stands beside it." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_sign_in_only_pages_of_our_own_are_gone_on_to() {
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
