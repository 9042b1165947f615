//! The settings that publishing needs in memory, subscriptions and event types, kept equal to their rows.
//!
//! They are changed in one way only: by reading the log of changes, and then the rows that it names. Whoever changed a row
//! has this done before the answer ([`SettingsCache::catch_up`]); where a change was lost from sight, the next commit that
//! it concerns notices ([`EventCommit::Outdated`](crate::store::EventCommit::Outdated)).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use actix::Recipient;
use parking_lot::Mutex;

use super::context::ActorContext;
use super::listeners::Listeners;
use super::mailbox::post;
use super::messages::{EndpointChanged, OrganizationDeleted, PayloadErased};
use crate::domain::credentials::CertificateEnds;
use crate::domain::endpoint::Endpoint;
use crate::domain::event_type_registry::{EventTypeRegistry, KnownType};
use crate::domain::event_types::DefinedEventType;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::organization::BodyShape;
use crate::domain::public_keys::PublicKeys;
use crate::domain::subscriptions::Subscriptions;
use crate::store::{ChangeNumber, Changed, ChangesSince, Store, StoreError, StoreResult};

/// Endpoints, or event types, in one read while the engine starts.
const SCAN_PAGE: usize = 5_000;
/// Lines of the log in one read.
const CHANGES_A_PAGE: usize = 1_000;

/// Who hears of changed settings.
pub(super) struct SettingsPorts {
    pub(super) endpoint_changed: Recipient<EndpointChanged>,
    pub(super) organization_deleted: Recipient<OrganizationDeleted>,
    pub(super) payload_erased: Recipient<PayloadErased>,
}

/// Subscriptions, public keys and event types of all organizations.
pub(crate) struct SettingsCache {
    context: Arc<ActorContext>,
    ports: SettingsPorts,
    subscriptions: RwLock<Subscriptions>,
    public_keys: RwLock<PublicKeys>,
    certificate_ends: RwLock<CertificateEnds>,
    event_types: Arc<RwLock<EventTypeRegistry>>,
    listeners: Listeners,
    /// The last line of the log that is in the two.
    applied: AtomicI64,
    /// See [`Self::names_version`].
    names_version: AtomicU64,
    /// How many changes and commits failed that the database may have committed, and how many of them are resolved.
    doubts: AtomicU64,
    resolved: AtomicU64,
    /// What was read before counts no more, and nothing may be matched with it.
    is_outdated: AtomicBool,
    /// Held while rows are read and applied: what was read earlier must not replace what was read later.
    reading: Mutex<()>,
}

impl SettingsCache {
    /// Reads everything.
    pub(super) fn load(context: Arc<ActorContext>, ports: SettingsPorts) -> StoreResult<Self> {
        let store = context.store.as_ref();
        // first: what changes while the rest is read is read again
        let applied = store.last_change()?;
        let mut subscriptions = Subscriptions::default();
        let mut public_keys = PublicKeys::default();
        let mut certificate_ends = CertificateEnds::default();
        scan_endpoints(store, |endpoint| {
            subscriptions.upsert(&endpoint);
            public_keys.upsert(&endpoint);
            certificate_ends.upsert(&endpoint);
        })?;
        subscriptions.set_verbatim(store.verbatim_organizations()?);
        let event_types = read_event_types(&context)?;
        let listeners = Listeners::default();
        listeners.read(store)?;
        Ok(Self {
            ports,
            listeners,
            subscriptions: RwLock::new(subscriptions),
            public_keys: RwLock::new(public_keys),
            certificate_ends: RwLock::new(certificate_ends),
            event_types: Arc::new(RwLock::new(event_types)),
            applied: AtomicI64::new(applied.0),
            names_version: AtomicU64::new(0),
            doubts: AtomicU64::new(0),
            resolved: AtomicU64::new(0),
            is_outdated: AtomicBool::new(false),
            reading: Mutex::default(),
            context,
        })
    }

    /// Who wants which event.
    pub(super) fn subscriptions(&self) -> RwLockReadGuard<'_, Subscriptions> {
        self.subscriptions.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What verifies the signatures of which webhook.
    pub(super) fn public_keys(&self) -> RwLockReadGuard<'_, PublicKeys> {
        self.public_keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// When whose client certificate ends.
    pub(super) fn certificate_ends(&self) -> RwLockReadGuard<'_, CertificateEnds> {
        self.certificate_ends.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every organization's own event types.
    pub(super) fn event_types(&self) -> Arc<RwLock<EventTypeRegistry>> {
        Arc::clone(&self.event_types)
    }

