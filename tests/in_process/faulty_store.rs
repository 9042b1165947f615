//! A store with faults on demand.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use ringback::domain::audit::AuditEntry;
use ringback::domain::cluster::{Member, Partition, Slot};
use ringback::domain::delivery::DeliveryFilter;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::{EventFilter, EventRecord};
use ringback::domain::event_types::DefinedEventType;
use ringback::domain::health::{
    EndpointHealth, EndpointState, EndpointStates, OrganizationInTrouble, PendingStats,
};
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId};
use ringback::domain::last_failure::LastFailure;
use ringback::domain::organization::{ApiKey, Organization, OrganizationChange, OrganizationRef, OrganizationUid};
use ringback::domain::round::Rounds;
use ringback::domain::session::{DashboardSession, SignInLink};
use ringback::domain::statistics::PeriodStatistics;
use ringback::domain::svix::{Application, EndingTokens, Environment, EnvironmentEventType, EventTypeChange};
use ringback::domain::svix_id::SvixId;
use ringback::domain::time::UnixMillis;
use ringback::store::*;

use crate::held_calls::HeldCalls;

pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Arc<Faults>,
}

impl Deref for FaultyStore {
    type Target = Faults;
    fn deref(&self) -> &Faults {
        &self.faults
    }
}

pub(crate) struct Faults {
    /// While it is set, nothing works.
    pub is_unavailable: AtomicBool,
    /// So many updates find that the row was changed meanwhile.
    pub conflicts: AtomicUsize,
    /// The next commit with an outcome panics.
    pub outcome_panics: AtomicBool,
    /// The step of a recovery, from 1, that fails; 0 for none.
    pub failing_step: AtomicUsize,
    /// How many checkpoints may have been made.
    pub checkpoints: AtomicUsize,
    /// How many commits there were.
    pub commits: AtomicUsize,
    /// Calls that are held up until the test lets them go.
    pub held: HeldCalls,
    /// The next checkpoint panics.
    pub checkpoint_panics: AtomicBool,
    /// The next call of this method is made, and its answer lost.
    pub loses_answer_of: Mutex<&'static str>,
    /// In the way of so many of them stands a reader.
    pub checkpoints_blocked: AtomicUsize,
    /// Whether a commit may be made now, for whoever counts those that were made nevertheless.
    pub may_commit: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    pub commits_without_right: AtomicUsize,
}

impl FaultyStore {
    pub(crate) fn over(inner: Arc<dyn Store>) -> Self {
        let (is_unavailable, conflicts) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (outcome_panics, checkpoint_panics) = (AtomicBool::new(false), AtomicBool::new(false));
        let [failing_step, checkpoints, checkpoints_blocked, commits, commits_without_right] =
            [0; 5].map(AtomicUsize::new);
        let faults = Faults {
            is_unavailable,
            conflicts,
            outcome_panics,
            failing_step,
            checkpoints,
            commits,
            held: HeldCalls::default(),
            checkpoint_panics,
            loses_answer_of: Mutex::default(),
            checkpoints_blocked,
            may_commit: OnceLock::new(),
            commits_without_right,
        };
        Self { inner, faults: Arc::new(faults) }
    }

