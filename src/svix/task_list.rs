//! `/api/v1/background-task`: which tasks there are, and how they are doing.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::access::Access;
use super::error::SvixError;
use super::page::{Order, Page, Query};
use crate::api::Api;
use crate::domain::ids::TaskId;
use crate::domain::time::UnixMillis;
use crate::store::{BackgroundTask, DirectedPage, TaskFilter, TaskKind, TaskStatus};

/// Kinds of tasks of Svix's service that there are none of here.
const OTHER_KINDS: [&str; 5] = [
    "application.stats",
    "message.broadcast",
    "sdk.generate",
    "event-type.aggregate",
    "application.purge_content",
];

/// A task as it is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskOut {
    id: TaskId,
    status: &'static str,
    task: &'static str,
    data: TaskData,
    updated_at: UnixMillis,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskData {
    /// So far.
    messages_sent: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<BackgroundTask> for TaskOut {
    fn from(task: BackgroundTask) -> Self {
        Self {
            id: task.id,
            status: task.status.as_str(),
            task: task.kind.as_str(),
            data: TaskData { messages_sent: task.sent, error: task.failure },
            updated_at: task.updated_at,
        }
    }
}

/// `GET /api/v1/background-task`, with `?status=` and `?task=`: the newest first. A token of an application sees its own.
pub(super) async fn list(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let page: Page<TaskId> = query.page(Order::Descending);
    let status = query.read("status", |text| {
        let found = TaskStatus::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| String::from("must be running, finished or failed"))
    });
    // `Some(None)`: of a kind of which there are none
    let kind = query.read("task", |text| {
        let found = TaskKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        match found.is_some() || OTHER_KINDS.contains(&text) {
            true => Ok(found),
            false => Err(String::from("must be endpoint.replay, endpoint.recover or endpoint.bulk-replay")),
        }
    });
    query.finish()?;
    let filter = TaskFilter { organization_id: access.holder, status, kind: kind.flatten() };
    let wanted = DirectedPage {
        behind: page.beyond().map(|id| id.0),
        is_ascending: page.fetched() == Order::Ascending,
        limit: page.rows(),
    };
    let environment = access.environment.clone();
    let rows = match kind {
        Some(None) => Vec::new(),
        _ => api.read(access.line, move |store| store.tasks(&environment, &filter, wanted)).await?,
    };
    Ok(HttpResponse::Ok().json(page.list(rows, |task| task.id, TaskOut::from)))
}

/// `GET /api/v1/background-task/{task}`.
pub(super) async fn read(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let name = request.match_info().get("task").unwrap_or_default();
    let id: TaskId = name.parse().map_err(|_| SvixError::not_found())?;
    let (environment, holder) = (access.environment.clone(), access.holder);
    let found = api.read(access.line, move |store| store.task(&environment, holder, id)).await?;
    Ok(HttpResponse::Ok().json(TaskOut::from(found.ok_or_else(SvixError::not_found)?)))
}
