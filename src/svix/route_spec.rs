//! What the table of routes says about one call.

use actix_web::Route;
use actix_web::http::Method;

/// What a route requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nothing.
    Open,
    /// A token of an environment, in which the application in the path is, if there is one.
    Environment,
    /// The same, or a token of the application in the path.
    Application,
    /// The same, or a token of it that only reads. Without an application in the path: of any in the environment.
    ApplicationRead,
}

/// One call.
pub struct RouteSpec {
    /// A `GET` route serves `HEAD` as well.
    pub method: Method,
    /// Behind [`BASE_PATH`](super::BASE_PATH). `{app}` is an application's id or uid.
    pub path: &'static str,
    /// What its caller must be allowed to do.
    pub permission: Permission,
    pub(super) handler: fn() -> Route,
}
