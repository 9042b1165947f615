//! The Svix-compatible API, at `/api/v1`: what Svix's client libraries call.
//!
//! It is there when the setting `svix.jwt_secret` is. Applications are organizations, endpoints webhooks, messages events: it
//! calls what the handlers of [`crate::api`] call. Its routes are in one table ([`routes::ROUTES`]) with the permission
//! that each needs; its errors have the shape that the libraries read ([`error::SvixError`]), whatever went wrong.

mod access;
mod applications;
mod attempts;
mod bulk_expunge;
mod endpoint_actions;
mod endpoint_input;
mod endpoint_messages;
mod endpoint_parts;
mod endpoints;
mod error;
mod event_types;
mod fields;
mod health;
mod idempotency;
pub mod ids;
mod input;
mod known_applications;
mod known_tokens;
mod layers;
mod management_types;
mod message_input;
mod messages;
mod not_here;
pub mod openapi;
mod operational_webhooks;
pub mod page;
mod portal_access;
mod precheck;
mod reading;
mod route_spec;
pub mod routes;
mod secret_input;
mod shape;
mod task_list;
mod task_runner;
mod tasks;
pub mod teller;
pub mod token;

use std::rc::Rc;

use actix_cors::Cors;
use actix_web::middleware::from_fn;
use actix_web::web;

use crate::api::key_text::hash_key;
use crate::config::SvixSettings;
use crate::domain::retry::{RetryDelays, RetrySchedule};
use crate::domain::secret::{Secret, SecretKind};
use known_applications::KnownApplications;
use known_tokens::KnownTokens;
use layers::SeldomNeeded;
use task_runner::TaskRunner;
use token::TokenKey;

pub use route_spec::{Permission, RouteSpec};
pub use task_runner::watch;

/// Where it is.
pub const BASE_PATH: &str = "/api/v1";
/// For how many seconds a browser remembers that it may call. Smaller: it asks before more calls. Larger: a change of the
/// setting reaches it later.
const CORS_MAX_AGE: usize = 600;
/// What a page may read of a response beside its body.
const EXPOSED_HEADERS: [&str; 3] = ["retry-after", "x-request-id", "idempotent-replay"];

/// What the handlers of this API share beside [`crate::api::Api`], one for all workers.
pub struct Svix {
    key: TokenKey,
    tokens: KnownTokens,
    /// Of the secret itself, which some send instead of a token.
    secret_hash: [u8; 32],
    /// Of new endpoints.
    retry: RetrySchedule,
    /// Of secrets that nobody supplies.
    secret_kind: SecretKind,
    applications: KnownApplications,
    tasks: TaskRunner,
    cors_origins: Vec<String>,
    allows_every_origin: bool,
}

impl Svix {
    /// `None` when it is not turned on.
    pub fn new(settings: &SvixSettings) -> Option<Self> {
        let secret: &Secret = settings.jwt_secret.as_ref()?;
        let retry = match settings.retry_schedule.as_slice() {
            [] => RetrySchedule::Retries(0),
            // checked as it was read
            delays => RetryDelays::new(delays).map_or(RetrySchedule::default(), RetrySchedule::Delays),
        };
        Some(Self {
            key: TokenKey::new(secret),
            tokens: KnownTokens::default(),
            secret_hash: hash_key(secret.expose()),
            retry,
            secret_kind: settings.secret_kind,
            applications: KnownApplications::default(),
            tasks: TaskRunner::default(),
            cors_origins: settings.cors_origins.clone(),
            allows_every_origin: settings.allows_every_origin(),
        })
    }

    fn cors(&self) -> Cors {
        // who may call is decided by the token; the origin decides which pages of a browser may
        let cors = Cors::default()
            .allow_any_method()
            .allow_any_header()
            // named, not all: those of each answer would be gathered into a text
            .expose_headers(EXPOSED_HEADERS)
            .block_on_origin_mismatch(false)
            .max_age(CORS_MAX_AGE);
        match self.allows_every_origin {
            true => cors.allow_any_origin().send_wildcard(),
            false => self.cors_origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin)),
        }
    }
}

/// Registers every route. `/v1` has no part of this in its way.
pub fn configure(svix: web::Data<Svix>, config: &mut web::ServiceConfig) {
    let is_for_all = svix.allows_every_origin;
    let scope = web::scope(BASE_PATH)
        .wrap(SeldomNeeded(Rc::new(svix.cors())))
        .wrap(from_fn(move |request, next| shape::in_shape(is_for_all, request, next)))
        .app_data(svix)
        .configure(routes::configure);
    config.service(scope);
}
