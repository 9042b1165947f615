//! Tenants and their API keys.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{KeyId, OrganizationId};
use super::sent_request::HeaderStyle;
use super::svix::Environment;
use super::svix_id::SvixId;
use super::time::UnixMillis;

/// A tenant. Nothing crosses between two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organization {
    pub id: OrganizationId,
    /// The publisher's own id of it, unique in its environment.
    pub uid: Option<OrganizationUid>,
    /// 1 to 200 characters, chosen by the operator.
    pub name: String,
    pub metadata: Metadata,
    /// What its receivers get of an event.
    pub body: BodyShape,
    /// Of its new endpoints.
    #[serde(skip)]
    pub header_style: HeaderStyle,
    #[serde(skip_serializing_if = "Environment::is_default")]
    pub environment: Environment,
    /// Of an application: messages in a second. Kept, and not enforced.
    #[serde(skip)]
    pub rate_limit: Option<u16>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was last changed; `None`: never.
    #[serde(skip)]
    pub updated_at: Option<UnixMillis>,
    /// Tokens that were made for it before are refused.
    #[serde(skip)]
    pub tokens_valid_from: Option<UnixMillis>,
    /// Of an application that was brought over from Svix's server; unique in its environment.
    #[serde(skip)]
    pub svix_id: Option<SvixId>,
}

impl Organization {
    /// Without an own id and metadata.
    pub fn named(id: OrganizationId, name: impl Into<String>, created_at: UnixMillis) -> Self {
        Self {
            id,
            uid: None,
            name: name.into(),
            metadata: Metadata::default(),
            body: BodyShape::default(),
            header_style: HeaderStyle::default(),
            environment: Environment::default(),
            rate_limit: None,
            created_at,
            updated_at: None,
            tokens_valid_from: None,
            svix_id: None,
        }
    }
}

/// What the body of an event is, of all events of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyShape {
    /// The four keys of the contract, with what was published in `data`.
    #[default]
    Envelope,
    /// What was published, as it was sent.
    Verbatim,
}

impl BodyShape {
    pub(crate) const ALL: [Self; 2] = [Self::Envelope, Self::Verbatim];

    /// The name in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Verbatim => "verbatim",
        }
    }
}

/// What begins every id of an organization; an own id does not, so that it is never taken for one.
const ID_PREFIX: &str = "org_";

/// The publisher's own id of an organization: 1 to 256 of `A-Za-z0-9._-`, not beginning with `org_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct OrganizationUid(String);

/// What is wrong with an own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    /// Too short, too long, or other characters.
    #[error("must have 1 to 256 of the characters A-Z a-z 0-9 . _ -")]
    Characters,
    /// Clients take them out of a path: a call for this organization would be one for something else.
    #[error("must not be . or .., which can't be in a URL's path")]
    Dots,
    /// It looks like one of ours.
    #[error("must not begin with org_, which our own ids begin with")]
    Prefix,
}

impl OrganizationUid {
    const MAX_LENGTH: usize = 256;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of the application of the management environment that is named after this one. No other may look like an id.
    pub fn of_environment(environment: &Environment) -> Self {
        Self(environment.to_string())
    }

    /// Reads the own id of an organization in this environment.
    pub(crate) fn parse_in(environment: &Environment, text: &str) -> Result<Self, UidError> {
        text.parse().or_else(|error| match text.parse::<Environment>() {
            Ok(named) if environment.is_management() => Ok(Self::of_environment(&named)),
            _ => Err(error),
        })
    }
}

impl FromStr for OrganizationUid {
    type Err = UidError;

    fn from_str(text: &str) -> Result<Self, UidError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=Self::MAX_LENGTH).contains(&text.len()) || !text.bytes().all(is_allowed) {
            return Err(UidError::Characters);
        }
        if matches!(text, "." | "..") {
            return Err(UidError::Dots);
        }
        if text.starts_with(ID_PREFIX) {
            return Err(UidError::Prefix);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for OrganizationUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a call names an organization: by its id, or by the publisher's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OrganizationRef {
    Id(OrganizationId),
    Uid(OrganizationUid),
}

impl FromStr for OrganizationRef {
    /// It can name nothing.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.starts_with(ID_PREFIX) {
            true => text.parse().map(Self::Id).map_err(|_| ()),
            false => text.parse().map(Self::Uid).map_err(|_| ()),
        }
    }
}

