//! `/api/v1/auth/app-portal-access/{app}`: a door to the dashboard, and a token, for one application.

use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::Svix;
use super::access::Access;
use super::applications::{ApplicationIn, found_or_made};
use super::error::SvixError;
use super::ids::ApplicationId;
use super::input::{Invalid, read_json};
use super::token::TokenWishes;
use crate::api::audit::Author;
use crate::api::sign_in_links::{create_link, longest_lifetime};
use crate::api::{Api, NO_STORE};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Role;
use crate::domain::session::Visitor;

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
    let token = svix.key.application_token(&access.environment, ApplicationId(id), wishes, api.engine().now());
    Ok(HttpResponse::Ok().insert_header(NO_STORE).json(PortalAccess { url, token }))
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
