//! Sessions of the dashboard: who is signed in with a browser, on any node.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::web;
use data_encoding::BASE64URL_NOPAD;
use rand::Rng;
use serde_json::json;

use super::audit::Author;
use super::caller::look_up;
use super::key_text::hash_key;
use super::line::Line;
use super::problem::Problem;
use super::{Api, lookup_cache::Credential};
use crate::domain::audit::AuditAction;
use crate::domain::ids::OrganizationId;
use crate::domain::session::{DashboardSession, SignIn};
use crate::domain::svix::EndingTokens;
use crate::store::Store;

/// How long a session lasts: a working day. Longer: a forgotten browser stays signed in. Shorter: people must sign in
/// again during their work.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// 256 random bits.
pub(crate) fn token(rng: &mut impl Rng) -> String {
    let mut bytes = [0u8; 32];
    rng.fill_bytes(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
}

/// Begins a session with a key or a link that is valid; returns its token.
pub(crate) async fn begin(
    api: &web::Data<Api>,
    organization_id: Option<OrganizationId>,
    began_with: SignIn,
) -> Result<String, Problem> {
    let (token, now) = (token(&mut api.engine.rng()), api.engine.now());
    let session =
        DashboardSession { token_hash: hash_key(&token), organization_id, began_with, expires_at: now + LIFETIME };
    let owner = session.owner();
    Api::change_by(api, owner, owner.id(), move |_, store| Ok(store.begin_session(&session, now)?)).await?;
    Ok(token)
}

/// The session of a token, unless it is over.
pub(crate) async fn find(api: &Api, token: &str, address: IpAddr) -> Result<Option<DashboardSession>, Problem> {
    let hash = hash_key(token);
    let read = move |store: &dyn Store| store.session(&hash);
    let found = look_up(api, &api.sessions, hash, address, read).await?;
    Ok(found.filter(|session| api.engine.now() < session.expires_at))
}

/// Ends a session here at once, on other nodes within a second.
pub(crate) async fn end(api: &web::Data<Api>, session: &DashboardSession) -> Result<(), Problem> {
    let (hash, owner): ([u8; 32], Line) = (session.token_hash, session.owner());
    let ended = Api::change_by(api, owner, owner.id(), move |api, store| {
        let ended = store.end_session(&hash);
        api.sessions.forget(&hash);
        Ok(ended?)
    });
    ended.await
}

/// Ends the tokens of an application, its sign-in links and the sessions that began with one: here at once, on other nodes within a
/// second. Returns whether there is such an organization.
pub(crate) async fn end_tokens(
    api: &web::Data<Api>,
    by: &Author,
    id: OrganizationId,
    ends: EndingTokens,
) -> Result<bool, Problem> {
    let now = api.engine.now();
    let after = json!({"tokens_made_before": ends.made_before, "end_at": ends.end_at});
    let entry = by.entry(api, Some(id), AuditAction::OrganizationChanged, id, [None, Some(after)]);
    let ended = Api::change_by(api, by.line, id, move |api, store| {
        let ended = store.recording(entry).end_tokens(id, ends, now);
        api.sessions.forget_everything();
        Ok(ended?)
    });
    ended.await
}
