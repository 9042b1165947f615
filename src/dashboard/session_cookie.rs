//! Finds the session of a browser by its cookie.

use std::sync::Arc;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, web};

use super::state::Dashboard;
use crate::api::Api;
use crate::api::caller::{Caller, address, caller_of};
use crate::api::problem::{ErrorCode, Problem};
use crate::api::sessions::{self, LIFETIME};
use crate::domain::session::{DashboardSession, SignIn, Visitor};

/// Who signed in with this browser.
pub(crate) struct SignedIn {
    pub caller: Caller,
    /// Came by a sign-in link.
    pub visitor: Option<Arc<Visitor>>,
}

/// Who signed in with this browser; `None` without a session, or when its key was revoked.
pub(crate) async fn signed_in(
    api: &web::Data<Api>,
    dashboard: &Dashboard,
    request: &HttpRequest,
) -> Result<Option<SignedIn>, Problem> {
    let Some(session) = session(api, dashboard, request).await? else { return Ok(None) };
    let key_hash = match (&session.began_with, session.organization_id) {
        (SignIn::Key(hash), _) => *hash,
        (SignIn::Link(visitor), Some(organization_id)) => {
            let caller = Caller::Key { organization_id, key_id: None, role: visitor.role };
            return Ok(Some(SignedIn { caller, visitor: Some(Arc::clone(visitor)) }));
        }
        // links are of organizations
        (SignIn::Link(_), None) => return Ok(None),
    };
    match caller_of(api, key_hash, address(request)).await {
        Ok(caller) => Ok(Some(SignedIn { caller, visitor: None })),
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
///
/// Whoever comes by a link comes from another site, and on the way from there browsers send no strict cookie. Forms from other
/// sites are refused in any case.
pub(crate) fn session_cookie(
    dashboard: &Dashboard,
    token: Option<String>,
    same_site: SameSite,
) -> Cookie<'static> {
    let lifetime = if token.is_some() { LIFETIME.as_secs() as i64 } else { 0 };
    Cookie::build(cookie_name(dashboard), token.unwrap_or_default())
        .path("/")
        .http_only(true)
        .same_site(same_site)
        .secure(dashboard.secure)
        .max_age(actix_web::cookie::time::Duration::seconds(lifetime))
        .finish()
}

fn cookie_name(dashboard: &Dashboard) -> &'static str {
    // browsers accept the prefix only over HTTPS and for exactly this host
    if dashboard.secure { "__Host-ringback_session" } else { "ringback_session" }
}
