//! The scheduler: activates endpoints without a supervisor when they are due.
//!
//! Owns the agenda, the earliest due time of each such endpoint, and the lines of those that are due and wait for a
//! supervisor. Never knows a delivery. A restart rebuilds the agenda page
//! by page from the pending index, and activates endpoints from the first page on.

mod ready;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, SpawnHandle, WrapFuture};

use self::ready::ReadyEndpoints;
use super::context::{ActorContext, ENGINE};
use super::messages::{Activate, CapacityFreed, Rescan, Schedule};
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::{AgendaRow, StoreError, StoreResult};
use crate::telemetry::{self, StoreOperation};

/// Endpoints handed to the router at once. Larger: the router is busy with them while new events wait.
const CHUNK: usize = 256;
/// Rows of the agenda read at once. Smaller: more round trips at the start. Larger: the first delivery after
/// a restart waits for them.
const SCAN_PAGE: usize = 2_000;
/// The longest sleep: a wall clock that is set forward is noticed after this.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// Pause after a failed read of the agenda.
const SCAN_RETRY: Duration = Duration::from_secs(1);

/// The scheduler actor.
pub(crate) struct Scheduler {
    context: Arc<ActorContext>,
    router: Recipient<Activate>,
    /// In the order in which they are due; one entry for each endpoint.
    agenda: BTreeSet<(UnixMillis, EndpointId)>,
    due: HashMap<EndpointId, (UnixMillis, OrganizationId)>,
    timer: Option<SpawnHandle>,
    /// A chunk is with the router.
    is_activating: bool,
    /// Due endpoints.
    ready: ReadyEndpoints,
    /// Organizations of supervisors that ended while a chunk was with the router: its refusals may be out of date.
    freed_meanwhile: HashSet<OrganizationId>,
    is_scanning: bool,
    scan_again: bool,
}

impl Scheduler {
    pub(crate) fn new(context: Arc<ActorContext>, router: Recipient<Activate>) -> Self {
        Self {
            context,
            router,
            agenda: BTreeSet::new(),
            due: HashMap::new(),
            timer: None,
            is_activating: false,
            ready: ReadyEndpoints::default(),
            freed_meanwhile: HashSet::new(),
            is_scanning: false,
            scan_again: false,
        }
    }

    fn schedule(&mut self, row: AgendaRow) {
        // another node has it, or is about to
        if !self.context.rights.owns(row.endpoint_id) {
            return;
        }
        if self.ready.contains(row.endpoint_id) {
            return;
        }
        if let Some((known, _)) = self.due.get(&row.endpoint_id) {
            if *known <= row.due_at {
                return;
            }
            self.agenda.remove(&(*known, row.endpoint_id));
        }
        self.agenda.insert((row.due_at, row.endpoint_id));
        self.due.insert(row.endpoint_id, (row.due_at, row.organization_id));
    }

    /// Moves what is due from the agenda to the lines.
    fn collect_due(&mut self, now: UnixMillis) {
        while let Some(&(due_at, endpoint_id)) = self.agenda.first()
            && due_at <= now
        {
            self.agenda.pop_first();
            if let Some((_, organization_id)) = self.due.remove(&endpoint_id) {
                self.ready.push(AgendaRow { endpoint_id, organization_id, due_at });
            }
        }
    }

