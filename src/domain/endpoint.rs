//! An endpoint: a configured destination. The API calls it a webhook.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::RetryOn;
use super::credentials::Credentials;
use super::filter::Filter;
use super::ids::{EndpointId, OrganizationId};
use super::organization::{Metadata, OrganizationUid};
use super::patterns::EventPattern;
use super::retry::RetrySchedule;
use super::secret::Secret;
use super::sent_request::HeaderStyle;
use super::svix_id::SvixId;
use super::time::UnixMillis;

/// How many secrets of an endpoint are valid at once, the newest included (contract). Larger: a receiver that refuses
/// everything is asked that many times for each delivery, and every request has as many signatures.
pub(crate) const MAX_VALID_SECRETS: usize = 5;
/// The contract asks receivers to respond within 10 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_MAX_IN_FLIGHT: u32 = 32;

/// `rate_limit` of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// 0.01–10,000.
    pub per_second: f64,
    /// Attempts that may be made at once after a pause; at least 1. Absent: a tenth of a second's worth, at least 1, so that
    /// no second sees more than 1.1 times the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl RateLimit {
    pub(crate) fn effective_burst(&self) -> u32 {
        self.burst.unwrap_or((self.per_second / 10.0) as u32).max(1)
    }
}

/// Why an endpoint is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// The receiver responded with 410.
    Gone,
    /// A person switched it off.
    Manual,
    /// It failed for too long without one success.
    Failing,
}

impl DisabledReason {
    /// The name in the API and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Manual => "manual",
            Self::Failing => "failing",
        }
    }

    /// Reads the name in the database; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Gone, Self::Manual, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A header that the customer wants on every request. Its value is treated as a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomHeader {
    /// A token, as the customer wrote it.
    pub name: String,
    /// Visible ASCII.
    pub value: Secret,
}

/// A secret that was replaced by a rotation and may still be valid.
#[derive(Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    pub secret: Secret,
    /// It signs nothing from this instant on.
    pub expires_at: UnixMillis,
}

/// Five secrets are valid, and a rotation would leave six.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManySecrets {
    /// When the first of them ends.
    pub until: UnixMillis,
}

/// What an endpoint has whose owner says nothing about it, as the operator set it; else what the contract says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EndpointDefaults {
    pub retry: RetrySchedule,
    /// 1–60 s.
    pub timeout: Duration,
    /// 1–256.
    pub max_in_flight: u32,
}

impl Default for EndpointDefaults {
    fn default() -> Self {
        Self { retry: RetrySchedule::default(), timeout: DEFAULT_TIMEOUT, max_in_flight: DEFAULT_MAX_IN_FLIGHT }
    }
}

/// An endpoint with all of its settings. It contains secrets and therefore has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct Endpoint {
    pub id: EndpointId,
    /// The tenant that owns it.
    pub organization_id: OrganizationId,
    /// Checked by [`super::target`] when it was set.
    pub url: String,
    /// Written by its owner; at most 500 characters.
    pub description: Option<String>,
    /// Whether events are sent to it. While it is inactive, pending deliveries wait.
    pub active: bool,
    /// Why it is inactive.
    pub disabled_reason: Option<DisabledReason>,
    /// Since when it is inactive.
    pub disabled_at: Option<UnixMillis>,
    /// The event types that it subscribes to; empty = all.
    pub events: Vec<EventPattern>,
    /// The conditions on the event's `data`; `None` = no conditions.
    pub filter: Option<Filter>,
    /// It gets only events that share one of these; empty = all events. At most 10.
    pub channels: Vec<String>,
    /// For a whole attempt: 1–60 s.
    pub timeout: Duration,
    /// How it retries.
    pub retry: RetrySchedule,
    /// Responses that are retried although they are final by default.
    pub retry_on: RetryOn,
    /// At most 20.
    pub headers: Vec<CustomHeader>,
    /// What it shows to its receiver beside signatures.
    pub credentials: Credentials,
    /// None by default.
    pub rate_limit: Option<RateLimit>,
    /// 1–256 attempts at once.
    pub max_in_flight: u32,
    /// One at a time, in event order; a retry blocks the next.
    pub ordered: bool,
    /// How its requests are signed.
    pub header_style: HeaderStyle,
    /// The publisher's own id of it, unique in its organization.
    pub uid: Option<OrganizationUid>,
    /// Of one that was brought over from Svix's server; unique in its organization.
    pub svix_id: Option<SvixId>,
    /// What a publisher keeps with it. The engine does not read it.
    pub metadata: Metadata,
    /// The newest signing secret.
    pub secret: Secret,
    /// Earlier secrets that sign as well after rotations, the newest first. Each has its own expiry, which may be past.
    pub previous_secrets: Vec<PreviousSecret>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Grows by one with every change; an update names the version that it read.
    pub version: i64,
}

