//! Finds the session of a browser by its cookie.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, web};

use super::state::Dashboard;
use crate::api::Api;
use crate::api::caller::{Caller, address, caller_of};
use crate::api::problem::{ErrorCode, Problem};
use crate::api::sessions::{self, LIFETIME};
use crate::domain::session::DashboardSession;

/// The caller who signed in with this browser; `None` without a session, or when its key was revoked.
pub(crate) async fn caller(
    api: &web::Data<Api>,
    dashboard: &Dashboard,
    request: &HttpRequest,
) -> Result<Option<Caller>, Problem> {
    let Some(session) = session(api, dashboard, request).await? else { return Ok(None) };
    match caller_of(api, session.key_hash, address(request)).await {
        Ok(caller) => Ok(Some(caller)),
        Err(problem) if problem.code() == ErrorCode::Unauthorized => {
            sessions::end(api, &session).await?;
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// The session of this browser.
pub(crate) async fn session(
    api: &Api,
    dashboard: &Dashboard,
    request: &HttpRequest,
) -> Result<Option<DashboardSession>, Problem> {
    let Some(token) = request.cookie(cookie_name(dashboard)) else { return Ok(None) };
    sessions::find(api, token.value(), address(request)).await
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
