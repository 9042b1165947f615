//! The supervisor of one endpoint: feeds what happens to the state machine as inputs, and carries out its effects.
//!
//! Owns the endpoint's state machine (window, breaker, limiter, concurrency), its attempts in flight and one wake timer. The
//! machine decides when something is sent. Never holds more than a window.

mod attempts;
mod changes;
mod retirement;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext, Context, Handler, Recipient, SpawnHandle};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::AbortHandle;

use super::context::ActorContext;
use super::fairness::shares::{Holding, OrganizationShare, Resource};
use super::mailbox::post;
use super::mailbox_credits::MailboxCredits;
use super::messages::{
    AttemptEnded, CollectInbox, Deliver, MoreInStore, OutcomesRecorded, PageRead, RetireRequest, StartRead,
    SupervisorStopped,
};
use super::request::RequestTemplate;
use crate::domain::attempt::NextStep;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::DisabledReason;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::machine::{Announcement, Effect, EndpointMachine, Input, LOAD_RETRY, MachineSettings};
use crate::domain::time::UnixMillis;
use crate::store::{DuePage, DueRequest, EndpointStart, SavedHealth, Store};
use crate::telemetry::{self, StoreOperation};

/// Pause after the endpoint could not be read.
const START_RETRY: Duration = Duration::from_secs(1);

/// Where all supervisors send their messages.
pub(crate) struct SupervisorPorts {
    pub(super) router_retire: Recipient<RetireRequest>,
    pub(super) router_stopped: Recipient<SupervisorStopped>,
    pub(super) persistence: Recipient<CollectInbox>,
}

/// The arguments of a new supervisor.
pub(crate) struct SupervisorParts {
    pub context: Arc<ActorContext>,
    pub ports: Arc<SupervisorPorts>,
    /// What its organization holds.
    pub share: Arc<OrganizationShare>,
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    /// Tells it from earlier and later supervisors of the endpoint.
    pub generation: u64,
    /// An event was just accepted for it: its endpoint is read before those that only have a backlog.
    pub is_urgent: bool,
    /// Bounds its mailbox.
    pub credits: Arc<MailboxCredits>,
}

/// The machine's decision after an attempt.
struct AttemptDecision {
    number: u32,
    next: NextStep,
    health: Option<EndpointHealth>,
    disable: Option<DisabledReason>,
    announcements: Vec<Announcement>,
}

impl AttemptDecision {
    /// Nothing follows from it.
    fn is_plain_success(&self) -> bool {
        let changes_endpoint = self.health.is_some() || self.disable.is_some();
        self.next == NextStep::Succeeded && !changes_endpoint && self.announcements.is_empty()
    }
}

/// The state that exists once the endpoint is read.
struct Running {
    machine: EndpointMachine,
    template: RequestTemplate,
}

/// The supervisor actor of one endpoint.
pub(crate) struct EndpointSupervisor {
    parts: SupervisorParts,
    rng: SmallRng,
    running: Option<Running>,
    /// Deliveries that arrived before the endpoint was read. Bounded by the mailbox credits.
    early: Vec<QueuedDelivery>,
    early_holdings: Vec<Holding>,
    /// Deliveries that are only in the store were announced before the endpoint was read.
    early_cursor: Option<Option<UnixMillis>>,
    /// Commits in doubt that were noticed.
    doubts: u64,
    /// The endpoint changed while it was being read: the result may be older.
    start_is_stale: bool,
    is_draining: bool,
    /// Messages received from the router.
    received: u64,
    wake: Option<(UnixMillis, SpawnHandle)>,
    linger: Option<SpawnHandle>,
    retire_requested_at: Option<u64>,
    payload: Holding,
    /// When its turn began.
    begins_at: UnixMillis,
    ends_on_purpose: bool,
    breaker_was_open: bool,
    /// Attempts in flight: they end with the supervisor.
    in_flight: HashMap<DeliveryId, AbortHandle>,
}

