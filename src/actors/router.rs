//! The router: hands committed deliveries to the supervisors of their endpoints, and starts missing supervisors.
//!
//! Owns the list of supervisors. Never holds a delivery: those that it can't hand on stay in the database, and the
//! supervisor or the scheduler gets a message that they are there.
//!
//! It starts the supervisors and so knows their type; they know it by its messages alone. Recipients for the six messages
//! that it sends to each of them would cost several allocations an endpoint.

mod cluster;
mod erasure;
mod later;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use actix::{Actor, Addr, ArbiterHandle, Context, Handler, MessageResult, Recipient, ResponseFuture};
use tokio::sync::oneshot;

use self::cluster::HandingOver;
use super::context::ActorContext;
use super::endpoint_supervisor::{EndpointSupervisor, SupervisorParts, SupervisorPorts};
use super::fairness::shares::{Holding, OrganizationShare, Refusal, Resource};
use super::mailbox::post;
use super::mailbox_credits::MailboxCredits;
use super::messages::{
    Activate, Announce, Announcement, BreakerWasReset, CapacityFreed, Deliver, Dispatch, Drain, EndpointChanged,
    EndpointReleased, MoreInStore, Reconfigure, ResetBreaker, Retire, RetireRequest, Schedule, SupervisorDrain,
    SupervisorStopped, WorkAdded,
};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::AgendaRow;
use crate::telemetry::{self, gauges::EngineGauge};

/// One in this many places is reserved for endpoints with an event that was just accepted. Without it a new event would
/// wait behind the backlog of its organization's other endpoints. Larger: fewer of these are worked on at once.
const URGENT_SHARE: usize = 8;

/// No place of a queue is behind this: for a message that announces nothing but that something is due.
const NOTHING_NEW: UnixMillis = UnixMillis(i64::MAX);

/// Where the router and its supervisors send their messages.
pub(crate) struct RouterPeers {
    pub(super) scheduler: SchedulerPorts,
    pub(super) cluster: ClusterPorts,
    pub(super) supervisors: Arc<SupervisorPorts>,
}

/// The cluster's part of [`RouterPeers`].
pub(crate) struct ClusterPorts {
    pub(super) announce: Recipient<Announce>,
    pub(super) released: Recipient<EndpointReleased>,
}

/// The scheduler's part of [`RouterPeers`].
pub(crate) struct SchedulerPorts {
    pub(super) schedule: Recipient<Schedule>,
    pub(super) capacity_freed: Recipient<CapacityFreed>,
}

struct Supervised {
    organization_id: OrganizationId,
    addr: Addr<EndpointSupervisor>,
    generation: u64,
    /// Messages sent to it: it may retire only after it has received them all.
    sent: u64,
    credits: Arc<MailboxCredits>,
    share: Arc<OrganizationShare>,
    #[expect(dead_code, reason = "held until it is dropped")]
    place: Holding,
}

/// The threads on which supervisors live.
///
/// A thread serves what is ready on it in turn, so that one organization with thousands of attempts in flight keeps every
/// other supervisor on its thread waiting for as long as they take. Those of organizations with few supervisors have
/// threads of their own, to which the system gives a processor at once.
///
/// Without any, they live where the router does.
pub struct SupervisorThreads {
    of_few: Vec<ArbiterHandle>,
    of_many: Vec<ArbiterHandle>,
}

/// An organization's supervisors beyond this number are on the threads of the many. Smaller: organizations with a few
/// webhooks meet the load of others there, and one with a few more is spread over twice as many threads, which with 8 cost
/// the 10 webhooks of `ringback load fanout` 6 % of processor time. Larger: one with this many busy webhooks is felt by all
/// that have few.
const FEW: usize = 16;

impl SupervisorThreads {
    /// Threads for organizations with few supervisors, and for all others; at least one of each.
    pub fn new(of_few: Vec<ArbiterHandle>, of_many: Vec<ArbiterHandle>) -> Self {
        Self { of_few, of_many }
    }

    /// All on the same thread, for tests.
    pub fn single(thread: ArbiterHandle) -> Self {
        Self { of_few: vec![thread.clone()], of_many: vec![thread] }
    }

    /// All of them where the router lives, in the same `LocalSet`: whoever drops that ends the engine as `kill -9` does. For
    /// tests.
    pub fn none() -> Self {
        Self { of_few: Vec::new(), of_many: Vec::new() }
    }