/// What a publisher keeps with an organization. The engine does not read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The most pairs (contract).
    pub const MAX_PAIRS: usize = 50;
    /// The most bytes of all names and values together (contract).
    pub const MAX_BYTES: usize = 8 * 1024;

    /// `None` when it is over a bound.
    pub fn new(pairs: BTreeMap<String, String>) -> Option<Self> {
        let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        (pairs.len() <= Self::MAX_PAIRS && bytes <= Self::MAX_BYTES).then_some(Self(pairs))
    }

    /// Any number of pairs; `None` when they have more bytes as JSON.
    pub(crate) fn within_json(pairs: BTreeMap<String, String>, max_bytes: usize) -> Option<Self> {
        let metadata = Self(pairs);
        serde_json::to_vec(&metadata).is_ok_and(|text| text.len() <= max_bytes).then_some(metadata)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What of an organization is changed; the rest stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrganizationChange {
    pub name: Option<String>,
    /// `Some(None)` takes the own id away.
    pub uid: Option<Option<OrganizationUid>>,
    /// Replaces all of it.
    pub metadata: Option<Metadata>,
    pub body: Option<BodyShape>,
    /// `Some(None)` takes it away.
    pub rate_limit: Option<Option<u16>>,
    pub updated_at: Option<UnixMillis>,
    pub tokens_valid_from: Option<UnixMillis>,
}

impl OrganizationChange {
    pub(crate) fn apply(self, organization: &mut Organization) {
        let Self { name, uid, metadata, body, rate_limit, updated_at, tokens_valid_from } = self;
        organization.name = name.unwrap_or_else(|| std::mem::take(&mut organization.name));
        organization.uid = uid.unwrap_or_else(|| organization.uid.take());
        organization.metadata = metadata.unwrap_or_else(|| std::mem::take(&mut organization.metadata));
        organization.body = body.unwrap_or(organization.body);
        organization.rate_limit = rate_limit.unwrap_or(organization.rate_limit);
        organization.updated_at = updated_at.or(organization.updated_at);
        organization.tokens_valid_from = tokens_valid_from.or(organization.tokens_valid_from);
    }
}

/// The permissions of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publishes events, nothing else.
    Publisher,
    /// Reads, and changes nothing.
    Viewer,
    /// Reads, and changes webhooks, logs and replays.
    Manager,
    /// Everything within the organization, including its keys.
    Owner,
    /// Everything, in every organization: only keys of the deployment have it.
    Admin,
}

impl Role {
    /// Those of an organization's keys, in the order in which they are documented.
    pub const ALL: [Self; 4] = [Self::Publisher, Self::Viewer, Self::Manager, Self::Owner];
    /// Those of the deployment's keys.
    pub const OF_DEPLOYMENT: [Self; 5] = [Self::Publisher, Self::Viewer, Self::Manager, Self::Owner, Self::Admin];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
            Self::Manager => "manager",
            Self::Owner => "owner",
            Self::Admin => "admin",
        }
    }

    /// Reads the name in the API; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::OF_DEPLOYMENT.into_iter().find(|role| role.as_str() == text)
    }
}

/// An API key as it is stored: the key itself is shown once and kept as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    /// The organization that it belongs to; `None` for a key of the deployment.
    pub organization_id: Option<OrganizationId>,
    /// 1 to 200 characters.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the whole key text.
    pub hash: [u8; 32],
    /// The first characters of the key, to recognize it among others; not secret.
    pub prefix: String,
    /// When it was created.
    pub created_at: UnixMillis,
    /// It is refused from this instant on.
    pub expires_at: Option<UnixMillis>,
    /// When it was used last, to a minute; `None` when it never was.
    pub last_used_at: Option<UnixMillis>,
}

/// How far [`ApiKey::last_used_at`] may lag behind. Smaller: a write for each key more often. Larger: contract.
pub const LAST_USE_PRECISION: Duration = Duration::from_secs(60);

impl ApiKey {
    /// Whether the key is past its expiry at `now`.
    pub(crate) fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_id_has_the_characters_of_the_contract_and_is_never_taken_for_one_of_ours() {
        for good in ["a", "42", "Acme_Ltd.-7", &"x".repeat(256), "xorg_1"] {
            let name: OrganizationRef = good.parse().unwrap();
            assert_eq!(name, OrganizationRef::Uid(good.parse().unwrap()), "{good}");
        }
        for (bad, error) in [
            ("", UidError::Characters),
            (&*"x".repeat(257), UidError::Characters),
            ("a/b", UidError::Characters),
            ("a b", UidError::Characters),
            ("é", UidError::Characters),
            (".", UidError::Dots),
            ("..", UidError::Dots),
            ("org_", UidError::Prefix),
            ("org_0apeam4qr0000", UidError::Prefix),
        ] {
            assert_eq!(bad.parse::<OrganizationUid>(), Err(error), "{bad}");
        }
        let id = OrganizationId(7 << 22);
        assert_eq!(id.to_string().parse(), Ok(OrganizationRef::Id(id)));
        assert_eq!("org_nonsense!".parse::<OrganizationRef>(), Err(()));
    }

    #[test]
    fn metadata_has_50_pairs_and_8_kib_at_most() {
        let pairs = |count: usize, bytes: usize| {
            (0..count).map(|number| (format!("{number:02}"), "v".repeat(bytes))).collect::<BTreeMap<_, _>>()
        };
        assert!(Metadata::new(pairs(50, 1)).is_some() && Metadata::new(pairs(51, 1)).is_none());
        assert!(Metadata::new(pairs(1, 8_190)).is_some() && Metadata::new(pairs(1, 8_191)).is_none());
    }
}
