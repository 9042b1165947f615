//! Who calls, and for which application. The only place where tokens and environments are enforced: a middleware around every
//! route of the table.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};

use super::Svix;
use super::error::SvixError;
use super::ids::ApplicationName;
use super::route_spec::Permission;
use super::token::{Claims, TokenKey};
use crate::api::Api;
use crate::api::caller::{Caller, address, caller_of};
use crate::api::key_text::hash_key;
use crate::api::line::Line;
use crate::api::problem::ErrorCode;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{OrganizationRef, Role};
use crate::domain::svix::{Application, Environment};

/// Of a token of an application that says something impossible.
const BAD_TOKEN: &str = "bad token";

/// Whose token a request has.
enum Bearer {
    /// Everything in the environment.
    Environment { environment: Environment, caller: Caller, only_reads: bool },
    /// One application in it.
    Application(Environment, Holder),
}

/// An application whose token a request has.
struct Holder {
    name: ApplicationName,
    /// Of one of our keys; a token's is known when its application is.
    caller: Option<Caller>,
    /// `None` for one of our keys.
    claims: Option<Arc<Claims>>,
}

/// What a request is for, for handlers of routes with a permission.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// In which all is that the request names.
    pub environment: Environment,
    /// The application in the path; where an environment's token may make one it need not exist.
    pub application: Option<Application>,
    /// The application whose token it is; `None` for one of the environment.
    pub holder: Option<OrganizationId>,
    /// Event types with flags are seen with one of these; `None`: all are.
    pub feature_flags: Option<Vec<String>>,
    /// In whose line the request waits.
    pub line: Line,
}

impl Access {
    /// The application in the path.
    pub(crate) fn application(&self) -> Result<Application, SvixError> {
        self.application.ok_or_else(SvixError::not_found)
    }
}

impl FromRequest for Access {
    type Error = SvixError;
    type Future = std::future::Ready<Result<Self, SvixError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // missing on an open route
        std::future::ready(request.extensions().get::<Self>().cloned().ok_or_else(SvixError::internal))
    }
}

/// The middleware around a route: finds the caller and the application, and checks the permission before the handler runs.
pub(super) async fn authorize(
    permission: Permission,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if permission == Permission::Open {
        return next.call(request).await;
    }
    match admit(permission, request.request()).await {
        Ok(()) => next.call(request).await,
        Err(error) => Ok(request.error_response(error)),
    }
}

async fn admit(permission: Permission, request: &HttpRequest) -> Result<(), SvixError> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(SvixError::internal)?;
    let svix = request.app_data::<web::Data<Svix>>().ok_or_else(SvixError::internal)?;
    let call = Call { api, svix, address: address(request), name: request.match_info().get("app") };
    let access = match call.bearer(request).await? {
        Bearer::Environment { environment, caller, only_reads } => {
            // for the access log, also when it is refused
            request.extensions_mut().insert(caller);
            if only_reads && permission != Permission::ApplicationRead {
                return Err(only_reads_refused());
            }
            let application = call.named(&environment).await?;
            // with `Environment`, the call may be the one that makes it
            if call.name.is_some() && application.is_none() && permission != Permission::Environment {
                return Err(SvixError::not_found());
            }
            let line = Line::from(&caller);
            Access { environment, application, holder: None, feature_flags: None, line }
        }
        Bearer::Application(environment, holder) => {
            let (own, caller) = call.holder(&environment, &holder).await?;
            request.extensions_mut().insert(caller);
            call.of_application(permission, environment, (own, caller), holder.claims).await?
        }
    };
    request.extensions_mut().insert(access);
    Ok(())
}

fn invalid() -> SvixError {
    SvixError::unauthorized(
        "Invalid token: it must be signed (HS256) with this engine's svix.jwt_secret, and be within its time",
    )
}

fn only_reads_refused() -> SvixError {
    SvixError::forbidden("this token only reads what belongs to applications, and sees no secret")
}

/// What is needed to find out.
struct Call<'a> {
    api: &'a web::Data<Api>,
    svix: &'a Svix,
    address: IpAddr,
    /// Of the application in the path: its id or uid.
    name: Option<&'a str>,
}