    fn of(&self, share: &OrganizationShare, endpoint_id: EndpointId) -> Option<&ArbiterHandle> {
        let threads = if share.held(Resource::Supervisors) <= FEW { &self.of_few } else { &self.of_many };
        let place = (endpoint_id.partition() as usize).checked_rem(threads.len())?;
        threads.get(place)
    }
}

/// The router actor.
pub struct Router {
    context: Arc<ActorContext>,
    arbiters: SupervisorThreads,
    peers: RouterPeers,
    /// Bounded by `max_active_endpoints`.
    supervised: HashMap<EndpointId, Supervised>,
    next_generation: u64,
    is_draining: bool,
    drained: Vec<oneshot::Sender<()>>,
    handing_over: Vec<HandingOver>,
    /// Endpoints whose next owner waits for the end of their supervisors here.
    pinned: HashSet<EndpointId>,
    abandoned: Vec<oneshot::Sender<()>>,
}

/// Why deliveries were not handed to a supervisor.
enum NotHandedOn {
    /// Their endpoint has to wait for its turn.
    Postponed(AgendaRow),
    /// Another node delivers them.
    Elsewhere(Announcement),
}

impl Router {
    pub(crate) fn new(context: Arc<ActorContext>, arbiters: SupervisorThreads, peers: RouterPeers) -> Self {
        Self {
            context,
            arbiters,
            peers,
            supervised: HashMap::new(),
            next_generation: 0,
            is_draining: false,
            drained: Vec::new(),
            handing_over: Vec::new(),
            pinned: HashSet::new(),
            abandoned: Vec::new(),
        }
    }

    /// The supervisor of an endpoint, started if there is none; `None` if there is no room for one, its organization
    /// has its share of the places, or another node has it. Urgent means that an event was just accepted for it.
    fn supervisor(
        &mut self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        is_urgent: bool,
    ) -> Option<&mut Supervised> {
        let is_alive = self.supervised.get(&endpoint_id).is_some_and(|supervised| supervised.addr.connected());
        if !is_alive {
            if self.is_draining || !self.context.rights.owns(endpoint_id) {
                return None;
            }
            // a lost one still has its place
            self.supervised.remove(&endpoint_id).inspect(|_| {
                telemetry::SupervisorLost { organization_id, endpoint_id }.emit();
                EngineGauge::EndpointsActive.subtract(1);
            });
            let share = self.context.shares.of(organization_id);
            let max = self.context.settings.max_active_endpoints;
            let max = if is_urgent { max } else { max - max / URGENT_SHARE };
            let place = match share.try_take_below(Resource::Supervisors, 1, max) {
                Ok(place) => place,
                Err(refusal) => {
                    self.context.set_crowded(refusal == Refusal::NothingFree);
                    return None;
                }
            };
            let supervised = self.start_supervisor(share, place, endpoint_id, is_urgent);
            self.supervised.insert(endpoint_id, supervised);
            EngineGauge::EndpointsActive.add(1);
        }
        self.supervised.get_mut(&endpoint_id)
    }

    fn start_supervisor(
        &mut self,
        share: Arc<OrganizationShare>,
        place: Holding,
        endpoint_id: EndpointId,
        is_urgent: bool,
    ) -> Supervised {
        let organization_id = share.organization_id;
        self.next_generation += 1;
        let generation = self.next_generation;
        let credits = Arc::new(MailboxCredits::default());
        let parts = SupervisorParts {
            context: self.context.clone(),
            ports: self.peers.supervisors.clone(),
            share: share.clone(),
            organization_id,
            endpoint_id,
            generation,
            is_urgent,
            credits: credits.clone(),
        };
        let addr = match self.arbiters.of(&share, endpoint_id) {
            Some(arbiter) => {
                EndpointSupervisor::start_in_arbiter(arbiter, move |_| EndpointSupervisor::new(parts))
            }
            None => EndpointSupervisor::new(parts).start(),
        };
        Supervised { organization_id, addr, generation, sent: 0, credits, share, place }
    }

