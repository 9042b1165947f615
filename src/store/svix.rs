//! What only the Svix-compatible API keeps: event types of environments, and answers to repeated requests.

use super::{EndpointStart, StoreResult};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::organization::OrganizationRef;
use crate::domain::svix::{Application, EndingTokens, Environment, EnvironmentEventType, EventTypeChange};
use crate::domain::svix_id::SvixId;
use crate::domain::time::UnixMillis;

/// A page of event types in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct NamePage {
    /// Only names beyond this one, in the direction of the page.
    pub beyond: Option<String>,
    /// From Z to A.
    pub is_descending: bool,
    /// Also archived ones.
    pub with_archived: bool,
    /// At most this many.
    pub limit: usize,
}

/// The answer to a request with an idempotency key. No `Debug`: it can hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Of HTTP.
    pub status: u16,
    /// As it was sent.
    pub body: Vec<u8>,
}

/// What is known about an idempotency key. No `Debug`: it can hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum AnswerState {
    /// It is new: whoever asked answers now, and says so with [`SvixStore::keep_answer`].
    Begun,
    /// Somebody else is answering.
    UnderWay,
    /// It was answered.
    Answered(KeptAnswer),
}

/// When what is known about an idempotency key counts.
#[derive(Debug, Clone, Copy)]
pub struct AnswerTimes {
    pub now: UnixMillis,
    /// Whoever began before this has died.
    pub abandoned_before: UnixMillis,
    /// Answers from before this are forgotten.
    pub kept_since: UnixMillis,
}

/// What the Svix-compatible API keeps beside what all have.
pub trait SvixStore: Send + Sync + 'static {
    /// Finds an application of an environment by its id or uid.
    fn application(&self, environment: &Environment, name: &OrganizationRef) -> StoreResult<Option<Application>>;
    /// Finds an application of an environment by the id that it had at Svix's server.
    fn application_by_svix_id(&self, environment: &Environment, id: &SvixId) -> StoreResult<Option<Application>>;
    /// Finds an endpoint of an application by the id that it had at Svix's server.
    fn endpoint_by_svix_id(
        &self,
        organization_id: OrganizationId,
        id: &SvixId,
    ) -> StoreResult<Option<EndpointStart>>;
    /// The endpoints of an application that were brought over from Svix's server, with the ids that they had there; deleted ones
    /// too, while they are in the log.
    fn svix_ids_of_endpoints(&self, organization_id: OrganizationId) -> StoreResult<Vec<(EndpointId, SvixId)>>;
    /// The environment of an organization; `None` when there is no such organization.
    fn environment_of(&self, id: OrganizationId) -> StoreResult<Option<Environment>>;
    /// Ends tokens of an application; see [`TokenEnds`](crate::domain::svix::TokenEnds). Sign-in links of the organization
    /// end at once, the sessions that began with one as the tokens do. Returns whether there is such an organization.
    fn end_tokens(&self, id: OrganizationId, ends: EndingTokens, now: UnixMillis) -> StoreResult<bool>;
    /// Lists event types.
    fn environment_event_types(
        &self,
        environment: &Environment,
        page: &NamePage,
    ) -> StoreResult<Vec<EnvironmentEventType>>;
    /// Finds an event type, also an archived one.
    fn environment_event_type(
        &self,
        environment: &Environment,
        name: &str,
    ) -> StoreResult<Option<EnvironmentEventType>>;
    /// Adds an event type, or puts it in the place of an archived one, whose time of creation stays. Returns what is stored
    /// then; `None` when there is one that is not archived.
    fn create_environment_event_type(
        &self,
        environment: &Environment,
        event_type: &EnvironmentEventType,
    ) -> StoreResult<Option<EnvironmentEventType>>;
    /// Adds an event type, or replaces the one of that name, whose time of creation stays. Returns what is stored then, and
    /// whether it is new.
    fn put_environment_event_type(
        &self,
        environment: &Environment,
        event_type: &EnvironmentEventType,
    ) -> StoreResult<(EnvironmentEventType, bool)>;
    /// Changes an event type; `None` when there is none of that name.
    fn change_environment_event_type(
        &self,
        environment: &Environment,
        name: &str,
        change: &EventTypeChange,
        now: UnixMillis,
    ) -> StoreResult<Option<EnvironmentEventType>>;
    /// Removes an event type. Returns whether there was one.
    fn remove_environment_event_type(&self, environment: &Environment, name: &str) -> StoreResult<bool>;

    /// Begins to answer a request with this hash of its key, unless somebody else does or has.
    fn begin_answer(&self, key_hash: &[u8; 32], times: AnswerTimes) -> StoreResult<AnswerState>;
    /// Looks up what is known about a key; `None` for nothing.
    fn answer(&self, key_hash: &[u8; 32]) -> StoreResult<Option<AnswerState>>;
    /// Keeps the answer of whoever began; without one, the next request with that key is carried out again.
    fn keep_answer(&self, key_hash: &[u8; 32], answer: Option<&KeptAnswer>, now: UnixMillis) -> StoreResult<()>;
    /// Removes answers from before `before`, at most `limit`. Returns whether there may be more.
    fn prune_answers(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
}
