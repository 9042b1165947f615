//! The dashboard from the outside, without a browser: requests in, pages out, over the real handlers and actors and
//! a store in memory.

mod access;
pub(crate) mod browser;
mod catalogue;
mod credentials;
mod deployment_keys;
mod event_types;
mod events;
mod form_values;
mod forms;
mod headers;
mod html;
mod keys;
mod logs;
mod organization;
mod portal;
mod redirects;
mod repair;
mod search;
mod sessions;
mod sign_in_links;
mod view_as;
mod webhooks;
