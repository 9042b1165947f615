//! What the table of routes says about one call.

use actix_web::Route;
use actix_web::http::Method;

use super::auth::Permission;

/// One call of the API.
pub struct RouteSpec {
    /// A `GET` route serves `HEAD` as well.
    pub method: Method,
    /// Its pattern, as in the metrics.
    pub path: &'static str,
    /// What its caller must be allowed to do.
    pub permission: Permission,
    pub(super) handler: fn() -> Route,
}
