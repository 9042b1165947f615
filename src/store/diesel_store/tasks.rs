//! Background tasks in their table.

use diesel::prelude::*;

use super::super::backlog::BacklogChange;
use super::super::connection::AnyConnection;
use super::super::models::{corrupt, id_bound};
use super::super::schema::{deliveries, events, svix_tasks};
use super::super::tasks::{ENDPOINT_DELETED, TASKS_FOR_ONE, TaskStore};
use super::super::{
    BackgroundTask, DirectedPage, RequeueRange, StoreError, StoreResult, TaskFilter, TaskKind, TaskMark,
    TaskSelection, TaskStatus, TaskStep,
};
use super::due::octet_length;
use super::id_leads::{self, IdLead};
use super::query::{BoundValue, DynamicQuery, NumberRow, indexed_by};
use super::{DieselStore, changes, erasure, resend, sql_limit};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId, TaskId};
use crate::domain::round::Rounds;
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

/// Of a task that is running; written out, so that the partial index of these is used.
const RUNNING: &str = "svix_tasks.status = 0";

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = svix_tasks, treat_none_as_null = true)]
struct TaskRow {
    id: i64,
    environment: String,
    organization_id: i64,
    endpoint_id: i64,
    kind: i16,
    status: i16,
    since: i64,
    until: i64,
    selection: Option<String>,
    place: Option<i64>,
    sent: i64,
    failure: Option<String>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

fn code_of<T: PartialEq>(all: &[T], one: &T) -> i16 {
    all.iter().position(|known| known == one).and_then(|place| i16::try_from(place).ok()).unwrap_or_default()
}

fn of_code<T: Copy>(all: &[T], code: i16, what: &str) -> StoreResult<T> {
    let found = usize::try_from(code).ok().and_then(|place| all.get(place));
    found.copied().ok_or_else(|| corrupt(format!("{what} {code} of a task")))
}

impl From<&BackgroundTask> for TaskRow {
    fn from(task: &BackgroundTask) -> Self {
        let is_all = task.selection == TaskSelection::default();
        Self {
            id: task.id.0,
            environment: task.environment.stored().to_owned(),
            organization_id: task.organization_id.0,
            endpoint_id: task.endpoint_id.0,
            kind: code_of(&TaskKind::ALL, &task.kind),
            status: code_of(&TaskStatus::ALL, &task.status),
            since: task.since.0,
            until: task.until.0,
            // texts and numbers always serialize
            selection: (!is_all).then(|| serde_json::to_string(&task.selection).unwrap_or_default()),
            place: task.place,
            sent: i64::try_from(task.sent).unwrap_or(i64::MAX),
            failure: task.failure.clone(),
            version: task.version,
            created_at: task.created_at.0,
            updated_at: task.updated_at.0,
        }
    }
}

impl TryFrom<TaskRow> for BackgroundTask {
    type Error = StoreError;
    fn try_from(row: TaskRow) -> StoreResult<Self> {
        let selection = row.selection.map(|text| serde_json::from_str(&text).map_err(corrupt)).transpose()?;
        Ok(Self {
            id: TaskId(row.id),
            environment: Environment::of_stored(row.environment),
            organization_id: OrganizationId(row.organization_id),
            endpoint_id: EndpointId(row.endpoint_id),
            kind: of_code(&TaskKind::ALL, row.kind, "kind")?,
            status: of_code(&TaskStatus::ALL, row.status, "status")?,
            since: UnixMillis(row.since),
            until: UnixMillis(row.until),
            selection: selection.unwrap_or_default(),
            place: row.place,
            sent: row.sent.max(0) as u64,
            failure: row.failure,
            version: row.version,
            created_at: UnixMillis(row.created_at),
            updated_at: UnixMillis(row.updated_at),
        })
    }
}

/// A delivery that a task makes.
#[derive(Insertable)]
#[diesel(table_name = deliveries)]
struct NewDelivery {
    id: i64,
    organization_id: i64,
    endpoint_id: i64,
    event_id: i64,
    partition: i16,
    created_at: i64,
    queued_at: i64,
    due_at: i64,
    attempts_before_round: i32,
    replayed: bool,
}

fn is_running() -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    diesel::dsl::sql(RUNNING)
}

/// Whether nobody has made a step of a task since it was read. Until the transaction ends, nobody does.
fn is_current(connection: &mut AnyConnection, task: &BackgroundTask) -> StoreResult<bool> {
    let own = svix_tasks::table.find(task.id.0).filter(svix_tasks::organization_id.eq(task.organization_id.0));
    let row = own.filter(is_running()).select(svix_tasks::version);
    let version: Option<i64> = match connection {
        AnyConnection::Sqlite(sqlite) => row.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => row.for_update().first(postgres).optional()?,
    };
    Ok(version == Some(task.version))
}

