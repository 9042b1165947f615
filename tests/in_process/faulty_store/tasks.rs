//! Background tasks.

use ringback::domain::ids::{OrganizationId, TaskId};
use ringback::domain::svix::Environment;
use ringback::domain::time::UnixMillis;
use ringback::store::{BackgroundTask, DirectedPage, StoreResult, TaskFilter, TaskMark, TaskStep, TaskStore};

use super::FaultyStore;

impl TaskStore for FaultyStore {
    pass_on! {
        fn create_task(&self, task: &BackgroundTask, most_running: usize) -> StoreResult<bool>;
        fn task(
            &self,
            environment: &Environment,
            owner: Option<OrganizationId>,
            id: TaskId,
        ) -> StoreResult<Option<BackgroundTask>>;
        fn tasks(
            &self,
            environment: &Environment,
            filter: &TaskFilter,
            page: DirectedPage,
        ) -> StoreResult<Vec<BackgroundTask>>;
        fn next_task(&self, organization_id: OrganizationId) -> StoreResult<Option<BackgroundTask>>;
        fn running_tasks(&self, limit: usize) -> StoreResult<Vec<TaskMark>>;
        fn advance_task(
            &self,
            task: &BackgroundTask,
            step: &TaskStep,
            next_id: &mut dyn FnMut() -> i64,
            now: UnixMillis,
        ) -> StoreResult<Option<BackgroundTask>>;
        fn prune_tasks(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
    }
}
