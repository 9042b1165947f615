//! Finds the session of a browser by its cookie.

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};

use super::session::LIFETIME;
use super::state::Dashboard;
use crate::api::Api;
use crate::api::auth::{Caller, address, caller_of};
use crate::api::problem::{ErrorCode, Problem};

/// The caller who signed in with this browser; `None` without a session, or when its key was revoked.
pub(crate) async fn caller(
    api: &Api,
    dashboard: &Dashboard,
    request: &HttpRequest,
) -> Result<Option<Caller>, Problem> {
    let Some(key_hash) = key_hash(api, dashboard, request) else { return Ok(None) };
    match caller_of(api, key_hash, address(request)).await {
        Ok(caller) => Ok(Some(caller)),
        Err(problem) if problem.code() == ErrorCode::Unauthorized => {
            token(dashboard, request).inspect(|token| dashboard.sessions.end(token));
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// The hash of the API key that this browser signed in with.
pub(crate) fn key_hash(api: &Api, dashboard: &Dashboard, request: &HttpRequest) -> Option<[u8; 32]> {
    dashboard.sessions.key_hash(&token(dashboard, request)?, api.engine().now())
}

pub(crate) fn token(dashboard: &Dashboard, request: &HttpRequest) -> Option<String> {
    request.cookie(cookie_name(dashboard)).map(|cookie| cookie.value().to_owned())
}

/// The cookie that carries a session's token; without a token it removes the browser's cookie.
pub(crate) fn session_cookie(dashboard: &Dashboard, token: Option<String>) -> Cookie<'static> {
    let lifetime = if token.is_some() { LIFETIME.as_secs() as i64 } else { 0 };
    Cookie::build(cookie_name(dashboard), token.unwrap_or_default())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(dashboard.secure)
        .max_age(actix_web::cookie::time::Duration::seconds(lifetime))
        .finish()
}

fn cookie_name(dashboard: &Dashboard) -> &'static str {
    // browsers accept the prefix only over HTTPS and for exactly this host
    if dashboard.secure { "__Host-ringback_session" } else { "ringback_session" }
}
