//! What nodes say to each other, and how it is signed: anyone who can reach the API could send it otherwise.
//!
//! A push is a hint: what it says is in the database, where the receiver reads it. One that is repeated does nothing that
//! the database does not say.

use std::time::Duration;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::super::messages::{Announcement, BreakerReset};
use super::rights::ClusterSeen;
use crate::domain::cluster::{Member, Slot};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::rotation::SecretId;
use crate::domain::time::UnixMillis;

/// The path of pushes.
pub const PUSH_PATH: &str = "/cluster/v1/push";
/// The header with the time and the signature.
pub const PUSH_HEADER: &str = "ringback-cluster";
/// A push that is older is refused: by the database's clock, which all nodes follow. Smaller: nodes whose way to the database
/// is slow don't understand each other. Larger: a recorded push can be repeated for longer.
const VALID_FOR: Duration = Duration::from_secs(30);

/// The key of pushes, made from the master key.
#[derive(Clone)]
pub struct PushKey([u8; 32]);

impl PushKey {
    /// `derived`: what the cipher derives for this purpose.
    pub fn new(derived: [u8; 32]) -> Self {
        Self(derived)
    }

    fn mac(&self, at: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(at.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        Some(mac)
    }

    /// The header of a push.
    pub(crate) fn sign(&self, now: UnixMillis, body: &[u8]) -> String {
        let tag = self.mac(now.0, body).map(|mac| HEXLOWER.encode(&mac.finalize().into_bytes()));
        format!("t={},s={}", now.0, tag.unwrap_or_default())
    }

    /// What whoever takes a push answers with: the header of the answer. Anything else at that address can't know it.
    pub(crate) fn answer_to(&self, header: &str) -> String {
        let tag = self.mac(0, header.as_bytes()).map(|mac| HEXLOWER.encode(&mac.finalize().into_bytes()));
        tag.unwrap_or_default()
    }

    /// Whether a push is of a node of this cluster, and new.
    pub(crate) fn verifies(&self, header: &str, now: UnixMillis, body: &[u8]) -> bool {
        let parts = header.strip_prefix("t=").and_then(|rest| rest.split_once(",s="));
        let Some((at, tag)) = parts else { return false };
        let (Ok(at), Ok(tag)) = (at.parse::<i64>(), HEXLOWER.decode(tag.as_bytes())) else { return false };
        let is_new = now.0.abs_diff(at) <= u64::try_from(VALID_FOR.as_millis()).unwrap_or(u64::MAX);
        is_new && self.mac(at, body).is_some_and(|mac| mac.verify_slice(&tag).is_ok())
    }
}

/// A push as it is sent. Fields are only added.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Push {
    /// The node that it is for: an address can be another one's.
    slot: u8,
    incarnation: i64,
    /// Endpoints that have something new in the database.
    #[serde(default)]
    endpoints: Vec<PushedEndpoint>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PushedEndpoint {
    organization: i64,
    endpoint: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset: Option<PushedReset>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PushedReset {
    Resumed,
    Tested { url: String, accepted_secret: Option<i64> },
}

impl Push {
    pub(crate) fn of(announcements: &[Announcement], slot: Slot, incarnation: i64) -> Self {
        let endpoints = announcements.iter().map(|announcement| PushedEndpoint {
            organization: announcement.organization_id.0,
            endpoint: announcement.endpoint_id.0,
            since: announcement.since.map(|since| since.0),
            reset: announcement.reset.as_ref().map(|reset| match reset {
                BreakerReset::Resumed => PushedReset::Resumed,
                BreakerReset::TestSucceeded { url, accepted_secret } => PushedReset::Tested {
                    url: url.to_string(),
                    accepted_secret: accepted_secret.map(|secret| secret.0),
                },
            }),
        });
        Self { slot: slot.0, incarnation, endpoints: endpoints.collect() }
    }

    /// Whether it is for this node, as it has seen itself last.
    pub(crate) fn is_for(&self, seen: &ClusterSeen) -> bool {
        let is_me = |member: &Member| member.slot.0 == self.slot && member.incarnation == self.incarnation;
        seen.me == Some(Slot(self.slot)) && seen.members.iter().any(|(member, _)| is_me(member))
    }

    pub(crate) fn announcements(self) -> Vec<Announcement> {
        let announced = self.endpoints.into_iter().map(|pushed| Announcement {
            organization_id: OrganizationId(pushed.organization),
            endpoint_id: EndpointId(pushed.endpoint),
            since: pushed.since.map(UnixMillis),
            reset: pushed.reset.map(|reset| match reset {
                PushedReset::Resumed => BreakerReset::Resumed,
                PushedReset::Tested { url, accepted_secret } => {
                    BreakerReset::TestSucceeded { url: url.into(), accepted_secret: accepted_secret.map(SecretId) }
                }
            }),
        });
        announced.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cluster::MemberState;

    #[test]
    fn only_a_new_push_with_the_clusters_key_is_taken() {
        let (key, now) = (PushKey::new([7; 32]), UnixMillis(1_700_000_000_000));
        let header = key.sign(now, b"{}");
        assert!(key.verifies(&header, now, b"{}"));
        assert!(key.verifies(&header, UnixMillis(now.0 + 30_000), b"{}"));
        assert!(!key.verifies(&header, UnixMillis(now.0 + 30_001), b"{}"), "old");
        assert!(!key.verifies(&header, now, b"{} "), "changed");
        assert!(!PushKey::new([8; 32]).verifies(&header, now, b"{}"), "another key");
        for nonsense in ["", "t=1,s=", "t=,s=00", "s=00", &header.replace("t=", "t=9")] {
            assert!(!key.verifies(nonsense, now, b"{}"), "{nonsense}");
        }
    }

    fn seen(me: u8, incarnation: i64) -> ClusterSeen {
        let member = Member { incarnation, ..crate::domain::cluster::tests::member(me, MemberState::Live) };
        ClusterSeen { members: vec![(member, Duration::ZERO)], me: Some(Slot(me)), ..ClusterSeen::default() }
    }

    #[test]
    fn what_is_announced_arrives() {
        let announcement = Announcement {
            organization_id: OrganizationId(1),
            endpoint_id: EndpointId(2),
            since: Some(UnixMillis(3)),
            reset: Some(BreakerReset::TestSucceeded {
                url: "https://a".into(),
                accepted_secret: Some(SecretId(4)),
            }),
        };
        let text = serde_json::to_string(&Push::of(std::slice::from_ref(&announcement), Slot(3), 4)).unwrap();
        let arrived = serde_json::from_str::<Push>(&text).unwrap().announcements();
        assert_eq!(format!("{arrived:?}"), format!("{:?}", vec![announcement]));
        let later = serde_json::from_str::<Push>(r#"{"slot":3,"incarnation":4,"later":1}"#).unwrap();
        assert!(later.is_for(&seen(3, 4)) && !later.is_for(&seen(3, 5)) && !later.is_for(&seen(2, 4)));
        assert!(later.announcements().is_empty());
    }
}