    fn open(&self) -> StoreResult<()> {
        match self.is_unavailable.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("switched off".to_owned())),
            false => Ok(()),
        }
    }

    /// What happens after a method was called.
    fn after(&self, method: &str) -> StoreResult<()> {
        let mut loses = self.loses_answer_of.lock().unwrap();
        match *loses == method {
            true => {
                *loses = "";
                Err(StoreError::Unavailable("the answer was lost".to_owned()))
            }
            false => Ok(()),
        }
    }

    fn conflict(&self) -> StoreResult<()> {
        match take_one(&self.conflicts) {
            Ok(_) => Err(StoreError::Conflict),
            Err(_) => Ok(()),
        }
    }

    /// What happens before a method of the store is called.
    fn before(&self, method: &str) -> StoreResult<()> {
        self.open()?;
        self.held.pass(method);
        match method {
            "update_endpoint" => self.conflict(),
            "requeue_range" if take_one(&self.failing_step) == Ok(1) => {
                Err(StoreError::Unavailable("switched off".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Counts down to 0; returns what it was, or `Err` when it was 0.
fn take_one(counter: &AtomicUsize) -> Result<usize, usize> {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
}

/// Passes each method on to the store behind, between [`FaultyStore::before`] and [`FaultyStore::after`].
macro_rules! pass_on {
    ($(fn $method:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $result:ty;)+) => {
        $(fn $method(&self $(, $argument: $type)*) -> $result {
            self.before(stringify!($method))?;
            let result = self.inner.$method($($argument),*);
            self.after(stringify!($method))?;
            result
        })+
    };
}

mod tasks;

impl QueueStore for FaultyStore {
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        self.open()?;
        let panics = !batch.outcomes.is_empty() && self.outcome_panics.swap(false, Ordering::SeqCst);
        assert!(!panics, "a panic on demand");
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.held.pass("commit");
        let may_commit = self.may_commit.get().is_none_or(|may_commit| may_commit());
        let report = self.inner.commit(batch, now);
        self.commits_without_right.fetch_add(usize::from(!may_commit && report.is_ok()), Ordering::SeqCst);
        self.after(if batch.events.is_empty() { "commit" } else { "commit of events" })?;
        report
    }

    fn checkpoint(&self) -> StoreResult<Checkpoint> {
        self.open()?;
        self.checkpoints.fetch_add(1, Ordering::SeqCst);
        assert!(!self.checkpoint_panics.swap(false, Ordering::SeqCst), "a panic on demand");
        match take_one(&self.checkpoints_blocked) {
            Ok(_) => Ok(Checkpoint::Blocked),
            Err(_) => self.inner.checkpoint(),
        }
    }

    pass_on! {
        fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>>;
        fn due_deliveries(
            &self,
            organization_id: OrganizationId,
            endpoint_id: EndpointId,
            request: &DueRequest,
        ) -> StoreResult<DuePage>;
        fn cancel_pending(
            &self,
            organization_id: OrganizationId,
            endpoint_id: EndpointId,
            now: UnixMillis,
        ) -> StoreResult<usize>;
        fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()>;
        fn make_due(
            &self,
            organization_id: OrganizationId,
            endpoint_id: EndpointId,
            after: Option<QueuePosition>,
            limit: usize,
            now: UnixMillis,
        ) -> StoreResult<MadeDue>;
    }
}

impl TenantStore for FaultyStore {
    pass_on! {
        fn create_organization(&self, organization: &Organization) -> StoreResult<()>;
        fn create_organization_once(
            &self,
            organization: &Organization,
            key: &CreationKey,
        ) -> StoreResult<Creation>;
        fn update_organization(
            &self,
            id: OrganizationId,
            change: &OrganizationChange,
        ) -> StoreResult<Option<Organization>>;
        fn organizations_of(
            &self,
            environment: &Environment,
            page: DirectedPage,
        ) -> StoreResult<Vec<Organization>>;
        fn organization_by_uid(
            &self,
            environment: &Environment,
            uid: &OrganizationUid,
        ) -> StoreResult<Option<Organization>>;
        fn endpoint_by_uid(
            &self,
            organization_id: OrganizationId,
            uid: &OrganizationUid,
        ) -> StoreResult<Option<EndpointStart>>;
        fn endpoints_of(
            &self,
            organization_id: OrganizationId,
            page: DirectedPage,
        ) -> StoreResult<Vec<EndpointStart>>;
        fn resolve_organization(&self, name: &OrganizationRef) -> StoreResult<Option<OrganizationId>>;
        fn note_key_used(&self, id: KeyId, now: UnixMillis) -> StoreResult<()>;
        fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>>;
        fn failing_organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>>;
        fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>>;
        fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<bool>;
        fn create_key(&self, key: &ApiKey) -> StoreResult<()>;
        fn keys(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<ApiKey>>;
        fn revoke_key(&self, owner: Option<OrganizationId>, id: KeyId) -> StoreResult<Option<[u8; 32]>>;
        fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>>;
        fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
        fn find_endpoint(
            &self,
            organization_id: OrganizationId,
            id: EndpointId,
        ) -> StoreResult<Option<EndpointStart>>;
        fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>>;
        fn search_endpoints(
            &self,
            organization_id: OrganizationId,
            search: &EndpointSearch,
            page: PageRequest,
        ) -> StoreResult<Vec<EndpointStart>>;
        fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
        fn delete_endpoint(
            &self,
            organization_id: OrganizationId,
            id: EndpointId,
            now: UnixMillis,
        ) -> StoreResult<Option<usize>>;
        fn create_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()>;
        fn save_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()>;
        fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>>;
        fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool>;
    }
}

impl SessionStore for FaultyStore {
    pass_on! {
        fn begin_session(&self, session: &DashboardSession, now: UnixMillis) -> StoreResult<()>;
        fn create_link(&self, link: &SignInLink, now: UnixMillis) -> StoreResult<()>;
        fn use_link(&self, token_hash: &[u8; 32], now: UnixMillis) -> StoreResult<LinkUse>;
        fn session(&self, token_hash: &[u8; 32]) -> StoreResult<Option<DashboardSession>>;
        fn end_session(&self, token_hash: &[u8; 32]) -> StoreResult<()>;
        fn prune_sessions(&self, now: UnixMillis, limit: usize) -> StoreResult<bool>;
    }
}

impl NoticeStore for FaultyStore {
    pass_on! {
        fn listening(&self) -> StoreResult<Listening>;
        fn is_told(&self, organization_id: OrganizationId) -> StoreResult<bool>;
        fn notices(&self, behind: Option<OrganizationId>, limit: usize) -> StoreResult<Vec<Notice>>;
        fn remove_notices(&self, ids: &[i64]) -> StoreResult<()>;
        fn least_due(
            &self,
            application_id: OrganizationId,
            now: UnixMillis,
            most: usize,
        ) -> StoreResult<Option<usize>>;
    }
}

impl SvixStore for FaultyStore {
    pass_on! {
        fn application(
            &self,
            environment: &Environment,
            name: &OrganizationRef,
        ) -> StoreResult<Option<Application>>;
        fn application_by_svix_id(&self, environment: &Environment, id: &SvixId) -> StoreResult<Option<Application>>;
        fn endpoint_by_svix_id(&self, owner: OrganizationId, id: &SvixId) -> StoreResult<Option<EndpointStart>>;
        fn svix_ids_of_endpoints(&self, owner: OrganizationId) -> StoreResult<Vec<(EndpointId, SvixId)>>;
        fn environment_of(&self, id: OrganizationId) -> StoreResult<Option<Environment>>;
        fn end_tokens(&self, id: OrganizationId, ends: EndingTokens, now: UnixMillis) -> StoreResult<bool>;
        fn environment_event_types(
            &self,
            environment: &Environment,
            page: &NamePage,
        ) -> StoreResult<Vec<EnvironmentEventType>>;
        fn environment_event_type(
            &self,
            environment: &Environment,
            name: &str,
        ) -> StoreResult<Option<EnvironmentEventType>>;
        fn create_environment_event_type(
            &self,
            environment: &Environment,
            event_type: &EnvironmentEventType,
        ) -> StoreResult<Option<EnvironmentEventType>>;
        fn put_environment_event_type(
            &self,
            environment: &Environment,
            event_type: &EnvironmentEventType,
        ) -> StoreResult<(EnvironmentEventType, bool)>;
        fn change_environment_event_type(
            &self,
            environment: &Environment,
            name: &str,
            change: &EventTypeChange,
            now: UnixMillis,
        ) -> StoreResult<Option<EnvironmentEventType>>;
        fn remove_environment_event_type(&self, environment: &Environment, name: &str) -> StoreResult<bool>;
        fn begin_answer(&self, key_hash: &[u8; 32], times: AnswerTimes) -> StoreResult<AnswerState>;
        fn answer(&self, key_hash: &[u8; 32]) -> StoreResult<Option<AnswerState>>;
        fn keep_answer(
            &self,
            key_hash: &[u8; 32],
            answer: Option<&KeptAnswer>,
            now: UnixMillis,
        ) -> StoreResult<()>;
        fn prune_answers(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
    }
}

impl ChangeStore for FaultyStore {
    pass_on! {
        fn wait_until_decided(&self) -> StoreResult<()>;
        fn last_change(&self) -> StoreResult<ChangeNumber>;
        fn changes_since(&self, after: ChangeNumber, limit: usize) -> StoreResult<ChangesSince>;
        fn verbatim_organizations(&self) -> StoreResult<Vec<OrganizationId>>;
        fn is_verbatim(&self, organization_id: OrganizationId) -> StoreResult<bool>;
        fn event_types_now(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>>;
    }
}

impl ClusterStore for FaultyStore {
    pass_on! {
        fn members(&self) -> StoreResult<Vec<Member>>;
        fn join(&self, joining: &Joining) -> StoreResult<Slot>;
        fn beat(&self, beat: &Beat) -> StoreResult<ClusterView>;
        fn ownership(&self) -> StoreResult<Ownership>;
        fn fence(&self, dead: &Member, moves: &[(Partition, Slot)]) -> StoreResult<bool>;
        fn claim(&self, moves: &[(Partition, Slot)]) -> StoreResult<()>;
        fn order_moves(&self, moves: &[(Partition, Slot)]) -> StoreResult<()>;
        fn hand_over(
            &self,
            moves: &[(Partition, Option<Slot>)],
            busy: &[(EndpointId, OrganizationId)],
        ) -> StoreResult<()>;
        fn unpin(&self, endpoints: &[EndpointId]) -> StoreResult<()>;
        fn ask_to_look(&self, slots: &[Slot]) -> StoreResult<()>;
        fn leave(&self) -> StoreResult<()>;
    }
}

impl ErasureStore for FaultyStore {
    pass_on! {
        fn erase_payload(
            &self,
            organization_id: OrganizationId,
            id: EventId,
            now: UnixMillis,
        ) -> StoreResult<Option<ErasureStep>>;
        fn erase_response(
            &self,
            organization_id: OrganizationId,
            id: DeliveryId,
            number: u32,
        ) -> StoreResult<bool>;
        fn erase_expired_payloads(&self, now: UnixMillis, limit: usize) -> StoreResult<ExpiryStep>;
    }
}

impl LogStore for FaultyStore {
    pass_on! {
        fn deliveries(
            &self,
            organization_id: OrganizationId,
            filter: &DeliveryFilter,
            page: PageRequest,
        ) -> StoreResult<LogPage>;
        fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>>;
        fn events(
            &self,
            organization_id: OrganizationId,
            filter: &EventFilter,
            page: PageRequest,
        ) -> StoreResult<Vec<EventRecord>>;
        fn event_by_uid(&self, organization_id: OrganizationId, uid: &str) -> StoreResult<Option<EventId>>;
        fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>>;
        fn requeue_delivery(
            &self,
            organization_id: OrganizationId,
            id: DeliveryId,
            rounds: Rounds,
            now: UnixMillis,
        ) -> StoreResult<RequeueOutcome>;
        fn requeue_range(
            &self,
            organization_id: OrganizationId,
            endpoint_id: EndpointId,
            range: &RequeueRange,
            after: Option<DeliveryId>,
            limit: usize,
            now: UnixMillis,
        ) -> StoreResult<RequeuedPage>;
        fn attempts(
            &self,
            organization_id: OrganizationId,
            filter: &AttemptFilter,
            page: AttemptPageRequest,
        ) -> StoreResult<EdgePage<ListedAttempt, AttemptPosition>>;
        fn event_list(
            &self,
            organization_id: OrganizationId,
            filter: &EventListFilter,
            page: EventPageRequest,
        ) -> StoreResult<EdgePage<ListedEvent, EventId>>;
        fn messages(
            &self,
            organization_id: OrganizationId,
            filter: &ListFilter,
            page: &MessagePageRequest,
        ) -> StoreResult<EdgePage<Message, DeliveryId>>;
        fn count_range(
            &self,
            organization_id: OrganizationId,
            endpoint_id: EndpointId,
            range: &RequeueRange,
            limit: usize,
        ) -> StoreResult<usize>;
        fn replay_event(
            &self,
            organization_id: OrganizationId,
            id: EventId,
            targets: &ReplayTargets,
            rounds: Rounds,
            next_id: &mut dyn FnMut() -> i64,
            now: UnixMillis,
        ) -> StoreResult<Option<Vec<EndpointId>>>;
        fn make_delivery_due(
            &self,
            organization_id: OrganizationId,
            id: DeliveryId,
            now: UnixMillis,
        ) -> StoreResult<MadeDeliveryDue>;
        fn pending(
            &self,
            organization_id: OrganizationId,
            endpoint_id: Option<EndpointId>,
        ) -> StoreResult<PendingStats>;
        fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates>;
        fn organizations_in_trouble(&self, most: usize) -> StoreResult<Vec<OrganizationInTrouble>>;
        fn last_failure(
            &self,
            organization_id: OrganizationId,
            endpoint_id: EndpointId,
        ) -> StoreResult<Option<LastFailure>>;
        fn organization_statistics(
            &self,
            organization_id: OrganizationId,
            since: UnixMillis,
        ) -> StoreResult<Vec<PeriodStatistics>>;
        fn endpoint_statistics(
            &self,
            organization_id: OrganizationId,
            endpoint_ids: &[EndpointId],
            since: UnixMillis,
        ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>>;
    }
}

impl AuditStore for FaultyStore {
    fn recording(&self, entry: AuditEntry) -> Arc<dyn Store> {
        Arc::new(Self { inner: self.inner.recording(entry), faults: Arc::clone(&self.faults) })
    }

    pass_on! {
        fn audit_log(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<AuditEntry>>;
        fn prune_audit_log(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
    }
}

impl MaintenanceStore for FaultyStore {
    pass_on! {
        fn largest_id(&self) -> StoreResult<i64>;
        fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>>;
        fn scan_event_types(
            &self,
            after: Option<(OrganizationId, &str)>,
            limit: usize,
        ) -> StoreResult<Vec<DefinedEventType>>;
        fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>>;
        fn open_breakers(&self) -> StoreResult<Vec<EndpointHealth>>;
        fn count_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<u64>;
        fn oldest_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<Option<UnixMillis>>;
        fn scan_states(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<(EndpointId, EndpointState)>>;
        fn size(&self) -> StoreResult<DatabaseSize>;
        fn ping(&self) -> StoreResult<()>;
        fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport>;
        fn prune_endpoints(
            &self,
            settled_before: UnixMillis,
            after: Option<EndpointId>,
            limit: usize,
        ) -> StoreResult<Option<EndpointId>>;
        fn purge_organizations(&self, settled_before: UnixMillis, limit: usize) -> StoreResult<bool>;
        fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize>;
        fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
    }
}