impl Endpoint {
    /// An active endpoint with the default of every setting. It wants all events.
    pub fn new(
        id: EndpointId,
        organization_id: OrganizationId,
        url: impl Into<String>,
        secret: Secret,
        created_at: UnixMillis,
    ) -> Self {
        Self {
            id,
            organization_id,
            url: url.into(),
            description: None,
            active: true,
            disabled_reason: None,
            disabled_at: None,
            events: Vec::new(),
            filter: None,
            channels: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            retry: RetrySchedule::default(),
            retry_on: RetryOn::default(),
            headers: Vec::new(),
            credentials: Credentials::default(),
            rate_limit: None,
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            ordered: false,
            header_style: HeaderStyle::default(),
            uid: None,
            svix_id: None,
            metadata: Metadata::default(),
            secret,
            previous_secrets: Vec::new(),
            created_at,
            updated_at: created_at,
            version: 1,
        }
    }

    /// With the operator's defaults.
    pub fn with_defaults(self, defaults: &EndpointDefaults) -> Self {
        let EndpointDefaults { retry, timeout, max_in_flight } = *defaults;
        Self { retry, timeout, max_in_flight, ..self }
    }

    /// The rotated secrets that are valid at `now`, the newest first.
    pub(crate) fn valid_previous_secrets(&self, now: UnixMillis) -> impl Iterator<Item = &PreviousSecret> {
        self.previous_secrets.iter().filter(move |previous| previous.expires_at > now)
    }

    /// Replaces the secret at `now`. The previous one stays valid for `overlap`, and earlier ones until their own expiry. The
    /// same secret changes nothing, because it is a repeated request. At most `most` secrets are valid then.
    pub(crate) fn rotate(
        &mut self,
        secret: Secret,
        overlap: Duration,
        most: usize,
        now: UnixMillis,
    ) -> Result<(), TooManySecrets> {
        if self.secret == secret {
            return Ok(());
        }
        let mut previous: Vec<PreviousSecret> = self.valid_previous_secrets(now).cloned().collect();
        // a secret that is used again no longer expires
        previous.retain(|one| one.secret != secret);
        if !overlap.is_zero() {
            previous.insert(0, PreviousSecret { secret: self.secret.clone(), expires_at: now + overlap });
        }
        if previous.len() >= most {
            // the secret that is being replaced is valid in any case
            let ends = previous[1..].iter().map(|one| one.expires_at);
            return Err(TooManySecrets { until: ends.min().unwrap_or(now) });
        }
        self.secret = secret;
        self.previous_secrets = previous;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn endpoint() -> Endpoint {
        Endpoint::new(EndpointId(1), OrganizationId(1), "https://a.example", secret(0), NOW)
    }

    fn secret(number: u32) -> Secret {
        Secret::new(format!("whsec_{number}"))
    }

    /// What is valid at an instant, the newest first.
    fn valid(endpoint: &Endpoint, now: UnixMillis) -> Vec<&str> {
        let previous = endpoint.valid_previous_secrets(now).map(|one| one.secret.expose());
        std::iter::once(endpoint.secret.expose()).chain(previous).collect()
    }

    #[test]
    fn each_rotated_secret_stays_valid_to_its_own_end() {
        let mut endpoint = endpoint();
        endpoint.rotate(secret(1), 3 * HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        endpoint.rotate(secret(2), HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        endpoint.rotate(secret(3), 2 * HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        assert_eq!(valid(&endpoint, NOW), ["whsec_3", "whsec_2", "whsec_1", "whsec_0"]);
        assert_eq!(valid(&endpoint, NOW + HOUR), ["whsec_3", "whsec_2", "whsec_0"]);
        assert_eq!(valid(&endpoint, NOW + 2 * HOUR), ["whsec_3", "whsec_0"]);
        assert_eq!(valid(&endpoint, NOW + 3 * HOUR), ["whsec_3"]);
    }

    #[test]
    fn a_sixth_valid_secret_is_refused_until_one_has_ended_and_nothing_changes() {
        let mut endpoint = endpoint();
        for number in 1..5 {
            endpoint.rotate(secret(number), HOUR * number, MAX_VALID_SECRETS, NOW).unwrap();
        }
        let before = endpoint.clone();
        let refused = endpoint.rotate(secret(5), HOUR, MAX_VALID_SECRETS, NOW);
        assert_eq!(refused, Err(TooManySecrets { until: NOW + HOUR }));
        assert!(endpoint == before);
        // without an overlap there are five again
        endpoint.clone().rotate(secret(5), Duration::ZERO, MAX_VALID_SECRETS, NOW).unwrap();
        endpoint.rotate(secret(5), HOUR, MAX_VALID_SECRETS, NOW + HOUR).unwrap();
        assert_eq!(valid(&endpoint, NOW + HOUR).len(), 5);
    }

    #[test]
    fn without_an_overlap_only_the_secret_before_ends() {
        let mut endpoint = endpoint();
        endpoint.rotate(secret(1), HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        endpoint.rotate(secret(2), Duration::ZERO, MAX_VALID_SECRETS, NOW).unwrap();
        assert_eq!(valid(&endpoint, NOW), ["whsec_2", "whsec_0"]);
    }

    #[test]
    fn a_secret_that_comes_back_is_there_once_and_the_same_again_changes_nothing() {
        let mut endpoint = endpoint();
        endpoint.rotate(secret(1), HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        let before = endpoint.clone();
        endpoint.rotate(secret(1), 9 * HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        assert!(endpoint == before);
        endpoint.rotate(secret(0), HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        assert_eq!(valid(&endpoint, NOW), ["whsec_0", "whsec_1"]);
    }
}
