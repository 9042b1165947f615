//! What an endpoint's state machine is told, and what it says.

use crate::domain::attempt::{AttemptError, NextStep, Response};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::DeliveryId;
use crate::domain::machine::MachineSettings;
use crate::domain::time::UnixMillis;

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
    /// The database did not answer [`Effect::Load`].
    LoadFailed,
    /// An attempt ended.
    AttemptFinished {
        /// Whose it was.
        delivery_id: DeliveryId,
        /// What came of it.
        answer: &'a Result<Response, AttemptError>,
    },
    /// What [`Effect::Record`] asked for is on disk.
    OutcomeRecorded(DeliveryId),
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
    },
    /// Write down how an attempt ended.
    Record {
        /// Whose it was.
        delivery_id: DeliveryId,
        /// Which one.
        number: u32,
        /// What becomes of the delivery.
        next: NextStep,
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
    /// The receiver is gone for good: disable the endpoint.
    DisableGone,
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
