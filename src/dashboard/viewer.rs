//! The viewer of a page, and their preferences.

use std::sync::Arc;

use actix_web::HttpRequest;
use jiff::tz::TimeZone;

use super::portal::Portal;
use crate::api::audit::Author;
use crate::api::auth::Permission;
use crate::api::caller::Caller;
use crate::api::problem::{ErrorCode, Problem};
use crate::domain::audit::Actor;
use crate::domain::ids::OrganizationId;
use crate::domain::session::Visitor;
use crate::domain::time::UnixMillis;

/// The viewer's time zone; set by the script.
const ZONE_COOKIE: &str = "ringback_zone";
const THEME_COOKIE: &str = "ringback_theme";

#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub caller: Caller,
    /// `None` for the admin.
    pub organization: Option<String>,
    /// Whether the operator looks at the organization's pages.
    pub is_operator: bool,
    /// Of whoever came by a sign-in link.
    pub door: Option<Door>,
    pub look: Preferences,
    /// The requested path with its query.
    pub address: String,
    pub now: UnixMillis,
}

/// How somebody came in from a product.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub visitor: Arc<Visitor>,
    /// How the product looks.
    pub portal: Arc<Portal>,
}

impl Viewer {
    /// How the product looks that a visitor came from.
    pub(crate) fn portal(&self) -> Option<&Portal> {
        self.door.as_ref().map(|door| &*door.portal)
    }

    /// Only for pages that the admin can't open.
    pub(crate) fn organization_id(&self) -> Result<OrganizationId, Problem> {
        let missing = || Problem::new(ErrorCode::Internal, ErrorCode::Internal.help());
        self.caller.organization_id().ok_or_else(missing)
    }

    /// Who makes the changes of this page.
    pub(crate) fn author(&self) -> Author {
        let mut author = Author::of(&self.caller);
        if let (Actor::SignIn { name, .. }, Some(door)) = (&mut author.actor, &self.door) {
            name.clone_from(&door.visitor.name);
        }
        author
    }

    /// Whether to offer an action.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        permission.check(&self.caller, self.caller.organization_id()).is_ok()
    }

    pub(crate) fn role(&self) -> &'static str {
        self.caller.role().as_str()
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.look.zone
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Preferences {
    pub zone: TimeZone,
    /// The zone's name; UTC if the browser sent none.
    pub zone_name: String,
    /// `light` or `dark`; `None` follows the system.
    pub theme: Option<&'static str>,
}

impl Preferences {
    /// Reads the cookies.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let cookie = |name| request.cookie(name).map(|cookie| cookie.value().to_owned());
        let zone = cookie(ZONE_COOKIE).and_then(|name| Some((TimeZone::get(&name).ok()?, name)));
        let (zone, zone_name) = zone.unwrap_or((TimeZone::UTC, "UTC".to_owned()));
        let theme = match cookie(THEME_COOKIE).as_deref() {
            Some("light") => Some("light"),
            Some("dark") => Some("dark"),
            _ => None,
        };
        Self { zone, zone_name, theme }
    }
}
