//! The dashboard: pages for people, rendered on the server, over the same calls that the HTTP API makes.
//!
//! A page is a function of what the store says: nothing that a page shows is kept here, only who is signed in
//! (`session`). Every route stands in one table (`routes`) with what its reader must be allowed to do; forms
//! are answered by [`crate::api`], so that a rule is written once and an error names the field that it is about.
//! Parts that are live ask for their own page again, and what changed is exchanged (htmx and idiomorph, vendored).

mod access;
mod activity;
mod asset_files;
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
mod response;
mod routes;
mod session;
mod session_cookie;
mod sign_in;
mod state;
mod time;
mod viewer;
mod webhooks;

use actix_web::web;

pub use access::Access;
pub use routes::{PAGES, PageSpec};
pub use state::Dashboard;

/// Registers every page.
pub fn configure(dashboard: web::Data<Dashboard>, config: &mut web::ServiceConfig) {
    config.app_data(dashboard);
    routes::configure(config);
}
