//! The actors: persistence, router, scheduler, retention, and one supervisor for each endpoint with work. Their state is a
//! cache of the database; each holds a bounded window, never a backlog.
//!
//! Arrows go one way: messages and plain data know no actor, actors know each other by recipients of messages, and only
//! this file knows them all and connects them.
//!
//! ```text
//!  API ──inbox───▶ Persistence ──Dispatch──▶ Router ──Deliver──▶ EndpointSupervisor (one per endpoint)
//!                      ▲                      ▲  │                   │
//!                      └────── inbox ────────│──│───────────────────┤
//!                                             │  └─Schedule─▶ Scheduler (agenda)
//!                                             └──────Activate─────┘
//! ```

pub mod context;
pub(crate) mod endpoint_supervisor;
mod event_assembly;
pub mod handle;
mod inbox;
mod mailbox;
mod mailbox_credits;
pub mod messages;
mod operational;
pub(crate) mod payload;
pub(crate) mod persistence;
pub mod publication;
pub mod request;
pub(crate) mod retention;
pub(crate) mod router;
pub(crate) mod scheduler;
pub(crate) mod statistics;

use std::sync::{Arc, Mutex, RwLock};

use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context};

use crate::domain::event_type_registry::EventTypeRegistry;
use crate::domain::event_types::OwnEventType;
use crate::domain::ids::{EndpointId, IdGenerator};
use crate::domain::subscriptions::Subscriptions;
use crate::store::{Store, StoreResult};
use context::ActorContext;
use endpoint_supervisor::SupervisorPorts;
use handle::{EngineHandle, HandlePorts, RouterPorts};
use messages::{Drain, Flush};
use persistence::{Persistence, PersistencePorts};
use retention::Retention;
use router::{Router, RouterPeers, SchedulerPorts};
use scheduler::Scheduler;

/// Endpoints, or event types, in one read while the engine starts.
const SCAN_PAGE: usize = 5_000;

/// The running actors.
pub struct Actors {
    /// The engine as the API sees it.
    pub handle: EngineHandle,
    router: Addr<Router>,
    persistence: Addr<Persistence>,
}

impl Actors {
    /// Reads subscriptions and event types, and starts the actors: the supervisors on `arbiters`, the others on the calling
    /// thread. The database must be open and owned by this process.
    pub fn start(context: Arc<ActorContext>, arbiters: Vec<ArbiterHandle>) -> StoreResult<Self> {
        let subscriptions = Arc::new(RwLock::new(read_subscriptions(context.store.as_ref())?));
        let ids = IdGenerator::new(context.settings.node, context.store.largest_id()?);
        let ids = Arc::new(Mutex::new(ids));

        let event_types = Arc::new(RwLock::new(read_event_types(context.store.as_ref())?));
        // these three know each other: every address exists before the first of them runs
        let (router_context, scheduler_context) = (Context::<Router>::new(), Context::<Scheduler>::new());
        let (router, scheduler) = (router_context.address(), scheduler_context.address());
        let ports =
            PersistencePorts { router: router.clone().recipient(), scheduler: scheduler.clone().recipient() };
        let persistence = Persistence::new(context.clone(), subscriptions.clone(), ids.clone(), ports).start();
        scheduler_context.run(Scheduler::new(context.clone(), router.clone().recipient()));
        let supervisors = SupervisorPorts {
            router_retire: router.clone().recipient(),
            router_stopped: router.clone().recipient(),
            persistence: persistence.clone().recipient(),
        };
        let scheduler =
            SchedulerPorts { schedule: scheduler.clone().recipient(), capacity_freed: scheduler.recipient() };
        let peers = RouterPeers { scheduler, supervisors: Arc::new(supervisors) };
        router_context.run(Router::new(context.clone(), arbiters, peers));
        let retention = Retention::new(context.clone()).start();
        let ports = HandlePorts {
            persistence: persistence.clone().recipient(),
            router: RouterPorts {
                endpoint_changed: router.clone().recipient(),
                work_added: router.clone().recipient(),
                breaker_was_reset: router.clone().recipient(),
            },
            retention: retention.recipient(),
        };
        let handle = EngineHandle::new(context, subscriptions, event_types, ids, ports);
        Ok(Self { handle, router, persistence })
    }

    /// For tests that send messages to the router.
    pub fn router(&self) -> &Addr<Router> {
        &self.router
    }

    /// Stops in order: no new attempts are made, attempts in flight end, and their outcomes are on disk.
    pub async fn stop(&self) {
        self.handle.stop_accepting();
        // an error means that the actor has ended already
        let _ = self.persistence.send(Flush).await;
        let _ = self.router.send(Drain).await;
        let _ = self.persistence.send(Flush).await;
    }
}

fn read_event_types(store: &dyn Store) -> StoreResult<EventTypeRegistry> {
    let mut registry = EventTypeRegistry::default();
    let mut last: Option<OwnEventType> = None;
    loop {
        let after = last.as_ref().map(|last| (last.organization_id, last.name.as_str()));
        let page = store.scan_event_types(after, SCAN_PAGE)?;
        page.iter().for_each(|event_type| registry.insert(event_type));
        let is_last = page.len() < SCAN_PAGE;
        last = page.into_iter().last();
        if is_last {
            return Ok(registry);
        }
    }
}

fn read_subscriptions(store: &dyn Store) -> StoreResult<Subscriptions> {
    let mut subscriptions = Subscriptions::default();
    let mut after: Option<EndpointId> = None;
    loop {
        let endpoints = store.scan_endpoints(after, SCAN_PAGE)?;
        for endpoint in &endpoints {
            subscriptions.upsert(endpoint);
        }
        match endpoints.last() {
            Some(last) if endpoints.len() == SCAN_PAGE => after = Some(last.id),
            _ => return Ok(subscriptions),
        }
    }
}
