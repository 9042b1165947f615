//! The actors: router, one supervisor for each endpoint, persistence, scheduler. What they know is a cache of
//! the database; each holds a bounded window, never a backlog.
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
pub mod handle;
mod inbox;
pub mod messages;
mod operational;
pub(crate) mod payload;
pub(crate) mod persistence;
pub mod request;
pub(crate) mod retention;
pub(crate) mod router;
pub(crate) mod scheduler;
pub(crate) mod statistics;

use std::sync::{Arc, Mutex, RwLock};

use actix::{Actor, Addr, ArbiterHandle};

use crate::domain::event_type_registry::EventTypeRegistry;
use crate::domain::event_types::OwnEventType;
use crate::domain::ids::{EndpointId, IdGenerator};
use crate::domain::subscriptions::Subscriptions;
use crate::store::{Store, StoreResult};
use context::ActorContext;
use handle::EngineHandle;
use messages::{Begin, Bounded, Drain, Flush};
use persistence::Persistence;
use retention::Retention;
use router::Router;
use scheduler::Scheduler;

/// Endpoints read at once while the engine starts.
const SCAN_PAGE: usize = 5_000;

/// Sends a message that says what bounds it.
///
/// `Addr::do_send` never waits and never refuses, so a message may only be sent by it when something else
/// limits how many of its kind can be under way: see [`Bounded`].
pub(crate) fn post<A, M>(to: &Addr<A>, message: M)
where
    A: Actor<Context = actix::Context<A>> + actix::Handler<M>,
    M: actix::Message + Bounded + Send + 'static,
    M::Result: Send,
{
    #[expect(clippy::disallowed_methods, reason = "the message type states its bound")]
    to.do_send(message);
}

/// The running actors.
pub struct Actors {
    /// What the API works with.
    pub handle: EngineHandle,
    router: Addr<Router>,
    persistence: Addr<Persistence>,
}

impl Actors {
    /// Reads what the actors need to begin, and starts them: the supervisors on `arbiters`, the others on the
    /// calling thread. The database must be open and owned by this process.
    pub fn start(context: Arc<ActorContext>, arbiters: Vec<ArbiterHandle>) -> StoreResult<Self> {
        let subscriptions = Arc::new(RwLock::new(read_subscriptions(context.store.as_ref())?));
        let ids = IdGenerator::new(context.settings.node, context.store.largest_id()?);
        let ids = Arc::new(Mutex::new(ids));

        let persistence = Persistence::new(context.clone(), subscriptions.clone(), ids.clone()).start();
        let scheduler = Scheduler::new(context.clone()).start();
        let router = Router::new(context.clone(), arbiters, persistence.clone(), scheduler.clone()).start();
        post(&persistence, Begin { router: router.clone(), scheduler: scheduler.clone() });
        post(&scheduler, Begin { router: router.clone(), scheduler: scheduler.clone() });
        let retention = Retention::new(context.clone()).start();
        let event_types = Arc::new(RwLock::new(read_event_types(context.store.as_ref())?));
        let handle = EngineHandle::new(
            context,
            subscriptions,
            event_types,
            ids,
            persistence.clone(),
            router.clone(),
            retention,
        );
        Ok(Self { handle, router, persistence })
    }

    /// The router, for those who speak to it themselves.
    pub fn router(&self) -> &Addr<Router> {
        &self.router
    }

    /// Ends in order: no new attempts, attempts in flight finish, their outcomes are on disk.
    pub async fn stop(&self) {
        self.handle.stop_accepting();
        // an error means that the actor is gone already: nothing of it is left to wait for
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
