//! An endpoint: a configured destination. The API calls it a webhook.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::RetryOn;
use super::filter::Filter;
use super::ids::{EndpointId, OrganizationId};
use super::patterns::EventPattern;
use super::retry::RetrySchedule;
use super::secret::Secret;
use super::time::UnixMillis;

/// `timeout` when none is given: the document tells receivers to answer within 10 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// `max_in_flight` when none is given.
pub const DEFAULT_MAX_IN_FLIGHT: u32 = 32;

/// `rate_limit` of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// 0.01–10,000.
    pub per_second: f64,
    /// How many may go at once after a pause; at least 1. Absent: a tenth of a second's worth, at least 1, so
    /// that no second sees more than 1.1 times the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl RateLimit {
    /// The burst that is in force.
    pub fn effective_burst(&self) -> u32 {
        self.burst.unwrap_or((self.per_second / 10.0) as u32).max(1)
    }
}

/// Why an endpoint is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// The receiver answered 410.
    Gone,
    /// A person switched it off.
    Manual,
    /// It failed for too long without one success.
    Failing,
}

impl DisabledReason {
    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Manual => "manual",
            Self::Failing => "failing",
        }
    }

    /// Reads the name in the database; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Gone, Self::Manual, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A header that the customer wants on every request. Its value is a secret of the customer.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomHeader {
    /// A token, as the customer wrote it.
    pub name: String,
    /// Visible ASCII.
    pub value: Secret,
}

/// A secret that was rotated away and is still valid.
#[derive(Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: Secret,
    /// From then on it is no longer signed with.
    pub expires_at: UnixMillis,
}

/// An endpoint with everything that is known of it, its secrets included: hence no `Debug`.
#[derive(Clone, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// The tenant that owns it.
    pub organization_id: OrganizationId,
    /// Where its events go; checked by [`super::target`] when it was set.
    pub url: String,
    /// The owner's words; at most 500 characters.
    pub description: Option<String>,
    /// Whether events are sent to it. While it is not, what is pending waits.
    pub active: bool,
    /// Why it is not active.
    pub disabled_reason: Option<DisabledReason>,
    /// Since when it is not active.
    pub disabled_at: Option<UnixMillis>,
    /// Which event types it wants; empty = all.
    pub events: Vec<EventPattern>,
    /// What the event's `data` must be like; `None` = anything.
    pub filter: Option<Filter>,
    /// For a whole attempt: 1–60 s.
    pub timeout: Duration,
    /// How it retries.
    pub retry: RetrySchedule,
    /// Which final answers are retried all the same.
    pub retry_on: RetryOn,
    /// At most 20.
    pub headers: Vec<CustomHeader>,
    /// None by default.
    pub rate_limit: Option<RateLimit>,
    /// 1–256 attempts at once.
    pub max_in_flight: u32,
    /// One at a time, in event order; a retry blocks the next.
    pub ordered: bool,
    /// What its events are signed with.
    pub secret: Secret,
    /// What they are signed with as well, after a rotation.
    pub previous_secret: Option<PreviousSecret>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Grows by one with every change; an update names the version that it read.
    pub version: i64,
}