    /// Hands deliveries to their endpoint's supervisor.
    fn deliver(
        &mut self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        deliveries: Vec<QueuedDelivery>,
    ) -> Result<(), NotHandedOn> {
        let context = self.context.clone();
        let since = deliveries.iter().map(|delivery| delivery.queued_at).min();
        if !context.rights.owns(endpoint_id) {
            let announcement = Announcement { organization_id, endpoint_id, since, reset: None };
            return Err(NotHandedOn::Elsewhere(announcement));
        }
        let Some(supervised) = self.supervisor(organization_id, endpoint_id, true) else {
            if let Some(since) = since {
                context.queue_cursors.lower(endpoint_id, since);
            }
            let row = AgendaRow { endpoint_id, organization_id, due_at: context.now() };
            return Err(NotHandedOn::Postponed(row));
        };
        let sizes = || deliveries.iter().map(|delivery| delivery.event.body.len());
        let room = context.payload.try_hold(&supervised.share, sizes().sum(), sizes().max().unwrap_or(0));
        if let Some(room) = room.filter(|_| supervised.credits.take(deliveries.len())) {
            supervised.sent += 1;
            post(&supervised.addr, Deliver(deliveries, room));
        } else if supervised.credits.overflow(since) {
            supervised.sent += 1;
            post(&supervised.addr, MoreInStore);
        }
        Ok(())
    }

    /// Takes a supervisor off the list; `None` if another one has taken its place.
    fn remove(&mut self, endpoint_id: EndpointId, generation: u64) -> Option<Supervised> {
        let is_this_one = self.supervised.get(&endpoint_id).is_some_and(|s| s.generation == generation);
        let removed = is_this_one.then(|| self.supervised.remove(&endpoint_id)).flatten();
        if let Some(supervised) = &removed {
            EngineGauge::EndpointsActive.subtract(1);
            // its place is free when the caller drops it, which is before the scheduler reads this
            post(&self.peers.scheduler.capacity_freed, CapacityFreed(supervised.organization_id));
            self.answer_drain();
            self.tell_cluster(endpoint_id);
        }
        removed
    }

    fn answer_drain(&mut self) {
        if self.is_draining && self.supervised.is_empty() {
            // an error means that the caller gave up waiting
            for drained in self.drained.drain(..) {
                let _ = drained.send(());
            }
        }
    }
}

impl Actor for Router {
    type Context = Context<Self>;
}

impl Handler<Dispatch> for Router {
    type Result = ();
    fn handle(&mut self, Dispatch(events): Dispatch, _: &mut Self::Context) {
        let mut by_endpoint: HashMap<EndpointId, (OrganizationId, Vec<QueuedDelivery>)> = HashMap::new();
        let (mut postponed, mut elsewhere) = (Vec::new(), Vec::new());
        let mut not_handed_on = |result| match result {
            Ok(()) => {}
            Err(NotHandedOn::Postponed(row)) => postponed.push(row),
            Err(NotHandedOn::Elsewhere(announcement)) => elsewhere.push(announcement),
        };
        for committed in events {
            if let Some(deliver_at) = committed.deliver_at {
                let organization_id = committed.event.organization_id;
                for (_, endpoint_id) in committed.deliveries {
                    not_handed_on(self.leave_until(deliver_at, organization_id, endpoint_id));
                }
                continue;
            }
            for (id, endpoint_id) in committed.deliveries {
                let event = committed.event.clone();
                let (organization_id, due_at) = (event.organization_id, event.accepted_at);
                let queued = by_endpoint.entry(endpoint_id).or_insert_with(|| (organization_id, Vec::new()));
                queued.1.push(QueuedDelivery::first(id, due_at, event));
            }
        }
        for (endpoint_id, (organization_id, deliveries)) in by_endpoint {
            not_handed_on(self.deliver(organization_id, endpoint_id, deliveries));
        }
        self.announce(elsewhere);
        if !postponed.is_empty() && !self.is_draining {
            post(&self.peers.scheduler.schedule, Schedule(postponed));
        }
    }
}

impl Handler<Activate> for Router {
    type Result = MessageResult<Activate>;
    fn handle(&mut self, Activate(rows): Activate, _: &mut Self::Context) -> Self::Result {
        let mut refused = Vec::new();
        for row in rows {
            if !self.context.rights.owns(row.endpoint_id) {
                continue;
            }
            match self.supervisor(row.organization_id, row.endpoint_id, false) {
                Some(supervised) if supervised.credits.overflow(Some(NOTHING_NEW)) => {
                    supervised.sent += 1;
                    post(&supervised.addr, MoreInStore);
                }
                Some(_) => {}
                None => refused.push(row),
            }
        }
        if refused.is_empty() {
            self.context.set_crowded(false);
        }
        MessageResult(refused)
    }
}