impl EndpointSupervisor {
    pub(crate) fn new(parts: SupervisorParts) -> Self {
        let rng = SmallRng::from_seed(parts.context.random.seed());
        let payload = parts.share.take_anyway(Resource::PayloadBytes, 0);
        let begins_at = parts.context.now();
        let doubts = parts.context.queue_cursors.doubts();
        Self {
            parts,
            rng,
            running: None,
            early: Vec::new(),
            early_holdings: Vec::new(),
            early_cursor: None,
            doubts,
            start_is_stale: false,
            is_draining: false,
            received: 0,
            wake: None,
            linger: None,
            retire_requested_at: None,
            payload,
            begins_at,
            ends_on_purpose: false,
            breaker_was_open: false,
            in_flight: HashMap::new(),
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        self.ends_on_purpose = true;
        ctx.stop();
    }

    // ---- start

    fn read_endpoint(&mut self, ctx: &mut Context<Self>) {
        let (organization_id, endpoint_id) = (self.parts.organization_id, self.parts.endpoint_id);
        let now = self.parts.context.now();
        let me = ctx.address();
        let read = move |store: &dyn Store| {
            let start = store.endpoint(organization_id, endpoint_id)?;
            if start.is_none() {
                // for events that were accepted in the instant in which the webhook was deleted
                store.cancel_all_pending(organization_id, endpoint_id, now)?;
            }
            Ok(start)
        };
        let (context, is_urgent) = (self.parts.context.clone(), self.parts.is_urgent);
        actix::spawn(async move {
            let start = match is_urgent {
                true => context.read_urgently(organization_id, read).await,
                false => context.read(organization_id, read).await,
            };
            post(&me, StartRead(start));
        });
    }

    fn begin(&mut self, start: EndpointStart, ctx: &mut Context<Self>) {
        let settings = MachineSettings::of(&start.endpoint);
        let SupervisorParts { context, endpoint_id, .. } = &self.parts;
        let rate_limit_history = context.rate_limit_history(*endpoint_id);
        let mut machine =
            EndpointMachine::new(settings, context.settings.limits, start.health, rate_limit_history);
        machine.read_on(context.queue_cursors.take(*endpoint_id));
        self.breaker_was_open = machine.is_breaker_open();
        let template = RequestTemplate::new(&start.endpoint, &self.parts.context.settings);
        let must_read = template.ordered && context.rights.may_have_company();
        self.running = Some(Running { machine, template });
        let (early, shares) = (std::mem::take(&mut self.early), std::mem::take(&mut self.early_holdings));
        if let Some(since) = self.early_cursor.take() {
            self.apply(Input::MoreInStore { since }, ctx);
        }
        // the machine begins by reading a page; they are in it, or behind it
        self.apply(if must_read { Input::MoreInStore { since: None } } else { Input::Committed(early) }, ctx);
        drop(shares);
        if self.is_draining {
            self.apply(Input::Drain, ctx);
        }
    }

    // ---- steps of the machine and their effects

    fn apply(&mut self, input: Input<'_>, ctx: &mut Context<Self>) {
        if let Some((effects, now)) = self.step(input) {
            self.carry_out(effects, None, now, ctx);
        }
    }

    fn step(&mut self, input: Input<'_>) -> Option<(Vec<Effect>, UnixMillis)> {
        let now = self.parts.context.now();
        let gives_way = self.gives_way(now);
        let running = self.running.as_mut()?;
        let doubts = self.parts.context.queue_cursors.doubts();
        if std::mem::replace(&mut self.doubts, doubts) != doubts {
            running.machine.read_from_head();
        }
        running.machine.limit_to_one(self.parts.context.has_crowded_attempts(&self.parts.share));
        running.machine.give_way(gives_way);
        Some((running.machine.step(input, now, &mut self.rng), now))
    }

    fn carry_out(
        &mut self,
        effects: Vec<Effect>,
        mut ended: Option<AttemptEnded>,
        now: UnixMillis,
        ctx: &mut Context<Self>,
    ) {
        for effect in effects {
            self.perform(effect, &mut ended, now, ctx);
        }
        self.account();
        self.set_wake(now, ctx);
        self.consider_retiring(now, ctx);
    }

    fn perform(
        &mut self,
        effect: Effect,
        ended: &mut Option<AttemptEnded>,
        now: UnixMillis,
        ctx: &mut Context<Self>,
    ) {
        match effect {
            Effect::Attempt { delivery, number, secret } => {
                self.start_attempt(delivery, number, secret, now, ctx);
            }
            Effect::Record { delivery_id, number, next, health, disable, announcements } => {
                // the machine records only the attempt that has just ended
                if let Some(ended) = ended.take() {
                    debug_assert_eq!(ended.delivery.id, delivery_id);
                    let decision = AttemptDecision { number, next, health, disable, announcements };
                    self.record(ended, decision, now, ctx);
                }
            }
            Effect::Load { max_deliveries, max_bytes, after } => {
                let Some(running) = &self.running else { return };
                let known = running.machine.held_ids();
                let max_first_bytes = usize::MAX;
                self.load(DueRequest { now, max_deliveries, max_bytes, max_first_bytes, after, known }, ctx);
            }
            Effect::SaveHealth(health) => {
                let Some(running) = &self.running else { return };
                let saved = SavedHealth { health, url: running.template.url() };
                self.parts.context.inbox.put(|pending| pending.save(saved)).request(&self.parts.ports.persistence);
            }
        }
    }

    fn load(&mut self, mut request: DueRequest, ctx: &mut Context<Self>) {
        let (organization_id, endpoint_id) = (self.parts.organization_id, self.parts.endpoint_id);
        let me = ctx.address();
        let (context, share) = (self.parts.context.clone(), self.parts.share.clone());
        let page = self.parts.context.clone().read(organization_id, move |store| {
            let mut held = context.payload.hold_page(&share, &mut request);
            let page = store.due_deliveries(organization_id, endpoint_id, &request)?;
            held.resize(page.deliveries.iter().map(|delivery| delivery.event.body.len()).sum());
            Ok((page, held))
        });
        actix::spawn(async move { post(&me, PageRead(page.await)) });
    }

    // ---- accounting and time

    fn account(&mut self) {
        let Some(running) = &self.running else { return };
        self.payload.resize(running.machine.payload_bytes());
        self.report_breaker();
    }

    fn report_breaker(&mut self) {
        let Some(running) = &self.running else { return };
        let (organization_id, endpoint_id) = (self.parts.organization_id, self.parts.endpoint_id);
        let was_open = std::mem::replace(&mut self.breaker_was_open, running.machine.is_breaker_open());
        match (was_open, running.machine.health().probe_at) {
            (false, Some(probe_at)) => {
                telemetry::BreakerOpened { organization_id, endpoint_id, probe_at }.emit();
            }
            (true, None) => {
                telemetry::BreakerClosed { organization_id, endpoint_id }.emit();
            }
            _ => {}
        }
    }

    fn set_wake(&mut self, now: UnixMillis, ctx: &mut Context<Self>) {
        let Some(running) = &self.running else { return };
        let at = running.machine.wake_at(now);
        if self.wake.as_ref().map(|(at, _)| *at) == at {
            return;
        }
        if let Some((_, timer)) = self.wake.take() {
            ctx.cancel_future(timer);
        }
        if let Some(at) = at {
            let timer = ctx.run_later(at.since(now), |actor, ctx| {
                actor.wake = None;
                actor.apply(Input::Wake, ctx);
            });
            self.wake = Some((at, timer));
        }
    }
}

impl Actor for EndpointSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.read_endpoint(ctx);
    }
}

