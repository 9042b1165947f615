//! What the state machine is told, and what it says.

use std::time::Duration;

use crate::domain::attempt::{AttemptError, NextStep, Response, RetryOn};
use crate::domain::breaker::BreakerConfig;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::{DisabledReason, Endpoint, RateLimit};
use crate::domain::health::EndpointHealth;
use crate::domain::ids::DeliveryId;
use crate::domain::limiter::{LimiterMemory, RateLimiter};
use crate::domain::retry::RetrySchedule;
use crate::domain::rotation::{SecretId, SecretTerms};
use crate::domain::time::UnixMillis;

/// The part of an endpoint's settings that decides when it is sent what.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineSettings {
    /// Nothing is sent while it is not.
    pub active: bool,
    /// Where it points; another place starts with a clean record.
    pub url: String,
    /// When failed deliveries are tried again.
    pub retry: RetrySchedule,
    /// Which final answers are.
    pub retry_on: RetryOn,
    /// None by default.
    pub rate_limit: Option<RateLimit>,
    /// The cap of the adaptive concurrency.
    pub max_in_flight: u32,
    /// One at a time, in event order.
    pub ordered: bool,
    /// What its attempts can be signed with.
    pub secrets: SecretTerms,
}

impl MachineSettings {
    /// Takes them out of an endpoint.
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
    /// When its breaker opens, and for how long.
    pub breaker: BreakerConfig,
    /// An endpoint that fails throughout so long without one success is disabled.
    pub disable_after: Duration,
}

impl MachineLimits {
    /// For so long nothing may have been due before it counts as a pause in its failing. A quarter: once a day is often
    /// enough for five days, and what was tried on the first and on the last of them alone is not.
    pub(super) fn max_quiet(&self) -> Duration {
        self.disable_after / 4
    }
}

/// What may have been sent to an endpoint before its machine began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SentBefore {
    /// By its last supervisor.
    Remembered(LimiterMemory),
    /// Up to this instant, by who knows whom: a process that was killed. Nothing since.
    UnknownUntil(UnixMillis),
}

impl SentBefore {
    pub(super) fn limiter(&self, limit: &RateLimit) -> RateLimiter {
        match self {
            Self::Remembered(memory) => RateLimiter::restore(limit, memory),
            Self::UnknownUntil(at) => RateLimiter::empty_since(limit, *at),
        }
    }
}

/// What happens to an endpoint.
pub enum Input<'a> {
    /// Deliveries of events that were just committed, in the order of their ids.
    Committed(Vec<QueuedDelivery>),
    /// Deliveries were committed that did not come by memory.
    MoreInStore,
    /// The page that [`Effect::Load`] asked for.
    Loaded {
        /// In queue order.
        deliveries: Vec<QueuedDelivery>,
        /// Whether more of them are due.
        more: bool,
        /// The earliest later turn in the queue.
        next_due_at: Option<UnixMillis>,
    },
    /// The database did not answer [`Effect::Load`], or there was no memory for the answer.
    LoadFailed,
    /// An attempt ended.
    AttemptFinished {
        /// What was sent.
        delivery: &'a QueuedDelivery,
        /// What came of it.
        answer: &'a Result<Response, AttemptError>,
    },
    /// An attempt was not made: this machine lacked something (see [`crate::domain::attempt::LocalFault`]). Nothing
    /// is learned of the receiver, and the delivery is due as before.
    AttemptNotMade(QueuedDelivery),
    /// What [`Effect::Record`] asked for of these is on disk.
    OutcomesRecorded(&'a [DeliveryId]),
    /// A test was answered with success: a probe that somebody else made. Its organization was told.
    Tested {
        /// The secret that was taken after another one had been refused.
        accepted_secret: Option<SecretId>,
    },
    /// A person says go: nothing waits for a probe, and what waited for a retry is due now in the database.
    Resumed,
    /// The endpoint's settings changed.
    Reconfigured(MachineSettings),
    /// Nothing new is started from now on.
    Drain,
    /// Time has passed.
    Wake,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Send it.
    Attempt {
        /// What to send.
        delivery: QueuedDelivery,
        /// Which attempt of it this is, from 1.
        number: u32,
        /// What the document's signature is made with.
        secret: SecretId,
    },
    /// Write down how an attempt ended, together with everything that it changed.
    Record {
        /// Whose it was.
        delivery_id: DeliveryId,
        /// Which one.
        number: u32,
        /// What becomes of the delivery.
        next: NextStep,
        /// The endpoint's condition, when it changed.
        health: Option<EndpointHealth>,
        /// The endpoint is to be disabled.
        disable: Option<DisabledReason>,
        /// What the organization is told, when it asked for it.
        announcements: Vec<Announcement>,
    },
    /// Read the next page of pending deliveries, less [`super::EndpointMachine::known`].
    Load {
        /// At most so many.
        max_deliveries: usize,
        /// At most so many bytes of bodies, but at least one delivery.
        max_bytes: usize,
    },
    /// Write down the endpoint's condition.
    SaveHealth(EndpointHealth),
}

/// What an organization is told about its own endpoint, as an operational event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// `webhook.failing`: its breaker opened, or a delivery used up its attempts.
    Failing {
        /// Since when.
        since: UnixMillis,
    },
    /// `webhook.recovered`: it works again after it was announced as failing.
    Recovered {
        /// Since when it had failed.
        failing_since: UnixMillis,
    },
    /// `webhook.disabled`.
    Disabled(DisabledReason),
    /// `delivery.exhausted`: a delivery failed for good.
    Exhausted,
}

/// Whether an endpoint has anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Something is in flight.
    Busy,
    /// Nothing before this instant.
    Until(UnixMillis),
    /// Nothing at all.
    Idle,
}