impl Handler<EndpointChanged> for Router {
    type Result = ();
    fn handle(&mut self, change: EndpointChanged, _: &mut Self::Context) {
        let EndpointChanged { organization_id, endpoint_id, endpoint } = change;
        let is_active = endpoint.as_ref().is_some_and(|endpoint| endpoint.active);
        self.context.queue_cursors.forget(endpoint_id);
        match self.supervised.get_mut(&endpoint_id) {
            Some(supervised) if supervised.addr.connected() => {
                supervised.sent += 1;
                post(&supervised.addr, Reconfigure(endpoint));
            }
            // it may have been inactive, with deliveries pending
            _ if is_active && !self.is_draining => {
                let due_at = self.context.now();
                post(
                    &self.peers.scheduler.schedule,
                    Schedule(vec![AgendaRow { endpoint_id, organization_id, due_at }]),
                );
            }
            _ => {}
        }
    }
}

impl Handler<WorkAdded> for Router {
    type Result = ();
    fn handle(&mut self, added: WorkAdded, _: &mut Self::Context) {
        let due_at = self.context.now();
        for endpoint_id in added.endpoint_ids {
            self.context.queue_cursors.forget(endpoint_id);
            if !self.context.rights.owns(endpoint_id) {
                let organization_id = added.organization_id;
                self.announce(vec![Announcement { organization_id, endpoint_id, since: None, reset: None }]);
                continue;
            }
            match self.supervised.get_mut(&endpoint_id) {
                Some(supervised) if supervised.addr.connected() => {
                    let needs_message = supervised.credits.overflow(None);
                    if needs_message {
                        supervised.sent += 1;
                        post(&supervised.addr, MoreInStore);
                    }
                }
                _ if !self.is_draining => {
                    let organization_id = added.organization_id;
                    post(
                        &self.peers.scheduler.schedule,
                        Schedule(vec![AgendaRow { endpoint_id, organization_id, due_at }]),
                    );
                }
                _ => {}
            }
        }
    }
}

impl Handler<BreakerWasReset> for Router {
    type Result = ();
    fn handle(&mut self, was_reset: BreakerWasReset, _: &mut Self::Context) {
        let BreakerWasReset { organization_id, endpoint_id, reset } = was_reset;
        self.context.queue_cursors.forget(endpoint_id);
        if !self.context.rights.owns(endpoint_id) {
            let reset = Some(reset);
            return self.announce(vec![Announcement { organization_id, endpoint_id, since: None, reset }]);
        }
        match self.supervised.get_mut(&endpoint_id) {
            Some(supervised) if supervised.addr.connected() => {
                supervised.sent += 1;
                post(&supervised.addr, ResetBreaker(reset));
            }
            // deliveries that waited for the probe are due now
            _ if !self.is_draining => {
                let due_at = self.context.now();
                post(
                    &self.peers.scheduler.schedule,
                    Schedule(vec![AgendaRow { endpoint_id, organization_id, due_at }]),
                );
            }
            _ => {}
        }
    }
}

impl Handler<RetireRequest> for Router {
    type Result = ();
    fn handle(&mut self, request: RetireRequest, _: &mut Self::Context) {
        let Some(supervised) = self.supervised.get(&request.endpoint_id) else { return };
        if supervised.sent != request.received {
            return;
        }
        let generation = supervised.generation;
        let Some(supervised) = self.remove(request.endpoint_id, generation) else { return };
        post(&supervised.addr, Retire);
        if let Some(due_at) = request.due_at.filter(|_| !self.is_draining) {
            let (endpoint_id, organization_id) = (request.endpoint_id, supervised.organization_id);
            post(
                &self.peers.scheduler.schedule,
                Schedule(vec![AgendaRow { endpoint_id, organization_id, due_at }]),
            );
        }
    }
}

impl Handler<SupervisorStopped> for Router {
    type Result = ();
    fn handle(&mut self, stopped: SupervisorStopped, _: &mut Self::Context) {
        let SupervisorStopped { organization_id, endpoint_id, generation, is_lost } = stopped;
        if self.remove(endpoint_id, generation).is_some() && is_lost && !self.is_draining {
            // a new one starts from the database
            telemetry::SupervisorLost { organization_id, endpoint_id }.emit();
            let due_at = self.context.now();
            post(
                &self.peers.scheduler.schedule,
                Schedule(vec![AgendaRow { endpoint_id, organization_id, due_at }]),
            );
        }
    }
}

impl Handler<Drain> for Router {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.is_draining = true;
        for supervised in self.supervised.values_mut() {
            supervised.sent += 1;
            post(&supervised.addr, SupervisorDrain);
        }
        let (done, drained) = oneshot::channel();
        self.drained.push(done);
        self.answer_drain();
        Box::pin(async move {
            // an error means that the router ended: nothing is left to drain
            let _ = drained.await;
        })
    }
}