/// The transaction of a step.
struct Step<'a> {
    connection: &'a mut AnyConnection,
    change: &'a mut BacklogChange,
    runs: &'a [IdLead],
    task: &'a BackgroundTask,
    now: UnixMillis,
}

/// What a step has done: how much was sent, and where the next one goes on.
struct Done {
    sent: usize,
    next: Option<i64>,
}

impl Step<'_> {
    /// The next deliveries that failed.
    fn failed(&mut self, limit: usize) -> StoreResult<Done> {
        let &BackgroundTask { organization_id, endpoint_id, since, until, place, .. } = self.task;
        let range = RequeueRange { since, until, status: DeliveryStatus::Failed, rounds: Rounds::Once };
        let after = place.map(DeliveryId);
        let behind = resend::Behind { runs: self.runs, after, limit };
        let ids = resend::ids_in_range(self.connection, organization_id, endpoint_id, &range, behind)?;
        let next = ids.last().copied().filter(|_| ids.len() == limit);
        Ok(Done { sent: self.again(&ids)?, next })
    }

    /// Those of these deliveries that have ended.
    fn ended(&mut self, ids: &[DeliveryId]) -> StoreResult<Vec<i64>> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let ended = [DeliveryStatus::Success.code(), DeliveryStatus::Failed.code()];
        let own = deliveries::table
            .filter(deliveries::id.eq_any(ids))
            .filter(deliveries::organization_id.eq(self.task.organization_id.0))
            .filter(deliveries::endpoint_id.eq(self.task.endpoint_id.0))
            .filter(deliveries::status.eq_any(ended));
        Ok(own.order(deliveries::id).select(deliveries::id).load(self.connection)?)
    }

    /// Begins a round of one attempt for deliveries that have ended; returns for how many.
    fn again(&mut self, ids: &[i64]) -> StoreResult<usize> {
        let &BackgroundTask { organization_id, endpoint_id, .. } = self.task;
        let ended = resend::lock_finished(self.connection, organization_id, ids)?;
        let begun = erasure::sendable(self.connection, organization_id, &ended)?;
        resend::begin_rounds(self.connection, organization_id, &begun, Rounds::Once, self.now)?;
        begun.iter().for_each(|id| self.change.begins(organization_id, endpoint_id, DeliveryId(*id)));
        Ok(begun.len())
    }

    /// Makes the missing deliveries; returns how many.
    fn missing(
        &mut self,
        ids: &[EventId],
        next_id: &mut dyn FnMut(&mut AnyConnection) -> StoreResult<i64>,
    ) -> StoreResult<usize> {
        let &BackgroundTask { organization_id, endpoint_id, .. } = self.task;
        let mut added = Vec::new();
        for event_id in self.without_delivery(ids)? {
            added.push(NewDelivery {
                id: next_id(self.connection)?,
                organization_id: organization_id.0,
                endpoint_id: endpoint_id.0,
                event_id,
                partition: endpoint_id.partition(),
                created_at: self.now.0,
                queued_at: self.now.0,
                due_at: self.now.0,
                attempts_before_round: -Rounds::Schedule.begins_at(),
                replayed: true,
            });
        }
        if !added.is_empty() {
            let insert = diesel::insert_into(deliveries::table).values(&added);
            match self.connection {
                AnyConnection::Sqlite(sqlite) => insert.execute(sqlite)?,
                AnyConnection::Postgres(postgres) => insert.execute(postgres)?,
            };
        }
        added.iter().for_each(|new| self.change.begins(organization_id, endpoint_id, DeliveryId(new.id)));
        Ok(added.len())
    }

    /// Those of these events that have a body and no delivery at the endpoint. Until the transaction ends they get none from others, on whatever node.
    fn without_delivery(&mut self, ids: &[EventId]) -> StoreResult<Vec<i64>> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let whole = events::table
            .filter(events::id.eq_any(ids))
            .filter(events::organization_id.eq(self.task.organization_id.0))
            .filter(octet_length(events::body).gt(0))
            .order(events::id)
            .select(events::id);
        let whole: Vec<i64> = match self.connection {
            AnyConnection::Sqlite(sqlite) => whole.load(sqlite)?,
            AnyConnection::Postgres(postgres) => whole.for_update().load(postgres)?,
        };
        if whole.is_empty() {
            return Ok(whole);
        }
        let &BackgroundTask { organization_id, endpoint_id, .. } = self.task;
        let query = without_delivery(self.connection, organization_id, endpoint_id, &whole);
        let rows: Vec<NumberRow> = query.load(self.connection)?;
        Ok(rows.into_iter().map(|row| row.n).collect())
    }
}

