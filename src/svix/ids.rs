//! The names that this API gives to ids. Each is made from ours and back: nothing has to be kept about them. Applications and
//! endpoints that were brought over from Svix's server keep the names that they had there.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::organization::{Organization, OrganizationRef, OrganizationUid};
use crate::domain::svix::Environment;
use crate::domain::svix_id::SvixId;

/// Of digits in the text of an id.
const ALPHABET: &[u8; 32] = crate::domain::ids::ALPHABET;
/// Of the number of an attempt, at least.
const NUMBER_DIGITS: usize = 2;
/// More than any number has.
const MAX_NUMBER_DIGITS: usize = 6;
const ATTEMPT_PREFIX: &str = "atmpt_";
/// What ids of applications begin with: an own id that does is never found.
pub(super) const APPLICATION_PREFIX: &str = "app_";
const ENDPOINT_PREFIX: &str = "ep_";
/// Of an id behind its prefix.
const ID_DIGITS: usize = 13;

macro_rules! renamed_id {
    ($(#[$doc:meta])* $name:ident, $inner:ident, $ours:literal, $theirs:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ours = self.0.to_string();
                write!(f, "{}{}", $theirs, ours.strip_prefix($ours).unwrap_or(&ours))
            }
        }

        impl FromStr for $name {
            /// It is not the id of one.
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                let digits = text.strip_prefix($theirs).ok_or(())?;
                format!("{}{digits}", $ours).parse().map(Self).map_err(|_| ())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

renamed_id!(
    /// An organization.
    ApplicationId,
    OrganizationId,
    "org_",
    APPLICATION_PREFIX
);
renamed_id!(
    /// A webhook.
    EndpointName,
    EndpointId,
    "wh_",
    ENDPOINT_PREFIX
);

/// How a path or a token names an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationName {
    /// By our id or the publisher's own.
    Ours(OrganizationRef),
    /// By the id that it had at Svix's server.
    OfSvix(SvixId),
}

impl ApplicationName {
    /// Reads an id of this API, which a token can hold, or of our own; `None` for what is neither.
    pub fn parse_id(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Ours(OrganizationRef::Id(id)));
        }
        Self::parse_in(&Environment::default(), text)
            .filter(|name| !matches!(name, Self::Ours(OrganizationRef::Uid(_))))
    }

    /// Reads a name in this environment; `None` for what can't be one.
    pub(super) fn parse_in(environment: &Environment, text: &str) -> Option<Self> {
        let Some(digits) = text.strip_prefix(APPLICATION_PREFIX) else {
            return OrganizationUid::parse_in(environment, text).map(OrganizationRef::Uid).map(Self::Ours).ok();
        };
        match text.parse() {
            Ok(ApplicationId(id)) => Some(Self::Ours(OrganizationRef::Id(id))),
            Err(()) => digits.parse().map(Self::OfSvix).ok(),
        }
    }
}

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(OrganizationRef::Id(id)) => ApplicationId(*id).fmt(f),
            Self::Ours(OrganizationRef::Uid(uid)) => f.write_str(uid.as_str()),
            Self::OfSvix(id) => write!(f, "{APPLICATION_PREFIX}{id}"),
        }
    }
}

/// The id that a path gives to an endpoint, if it is one of Svix's server.
pub(super) fn svix_id_of_endpoint(name: &str) -> Option<SvixId> {
    name.strip_prefix(ENDPOINT_PREFIX)?.parse().ok()
}

/// The id of an application in responses.
pub(super) fn shown_application(organization: &Organization) -> String {
    match &organization.svix_id {
        Some(id) => format!("{APPLICATION_PREFIX}{id}"),
        None => ApplicationId(organization.id).to_string(),
    }
}

/// The id of an endpoint in responses.
pub(super) fn shown_endpoint(endpoint: &Endpoint) -> String {
    shown_endpoint_id(endpoint.id, endpoint.svix_id.as_ref())
}

/// The same of one of which only the ids are known.
pub(super) fn shown_endpoint_id(id: EndpointId, svix_id: Option<&SvixId>) -> String {
    match svix_id {
        Some(id) => format!("{ENDPOINT_PREFIX}{id}"),
        None => EndpointName(id).to_string(),
    }
}

/// An attempt: the delivery's id, and the attempt's number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptId {
    pub delivery_id: DeliveryId,
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delivery = self.delivery_id.to_string();
        let digits = delivery.rsplit('_').next().unwrap_or_default();
        write!(f, "{ATTEMPT_PREFIX}{digits}")?;
        let significant = (0..MAX_NUMBER_DIGITS).rev().find(|place| self.number >> (5 * place) != 0);
        let count = significant.map_or(1, |place| place + 1).max(NUMBER_DIGITS);
        (0..count).rev().try_for_each(|place| {
            let digit = (self.number >> (5 * place)) & 31;
            write!(f, "{}", char::from(ALPHABET[digit as usize]))
        })
    }
}

impl FromStr for AttemptId {
    /// It is not the id of one.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix(ATTEMPT_PREFIX).ok_or(())?;
        let (delivery, number) = digits.split_at_checked(ID_DIGITS).ok_or(())?;
        let delivery_id = format!("dlv_{delivery}").parse().map_err(|_| ())?;
        let value = number.bytes().try_fold(0u32, |value, byte| {
            let digit = ALPHABET.iter().position(|&symbol| symbol == byte)?;
            value.checked_mul(32)?.checked_add(u32::try_from(digit).ok()?)
        });
        let id = Self { delivery_id, number: value.ok_or(())? };
        // one attempt has one name
        (id.to_string() == text).then_some(id).ok_or(())
    }
}

impl Serialize for AttemptId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_id_survives_its_text_form(raw in 0..i64::MAX, number in 0u32..1_000_000) {
            let application = ApplicationId(OrganizationId(raw));
            prop_assert_eq!(application.to_string().parse(), Ok(application));
            prop_assert!(application.to_string().starts_with("app_"));
            let endpoint = EndpointName(EndpointId(raw));
            prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
            prop_assert!(endpoint.to_string().starts_with("ep_"));
            let attempt = AttemptId { delivery_id: DeliveryId(raw), number };
            prop_assert_eq!(attempt.to_string().parse(), Ok(attempt));
        }

        #[test]
        fn attempts_sort_by_their_delivery_then_by_their_number(
            (a, b) in (0..i64::MAX, 0..i64::MAX),
            (m, n) in (0u32..1_024, 0u32..1_024),
        ) {
            let text = |raw, number| AttemptId { delivery_id: DeliveryId(raw), number }.to_string();
            prop_assert_eq!((a, m).cmp(&(b, n)), text(a, m).cmp(&text(b, n)));
        }

        #[test]
        fn no_text_panics_and_what_is_read_prints_the_same(text in "(app_|ep_|atmpt_|org_)?[0-9a-zé]{0,20}") {
            if let Ok(id) = text.parse::<ApplicationId>() {
                prop_assert_eq!(id.to_string(), text.clone());
            }
            if let Ok(id) = text.parse::<AttemptId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_attempt_has_the_thirteen_characters_of_its_delivery_and_two_of_its_number() {
        let id = AttemptId { delivery_id: DeliveryId(33), number: 35 };
        assert_eq!(id.to_string(), "atmpt_000000000001113");
        for wrong in ["atmpt_0000000000011", "atmpt_00000000000113", "atmpt_0000000000011013", "dlv_0000000000011"]
        {
            assert_eq!(wrong.parse::<AttemptId>(), Err(()), "{wrong}");
        }
        assert!("org_0000000000011".parse::<ApplicationId>().is_err(), "ours is not theirs");
    }
}