    /// Whose webhooks anyone is told about.
    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// The last change that is known here. To be asked before [`Self::subscriptions`], which may then know more.
    pub(super) fn applied(&self) -> ChangeNumber {
        ChangeNumber(self.applied.load(Ordering::Acquire))
    }

    /// A change or commit failed, and the database may have committed it.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// The log may not be the one that was read: until everything is read again, no event is matched.
    pub(super) fn become_outdated(&self) {
        self.is_outdated.store(true, Ordering::Release);
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }

    /// Reads everything again, whatever was read before. Blocks.
    pub(super) fn read_anew(&self) -> StoreResult<()> {
        let _reading = self.reading.lock();
        self.context.mark_counts_stale();
        self.read_everything()?;
        self.read_log()?;
        self.is_outdated.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether something may have been changed that nobody has read yet.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.resolved.load(Ordering::Acquire) < self.doubts.load(Ordering::Acquire)
    }

    /// Waits until the database has decided what came into doubt before this call, and reads what was changed. Blocks.
    pub(super) fn resolve(&self) -> StoreResult<()> {
        let doubts = self.doubts.load(Ordering::Acquire);
        self.context.store.wait_until_decided()?;
        self.catch_up()?;
        self.resolved.fetch_max(doubts, Ordering::AcqRel);
        Ok(())
    }

    /// Reads what was changed and tells who has to know. Afterwards every change whose commit ended before this call is
    /// known. Blocks; one caller at a time reads, the others find it done.
    pub(super) fn catch_up(&self) -> StoreResult<()> {
        let _reading = self.reading.lock();
        self.context.mark_counts_stale();
        self.read_log()
    }

    fn read_log(&self) -> StoreResult<()> {
        loop {
            let lines = match self.context.store.changes_since(self.applied(), CHANGES_A_PAGE)? {
                ChangesSince::Lines(lines) => lines,
                ChangesSince::Everything => {
                    self.read_everything()?;
                    continue;
                }
            };
            let Some(last) = lines.last() else { return Ok(()) };
            let distinct: HashSet<(OrganizationId, Changed)> =
                lines.iter().map(|line| (line.organization_id, line.what)).collect();
            for (organization_id, what) in distinct {
                self.read_again(organization_id, what)?;
            }
            self.applied.store(last.number.0, Ordering::Release);
        }
    }

    fn read_again(&self, organization_id: OrganizationId, what: Changed) -> StoreResult<()> {
        match what {
            Changed::Endpoint(id) => {
                match self.context.store.endpoint(organization_id, id) {
                    // one damaged row must not keep the events of all others from being stored. Not announced like a deletion:
                    // what is pending stays
                    Err(StoreError::Corrupt(error)) => {
                        tracing::error!(%error, webhook = %id, organization = %organization_id, "a webhook can't be read; it gets no new events");
                        self.write_subscriptions().remove(organization_id, id);
                        self.write_public_keys().remove(id);
                        self.write_certificate_ends().remove(id);
                    }
                    found => self.apply_endpoint(organization_id, id, found?.map(|start| start.endpoint)),
                }
            }
            Changed::EventTypes => self.read_event_types_of(organization_id)?,
            Changed::Organization => {
                self.names_changed();
                self.listeners.read_one(self.context.store.as_ref(), organization_id)?;
                let is_verbatim = self.context.store.is_verbatim(organization_id)?;
                let shape = if is_verbatim { BodyShape::Verbatim } else { BodyShape::Envelope };
                self.write_subscriptions().set_body_shape(organization_id, shape);
            }
            Changed::PayloadErased(event_id) => {
                post(&self.ports.payload_erased, PayloadErased { organization_id, event_id });
            }
            Changed::OrganizationDeleted => {
                self.names_changed();
                self.listeners.forget(self.context.store.as_ref(), organization_id)?;
                let endpoints = self.write_subscriptions().remove_organization(organization_id);
                self.write_event_types().remove_organization(organization_id);
                for endpoint_id in endpoints {
                    self.write_public_keys().remove(endpoint_id);
                    self.write_certificate_ends().remove(endpoint_id);
                    self.announce(organization_id, endpoint_id, None);
                }
                post(&self.ports.organization_deleted, OrganizationDeleted);
            }
        }
        Ok(())
    }

