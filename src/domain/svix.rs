//! What only the Svix-compatible API knows: environments, and the event types that belong to them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::ids::OrganizationId;
use super::time::UnixMillis;
pub use super::token_ends::{EndingTokens, TokenEnds};

/// The environment of whoever names none: Svix's server has the same.
const DEFAULT_ENVIRONMENT: &str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
/// The environment whose applications are told about the webhooks of the environments that they are named after. As in Svix's
/// server.
const MANAGEMENT_ENVIRONMENT: &str = "org_00000000000SvixManagement00";
/// What every name of an environment begins with.
const PREFIX: &str = "org_";
/// Smaller: names of others don't fit. Larger: they fill the indexes.
const MAX_ENVIRONMENT_BYTES: usize = 128;
/// Of the name of an event type.
const MAX_NAME_BYTES: usize = 256;

/// A level above organizations, which only tokens name. The default one has the organizations that were made without any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Environment(Cow<'static, str>);

impl Default for Environment {
    fn default() -> Self {
        Self(Cow::Borrowed(DEFAULT_ENVIRONMENT))
    }
}

impl Environment {
    /// The one whose [notices](super::notice) are about all others.
    pub fn management() -> Self {
        Self(Cow::Borrowed(MANAGEMENT_ENVIRONMENT))
    }

    /// Whether it is that one.
    pub fn is_management(&self) -> bool {
        self.0 == MANAGEMENT_ENVIRONMENT
    }

    /// As the tables have it: empty for the default one.
    pub fn stored(&self) -> &str {
        if self.is_default() { "" } else { &self.0 }
    }

    /// As the tables have it.
    pub(crate) fn of_stored(text: String) -> Self {
        if text.is_empty() { Self::default() } else { Self(Cow::Owned(text)) }
    }

    /// Whether it is the one of whoever names none: then its organizations are the deployment's own.
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT_ENVIRONMENT
    }
}

impl FromStr for Environment {
    /// It is not the name of one.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix(PREFIX).ok_or(())?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_good = !rest.is_empty() && text.len() <= MAX_ENVIRONMENT_BYTES && rest.bytes().all(is_plain);
        match text {
            // that of most requests: its copies cost nothing
            DEFAULT_ENVIRONMENT => Ok(Self::default()),
            text => is_good.then(|| Self(Cow::Owned(text.to_owned()))).ok_or(()),
        }
    }
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text can be the name of an event type, or of a flag.
pub(crate) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(is_plain)
}

/// An organization as the Svix-compatible API finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Application {
    /// The same as the organization's.
    pub id: OrganizationId,
    pub tokens: TokenEnds,
}

/// An event type of an environment. It is offered to applications; whatever it says, everything can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentEventType {
    /// Unique in its environment.
    pub name: String,
    /// For people.
    pub description: String,
    /// No longer offered.
    pub archived: bool,
    /// Still offered, with a warning.
    pub deprecated: bool,
    /// A JSON object: a JSON Schema for each version.
    pub schemas: Option<String>,
    /// Only tokens with one of them see the type; empty: all of them.
    pub feature_flags: Vec<String>,
    /// For people.
    pub group_name: Option<String>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
}

impl EnvironmentEventType {
    /// Whether a token with these flags sees it.
    pub(crate) fn is_seen_with(&self, flags: &[String]) -> bool {
        self.feature_flags.is_empty() || self.feature_flags.iter().any(|flag| flags.contains(flag))
    }
}

/// A change of an event type; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTypeChange {
    pub description: Option<String>,
    pub archived: Option<bool>,
    pub deprecated: Option<bool>,
    pub schemas: Option<Option<String>>,
    pub feature_flags: Option<Vec<String>>,
    pub group_name: Option<Option<String>>,
}

impl EventTypeChange {
    /// Sets all that was given.
    pub(crate) fn apply(self, to: &mut EnvironmentEventType, now: UnixMillis) {
        let Self { description, archived, deprecated, schemas, feature_flags, group_name } = self;
        to.description = description.unwrap_or_else(|| std::mem::take(&mut to.description));
        to.archived = archived.unwrap_or(to.archived);
        to.deprecated = deprecated.unwrap_or(to.deprecated);
        to.schemas = schemas.unwrap_or_else(|| to.schemas.take());
        to.feature_flags = feature_flags.unwrap_or_else(|| std::mem::take(&mut to.feature_flags));
        to.group_name = group_name.unwrap_or_else(|| to.group_name.take());
        to.updated_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_environment_is_the_one_of_organizations_without_any() {
        assert_eq!(Environment::default().stored(), "");
        assert_eq!(DEFAULT_ENVIRONMENT.parse(), Ok(Environment::default()));
        assert_eq!("org_other".parse::<Environment>().unwrap().stored(), "org_other");
    }

    #[test]
    fn an_environment_has_the_prefix_and_plain_characters() {
        let long = format!("org_{}", "x".repeat(MAX_ENVIRONMENT_BYTES));
        for text in ["", "org_", "app_x", "org", "org_ä", "org_a b", "org_a'", &long] {
            assert_eq!(text.parse::<Environment>(), Err(()), "{text}");
        }
        assert!("org_openwearables-2_x".parse::<Environment>().is_ok());
    }

    #[test]
    fn a_name_has_plain_characters_and_is_not_too_long() {
        for name in ["a", "user.signup", "A-b_c.9", &"x".repeat(MAX_NAME_BYTES)] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", "a b", "a/b", "é", "a\0", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(!is_name(text), "{text}");
        }
    }

    #[test]
    fn a_type_with_flags_is_seen_with_one_of_them_only() {
        let mut event_type = EnvironmentEventType {
            name: "a".to_owned(),
            description: String::new(),
            archived: false,
            deprecated: false,
            schemas: None,
            feature_flags: Vec::new(),
            group_name: None,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        };
        assert!(event_type.is_seen_with(&[]));
        event_type.feature_flags = vec!["beta".to_owned(), "gamma".to_owned()];
        assert!(!event_type.is_seen_with(&[]) && !event_type.is_seen_with(&["alpha".to_owned()]));
        assert!(event_type.is_seen_with(&["gamma".to_owned()]));
    }
}
