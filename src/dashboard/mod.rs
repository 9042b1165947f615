//! The dashboard: pages rendered on the server, based on the same calls as the HTTP API.
//!
//! Pages are a function of the store: the only state kept here are the links that sign in once (`tickets`). All routes are in one
//! table (`routes`) with the permission that each needs. Forms are handled by [`crate::api`], so that each rule is
//! written once and an error names its field. Live parts request their own page again and swap in what changed (htmx
//! and idiomorph, vendored).

mod accent;
mod access;
mod activity;
mod asset_files;
mod assets;
mod attention;
mod catalogue;
mod changes;
mod charts;
mod choices;
mod cluster;
mod components;
mod deployment_keys;
mod error;
mod event_type_form;
mod event_types;
mod events;
mod filters;
mod form;
mod guard;
mod invisible_characters;
mod keys;
mod layout;
mod logs;
mod long_url;
mod organization;
mod organizations;
mod outage;
mod outcome_help;
mod outside;
mod overview;
mod payload;
mod portal;
mod request_response;
mod response;
mod routes;
mod search;
mod search_box;
mod session_cookie;
mod sign_in;
mod state;
mod tickets;
mod time;
mod usage;
mod view_as;
mod view_bar;
mod viewer;
mod visitor;
mod webhooks;

use actix_web::web;

pub use access::Access;
pub use portal::Portal;
pub use routes::{PAGES, PageSpec};
pub use state::Dashboard;

/// Registers every page.
pub fn configure(dashboard: web::Data<Dashboard>, config: &mut web::ServiceConfig) {
    config.app_data(dashboard);
    routes::configure(config);
}
