//! `/api/v1/auth/app-portal-access/{app}`: a door to the dashboard, and a token, for one application; and the end of all of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::Svix;
use super::access::Access;
use super::applications::{ApplicationIn, found_or_made};
use super::error::SvixError;
use super::ids::ApplicationId;
use super::input::{Invalid, read_json};
use super::token::TokenWishes;
use crate::api::audit::Author;
use crate::api::sessions::end_tokens;
use crate::api::sign_in_links::{create_link, longest_lifetime};
use crate::api::{Api, NO_STORE};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Role;
use crate::domain::session::Visitor;
use crate::domain::svix::EndingTokens;
use crate::domain::time::UnixMillis;

/// Of `expiry`, in seconds.
const EXPIRIES: RangeInclusive<u64> = 3_600..=604_800;
/// Without it a portal only shows.
const MANAGES: &str = "ManageEndpoint";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PortalWishes {
    feature_flags: Option<Vec<String>>,
    read_only: Option<bool>,
    capabilities: Option<Vec<String>>,
    expiry: Option<u64>,
    application: Option<ApplicationIn>,
}

#[derive(Serialize)]
struct PortalAccess {
    url: String,
    token: String,
}

/// `POST /api/v1/auth/app-portal-access/{app}`.
pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let mut wishes: PortalWishes = read_json(&request, payload).await?;
    let described = wishes.application.take();
    let wishes = wishes.checked()?;
    let id = found_or_made(&request, &api, &author, &access, described).await?;
    answer(&request, &access, id, &api, &svix, wishes).await
}

/// `POST /api/v1/auth/dashboard-access/{app}`: its older name.
pub(super) async fn create_without_wishes(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let id = access.application()?.id;
    answer(&request, &access, id, &api, &svix, TokenWishes::default()).await
}

async fn answer(
    request: &HttpRequest,
    access: &Access,
    id: OrganizationId,
    api: &web::Data<Api>,
    svix: &Svix,
    wishes: TokenWishes,
) -> Result<HttpResponse, SvixError> {
    let role = if wishes.read_only { Role::Viewer } else { Role::Manager };
    let visitor = Visitor { role, name: None, return_url: None };
    let url = create_link(api, request, id, visitor, wishes.lifetime.min(longest_lifetime())).await?;
    let token = svix.key.application_token(&access.environment, &ApplicationId(id), wishes, api.engine().now());
    Ok(HttpResponse::Ok().insert_header(NO_STORE).json(PortalAccess { url, token }))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExpiryIn {
    expiry: Option<u64>,
    session_ids: Option<Vec<String>>,
}

/// `POST /api/v1/auth/app/{app}/expire-all`: ends all tokens of the application that were made before, after `expiry` seconds.
///
/// A token says in which second it was made, no more. So those of this second end too, and the answer waits for the next one: a token that
/// is made after it is none of them.
pub(super) async fn expire_all(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let id = access.application()?.id;
    let ExpiryIn { expiry, session_ids } = read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    let seconds = expiry.unwrap_or_default();
    if seconds > *EXPIRIES.end() {
        invalid.add("expiry", format!("must be at most {} seconds", EXPIRIES.end()));
    }
    if session_ids.is_some_and(|ids| !ids.is_empty()) {
        invalid.add("sessionIds", "tokens have no sessions here: without it all tokens of the application end");
    }
    invalid.into_result()?;
    let now = api.engine().now();
    let next_second = UnixMillis((now.as_seconds() + 1) * 1_000);
    let end_at = if seconds == 0 { now } else { now + Duration::from_secs(seconds) };
    let ends = EndingTokens { made_before: next_second, end_at };
    let is_known = end_tokens(&api, &author, id, ends).await?;
    sleep(next_second.since(now)).await;
    if !is_known {
        return Err(SvixError::not_found());
    }
    // a session that was being begun with a link meanwhile
    api.step(id, move |store| store.end_tokens(id, ends, now)).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl PortalWishes {
    fn checked(self) -> Result<TokenWishes, SvixError> {
        let mut invalid = Invalid::of_body();
        let feature_flags = self.feature_flags.unwrap_or_default();
        feature_flags.iter().for_each(|flag| invalid.check_name("featureFlags", flag));
        if self.expiry.is_some_and(|seconds| !EXPIRIES.contains(&seconds)) {
            invalid.add("expiry", format!("must be from {} to {} seconds", EXPIRIES.start(), EXPIRIES.end()));
        }
        invalid.into_result()?;
        // of finer rights there are fewer, never more
        let manages = self.capabilities.is_none_or(|named| named.iter().any(|capability| capability == MANAGES));
        let usual = TokenWishes::default();
        Ok(TokenWishes {
            feature_flags,
            read_only: self.read_only.unwrap_or_default() || !manages,
            lifetime: self.expiry.map_or(usual.lifetime, Duration::from_secs),
        })
    }
}
