//! Who looks at a page, and how they want it.

use actix_web::HttpRequest;
use jiff::tz::TimeZone;

use crate::api::auth::{Caller, Permission};
use crate::api::problem::{ErrorCode, Problem};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Role;
use crate::domain::time::UnixMillis;

/// The cookie with the name of the reader's time zone; its script sets it.
const ZONE_COOKIE: &str = "ringback_zone";
/// The cookie with the colours that were chosen.
const THEME_COOKIE: &str = "ringback_theme";

/// The reader of a page.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// Who they are.
    pub caller: Caller,
    /// The name of their organization; none for the admin.
    pub organization: Option<String>,
    /// How the page is to look.
    pub look: Preferences,
    /// The path that was asked for, with its query.
    pub address: String,
    /// When.
    pub now: UnixMillis,
}

impl Viewer {
    /// The organization that is looked at. Only for pages that the admin can't see.
    pub(crate) fn organization_id(&self) -> Result<OrganizationId, Problem> {
        match self.caller {
            Caller::Key { organization_id, .. } => Ok(organization_id),
            Caller::Admin => Err(Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())),
        }
    }

    /// Whether a page may offer them this.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        let own = match self.caller {
            Caller::Key { organization_id, .. } => Some(organization_id),
            Caller::Admin => None,
        };
        permission.check(&self.caller, own).is_ok()
    }

    /// What they are, in one word.
    pub(crate) fn role(&self) -> &'static str {
        match self.caller {
            Caller::Admin => "admin",
            Caller::Key { role, .. } => Role::as_str(role),
        }
    }

    /// Their time zone.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.look.zone
    }
}

/// How a reader wants pages to look.
#[derive(Debug, Clone)]
pub(crate) struct Preferences {
    /// In which times are shown.
    pub zone: TimeZone,
    /// Its name; none when the browser did not say.
    pub zone_name: String,
    /// `light` or `dark`; none as the system has it.
    pub theme: Option<&'static str>,
}

impl Preferences {
    /// As the cookies say.
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