    /// Activates a chunk of due endpoints, or sleeps until the next is due.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if self.is_activating {
            return;
        }
        let now = self.context.now();
        self.collect_due(now);
        let rows = self.ready.take(CHUNK);
        if rows.is_empty() {
            if let Some(&(due_at, _)) = self.agenda.first() {
                let sleep = due_at.since(now).min(MAX_SLEEP);
                self.timer = Some(ctx.run_later(sleep, |actor, ctx| {
                    actor.timer = None;
                    actor.tick(ctx);
                }));
            }
            return;
        }
        self.is_activating = true;
        self.freed_meanwhile.clear();
        let organizations: HashSet<OrganizationId> = rows.iter().map(|row| row.organization_id).collect();
        let activated = self.router.send(Activate(rows));
        ctx.spawn(activated.into_actor(self).map(|refused, actor, ctx| {
            actor.is_activating = false;
            // an error means that the engine has ended
            actor.ready.put_back(refused.unwrap_or_default());
            std::mem::take(&mut actor.freed_meanwhile).into_iter().for_each(|freed| actor.ready.freed(freed));
            for organization_id in organizations {
                let waits = actor.ready.has(organization_id);
                actor.context.shares.of(organization_id).set_waits_for_supervisors(waits);
            }
            actor.tick(ctx);
        }));
    }

    /// Reads the agenda from the database, page by page; due endpoints are activated from the first page on.
    fn scan(&mut self, ctx: &mut Context<Self>) {
        if self.is_scanning {
            self.scan_again = true;
            return;
        }
        self.is_scanning = true;
        let breakers = self.context.clone().read(ENGINE, |store| store.open_breakers());
        ctx.spawn(breakers.into_actor(self).map(|breakers, actor, ctx| match breakers {
            Ok(breakers) => actor.scan_page(None, Arc::new(probe_times(breakers)), ctx),
            Err(error) => actor.scan_failed(&error, ctx),
        }));
    }

    fn scan_page(
        &mut self,
        after: Option<EndpointId>,
        probes: Arc<HashMap<EndpointId, UnixMillis>>,
        ctx: &mut Context<Self>,
    ) {
        let page = self.context.clone().read(ENGINE, move |store| store.scan_agenda(after, SCAN_PAGE));
        ctx.spawn(page.into_actor(self).map(move |page: StoreResult<Vec<AgendaRow>>, actor, ctx| match page {
            Ok(rows) => actor.take_page(rows, probes, ctx),
            Err(error) => actor.scan_failed(&error, ctx),
        }));
    }

    fn take_page(
        &mut self,
        rows: Vec<AgendaRow>,
        probes: Arc<HashMap<EndpointId, UnixMillis>>,
        ctx: &mut Context<Self>,
    ) {
        let last = rows.last().map(|row| row.endpoint_id).filter(|_| rows.len() == SCAN_PAGE);
        for mut row in rows {
            if let Some(probe_at) = probes.get(&row.endpoint_id) {
                row.due_at = row.due_at.max(*probe_at);
            }
            self.schedule(row);
        }
        self.tick(ctx);
        if last.is_some() {
            self.scan_page(last, probes, ctx);
            return;
        }
        self.is_scanning = false;
        if std::mem::take(&mut self.scan_again) {
            self.scan(ctx);
        }
    }

    fn scan_failed(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        let (operation, now) = (StoreOperation::ReadAgenda, self.context.now());
        telemetry::StoreUnavailable { operation, now, error, retry_in: SCAN_RETRY }.emit();
        self.is_scanning = false;
        ctx.run_later(SCAN_RETRY, |actor, ctx| actor.scan(ctx));
    }
}

fn probe_times(breakers: Vec<EndpointHealth>) -> HashMap<EndpointId, UnixMillis> {
    let open = breakers.into_iter().filter_map(|health| Some((health.endpoint_id, health.probe_at?)));
    open.collect()
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.scan(ctx);
    }
}

impl Handler<Schedule> for Scheduler {
    type Result = ();
    fn handle(&mut self, Schedule(rows): Schedule, ctx: &mut Self::Context) {
        rows.into_iter().for_each(|row| self.schedule(row));
        self.tick(ctx);
    }
}

impl Handler<CapacityFreed> for Scheduler {
    type Result = ();
    fn handle(&mut self, CapacityFreed(organization_id): CapacityFreed, ctx: &mut Self::Context) {
        match self.is_activating {
            true => _ = self.freed_meanwhile.insert(organization_id),
            false => {
                self.ready.freed(organization_id);
                self.tick(ctx);
            }
        }
    }
}

impl Handler<Rescan> for Scheduler {
    type Result = ();
    fn handle(&mut self, _: Rescan, ctx: &mut Self::Context) {
        self.scan(ctx);
    }
}
