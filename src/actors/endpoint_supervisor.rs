//! The supervisor of one endpoint: turns what happens into steps of the state machine, and runs what it says.
//!
//! Owns the endpoint's state machine (window, breaker, limiter, concurrency), its attempts in flight and one
//! wake timer. Never decides by itself when something is sent, never holds more than a window.

mod changes;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext, Context, Handler, Recipient, SpawnHandle};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::context::ActorContext;
use super::mailbox::post;
use super::mailbox_credits::MailboxCredits;
use super::messages::{
    AttemptEnded, AttemptNotMade, Change, CollectInbox, Deliver, MoreInStore, OutcomesRecorded, PageRead,
    RecordOutcome, Retire, RetireRequest, StartRead, SupervisorDrain, SupervisorStopped,
};
use super::operational::{OperationalEvent, operational_event};
use super::payload::PayloadShare;
use super::request::RequestTemplate;
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::DisabledReason;
use crate::domain::event::Event;
use crate::domain::event_types::is_operational;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::machine::{Announcement, Effect, EndpointMachine, Input, LOAD_RETRY, MachineSettings, Rest};
use crate::domain::rotation::SecretId;
use crate::domain::time::UnixMillis;
use crate::store::{DueRequest, EndpointStart, SavedHealth, Store};
use crate::telemetry::{self, StoreOperation, gauges::EngineGauge};

/// What is due later than this leaves memory: the supervisor retires, and the agenda knows when it is needed.
/// Smaller: supervisors come and go between two retries. Larger: endpoints that wait hold memory.
const STAY_FOR: Duration = Duration::from_secs(60);
/// The same while endpoints wait for a supervisor.
const STAY_FOR_WHEN_CROWDED: Duration = Duration::from_secs(1);
/// When the endpoint can't be read, it is tried again after this.
const START_RETRY: Duration = Duration::from_secs(1);

/// Where all supervisors send their messages.
pub(crate) struct SupervisorPorts {
    pub(super) router_retire: Recipient<RetireRequest>,
    pub(super) router_stopped: Recipient<SupervisorStopped>,
    pub(super) persistence: Recipient<CollectInbox>,
}

/// What a supervisor is made with.
pub(crate) struct SupervisorParts {
    /// Shared by all actors.
    pub context: Arc<ActorContext>,
    pub ports: Arc<SupervisorPorts>,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Its endpoint.
    pub endpoint_id: EndpointId,
    /// Which supervisor of the endpoint this is.
    pub generation: u64,
    /// An event was just accepted for it: it need not wait until all others with a backlog are read.
    pub is_urgent: bool,
    /// The bound of its mailbox.
    pub credits: Arc<MailboxCredits>,
}

/// What it has once its endpoint is read.
struct Running {
    machine: EndpointMachine,
    template: RequestTemplate,
}

/// The supervisor actor of one endpoint.
pub(crate) struct EndpointSupervisor {
    parts: SupervisorParts,
    rng: SmallRng,
    running: Option<Running>,
    /// Arrived before the endpoint was read. Bounded by the mailbox credits.
    early: Vec<QueuedDelivery>,
    early_shares: Vec<PayloadShare>,
    /// The endpoint changed while it was being read: what comes may be older.
    start_is_stale: bool,
    is_draining: bool,
    /// Messages received from the router.
    received: u64,
    wake: Option<(UnixMillis, SpawnHandle)>,
    linger: Option<SpawnHandle>,
    retire_requested_at: Option<u64>,
    payload: PayloadShare,
    ends_on_purpose: bool,
    breaker_was_open: bool,
}

