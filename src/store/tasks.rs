//! Background tasks of the Svix-compatible API: an endpoint is sent again what a person asks for, in steps.
//!
//! A step and how far the task has come are written together, so a step is made once, whenever the process dies. A task belongs
//! to no node: each step says after which one it comes, and of two nodes that make the same one, one does.

use serde::{Deserialize, Serialize};

use super::{DirectedPage, StoreResult};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId, TaskId};
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

/// Tasks of one organization that are kept; the oldest ended ones go first. Smaller: people don't find last week's. Larger: whoever
/// makes tasks in a loop fills the table.
pub const TASKS_FOR_ONE: usize = 1_000;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Messages that the endpoint never got, with its whole schedule.
    Missing,
    /// Messages that failed, with one attempt each.
    Recover,
    /// Messages by a selection, with one attempt each.
    Bulk,
}

impl TaskKind {
    /// Every kind, in the order of their numbers in the database.
    pub const ALL: [Self; 3] = [Self::Missing, Self::Recover, Self::Bulk];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "endpoint.replay",
            Self::Recover => "endpoint.recover",
            Self::Bulk => "endpoint.bulk-replay",
        }
    }
}

/// How a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    /// It is under way, or waits for its turn.
    Running,
    /// It has done everything.
    Finished,
    /// It has ended without doing everything.
    Failed,
}

impl TaskStatus {
    /// Every status, in the order of their numbers in the database.
    pub const ALL: [Self; 3] = [Self::Running, Self::Finished, Self::Failed];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// Which messages of its period a task sends again; an absent field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSelection {
    /// Of one of these types; none: of all.
    pub event_types: Vec<String>,
    pub channel: Option<String>,
    pub tag: Option<String>,
    /// Whether they were delivered.
    pub succeeded: Option<bool>,
    /// The first digit of the last response's code; 0: without a response.
    pub code_class: Option<u16>,
}

/// A background task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackgroundTask {
    pub id: TaskId,
    pub environment: Environment,
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    pub kind: TaskKind,
    /// Messages from this instant on.
    pub since: UnixMillis,
    /// Messages before this instant.
    pub until: UnixMillis,
    pub selection: TaskSelection,
    pub status: TaskStatus,
    /// The id of the last delivery or event that it has looked at.
    pub place: Option<i64>,
    /// How many messages it has sent again so far.
    pub sent: u64,
    /// Why it failed.
    pub failure: Option<String>,
    /// One more with each step.
    pub version: i64,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
}

impl BackgroundTask {
    /// As it is after a step that has sent so much, and behind which it goes on at `next`.
    pub(super) fn after(&self, sent: usize, next: Option<i64>, failure: Option<String>, now: UnixMillis) -> Self {
        let status = match (&failure, next) {
            (Some(_), _) => TaskStatus::Failed,
            (None, Some(_)) => TaskStatus::Running,
            (None, None) => TaskStatus::Finished,
        };
        Self {
            status,
            place: next.or(self.place),
            sent: self.sent + sent as u64,
            failure,
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        }
    }
}

/// What a step of a task does. `next` is where the following one goes on; `None`: this is the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStep {
    /// Sends deliveries again that failed: those behind the place of the task, at most `limit`.
    Failed { limit: usize },
    /// Sends those of these deliveries again that have ended.
    Again { deliveries: Vec<DeliveryId>, next: Option<i64> },
    /// Makes a delivery of each of these events that has none at the endpoint.
    Missing { events: Vec<EventId>, next: Option<i64> },
    /// Ends the task, and says why.
    GiveUp(String),
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskMark {
    pub organization_id: OrganizationId,
    pub id: TaskId,
    pub version: i64,
}

/// Which tasks a list has; an absent field matches all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskFilter {
    pub organization_id: Option<OrganizationId>,
    pub status: Option<TaskStatus>,
    pub kind: Option<TaskKind>,
}

/// Why a task of an endpoint that does not exist any more has failed.
pub(super) const ENDPOINT_DELETED: &str = "the endpoint was deleted";

/// Background tasks, of all nodes.
pub trait TaskStore: Send + Sync + 'static {
    /// Adds a task, unless `most_running` of its organization are running. Returns whether it did;
    /// [`StoreError::NoSuchOrganization`](super::StoreError::NoSuchOrganization) when its organization does not exist.
    fn create_task(&self, task: &BackgroundTask, most_running: usize) -> StoreResult<bool>;
    /// Finds a task of an environment, or of an organization in it.
    fn task(
        &self,
        environment: &Environment,
        owner: Option<OrganizationId>,
        id: TaskId,
    ) -> StoreResult<Option<BackgroundTask>>;
    /// Lists tasks of an environment by their ids.
    fn tasks(
        &self,
        environment: &Environment,
        filter: &TaskFilter,
        page: DirectedPage,
    ) -> StoreResult<Vec<BackgroundTask>>;
    /// The oldest running task of an organization.
    fn next_task(&self, organization_id: OrganizationId) -> StoreResult<Option<BackgroundTask>>;
    /// Running tasks of all organizations, the oldest first, at most `limit`.
    fn running_tasks(&self, limit: usize) -> StoreResult<Vec<TaskMark>>;
    /// Makes the next step of a running task, in one short transaction. Returns the task as it is then; `None` when somebody else has made a step since it was read.
    fn advance_task(
        &self,
        task: &BackgroundTask,
        step: &TaskStep,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<BackgroundTask>>;
    /// Removes tasks from before `before`, at most `limit`. Returns whether there may be more.
    fn prune_tasks(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
}
