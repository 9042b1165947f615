//! Carries out background tasks, one of an organization at a time and each in steps that wait for their turn, like all long work.
//!
//! A task belongs to no node. Whoever takes the request begins; [`watch`] begins what nobody has made a step of for a while, as
//! after a crash. Two that work on the same task notice it with the next step, of which the store makes one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{rt, web};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Svix;
use crate::api::problem::{ErrorCode, Problem};
use crate::api::turns::first_step;
use crate::api::{Api, blocking};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{DeliveryId, EventId, OrganizationId};
use crate::domain::step_size::StepSize;
use crate::domain::subscriptions::Subscriptions;
use crate::store::{
    AttemptsOf, BackgroundTask, EventListFilter, EventPageRequest, ListFilter, Message, MessagePageRequest,
    PageEdge, Store, StoreResult, TaskKind, TaskMark, TaskStatus, TaskStep,
};

/// How often it is looked for tasks that nobody carries out. Smaller: more questions to an idle database. Larger: they wait longer
/// after a crash.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A task that has not moved in so many looks has nobody. Smaller: one whose steps are slow is carried out by two nodes, and
/// one of them works in vain. Larger: as above.
const LOOKS: u32 = 4;
/// Running tasks that a look finds. Those of one organization wait for its oldest.
const SEEN_AT_ONCE: usize = 1_000;
/// How often the engine hears of what a task has sent. Smaller: supervisors look more often. Larger: what is sent again waits for
/// longer.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Which organizations' tasks this node carries out, and whether more of them came since it last looked.
#[derive(Default)]
pub(super) struct TaskRunner {
    organizations: Mutex<HashMap<OrganizationId, bool>>,
}

/// An organization whose tasks are carried out here, until this is dropped.
struct Held {
    svix: web::Data<Svix>,
    id: OrganizationId,
}

impl Held {
    /// `None` when they are already.
    fn new(svix: &web::Data<Svix>, id: OrganizationId) -> Option<Self> {
        let mut organizations = svix.tasks.organizations.lock();
        if let Some(has_more) = organizations.get_mut(&id) {
            *has_more = true;
            return None;
        }
        organizations.insert(id, false);
        Some(Self { svix: svix.clone(), id })
    }

    /// Whether more tasks came since this was last asked; if not, nobody carries them out from now on.
    fn has_more(&self) -> bool {
        let mut organizations = self.svix.tasks.organizations.lock();
        let has_more = organizations.get_mut(&self.id).is_some_and(std::mem::take);
        if !has_more {
            organizations.remove(&self.id);
        }
        has_more
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.svix.tasks.organizations.lock().remove(&self.id);
    }
}

/// Carries out an organization's tasks, unless this node does.
pub(super) fn begin(api: &web::Data<Api>, svix: &web::Data<Svix>, id: OrganizationId) {
    let Some(held) = Held::new(svix, id) else { return };
    let api = api.clone();
    rt::spawn(async move {
        loop {
            if let Err(problem) = carry_out(&api, id).await {
                tracing::warn!(organization = %id, %problem, "a background task could not go on; it does so later");
                return;
            }
            if !held.has_more() {
                return;
            }
        }
    });
}

/// Begins tasks that nobody carries out, for as long as there is an API.
pub async fn watch(api: web::Data<Api>, svix: web::Data<Svix>) {
    let api = Arc::downgrade(&api.into_inner());
    let mut seen: HashMap<OrganizationId, (TaskMark, u32)> = HashMap::new();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(api) = api.upgrade().map(web::Data::<Api>::from) else { return };
        let store = api.engine().store().clone();
        // a database that is away is reported by others
        let Ok(Ok(running)) = blocking(move || store.running_tasks(SEEN_AT_ONCE)).await else { continue };
        let mut before = std::mem::take(&mut seen);
        for mark in running {
            let organization_id = mark.organization_id;
            if seen.contains_key(&organization_id) {
                continue;
            }
            let unmoved = before.remove(&organization_id).filter(|(known, _)| *known == mark);
            let looks = unmoved.map_or(0, |(_, looks)| looks + 1);
            seen.insert(organization_id, (mark, looks));
            // whoever can't write can't make a step either
            if looks >= LOOKS && api.engine().has_rights() {
                begin(&api, &svix, organization_id);
            }
        }
    }
}

/// All running tasks of an organization, the oldest first.
async fn carry_out(api: &web::Data<Api>, id: OrganizationId) -> Result<(), Problem> {
    loop {
        let store = api.engine().store().clone();
        let Some(task) = blocking(move || store.next_task(id)).await?? else { return Ok(()) };
        if !api.do_long_work(id, steps(api.clone(), task)).await? {
            return Ok(());
        }
    }
}

/// The steps of a task. Returns whether it was ended here: `false` when somebody else carries it out.
async fn steps(api: web::Data<Api>, mut task: BackgroundTask) -> Result<bool, Problem> {
    let (organization_id, mut size) = (task.organization_id, first_step());
    let mut told = None::<Instant>;
    let mut untold = task.version > 0;
    let tell = |task: &BackgroundTask| api.engine().work_added(task.organization_id, vec![task.endpoint_id]);
    while task.status == TaskStatus::Running {
        let step = match next_step(&api, &task, size.rows()).await {
            Ok(step) => step,
            Err(problem) if is_passing(&problem) => return Err(problem),
            Err(problem) => given_up(&task, &problem),
        };
        let is_last = matches!(step, TaskStep::GiveUp(_));
        let advanced = match advance(&api, &mut size, &task, step).await {
            Err(problem) if !is_passing(&problem) && !is_last => {
                let step = given_up(&task, &problem);
                advance(&api, &mut size, &task, step).await
            }
            advanced => advanced,
        };
        let advanced = match advanced {
            Ok(Some(advanced)) => advanced,
            Ok(None) => return Ok(false),
            Err(problem) => {
                tell(&task);
                return Err(problem);
            }
        };
        untold |= advanced.sent > task.sent;
        task = advanced;
        let is_time = told.is_none_or(|at| at.elapsed() >= TELL_EVERY) || task.status != TaskStatus::Running;
        if untold && is_time {
            tell(&task);
            (told, untold) = (Some(Instant::now()), false);
        }
    }
    tracing::info!(
        task = %task.id, organization = %organization_id, status = task.status.as_str(), sent = task.sent,
        "a background task has ended"
    );
    Ok(true)
}