impl EndpointSupervisor {
    /// One for an endpoint that has work.
    pub(crate) fn new(parts: SupervisorParts) -> Self {
        let rng = SmallRng::from_seed(parts.context.entropy.seed());
        let payload = parts.context.payload.hold(0);
        Self {
            parts,
            rng,
            running: None,
            early: Vec::new(),
            early_shares: Vec::new(),
            start_is_stale: false,
            is_draining: false,
            received: 0,
            wake: None,
            linger: None,
            retire_requested_at: None,
            payload,
            ends_on_purpose: false,
            breaker_was_open: false,
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        self.ends_on_purpose = true;
        ctx.stop();
    }

    // ---- beginning

    fn read_endpoint(&mut self, ctx: &mut Context<Self>) {
        let (organization_id, endpoint_id) = (self.parts.organization_id, self.parts.endpoint_id);
        let now = self.parts.context.now();
        let me = ctx.address();
        let read = move |store: &dyn Store| {
            let start = store.endpoint(organization_id, endpoint_id)?;
            if start.is_none() {
                // accepted in the instant in which the webhook was deleted
                store.cancel_all_pending(organization_id, endpoint_id, now)?;
            }
            Ok(start)
        };
        let (context, is_urgent) = (self.parts.context.clone(), self.parts.is_urgent);
        actix::spawn(async move {
            let start = if is_urgent { context.read_urgently(read).await } else { context.read(read).await };
            post(&me, StartRead(start));
        });
    }

    fn begin(&mut self, start: EndpointStart, ctx: &mut Context<Self>) {
        let settings = MachineSettings::of(&start.endpoint);
        let SupervisorParts { context, endpoint_id, .. } = &self.parts;
        let sent_before = context.sent_before(*endpoint_id);
        let machine = EndpointMachine::new(settings, context.settings.limits, start.health, sent_before);
        self.breaker_was_open = machine.is_breaker_open();
        let template = RequestTemplate::new(&start.endpoint, &self.parts.context.settings);
        self.running = Some(Running { machine, template });
        let (early, shares) = (std::mem::take(&mut self.early), std::mem::take(&mut self.early_shares));
        self.apply(Input::Committed(early), ctx);
        drop(shares);
        if self.is_draining {
            self.apply(Input::Drain, ctx);
        }
    }

    // ---- a step of the machine, and what it says

    fn apply(&mut self, input: Input<'_>, ctx: &mut Context<Self>) {
        if let Some((effects, now)) = self.step(input) {
            self.carry_out(effects, None, now, ctx);
        }
    }

    fn step(&mut self, input: Input<'_>) -> Option<(Vec<Effect>, UnixMillis)> {
        let now = self.parts.context.now();
        let running = self.running.as_mut()?;
        running.machine.hold_to_one(self.parts.context.has_crowded_attempts());
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
                    let settled = Settled { number, next, health, disable, announcements };
                    self.record(ended, settled, now, ctx);
                }
            }
            Effect::Load { max_deliveries, max_bytes } => self.load(max_deliveries, max_bytes, now, ctx),
            Effect::SaveHealth(health) => {
                let Some(running) = &self.running else { return };
                let saved = SavedHealth { health, url: running.template.url() };
                self.parts.context.inbox.put(|pending| pending.save(saved)).request(&self.parts.ports.persistence);
            }
        }
    }

    fn start_attempt(
        &mut self,
        delivery: QueuedDelivery,
        number: u32,
        secret: SecretId,
        now: UnixMillis,
        ctx: &mut Context<Self>,
    ) {
        let Some(running) = &mut self.running else { return };
        let request = running.template.request(&delivery, number, secret, now);
        let (headers, mask) = (request.headers.clone(), running.template.mask());
        let me = ctx.address();
        let sending = self.parts.context.transport.attempt(request);
        let in_flight = (EngineGauge::AttemptsInFlight.guard(), self.parts.context.begin_attempt());
        actix::spawn(async move {
            let result = sending.await;
            drop(in_flight);
            let result = match result {
                Ok(result) => result,
                Err(fault) => return post(&me, AttemptNotMade { delivery, fault }),
            };
            let request_headers = mask.apply(headers);
            post(&me, AttemptEnded { delivery, started_at: now, request_headers, result });
        });
    }

    fn record(&mut self, ended: AttemptEnded, settled: Settled, now: UnixMillis, ctx: &mut Context<Self>) {
        let (parts, Some(running)) = (&self.parts, &self.running) else { return };
        report_attempt(parts, &ended, settled.number, settled.next, now);
        let outcome = Outcome {
            organization_id: parts.organization_id,
            endpoint_id: parts.endpoint_id,
            delivery_id: ended.delivery.id,
            number: settled.number,
            started_at: ended.started_at,
            finished_at: now,
            ordered: running.template.ordered,
            request_headers: ended.request_headers,
            result: ended.result,
            next: settled.next,
        };
        let url = running.template.url();
        let announcements = announce(settled.announcements, &outcome, &ended.delivery.event, &url);
        let Settled { health, disable, .. } = settled;
        let change = Change { health, disable, url, announcements, supervisor: ctx.address().recipient() };
        let record = RecordOutcome { outcome, change };
        parts.context.inbox.put(|pending| pending.outcomes.push(record)).request(&parts.ports.persistence);
    }

    fn load(&mut self, max_deliveries: usize, max_bytes: usize, now: UnixMillis, ctx: &mut Context<Self>) {
        let Some(running) = &self.running else { return };
        let (organization_id, endpoint_id) = (self.parts.organization_id, self.parts.endpoint_id);
        let known = running.machine.known();
        let mut request = DueRequest { now, max_deliveries, max_bytes, max_first_bytes: usize::MAX, known };
        let me = ctx.address();
        let payload = self.parts.context.payload.clone();
        let page = self.parts.context.clone().read(move |store| {
            let mut share = payload.hold_page(&mut request);
            let page = store.due_deliveries(organization_id, endpoint_id, &request)?;
            share.resize(page.deliveries.iter().map(|delivery| delivery.event.body.len()).sum());
            Ok((page, share))
        });
        actix::spawn(async move { post(&me, PageRead(page.await)) });
    }

    // ---- time and rest

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

    fn consider_retiring(&mut self, now: UnixMillis, ctx: &mut Context<Self>) {
        if !self.may_retire(now) {
            if let Some(linger) = self.linger.take() {
                ctx.cancel_future(linger);
            }
            return;
        }
        if self.is_draining || self.parts.context.is_crowded() {
            self.request_retirement(now);
        } else if self.linger.is_none() {
            let linger = ctx.run_later(self.parts.context.settings.idle_linger, |actor, _| {
                actor.linger = None;
                let now = actor.parts.context.now();
                if actor.may_retire(now) {
                    actor.request_retirement(now);
                }
            });
            self.linger = Some(linger);
        }
    }

    fn may_retire(&self, now: UnixMillis) -> bool {
        let Some(running) = &self.running else { return false };
        let stay_for = if self.parts.context.is_crowded() { STAY_FOR_WHEN_CROWDED } else { STAY_FOR };
        match running.machine.rest(now) {
            Rest::Busy => false,
            Rest::Idle => true,
            Rest::Until(at) => at.since(now) > stay_for,
        }
    }

    /// For its successor, which may begin as soon as the router has agreed.
    fn remember_sent(&self, now: UnixMillis) {
        let memory = self.running.as_ref().and_then(|running| running.machine.sent(now));
        if let Some(memory) = memory {
            self.parts.context.remember_sent(self.parts.endpoint_id, memory);
        }
    }

    /// Asks to end; the router agrees when it has sent nothing that was not received.
    fn request_retirement(&mut self, now: UnixMillis) {
        if self.retire_requested_at == Some(self.received) {
            return;
        }
        self.retire_requested_at = Some(self.received);
        let due_at = self.running.as_ref().and_then(|running| match running.machine.rest(now) {
            Rest::Until(at) => Some(at),
            _ => None,
        });
        let (endpoint_id, received) = (self.parts.endpoint_id, self.received);
        self.remember_sent(now);
        post(&self.parts.ports.router_retire, RetireRequest { endpoint_id, received, due_at });
    }
}

