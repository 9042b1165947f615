//! The engine as the API sees it: publishing, test events, and notices of what the API changed in the store.

mod notices;
mod publishing;
mod test_event;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use actix::Recipient;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::cluster::push::{Push, PushKey};
use super::cluster::rights::ClusterSeen;
use super::context::ActorContext;
use super::fairness::event_rates::EventRates;
use super::fairness::shares::Shares;
use super::mailbox::post;
use super::messages::{BreakerReset, BreakerWasReset, CollectInbox, Nudge, Pushed, ResolveDoubt, WorkAdded};
use super::settings_cache::SettingsCache;
use super::statistics::CurrentStatistics;
use crate::domain::credentials::CertificatesSeen;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::event_type_registry::EventTypeRegistry;
use crate::domain::event_types::EventTypePolicy;
use crate::domain::ids::{EndpointId, IdGenerator, OrganizationId};
use crate::domain::organization::BodyShape;
use crate::domain::public_keys::PublishedKey;
use crate::domain::time::UnixMillis;
use crate::store::{Store, StoreResult};
use crate::telemetry;

/// Where the handle sends its messages.
pub(super) struct HandlePorts {
    pub persistence: Recipient<CollectInbox>,
    pub router: RouterPorts,
    pub resolver: Recipient<ResolveDoubt>,
    pub links: LinksPorts,
}

/// The part of [`HandlePorts`] of other nodes.
pub(super) struct LinksPorts {
    pub key: PushKey,
    pub pushed: Recipient<Pushed>,
    pub nudge: Recipient<Nudge>,
}

/// The router's part of [`HandlePorts`].
pub(super) struct RouterPorts {
    pub work_added: Recipient<WorkAdded>,
    pub breaker_was_reset: Recipient<BreakerWasReset>,
}

/// The engine, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

struct Shared {
    context: Arc<ActorContext>,
    settings: Arc<SettingsCache>,
    ids: Arc<Mutex<IdGenerator>>,
    ports: HandlePorts,
    is_accepting: AtomicBool,
    is_leaving: AtomicBool,
}

impl EngineHandle {
    pub(super) fn new(
        context: Arc<ActorContext>,
        settings: Arc<SettingsCache>,
        ids: Arc<Mutex<IdGenerator>>,
        ports: HandlePorts,
    ) -> Self {
        Self(Arc::new(Shared {
            context,
            settings,
            ids,
            ports,
            is_accepting: AtomicBool::new(true),
            is_leaving: AtomicBool::new(false),
        }))
    }

