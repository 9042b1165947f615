//! Background tasks of an endpoint: what it never got, what failed, and what a selection names is sent to it again.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

use super::Svix;
use super::access::Access;
use super::endpoints::of_path;
use super::error::SvixError;
use super::input::{Invalid, read_json};
use super::task_list::TaskOut;
use super::task_runner;
use crate::api::Api;
use crate::api::audit::Author;
use crate::api::pagination::read_instant;
use crate::api::problem::Problem;
use crate::domain::audit::AuditAction;
use crate::domain::ids::{EndpointId, OrganizationId, TaskId};
use crate::domain::labels::is_label;
use crate::domain::svix::is_name;
use crate::domain::time::UnixMillis;
use crate::store::{BackgroundTask, TaskKind, TaskSelection, TaskStatus};

/// How far back failed messages are recovered, as by Svix's server.
const LONGEST_RECOVERY: Duration = Duration::from_secs(14 * 86_400);
/// For clocks that are wrong: who subtracts the longest period from his own time is not refused.
pub(super) const TOLERANCE: Duration = Duration::from_secs(300);
/// Tasks of one application that run or wait. Smaller: who recovers several endpoints is refused. Larger: more of them wait for the
/// first.
const RUNNING_FOR_ONE: usize = 8;
/// Names in `eventTypes`. Larger: the row of a task is longer.
const MAX_EVENT_TYPES: usize = 500;
/// `status` of messages that can be sent again.
const SUCCESS: u8 = 0;
const FAIL: u8 = 2;
/// `statusCodeClass`: no response, and the first digit of its code times a hundred.
const CODE_CLASSES: [u16; 6] = [0, 100, 200, 300, 400, 500];