/// What the machine made of an attempt.
struct Settled {
    number: u32,
    next: NextStep,
    health: Option<EndpointHealth>,
    disable: Option<DisabledReason>,
    announcements: Vec<Announcement>,
}

fn announce(
    announcements: Vec<Announcement>,
    outcome: &Outcome,
    event: &Event,
    url: &str,
) -> Vec<OperationalEvent> {
    let event_id = event.id.to_string();
    let is_operational = is_operational(&event.event_type);
    let announcements = announcements.into_iter().filter(|announcement| {
        // the failing of a report is not reported
        !(is_operational && *announcement == Announcement::Exhausted)
    });
    announcements
        .filter_map(|announcement| operational_event(announcement, outcome, &event.event_type, &event_id, url))
        .collect()
}

fn report_attempt(parts: &SupervisorParts, ended: &AttemptEnded, number: u32, next: NextStep, now: UnixMillis) {
    let SupervisorParts { organization_id, endpoint_id, .. } = *parts;
    telemetry::AttemptFinished::new(organization_id, endpoint_id, ended.delivery.id, number, &ended.result).emit();
    if number == 1 && next == NextStep::Succeeded {
        telemetry::FirstAttemptAcknowledged { latency: now.since(ended.delivery.event.accepted_at) }.emit();
    }
}