    fn names_changed(&self) {
        self.names_version.fetch_add(1, Ordering::AcqRel);
    }

    /// How the bodies of an organization's events are built.
    pub(super) fn body_shape(&self, organization_id: OrganizationId) -> BodyShape {
        self.subscriptions().body_shape(organization_id)
    }

    /// Changes whenever a name of an organization may stand for another one, or for none.
    pub(super) fn names_version(&self) -> u64 {
        self.names_version.load(Ordering::Acquire)
    }

    fn read_event_types_of(&self, organization_id: OrganizationId) -> StoreResult<()> {
        let types = self.context.store.event_types_now(organization_id)?;
        let known = self.event_types.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = known.unknown(organization_id, &types);
        drop(known);
        let compiled = unknown.into_iter().map(|own| (own, KnownType::of(own))).collect();
        self.write_event_types().replace(organization_id, &types, compiled);
        Ok(())
    }

    /// After an absence so long that the log no longer has all of it, and after joining again.
    fn read_everything(&self) -> StoreResult<()> {
        let store = self.context.store.as_ref();
        let applied = store.last_change()?;
        let event_types = read_event_types(&self.context)?;
        let mut gone: HashSet<(OrganizationId, EndpointId)> = self.subscriptions().endpoints().collect();
        scan_endpoints(store, |endpoint| {
            gone.remove(&(endpoint.organization_id, endpoint.id));
            self.apply_endpoint(endpoint.organization_id, endpoint.id, Some(endpoint));
        })?;
        for (organization_id, endpoint_id) in gone {
            self.apply_endpoint(organization_id, endpoint_id, None);
        }
        let verbatim = store.verbatim_organizations()?;
        self.write_subscriptions().set_verbatim(verbatim);
        *self.write_event_types() = event_types;
        self.names_changed();
        self.listeners.read(store)?;
        self.applied.store(applied.0, Ordering::Release);
        Ok(())
    }

    /// Takes over an endpoint as it is in its row; `None` when there is none any more.
    fn apply_endpoint(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        endpoint: Option<Endpoint>,
    ) {
        match &endpoint {
            Some(endpoint) => {
                self.write_subscriptions().upsert(endpoint);
                self.write_public_keys().upsert(endpoint);
                self.write_certificate_ends().upsert(endpoint);
            }
            None => {
                self.write_subscriptions().remove(organization_id, endpoint_id);
                self.write_public_keys().remove(endpoint_id);
                self.write_certificate_ends().remove(endpoint_id);
            }
        }
        self.announce(organization_id, endpoint_id, endpoint);
    }

    fn announce(&self, organization_id: OrganizationId, endpoint_id: EndpointId, endpoint: Option<Endpoint>) {
        let change = EndpointChanged { organization_id, endpoint_id, endpoint: endpoint.map(Box::new) };
        post(&self.ports.endpoint_changed, change);
    }

    fn write_subscriptions(&self) -> RwLockWriteGuard<'_, Subscriptions> {
        self.subscriptions.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_public_keys(&self) -> RwLockWriteGuard<'_, PublicKeys> {
        self.public_keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_certificate_ends(&self) -> RwLockWriteGuard<'_, CertificateEnds> {
        self.certificate_ends.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_event_types(&self) -> RwLockWriteGuard<'_, EventTypeRegistry> {
        self.event_types.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_event_types(context: &ActorContext) -> StoreResult<EventTypeRegistry> {
    let mut registry = EventTypeRegistry::new(context.settings.event_types);
    let mut last: Option<DefinedEventType> = None;
    loop {
        let after = last.as_ref().map(|last| (last.organization_id, last.name.as_str()));
        let page = context.store.scan_event_types(after, SCAN_PAGE)?;
        page.iter().for_each(|event_type| registry.insert(event_type));
        let is_last = page.len() < SCAN_PAGE;
        last = page.into_iter().last();
        if is_last {
            return Ok(registry);
        }
    }
}

fn scan_endpoints(store: &dyn Store, mut each: impl FnMut(Endpoint)) -> StoreResult<()> {
    let mut after: Option<EndpointId> = None;
    loop {
        let endpoints = store.scan_endpoints(after, SCAN_PAGE)?;
        let is_last = endpoints.len() < SCAN_PAGE;
        after = endpoints.last().map(|last| last.id);
        endpoints.into_iter().for_each(&mut each);
        if is_last {
            return Ok(());
        }
    }
}