/// Whether it can be different when it is tried again later.
fn is_passing(problem: &Problem) -> bool {
    matches!(problem.code(), ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::TooManyRequests)
}

fn given_up(task: &BackgroundTask, problem: &Problem) -> TaskStep {
    tracing::error!(task = %task.id, %problem, "a background task can't go on");
    TaskStep::GiveUp(String::from("the engine failed; its log says why. Ask once more for the rest"))
}

async fn advance(
    api: &Api,
    size: &mut StepSize,
    task: &BackgroundTask,
    step: TaskStep,
) -> Result<Option<BackgroundTask>, Problem> {
    let (engine, before) = (api.engine().clone(), task.clone());
    let write = move |store: &dyn Store| {
        let now = engine.now();
        store.advance_task(&before, &step, &mut || engine.next_id(), now)
    };
    api.next_step(task.organization_id, size, write).await
}

/// What the next step of a task is, with so many rows.
async fn next_step(api: &Api, task: &BackgroundTask, rows: usize) -> Result<TaskStep, Problem> {
    let (owner, task) = (task.organization_id, task.clone());
    match task.kind {
        TaskKind::Recover => Ok(TaskStep::Failed { limit: rows }),
        TaskKind::Bulk => api.read(owner, move |store| selected(store, &task, rows)).await,
        TaskKind::Missing => api.read(owner, move |store| missing(store, &task, rows)).await,
    }
}

/// The next deliveries of the period that are selected.
fn selected(store: &dyn Store, task: &BackgroundTask, limit: usize) -> StoreResult<TaskStep> {
    let selection = &task.selection;
    let filter = ListFilter {
        event_types: selection.event_types.clone(),
        channel: selection.channel.clone(),
        from: Some(task.since),
        to: Some(task.until),
        ..ListFilter::all(AttemptsOf::Endpoint(task.endpoint_id))
    };
    let statuses = match selection.succeeded {
        None => vec![DeliveryStatus::Success, DeliveryStatus::Failed],
        Some(true) => vec![DeliveryStatus::Success],
        Some(false) => vec![DeliveryStatus::Failed],
    };
    let edge = PageEdge::NewerThan(DeliveryId(task.place.unwrap_or_default()));
    let page = MessagePageRequest { edge, limit, statuses, succeeded: None, with_body: false };
    let found = store.messages(task.organization_id, &filter, &page)?;
    let is_meant = |message: &&Message| {
        let code = message.delivery.response_code.map_or(0, |code| code / 100);
        selection.tag.as_ref().is_none_or(|tag| message.labels.tags.contains(tag))
            && selection.code_class.is_none_or(|wanted| wanted == code)
    };
    // the newest is the first
    let deliveries = found.rows.iter().rev().filter(is_meant).map(|message| message.delivery.id).collect();
    Ok(TaskStep::Again { deliveries, next: found.next.map(|id| id.0) })
}

/// The next events of the period that the endpoint wants. Which of them it has got already is found out with the step.
fn missing(store: &dyn Store, task: &BackgroundTask, limit: usize) -> StoreResult<TaskStep> {
    let owner = task.organization_id;
    let Some(start) = store.find_endpoint(owner, task.endpoint_id)? else {
        // the step finds it deleted
        return Ok(TaskStep::Missing { events: Vec::new(), next: None });
    };
    // what a disabled one is sent again waits until it is enabled
    let endpoint = Endpoint { active: true, ..start.endpoint };
    let with_body = endpoint.filter.is_some();
    let is_verbatim = with_body && store.is_verbatim(owner)?;
    let filter = EventListFilter { from: Some(task.since), to: Some(task.until), ..EventListFilter::default() };
    let edge = PageEdge::NewerThan(EventId(task.place.unwrap_or_default()));
    let found = store.event_list(owner, &filter, EventPageRequest { edge, limit, with_body })?;
    let mut wanted = Subscriptions::default();
    wanted.upsert(&endpoint);
    let events = found.rows.iter().rev().filter(|event| {
        let data = event.body.as_deref().and_then(|body| data_of(body, is_verbatim)).unwrap_or(RawValue::NULL);
        !wanted.matching(owner, &event.event_type, &event.labels.channels, data).is_empty()
    });
    Ok(TaskStep::Missing { events: events.map(|event| event.id).collect(), next: found.next.map(|id| id.0) })
}

/// What was published, out of the body that receivers get.
fn data_of(body: &[u8], is_verbatim: bool) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    match is_verbatim {
        true => serde_json::from_slice(body).ok(),
        false => serde_json::from_slice(body).ok().map(|Envelope { data }| data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_is_found_in_either_body() {
        let text =
            |body: &str, is_verbatim| data_of(body.as_bytes(), is_verbatim).map(|data| data.get().to_owned());
        assert_eq!(text(r#"{"id":"msg_1","data":{"a": 1}}"#, false).as_deref(), Some(r#"{"a": 1}"#));
        assert_eq!(text(r#"{"data":1}"#, true).as_deref(), Some(r#"{"data":1}"#));
        assert_eq!((text("", true), text("[]", false), text("not JSON", true)), (None, None, None));
    }
}