    /// For reads and for the management of rows. The engine learns of changes by the methods below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.context.store
    }

    /// Statistics that include the counts that are not stored yet.
    pub(crate) fn statistics(&self) -> CurrentStatistics {
        CurrentStatistics(self.0.context.counting.clone())
    }

    /// What organizations hold of the engine.
    /// What is taken here counts for other nodes too, and what they take for this one.
    pub(crate) fn share_event_rates(&self, rates: Arc<EventRates>) {
        // an error means that it was told before
        let _ = self.0.context.event_rates.set(rates);
    }

    pub(crate) fn shares(&self) -> &Arc<Shares> {
        &self.0.context.shares
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.0.context.now()
    }

    /// A generator for secrets and keys.
    pub(crate) fn rng(&self) -> StdRng {
        StdRng::from_seed(self.0.context.random.seed())
    }

    /// A new raw id, for a row that the API creates.
    pub(crate) fn next_id(&self) -> i64 {
        let now = self.now();
        self.0.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now)
    }

    /// Every organization's own event types.
    pub(crate) fn event_types(&self) -> Arc<RwLock<EventTypeRegistry>> {
        self.0.settings.event_types()
    }

    /// How the bodies of an organization's events are built.
    pub(crate) fn body_shape(&self, organization_id: OrganizationId) -> BodyShape {
        self.0.settings.body_shape(organization_id)
    }

    /// What verifies a webhook's signatures now, the newest first; none of one with a shared secret, or that does not exist.
    pub(crate) fn public_keys(&self, id: EndpointId) -> Vec<PublishedKey> {
        self.0.settings.public_keys().of(id, self.now())
    }

    /// How close the client certificates of this node's active webhooks are to their end.
    pub fn certificates(&self) -> CertificatesSeen {
        let rights = &self.0.context.rights;
        self.0.settings.certificate_ends().count(self.now(), |id| rights.has(id))
    }

    /// Changes whenever a name of an organization may stand for another one, or for none.
    pub(crate) fn names_version(&self) -> u64 {
        self.0.settings.names_version()
    }

    /// Which event types there are besides those.
    pub(crate) fn event_type_policy(&self) -> EventTypePolicy {
        self.0.context.settings.event_types
    }

    /// Call after webhooks, event types or organizations were changed in the store: from now on every event meets them as
    /// they are. Blocks.
    pub fn settings_changed(&self) {
        if let Err(error) = self.0.settings.catch_up() {
            tracing::debug!(%error, "changed settings can't be read yet");
            self.change_in_doubt();
        }
        self.0.context.noticed.notify_one();
        if self.0.context.rights.may_have_company() {
            post(&self.0.ports.links.nudge, Nudge);
        }
    }

    /// Whether an event of this type with these channels would reach anybody, at least with some data. Blocks.
    pub(crate) fn has_subscriber(
        &self,
        organization_id: OrganizationId,
        event_type: &str,
        channels: &[String],
    ) -> StoreResult<bool> {
        // a commit notices what others have changed; here nothing is committed
        if self.0.context.rights.may_have_company() {
            self.0.settings.catch_up()?;
        }
        Ok(self.0.settings.subscriptions().has_subscriber(organization_id, event_type, channels))
    }

    /// The nodes that share the database, as this one has seen them last.
    pub(crate) fn cluster(&self) -> Arc<ClusterSeen> {
        self.0.context.rights.seen()
    }

    /// How long ago it looked at them; for long when the database is away.
    pub(crate) fn looked_before(&self) -> Duration {
        self.0.context.rights.looked_before()
    }

    /// Whether this node may deliver.
    pub(crate) fn has_rights(&self) -> bool {
        self.0.context.rights.may_act()
    }

    /// Takes what another node says; `false`: it is of no node of this cluster, or old.
    pub fn pushed(&self, header: &str, body: &[u8]) -> Option<String> {
        let key = &self.0.ports.links.key;
        if !key.verifies(header, self.now(), body) {
            return None;
        }
        let push: Push = serde_json::from_slice(body).ok()?;
        if !push.is_for(&self.cluster()) {
            return None;
        }
        post(&self.0.ports.links.pushed, Pushed { announcements: push.announcements() });
        Some(key.answer_to(header))
    }

    /// Call after a change of rows failed that may have been committed.
    pub(crate) fn change_in_doubt(&self) {
        self.0.settings.doubt();
        post(&self.0.ports.resolver, ResolveDoubt);
    }

    /// Whether rows may have been changed that the engine has not read yet.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.0.settings.is_in_doubt()
    }

    /// Call after deliveries of these endpoints became pending in the store.
    pub fn work_added(&self, organization_id: OrganizationId, endpoint_ids: Vec<EndpointId>) {
        self.0.context.mark_counts_stale();
        post(&self.0.ports.router.work_added, WorkAdded { organization_id, endpoint_ids });
    }

    /// Call after someone resumed an endpoint: in the store its breaker is closed, and deliveries that waited for a retry
    /// are due.
    pub fn endpoint_resumed(&self, organization_id: OrganizationId, endpoint_id: EndpointId) {
        self.breaker_was_reset(organization_id, endpoint_id, BreakerReset::Resumed);
    }

    fn breaker_was_reset(&self, organization_id: OrganizationId, endpoint_id: EndpointId, reset: BreakerReset) {
        self.0.context.mark_counts_stale();
        post(&self.0.ports.router.breaker_was_reset, BreakerWasReset { organization_id, endpoint_id, reset });
    }

    /// Call after deliveries of a deleted endpoint were cancelled.
    pub(crate) fn deliveries_cancelled(&self, count: usize) {
        telemetry::DeliveryFinished { outcome: DeliveryStatus::Cancelled, count: count as u64 }.emit();
        self.0.context.mark_counts_stale();
    }

    /// Whether clients should send their requests here: not while it stops or leaves a cluster.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_accepting() && !self.0.is_leaving.load(Ordering::Acquire)
    }

    /// Whether events are taken: not any more when it stops.
    pub(super) fn is_accepting(&self) -> bool {
        self.0.is_accepting.load(Ordering::Acquire)
    }

    /// From now on clients should go elsewhere; requests that come nevertheless are answered.
    pub(super) fn begin_leaving(&self) {
        self.0.is_leaving.store(true, Ordering::Release);
    }

    /// Whether an event could be stored now, judging by the last commit.
    pub(crate) fn can_commit(&self) -> bool {
        self.0.context.can_commit()
    }

    pub(super) fn stop_accepting(&self) {
        self.0.is_accepting.store(false, Ordering::Release);
    }
}
