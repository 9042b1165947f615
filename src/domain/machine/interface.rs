//! The inputs and effects of the state machine.

use std::time::Duration;

use crate::domain::attempt::{AttemptError, NextStep, Response, RetryOn};
use crate::domain::breaker::BreakerConfig;
use crate::domain::delivery::{QueuePosition, QueuedDelivery};
use crate::domain::endpoint::{DisabledReason, Endpoint, RateLimit};
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EventId};
use crate::domain::limiter::{LimiterMemory, RateLimiter};
use crate::domain::retry::RetrySchedule;
use crate::domain::rotation::{SecretId, SecretTerms};
use crate::domain::time::UnixMillis;

/// The settings of an endpoint that decide which delivery is attempted when.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineSettings {
    /// Nothing is sent while this is false.
    pub active: bool,
    /// A change of URL clears the endpoint's record of failures.
    pub url: String,
    /// When failed deliveries are retried.
    pub retry: RetrySchedule,
    /// Which responses are retried although they are final by default.
    pub retry_on: RetryOn,
    /// None by default.
    pub rate_limit: Option<RateLimit>,
    /// The maximum of the adaptive concurrency.
    pub max_in_flight: u32,
    /// One at a time, in event order.
    pub ordered: bool,
    /// The secrets that attempts can be signed with.
    pub secrets: SecretTerms,
}

impl MachineSettings {
    /// The settings of an endpoint.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self {
            active: endpoint.active,
            url: endpoint.url.clone(),
            retry: endpoint.retry,
            retry_on: endpoint.retry_on,
            rate_limit: endpoint.rate_limit,
            max_in_flight: endpoint.max_in_flight,
            ordered: endpoint.ordered,
            secrets: SecretTerms::of(endpoint),
        }
    }
}

/// What the operator decides for every endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineLimits {
    /// When breakers open, and for how long.
    pub breaker: BreakerConfig,
    /// An endpoint that fails for this long without one success is disabled.
    pub disable_after: Duration,
}

impl MachineLimits {
    /// A longer time without any due attempt interrupts a streak of failures. A quarter of `disable_after`: with five days,
    /// one attempt a day is often enough, while attempts on the first and the last day alone are not.
    pub(super) fn max_quiet(&self) -> Duration {
        self.disable_after / 4
    }
}

/// What is known about requests sent before this machine began, for the rate limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RateLimitHistory {
    /// Left by the endpoint's last supervisor.
    Remembered(LimiterMemory),
    /// Unknown up to this instant, for example because the process was killed; nothing was sent since.
    UnknownUntil(UnixMillis),
}

impl RateLimitHistory {
    pub(super) fn limiter(&self, limit: &RateLimit) -> RateLimiter {
        match self {
            Self::Remembered(memory) => RateLimiter::restore(limit, memory),
            Self::UnknownUntil(at) => RateLimiter::empty_since(limit, *at),
        }
    }
}

/// Something that happened to an endpoint.
pub enum Input<'a> {
    /// Deliveries of events that were just committed, in the order of their ids.
    Committed(Vec<QueuedDelivery>),
    /// Deliveries became pending that are only in the database.
    MoreInStore {
        /// Their turns come at this instant or later; `None` when that is not known.
        since: Option<UnixMillis>,
    },
    /// The page that [`Effect::Load`] asked for.
    Loaded {
        /// In queue order.
        deliveries: Vec<QueuedDelivery>,
        /// Whether more of them are due.
        more: bool,
        /// The earliest due time after now.
        next_due_at: Option<UnixMillis>,
        /// Where the page ended.
        end: Option<QueuePosition>,
    },
    /// The database failed at [`Effect::Load`], or there was no memory for the page.
    LoadFailed,
    /// An attempt ended.
    AttemptFinished {
        /// As it was in [`Effect::Attempt`].
        delivery: &'a QueuedDelivery,
        /// The response, or why there is none.
        response: &'a Result<Response, AttemptError>,
    },
    /// An attempt was not made because this machine lacked a resource (see [`crate::domain::attempt::LocalFault`]). It says
    /// nothing about the receiver, and the delivery is due as before.
    AttemptNotMade(QueuedDelivery),
    /// The outcomes of [`Effect::Record`] for these deliveries are on disk.
    OutcomesRecorded(&'a [DeliveryId]),
    /// A test event succeeded, which counts as a successful probe. The organization already saw its result.
    Tested {
        /// The secret that the receiver accepted after it had refused another.
        accepted_secret: Option<SecretId>,
    },
    /// A person resumed the webhook: nothing waits for a probe, and deliveries that waited for a retry are due now.
    Resumed,
    /// An event's payload was erased: what was pending of it is cancelled in the database.
    PayloadErased(EventId),
    /// The endpoint's settings changed.
    Reconfigured(MachineSettings),
    /// Nothing new is started from now on.
    Drain,
    /// Time has passed.
    Wake,
}

/// Something for the supervisor to do.
#[derive(Debug)]
pub enum Effect {
    /// Make an attempt.
    Attempt {
        /// The delivery to attempt.
        delivery: QueuedDelivery,
        /// Which attempt of it this is, from 1.
        number: u32,
        /// Signs the CallIntel signature header, which carries one signature only.
        secret: SecretId,
    },
    /// Record the outcome of an attempt, together with everything that it changed.
    Record {
        /// The delivery of the attempt.
        delivery_id: DeliveryId,
        /// Of the attempt, from 1.
        number: u32,
        /// The delivery's next step.
        next: NextStep,
        /// The endpoint's health, when it changed.
        health: Option<EndpointHealth>,
        /// Why to disable the endpoint, if so.
        disable: Option<DisabledReason>,
        /// Operational events for the organization, if it subscribed to them.
        announcements: Vec<Announcement>,
    },
    /// Read the next page of pending deliveries, less [`super::EndpointMachine::held_ids`].
    Load {
        /// An upper bound.
        max_deliveries: usize,
        /// An upper bound on bytes of bodies; one delivery may exceed it.
        max_bytes: usize,
        /// It begins behind this position; `None`: at the head of the queue.
        after: Option<QueuePosition>,
    },
    /// Store the endpoint's health.
    SaveHealth(EndpointHealth),
}

/// An operational event about an endpoint, for its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// `webhook.failing`: its breaker opened, or a delivery failed with no retries left.
    Failing {
        /// The first failure of this streak.
        since: UnixMillis,
    },
    /// `webhook.recovered`: it works again after it was announced as failing.
    Recovered {
        /// The first failure of the streak that ended.
        failing_since: UnixMillis,
    },
    /// `webhook.disabled`.
    Disabled(DisabledReason),
    /// `delivery.exhausted`: a delivery failed, with no retries left.
    Exhausted,
}

/// Whether an endpoint has anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingWork {
    /// Something is in flight or being read or recorded.
    Busy,
    /// Nothing before this instant.
    Until(UnixMillis),
    /// Nothing at all.
    Idle,
}
