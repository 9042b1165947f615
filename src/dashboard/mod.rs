//! The dashboard: pages for people, rendered on the server, over the same calls that the HTTP API makes.
//!
//! A page is a function of what the store says: nothing that a page shows is kept here, only who is signed in
//! (`session`). Every route stands in one table (`routes`) with what its reader must be allowed to do; forms
//! are answered by [`crate::api`], so that a rule is written once and an error names the field that it is about.
//! Parts that are live ask for their own page again, and what changed is exchanged (htmx and idiomorph, vendored).

mod activity;
mod assets;
mod charts;
mod choices;
mod components;
mod error;
mod event_types;
mod events;
mod filters;
mod form;
mod guard;
mod invisible_characters;
mod keys;
mod layout;
mod logs;
mod organization;
mod organizations;
mod outcome_help;
mod overview;
mod payload;
mod request_response;
mod routes;
mod session;
mod sign_in;
mod time;
mod viewer;
mod webhooks;

use actix_web::web;

use crate::domain::time::UnixMillis;
use session::Sessions;

pub use routes::{PAGES, PageSpec};

/// What the pages share. One for all workers.
pub struct Dashboard {
    sessions: Sessions,
    /// Whether cookies are for HTTPS (and localhost) alone.
    secure: bool,
}

impl Dashboard {
    /// `secure` unless it is for a developer's machine.
    pub fn new(secure: bool) -> Self {
        Self { sessions: Sessions::default(), secure }
    }

    /// The path of a page that signs in whoever opens it first, with the key of this hash.
    pub fn sign_in_once(&self, key_hash: [u8; 32], rng: &mut impl rand::Rng, now: UnixMillis) -> String {
        let ticket = self.sessions.issue_ticket(key_hash, rng, now);
        format!("/sign-in?ticket={ticket}")
    }
}

/// Registers every page.
pub fn configure(dashboard: web::Data<Dashboard>, config: &mut web::ServiceConfig) {
    config.app_data(dashboard);
    routes::configure(config);
}