impl Handler<StartRead> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, StartRead(start): StartRead, ctx: &mut Self::Context) {
        match start {
            _ if std::mem::take(&mut self.start_is_stale) => self.read_endpoint(ctx),
            Ok(Some(start)) => self.begin(start, ctx),
            // the endpoint does not exist: nothing will ever be due for it
            Ok(None) => self.end(ctx),
            Err(error) => {
                let (operation, now) = (StoreOperation::ReadWebhook, self.parts.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: START_RETRY }.emit();
                match self.is_draining {
                    true => self.end(ctx),
                    false => drop(ctx.run_later(START_RETRY, |actor, ctx| actor.read_endpoint(ctx))),
                }
            }
        }
    }
}

impl Handler<Deliver> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, Deliver(deliveries, share): Deliver, ctx: &mut Self::Context) {
        self.received += 1;
        self.parts.credits.give_back(deliveries.len());
        // another node may have committed one that comes before them
        let must_read = self.running.as_ref().is_some_and(|running| running.template.ordered)
            && self.parts.context.rights.may_have_company();
        match self.running {
            Some(_) if must_read => {
                let since = deliveries.iter().map(|delivery| delivery.queued_at).min();
                self.apply(Input::MoreInStore { since }, ctx);
            }
            Some(_) => self.apply(Input::Committed(deliveries), ctx),
            None => {
                self.early.extend(deliveries);
                self.early_holdings.push(share);
            }
        }
    }
}

impl Handler<MoreInStore> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, _: MoreInStore, ctx: &mut Self::Context) {
        self.received += 1;
        let since = self.parts.credits.overflow_seen();
        match self.running {
            Some(_) => self.apply(Input::MoreInStore { since }, ctx),
            // the machine starts by reading a page
            None => self.early_cursor = Some(self.early_cursor.map_or(since, |earlier| earlier.min(since))),
        }
    }
}

impl Handler<OutcomesRecorded> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, OutcomesRecorded(recorded): OutcomesRecorded, ctx: &mut Self::Context) {
        self.apply(Input::OutcomesRecorded(&recorded), ctx);
    }
}

impl Handler<PageRead> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, PageRead(page): PageRead, ctx: &mut Self::Context) {
        match page {
            // there is no memory left for the first delivery
            Ok((page, _)) if page.deliveries.is_empty() && page.more => self.apply(Input::LoadFailed, ctx),
            // the share is released after the machine's own bytes are counted
            Ok((page, _share)) => {
                let DuePage { deliveries, more, next_due_at, end } = page;
                self.apply(Input::Loaded { deliveries, more, next_due_at, end }, ctx);
            }
            Err(error) => {
                let (operation, now) = (StoreOperation::ReadDeliveries, self.parts.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: LOAD_RETRY }.emit();
                self.apply(Input::LoadFailed, ctx);
            }
        }
    }
}