impl Call<'_> {
    async fn bearer(&self, request: &HttpRequest) -> Result<Bearer, SvixError> {
        let no_token = || SvixError::unauthorized("no token; send the header Authorization: Bearer <token>");
        let token = bearer_token(request).ok_or_else(no_token)?;
        if let Some(claims) = self.svix.tokens.read(&self.svix.key, token, self.api.engine().now()) {
            return of_claims(claims);
        }
        let hash = hash_key(token);
        if hash == self.svix.secret_hash {
            return Err(SvixError::unauthorized(
                "Invalid token: this is the secret that signs tokens; `ringback svix token` makes one with it",
            ));
        }
        if TokenKey::is_token(token) {
            return Err(invalid());
        }
        let caller = caller_of(self.api, hash, self.address).await;
        let caller = caller.map_err(|problem| match problem.code() {
            ErrorCode::Unauthorized => invalid(),
            _ => problem.into(),
        })?;
        match caller {
            Caller::Admin { .. } => {
                Ok(Bearer::Environment { environment: Environment::default(), caller, only_reads: false })
            }
            Caller::Key { organization_id: id, role: Role::Owner, .. } => {
                let environment = self.api.read(id, move |store| store.environment_of(id)).await?;
                let environment = environment.ok_or_else(invalid)?;
                let name = ApplicationName::Ours(OrganizationRef::Id(id));
                Ok(Bearer::Application(environment, Holder { name, caller: Some(caller), claims: None }))
            }
            Caller::Key { .. } | Caller::Deployment { .. } => Err(SvixError::forbidden(
                "of Ringback's own keys the admin key and keys of organizations with the role owner may call this API",
            )),
        }
    }

    /// The application whose token it is, and who calls with it. A deleted one is not found.
    async fn holder(
        &self,
        environment: &Environment,
        holder: &Holder,
    ) -> Result<(Application, Caller), SvixError> {
        let own = self.find(environment, holder.name.clone()).await?.ok_or_else(SvixError::not_found)?;
        let with_token = Caller::Key { organization_id: own.id, key_id: None, role: Role::Owner };
        Ok((own, holder.caller.unwrap_or(with_token)))
    }

    async fn of_application(
        &self,
        permission: Permission,
        environment: Environment,
        (own, caller): (Application, Caller),
        claims: Option<Arc<Claims>>,
    ) -> Result<Access, SvixError> {
        let id = own.id;
        let valid_from = own.tokens.valid_from_at(self.api.engine().now());
        if let (Some(claims), Some(from)) = (&claims, valid_from)
            && claims.is_from_before(from)
        {
            return Err(SvixError::unauthorized("this token was ended"));
        }
        if permission == Permission::Environment {
            let detail = "this call needs a token of the environment, not one of an application";
            return Err(SvixError::forbidden(detail));
        }
        let application = self.named(&environment).await?;
        // said of another application as of none
        if self.name.is_some() && application.is_none_or(|application| application.id != id) {
            return Err(SvixError::not_found());
        }
        let only_reads = claims.as_ref().is_some_and(|claims| claims.read_only);
        if only_reads && permission != Permission::ApplicationRead {
            return Err(only_reads_refused());
        }
        let feature_flags = Some(claims.map(|claims| claims.feature_flags.clone()).unwrap_or_default());
        Ok(Access { environment, application, holder: Some(id), feature_flags, line: Line::from(&caller) })
    }

    /// The application in the path, if there is one.
    async fn named(&self, environment: &Environment) -> Result<Option<Application>, SvixError> {
        let Some(name) = self.name else { return Ok(None) };
        match ApplicationName::parse_in(environment, name) {
            Some(name) => self.find(environment, name).await,
            None => Ok(None),
        }
    }

    async fn find(
        &self,
        environment: &Environment,
        name: ApplicationName,
    ) -> Result<Option<Application>, SvixError> {
        self.svix.applications.find(self.api, self.address, environment, name).await
    }
}

/// Whose token it is.
fn of_claims(claims: Arc<Claims>) -> Result<Bearer, SvixError> {
    let Some(subject) = &claims.sub else {
        return Err(SvixError::unauthorized("Invalid token (missing `sub`)."));
    };
    // the two codes of Svix's server
    let environment = |text: &str, code, claim| -> Result<Environment, SvixError> {
        let detail = format!("`{claim}` of the token is not the id of an environment, which begins with org_");
        text.parse().map_err(|()| SvixError::bad_request(code, detail))
    };
    match &claims.org {
        None => {
            let environment = environment(subject, "bad_token", "sub")?;
            Ok(Bearer::Environment { environment, caller: Caller::ADMIN, only_reads: claims.read_only })
        }
        Some(org) => {
            let environment = environment(org, BAD_TOKEN, "org")?;
            let named = ApplicationName::parse_in(&environment, subject)
                .filter(|name| !matches!(name, ApplicationName::Ours(OrganizationRef::Uid(_))));
            let bad = || SvixError::bad_request(BAD_TOKEN, "`sub` of the token is not the id of an application");
            let name = named.ok_or_else(bad)?;
            Ok(Bearer::Application(environment, Holder { name, caller: None, claims: Some(claims) }))
        }
    }
}

pub(super) fn bearer_token(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