impl Actor for EndpointSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.read_endpoint(ctx);
    }
}

/// Also when it panicked: the router must hear of it.
impl Drop for EndpointSupervisor {
    fn drop(&mut self) {
        let SupervisorParts { organization_id, endpoint_id, generation, .. } = self.parts;
        let is_lost = !self.ends_on_purpose;
        if is_lost {
            self.remember_sent(self.parts.context.now());
        }
        post(
            &self.parts.ports.router_stopped,
            SupervisorStopped { organization_id, endpoint_id, generation, is_lost },
        );
    }
}

impl Handler<StartRead> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, StartRead(start): StartRead, ctx: &mut Self::Context) {
        match start {
            _ if std::mem::take(&mut self.start_is_stale) => self.read_endpoint(ctx),
            Ok(Some(start)) => self.begin(start, ctx),
            // there is no such endpoint: nothing will ever be due for it
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
        match self.running {
            Some(_) => self.apply(Input::Committed(deliveries), ctx),
            None => {
                self.early.extend(deliveries);
                self.early_shares.push(share);
            }
        }
    }
}

impl Handler<MoreInStore> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, _: MoreInStore, ctx: &mut Self::Context) {
        self.received += 1;
        self.parts.credits.overflow_seen();
        // before the endpoint is read there is nothing to tell: the machine begins with a page
        self.apply(Input::MoreInStore, ctx);
    }
}

impl Handler<AttemptEnded> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, ended: AttemptEnded, ctx: &mut Self::Context) {
        let input = Input::AttemptFinished { delivery: &ended.delivery, answer: &ended.result.answer };
        if let Some((effects, now)) = self.step(input) {
            self.carry_out(effects, Some(ended), now, ctx);
        }
    }
}

impl Handler<AttemptNotMade> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, AttemptNotMade { delivery, fault }: AttemptNotMade, ctx: &mut Self::Context) {
        telemetry::AttemptNotMade { fault, now: self.parts.context.now() }.emit();
        self.apply(Input::AttemptNotMade(delivery), ctx);
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
            // the first does not fit into the memory that is left now
            Ok((page, _)) if page.deliveries.is_empty() && page.more => self.apply(Input::LoadFailed, ctx),
            // its share is given back when the machine's is counted
            Ok((page, _share)) => {
                let (deliveries, more, next_due_at) = (page.deliveries, page.more, page.next_due_at);
                self.apply(Input::Loaded { deliveries, more, next_due_at }, ctx);
            }
            Err(error) => {
                let (operation, now) = (StoreOperation::ReadDeliveries, self.parts.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: LOAD_RETRY }.emit();
                self.apply(Input::LoadFailed, ctx);
            }
        }
    }
}

impl Handler<SupervisorDrain> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, _: SupervisorDrain, ctx: &mut Self::Context) {
        self.received += 1;
        self.is_draining = true;
        self.apply(Input::Drain, ctx);
    }
}

impl Handler<Retire> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        self.end(ctx);
    }
}