/// The query for those of some events that have no delivery at an endpoint. The deliveries that an event was stored with have the
/// ids behind its own, and those of replays are in an index: each event takes two short looks.
pub(super) fn without_delivery(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    events: &[i64],
) -> DynamicQuery {
    let mut query = DynamicQuery::new("SELECT e.id AS n FROM events e WHERE true");
    query.and_one_of("e.id", events);
    query.and("+e.organization_id = {}", BoundValue::Number(organization_id.0));
    let by_endpoint = indexed_by(connection, "deliveries_endpoint");
    query.and(
        &format!("NOT EXISTS (SELECT 1 FROM deliveries d{by_endpoint} WHERE d.endpoint_id = {{}}"),
        BoundValue::Number(endpoint_id.0),
    );
    query.sql.push_str(" AND d.id > e.id AND d.id <= e.last_delivery_id)");
    let by_event = indexed_by(connection, "deliveries_replayed_event");
    query.and(
        &format!(
            "NOT EXISTS (SELECT 1 FROM deliveries r{by_event} WHERE r.event_id = e.id AND r.replayed AND \
             +r.endpoint_id = {{}})"
        ),
        BoundValue::Number(endpoint_id.0),
    );
    query.sql.push_str(" ORDER BY e.id");
    query
}

impl DieselStore {
    /// Makes the step; the ids of deliveries that are ahead of the clock are noted in `written`.
    fn advance(
        &self,
        step: &mut Step<'_>,
        what: &TaskStep,
        next_id: &mut dyn FnMut() -> i64,
        written: &mut Vec<IdLead>,
    ) -> StoreResult<Option<BackgroundTask>> {
        let (task, now) = (step.task, step.now);
        if !is_current(step.connection, task)? {
            return Ok(None);
        }
        let is_live = !resend::live(step.connection, task.organization_id, &[task.endpoint_id])?.is_empty();
        let failure = match what {
            TaskStep::GiveUp(why) => Some(why.clone()),
            _ => (!is_live).then(|| ENDPOINT_DELETED.to_owned()),
        };
        let mut next_id = |connection: &mut AnyConnection| {
            let id = next_id();
            // a run that this transaction has stored already must not be stored again
            let is_known = written.last().is_some_and(|lead: &IdLead| lead.has(id));
            let lead = self.leads.of_row(id, now).filter(|_| !is_known);
            written.extend(lead);
            lead.map_or(Ok(()), |lead| id_leads::save(connection, lead)).map(|()| id)
        };
        let Done { sent, next } = match what {
            _ if failure.is_some() => Done { sent: 0, next: None },
            TaskStep::GiveUp(_) => Done { sent: 0, next: None },
            TaskStep::Failed { limit } => step.failed(*limit)?,
            TaskStep::Again { deliveries, next } => {
                let ended = step.ended(deliveries)?;
                Done { sent: step.again(&ended)?, next: *next }
            }
            TaskStep::Missing { events, next } => Done { sent: step.missing(events, &mut next_id)?, next: *next },
        };
        let advanced = task.after(sent, next, failure, now);
        diesel::update(svix_tasks::table.find(task.id.0))
            .set(TaskRow::from(&advanced))
            .execute(step.connection)?;
        Ok(Some(advanced))
    }
}

impl TaskStore for DieselStore {
    fn create_task(&self, task: &BackgroundTask, most_running: usize) -> StoreResult<bool> {
        let owner = task.organization_id;
        self.writer.write(|connection| {
            changes::require_organization(connection, owner)?;
            let own = svix_tasks::table.filter(svix_tasks::organization_id.eq(owner.0));
            let running: i64 = own.filter(is_running()).count().get_result(connection)?;
            if running >= sql_limit(most_running) {
                return Ok(false);
            }
            diesel::insert_into(svix_tasks::table).values(TaskRow::from(task)).execute(connection)?;
            let above: Vec<i64> = own
                .order(svix_tasks::id.desc())
                .offset(sql_limit(TASKS_FOR_ONE))
                .limit(sql_limit(TASKS_FOR_ONE))
                .select(svix_tasks::id)
                .load(connection)?;
            let ended = svix_tasks::table
                .filter(svix_tasks::id.eq_any(above))
                .filter(svix_tasks::status.ne(code_of(&TaskStatus::ALL, &TaskStatus::Running)));
            diesel::delete(ended).execute(connection)?;
            self.record(connection)?;
            Ok(true)
        })
    }

