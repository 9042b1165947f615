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

pub mod cluster;
pub mod context;
mod doubt_resolver;
pub(crate) mod endpoint_supervisor;
mod event_assembly;
mod expiry;
pub(crate) mod fairness;
pub mod handle;
mod inbox;
mod listeners;
mod mailbox;
mod mailbox_credits;
pub mod messages;
mod operational;
pub(crate) mod payload;
pub(crate) mod persistence;
pub mod publication;
mod publish_reply;
mod queue_cursors;
pub mod request;
pub(crate) mod retention;
pub(crate) mod router;
pub(crate) mod scheduler;
mod settings_cache;
pub(crate) mod statistics;
mod traces;
pub(crate) mod watching;

use std::sync::{Arc, Mutex};

use actix::{Actor, Addr, AsyncContext, Context};

use crate::domain::ids::IdGenerator;
use crate::domain::time::Clock;
use crate::store::StoreResult;
use crate::transport::{NoPeers, Peers};
use cluster::joining::Joined;
use cluster::links::Links;
use cluster::membership::{Membership, MembershipPorts};
use cluster::push::PushKey;
use context::ActorContext;
use doubt_resolver::DoubtResolver;
use endpoint_supervisor::SupervisorPorts;
use handle::{EngineHandle, HandlePorts, LinksPorts, RouterPorts};
use messages::{Drain, Flush, HandOverAll, Leave};
use persistence::{Persistence, PersistencePorts};
use retention::Retention;
pub use router::SupervisorThreads;
use router::{ClusterPorts, Router, RouterPeers, SchedulerPorts};
use scheduler::Scheduler;
use settings_cache::{SettingsCache, SettingsPorts};

/// The running actors.
pub struct Actors {
    /// The engine as the API sees it.
    pub handle: EngineHandle,
    router: Addr<Router>,
    persistence: Addr<Persistence>,
    membership: Addr<Membership>,
    context: Arc<ActorContext>,
}

/// The place of an engine among the nodes of its database.
pub struct ClusterPlace {
    /// As it has joined.
    pub joined: Joined,
    /// The key of what nodes say to each other.
    pub key: PushKey,
    /// How they say it.
    pub peers: Arc<dyn Peers>,
}

impl ClusterPlace {
    /// Of an engine that has its store for itself, by a clock of its own: for tests and measurements.
    pub fn alone(clock: Arc<dyn Clock>) -> Self {
        Self { joined: Joined::alone(clock), key: PushKey::new([0; 32]), peers: Arc::new(NoPeers) }
    }
}

impl Actors {
    /// Reads subscriptions and event types, and starts the actors: the supervisors on `threads`, the others on the calling
    /// thread.
    pub fn start(
        context: Arc<ActorContext>,
        threads: SupervisorThreads,
        place: ClusterPlace,
    ) -> StoreResult<Self> {
        let ClusterPlace { joined, key, peers } = place;
        let ids = IdGenerator::new(joined.slot(), context.store.largest_id()?);
        let ids = Arc::new(Mutex::new(ids));

        // these know each other: every address exists before the first of them runs
        let (router_context, scheduler_context) = (Context::<Router>::new(), Context::<Scheduler>::new());
        let (router, scheduler) = (router_context.address(), scheduler_context.address());
        let retention_context = Context::<Retention>::new();
        let (links_context, membership_context) = (Context::<Links>::new(), Context::<Membership>::new());
        let (links, membership) = (links_context.address(), membership_context.address());
        let ports = SettingsPorts {
            endpoint_changed: router.clone().recipient(),
            organization_deleted: retention_context.address().recipient(),
            payload_erased: router.clone().recipient(),
        };
        let settings = Arc::new(SettingsCache::load(context.clone(), ports)?);
        let resolver =
            DoubtResolver::new(context.clone(), settings.clone(), scheduler.clone().recipient()).start();
        let ports =
            PersistencePorts { router: router.clone().recipient(), resolver: resolver.clone().recipient() };
        let persistence = Persistence::new(context.clone(), settings.clone(), ids.clone(), ports).start();
        let ports = MembershipPorts {
            hand_over: router.clone().recipient(),
            abandon: router.clone().recipient(),
            drop_records: persistence.clone().recipient(),
            rescan: scheduler.clone().recipient(),
            resolver: resolver.clone().recipient(),
            flush: persistence.clone().recipient(),
            changed: links.clone().recipient(),
            nudge: links.clone().recipient(),
        };
        // first: everything else asks for the rights
        let member = Membership::new(context.clone(), settings.clone(), ids.clone(), joined, ports);
        membership_context.run(member);
        let to_router = router.clone().recipient();
        links_context.run(Links::new(
            context.clone(),
            (key.clone(), peers),
            to_router,
            membership.clone().recipient(),
        ));
        scheduler_context.run(Scheduler::new(context.clone(), router.clone().recipient()));
        let supervisors = SupervisorPorts {
            router_retire: router.clone().recipient(),
            router_stopped: router.clone().recipient(),
            persistence: persistence.clone().recipient(),
        };
        let scheduler =
            SchedulerPorts { schedule: scheduler.clone().recipient(), capacity_freed: scheduler.recipient() };
        let cluster =
            ClusterPorts { announce: links.clone().recipient(), released: membership.clone().recipient() };
        let peers = RouterPeers { scheduler, cluster, supervisors: Arc::new(supervisors) };
        router_context.run(Router::new(context.clone(), threads, peers));
        let ports = HandlePorts {
            persistence: persistence.clone().recipient(),
            router: RouterPorts {
                work_added: router.clone().recipient(),
                breaker_was_reset: router.clone().recipient(),
            },
            resolver: resolver.recipient(),
            links: LinksPorts { key, pushed: links.clone().recipient(), nudge: links.recipient() },
        };
        let handle = EngineHandle::new(context.clone(), settings, ids, ports);
        retention_context.run(Retention::new(context.clone(), handle.clone()));
        Ok(Self { handle, router, persistence, membership, context })
    }

    /// For tests that send messages to the router.
    pub fn router(&self) -> &Addr<Router> {
        &self.router
    }

    /// Gives this node's webhooks to other nodes, if there are any; returns whether there are.
    pub async fn hand_over(&self) -> bool {
        let has_company = self.context.rights.has_company();
        self.handle.begin_leaving();
        // an error means that the actor has ended already
        let _ = self.membership.send(HandOverAll).await;
        has_company
    }

    /// Waits until all that persistence got before this call is on disk.
    pub async fn flush(&self) {
        // an error means that the actor has ended already
        let _ = self.persistence.send(Flush).await;
    }

    /// Stops in order: no new attempts are made, attempts in flight end, and their outcomes are on disk.
    pub async fn stop(&self) {
        self.handle.stop_accepting();
        self.flush().await;
        // as above
        let _ = self.router.send(Drain).await;
        self.flush().await;
        let _ = self.membership.send(Leave).await;
    }
}
