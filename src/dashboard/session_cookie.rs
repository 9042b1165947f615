//! Finds the session of a browser by its cookies.
//!
//! A session that began with a key and one that began with a link have a cookie each: only the latter may be sent from a frame of
//! another site, and neither is taken for the other. Where a browser has both, the visit counts: it began later, as signing in with
//! a key ends it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use data_encoding::BASE64URL_NOPAD;

use super::state::Dashboard;
use crate::api::Api;
use crate::api::caller::{Caller, address, caller_of};
use crate::api::problem::{ErrorCode, Problem};
use crate::api::sessions::{self, LIFETIME};
use crate::api::sign_in_links::is_web_address;
use crate::domain::session::{DashboardSession, SignIn, Visitor};

/// How long a browser remembers that somebody came by a link: shorter, and who comes back later is asked for an API key.
const ORIGIN_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Our cookies that scripts can't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The session of a key.
    Key,
    /// The session of whoever came by a link.
    Visit,
    /// Where they came from, which the browser knows longer than we.
    Origin,
}

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
    for session in sessions_of(api, dashboard, request).await? {
        if let Some(signed_in) = who(api, request, &session).await? {
            return Ok(Some(signed_in));
        }
    }
    Ok(None)
}

async fn who(
    api: &web::Data<Api>,
    request: &HttpRequest,
    session: &DashboardSession,
) -> Result<Option<SignedIn>, Problem> {
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
            sessions::end(api, session).await?;
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// The sessions of this browser: the one that counts, then the other.
pub(crate) async fn sessions_of(
    api: &Api,
    dashboard: &Dashboard,
    request: &HttpRequest,
) -> Result<Vec<DashboardSession>, Problem> {
    let mut found = Vec::new();
    for kind in [Kind::Visit, Kind::Key] {
        if let Some(token) = request.cookie(kind.name(dashboard)) {
            found.extend(sessions::find(api, token.value(), address(request)).await?);
        }
    }
    Ok(found)
}

/// A browser whose user came by a link, in a session or after it.
pub(crate) struct CameByLink {
    pub return_url: Option<String>,
}

pub(crate) fn came_by_link(dashboard: &Dashboard, request: &HttpRequest) -> Option<CameByLink> {
    let cookie = request.cookie(Kind::Origin.name(dashboard))?;
    let url = BASE64URL_NOPAD.decode(cookie.value().as_bytes()).ok();
    let url = url.and_then(|bytes| String::from_utf8(bytes).ok());
    // it becomes a link of a page
    Some(CameByLink { return_url: url.filter(|url| is_web_address(url)) })
}

/// Gives the browser the session of a key. A visit ends.
pub(crate) fn begin_with_key(
    dashboard: &Dashboard,
    request: &HttpRequest,
    response: &mut HttpResponse,
    token: &str,
) {
    set(dashboard, response, Kind::Key, token, LIFETIME);
    for kind in [Kind::Visit, Kind::Origin] {
        if request.cookie(kind.name(dashboard)).is_some() {
            remove(dashboard, response, kind);
        }
    }
}

/// Gives the browser the session of a visitor.
pub(crate) fn begin_visit(
    dashboard: &Dashboard,
    response: &mut HttpResponse,
    token: &str,
    return_url: Option<&str>,
) {
    set(dashboard, response, Kind::Visit, token, LIFETIME);
    // what is no base64 is no address
    let origin = return_url.map_or_else(|| "-".to_owned(), |url| BASE64URL_NOPAD.encode(url.as_bytes()));
    set(dashboard, response, Kind::Origin, &origin, ORIGIN_LIFETIME);
}

/// Takes the sessions from the browser; it still knows that somebody came by a link.
pub(crate) fn end_sessions(dashboard: &Dashboard, response: &mut HttpResponse) {
    for kind in [Kind::Key, Kind::Visit] {
        remove(dashboard, response, kind);
    }
}

fn remove(dashboard: &Dashboard, response: &mut HttpResponse, kind: Kind) {
    set(dashboard, response, kind, "", Duration::ZERO);
}

fn set(dashboard: &Dashboard, response: &mut HttpResponse, kind: Kind, value: &str, lifetime: Duration) {
    let is_framed = kind != Kind::Key && dashboard.portal.frames().is_some();
    let same_site = match kind {
        Kind::Key => SameSite::Strict,
        _ if is_framed => SameSite::None,
        // whoever comes by a link comes from another site, and on the way from there browsers send no strict cookie
        _ => SameSite::Lax,
    };
    let cookie = Cookie::build(kind.name(dashboard), value)
        .path("/")
        .http_only(true)
        .same_site(same_site)
        // browsers take a cookie for frames of other sites only so
        .secure(dashboard.secure || is_framed)
        .max_age(actix_web::cookie::time::Duration::seconds(lifetime.as_secs() as i64))
        .finish();
    // each site has its own, so that it can't tell one that embeds us who a visitor of another one is
    let partitioned = if is_framed { "; Partitioned" } else { "" };
    match HeaderValue::try_from(format!("{cookie}{partitioned}")) {
        Ok(cookie) => response.headers_mut().append(header::SET_COOKIE, cookie),
        // our cookies are always valid header values
        Err(error) => tracing::error!(%error, "a cookie was not set"),
    }
}

impl Kind {
    fn name(self, dashboard: &Dashboard) -> &'static str {
        // browsers accept the prefix only over HTTPS and for exactly this host
        match (self, dashboard.secure) {
            (Self::Key, true) => "__Host-ringback_session",
            (Self::Key, false) => "ringback_session",
            (Self::Visit, true) => "__Host-ringback_visit",
            (Self::Visit, false) => "ringback_visit",
            (Self::Origin, true) => "__Host-ringback_origin",
            (Self::Origin, false) => "ringback_origin",
        }
    }
}