    fn task(
        &self,
        environment: &Environment,
        owner: Option<OrganizationId>,
        id: TaskId,
    ) -> StoreResult<Option<BackgroundTask>> {
        self.readers.read(|connection| {
            let row: Option<TaskRow> = svix_tasks::table
                .find(id.0)
                .filter(svix_tasks::environment.eq(environment.stored()))
                .select(TaskRow::as_select())
                .first(connection)
                .optional()?;
            let own = row.filter(|row| owner.is_none_or(|owner| owner.0 == row.organization_id));
            own.map(BackgroundTask::try_from).transpose()
        })
    }

    fn tasks(
        &self,
        environment: &Environment,
        filter: &TaskFilter,
        page: DirectedPage,
    ) -> StoreResult<Vec<BackgroundTask>> {
        self.readers.read(|connection| {
            let mut query = DynamicQuery::new("SELECT t.id AS n FROM svix_tasks t WHERE true");
            query.and("t.environment = {}", BoundValue::Text(environment.stored().to_owned()));
            if let Some(id) = filter.organization_id {
                query.and("t.organization_id = {}", BoundValue::Number(id.0));
            }
            if let Some(status) = filter.status {
                let code = code_of(&TaskStatus::ALL, &status);
                query.and("t.status = {}", BoundValue::Number(code.into()));
            }
            if let Some(kind) = filter.kind {
                query.and("t.kind = {}", BoundValue::Number(code_of(&TaskKind::ALL, &kind).into()));
            }
            let (beyond, direction) = if page.is_ascending { (">", "") } else { ("<", " DESC") };
            if let Some(behind) = page.behind {
                query.and(&format!("t.id {beyond} {{}}"), BoundValue::Number(behind));
            }
            let order = format!(" ORDER BY t.id{direction} LIMIT {{}}");
            query.push(&order, BoundValue::Number(sql_limit(page.limit)));
            let ids: Vec<i64> = query.load::<NumberRow>(connection)?.into_iter().map(|row| row.n).collect();
            let rows = svix_tasks::table.filter(svix_tasks::id.eq_any(&ids)).select(TaskRow::as_select());
            let mut rows: Vec<TaskRow> = rows.load(connection)?;
            rows.sort_unstable_by_key(|row| ids.iter().position(|id| *id == row.id));
            rows.into_iter().map(BackgroundTask::try_from).collect()
        })
    }

    fn next_task(&self, organization_id: OrganizationId) -> StoreResult<Option<BackgroundTask>> {
        self.engine_readers.read(|connection| {
            let own = svix_tasks::table.filter(svix_tasks::organization_id.eq(organization_id.0));
            let oldest = own.filter(is_running()).order(svix_tasks::id).select(TaskRow::as_select());
            let row: Option<TaskRow> = oldest.first(connection).optional()?;
            row.map(BackgroundTask::try_from).transpose()
        })
    }

    fn running_tasks(&self, limit: usize) -> StoreResult<Vec<TaskMark>> {
        self.engine_readers.read(|connection| {
            // others may know more kinds
            let last_kind = code_of(&TaskKind::ALL, &TaskKind::Bulk);
            let known = svix_tasks::table.filter(is_running()).filter(svix_tasks::kind.le(last_kind));
            let rows: Vec<(i64, i64, i64)> = known
                .order(svix_tasks::id)
                .limit(sql_limit(limit))
                .select((svix_tasks::organization_id, svix_tasks::id, svix_tasks::version))
                .load(connection)?;
            let mark = |(organization_id, id, version)| TaskMark {
                organization_id: OrganizationId(organization_id),
                id: TaskId(id),
                version,
            };
            Ok(rows.into_iter().map(mark).collect())
        })
    }

    fn advance_task(
        &self,
        task: &BackgroundTask,
        step: &TaskStep,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<BackgroundTask>> {
        let (runs, mut written) = (self.leads.runs(), Vec::new());
        let advanced = self.write_counted(|connection, change| {
            let mut transaction = Step { connection, change, runs: &runs, task, now };
            self.advance(&mut transaction, step, next_id, &mut written)
        })?;
        written.into_iter().for_each(|lead| self.leads.add(lead));
        Ok(advanced)
    }

    fn prune_tasks(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let old = svix_tasks::table.filter(svix_tasks::id.lt(id_bound(before))).order(svix_tasks::id);
            let ids: Vec<i64> = old.limit(sql_limit(limit)).select(svix_tasks::id).load(connection)?;
            let removed =
                diesel::delete(svix_tasks::table.filter(svix_tasks::id.eq_any(ids))).execute(connection)?;
            Ok(removed >= limit)
        })
    }
}