#[derive(Deserialize)]
struct PeriodIn {
    since: String,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkIn {
    #[serde(flatten)]
    period: PeriodIn,
    event_types: Option<Vec<String>>,
    channel: Option<String>,
    tag: Option<String>,
    status: Option<u8>,
    status_code_class: Option<u16>,
}

/// What a request asks for, once it is checked.
struct Work {
    kind: TaskKind,
    since: UnixMillis,
    until: UnixMillis,
    selection: TaskSelection,
}

/// Whom it concerns.
struct Target {
    owner: OrganizationId,
    endpoint_id: EndpointId,
}

/// `POST /api/v1/app/{app}/endpoint/{endpoint}/recover`: one attempt for each message of the period that failed.
pub(super) async fn recover(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let target = target(&request, &api, &access).await?;
    let period: PeriodIn = read_json(&request, payload).await?;
    let (mut invalid, now) = (Invalid::of_body(), api.engine().now());
    let period = period.checked(now, &mut invalid);
    if period.is_some_and(|(since, _)| since < now - LONGEST_RECOVERY - TOLERANCE) {
        invalid.add("since", "can't be more than 14 days ago");
    }
    let work = Work::checked(TaskKind::Recover, period, TaskSelection::default(), invalid)?;
    begin(&api, &svix, &access, &author, target, work).await
}

/// `POST /api/v1/app/{app}/endpoint/{endpoint}/replay-missing`: messages of the period that the endpoint wants as it is now, and never got.
pub(super) async fn replay_missing(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let target = target(&request, &api, &access).await?;
    let period: PeriodIn = read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    let period = period.checked(api.engine().now(), &mut invalid);
    let work = Work::checked(TaskKind::Missing, period, TaskSelection::default(), invalid)?;
    begin(&api, &svix, &access, &author, target, work).await
}

/// `POST /api/v1/app/{app}/endpoint/{endpoint}/bulk-replay`: one attempt for each message of the period that was sent to the endpoint and is
/// selected.
pub(super) async fn bulk_replay(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let target = target(&request, &api, &access).await?;
    let BulkIn { period, event_types, channel, tag, status, status_code_class } =
        read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    let period = period.checked(api.engine().now(), &mut invalid);
    let event_types = event_types.unwrap_or_default();
    event_types.iter().for_each(|name| invalid.check_name("eventTypes", name));
    if event_types.len() > MAX_EVENT_TYPES {
        invalid.add("eventTypes", format!("may have {MAX_EVENT_TYPES} names"));
    }
    for (field, label) in [("channel", &channel), ("tag", &tag)] {
        if label.as_ref().is_some_and(|label| !is_label(label) && !is_name(label)) {
            invalid.add(field, "must have 1 to 128 characters, none of them a control character");
        }
    }
    if status.is_some_and(|status| ![SUCCESS, FAIL].contains(&status)) {
        invalid.add("status", "must be 0 or 2: only messages that succeeded or failed can be sent again");
    }
    if status_code_class.is_some_and(|class| !CODE_CLASSES.contains(&class)) {
        invalid.add("statusCodeClass", "must be 0, 100, 200, 300, 400 or 500");
    }
    let selection = TaskSelection {
        event_types,
        channel,
        tag,
        succeeded: status.map(|status| status == SUCCESS),
        code_class: status_code_class.map(|class| class / 100),
    };
    let work = Work::checked(TaskKind::Bulk, period, selection, invalid)?;
    begin(&api, &svix, &access, &author, target, work).await
}

impl PeriodIn {
    /// `None` when something is wrong with it. A period ends now at the latest: a task must not meet what it has sent itself.
    fn checked(self, now: UnixMillis, invalid: &mut Invalid) -> Option<(UnixMillis, UnixMillis)> {
        let mut instant =
            |field: &str, text: &str| read_instant(text).map_err(|message| invalid.add(field, message)).ok();
        let since = instant("since", &self.since);
        let until = self.until.map_or(Some(now), |until| instant("until", &until));
        let (since, until) = since.zip(until)?;
        if since >= until.min(now) {
            invalid.add("since", "must be before until, and in the past");
        }
        Some((since, until.min(now)))
    }
}

impl Work {
    fn checked(
        kind: TaskKind,
        period: Option<(UnixMillis, UnixMillis)>,
        selection: TaskSelection,
        invalid: Invalid,
    ) -> Result<Self, SvixError> {
        invalid.into_result()?;
        let (since, until) = period.ok_or_else(SvixError::internal)?;
        Ok(Self { kind, since, until, selection })
    }
}

async fn target(request: &HttpRequest, api: &Api, access: &Access) -> Result<Target, SvixError> {
    let (owner, found) = of_path(request, api, access).await?;
    Ok(Target { owner, endpoint_id: found.endpoint.id })
}

/// Writes the task down, and responds; from then on it is carried out, also by another node.
async fn begin(
    api: &web::Data<Api>,
    svix: &web::Data<Svix>,
    access: &Access,
    author: &Author,
    Target { owner, endpoint_id }: Target,
    Work { kind, since, until, selection }: Work,
) -> Result<HttpResponse, SvixError> {
    let now = api.engine().now();
    let shown = json!({"task": kind.as_str(), "since": since, "until": until, "selection": selection});
    let entry = author.entry(api, Some(owner), AuditAction::WebhookRecovered, endpoint_id, [None, Some(shown)]);
    let task = BackgroundTask {
        id: TaskId(api.engine().next_id()),
        environment: access.environment.clone(),
        organization_id: owner,
        endpoint_id,
        kind,
        since,
        until,
        selection,
        status: TaskStatus::Running,
        place: None,
        sent: 0,
        failure: None,
        version: 0,
        created_at: now,
        updated_at: now,
    };
    let out = TaskOut::from(task.clone());
    let created = api.step(owner, move |store| store.recording(entry).create_task(&task, RUNNING_FOR_ONE));
    if !created.await? {
        let detail = format!(
            "{RUNNING_FOR_ONE} background tasks of this application are running, which is as many as one may have; try again when \
             one has ended"
        );
        return Err(Problem::too_many(detail, Duration::from_secs(1)).into());
    }
    task_runner::begin(api, svix, owner);
    Ok(HttpResponse::build(StatusCode::ACCEPTED).json(out))
}
