//! What the engine does for all organizations: reading at its start, removing old rows, watching.

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use super::super::models::{EndpointRow, EventTypeRow, HealthRow};
use super::super::schema::{
    api_keys, audit_log, deleted_organizations, deliveries, endpoint_health, endpoints, event_types, events,
    organizations,
};
use super::super::{AgendaRow, DatabaseSize, MaintenanceStore, PruneReport, StoreResult};
use super::endpoints::IsOwned;
use super::pruning::PurgePosition;
use super::query::NumberRow;
use super::time_ranges::{Period, id_ranges};
use super::{Database, DieselStore, failures, health_queries, pruning, sql_limit, statistics};
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::DefinedEventType;
use crate::domain::health::{EndpointHealth, EndpointState};
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Deleted organizations that one step looks at, when nothing is left of them. Smaller: more steps. Larger: commits
/// wait longer for the writer.
const DELETED_A_STEP: usize = 20;

/// What one step of the purge did.
#[derive(Default)]
struct PurgeStep {
    /// How far it has come with an organization.
    reached: Option<(i64, PurgePosition)>,
    /// The last organization of which nothing was left.
    looked_at: Option<i64>,
    forgotten: Vec<i64>,
    may_have_more: bool,
}

impl MaintenanceStore for DieselStore {
    fn largest_id(&self) -> StoreResult<i64> {
        self.engine_readers.read(|connection| {
            let largest: [Option<i64>; 6] = [
                organizations::table.select(max(organizations::id)).first(connection)?,
                api_keys::table.select(max(api_keys::id)).first(connection)?,
                endpoints::table.select(max(endpoints::id)).first(connection)?,
                events::table.select(max(events::id)).first(connection)?,
                deliveries::table.select(max(deliveries::id)).first(connection)?,
                audit_log::table.select(max(audit_log::id)).first(connection)?,
            ];
            Ok(largest.into_iter().flatten().max().unwrap_or(0))
        })
    }

    fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>> {
        self.engine_readers.read(|connection| {
            let rows: Vec<EndpointRow> = endpoints::table
                .filter(endpoints::id.gt(after.map_or(i64::MIN, |id| id.0)))
                .filter(endpoints::deleted_at.is_null())
                .filter(IsOwned)
                .order(endpoints::id)
                .limit(sql_limit(limit))
                .select(EndpointRow::as_select())
                .load(connection)?;
            rows.into_iter().map(|row| row.open(&self.cipher)).collect()
        })
    }

    fn scan_event_types(
        &self,
        after: Option<(OrganizationId, &str)>,
        limit: usize,
    ) -> StoreResult<Vec<DefinedEventType>> {
        self.engine_readers.read(|connection| {
            let (organization_id, name) = after.map_or((i64::MIN, ""), |(id, name)| (id.0, name));
            let further_of_it = event_types::organization_id.eq(organization_id).and(event_types::name.gt(name));
            let rows: Vec<EventTypeRow> = event_types::table
                .filter(event_types::organization_id.gt(organization_id).or(further_of_it))
                .order((event_types::organization_id, event_types::name))
                .limit(sql_limit(limit))
                .select(EventTypeRow::as_select())
                .load(connection)?;
            Ok(rows.into_iter().map(DefinedEventType::from).collect())
        })
    }

    fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>> {
        self.engine_readers.read(|connection| {
            if limit == 0 {
                return Ok(Vec::new());
            }
            let entries: Vec<AgendaEntry> = diesel::sql_query(AGENDA)
                .bind::<BigInt, _>(after.map_or(i64::MIN, |id| id.0))
                .bind::<Integer, _>(i32::try_from(limit).unwrap_or(i32::MAX))
                .load(connection)?;
            let mut rows: Vec<AgendaRow> = entries
                .into_iter()
                .map(|entry| AgendaRow {
                    endpoint_id: EndpointId(entry.endpoint_id),
                    organization_id: OrganizationId(entry.organization_id),
                    due_at: UnixMillis(entry.queued_at),
                })
                .collect();
            rows.sort_by_key(|row| row.endpoint_id);
            Ok(rows)
        })
    }

    fn open_breakers(&self) -> StoreResult<Vec<EndpointHealth>> {
        self.engine_readers.read(|connection| {
            let rows: Vec<HealthRow> = endpoint_health::table
                .filter(endpoint_health::probe_at.is_not_null())
                .order(endpoint_health::endpoint_id)
                .select(HealthRow::as_select())
                .load(connection)?;
            Ok(rows.into_iter().map(EndpointHealth::from).collect())
        })
    }

    fn count_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<u64> {
        self.backlog.backlog().total_of(is_counted)
    }

    fn oldest_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<Option<UnixMillis>> {
        self.oldest_pending(is_counted)
    }

    fn scan_states(
        &self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Vec<(EndpointId, EndpointState)>> {
        self.engine_readers.read(|connection| health_queries::states_after(connection, after, limit))
    }

    fn size(&self) -> StoreResult<DatabaseSize> {
        match &self.database {
            Database::Sqlite { lock, .. } => lock.size(),
            Database::Postgres => self.engine_readers.read(|connection| {
                let size: NumberRow = diesel::sql_query(POSTGRES_SIZE).get_result(connection)?;
                Ok(DatabaseSize { total: size.n.max(0) as u64, log: 0 })
            }),
        }
    }

    // reads a table: SQLite answers `SELECT 1` without looking at its file
    fn ping(&self) -> StoreResult<()> {
        self.engine_readers.read(|connection| {
            organizations::table.select(organizations::id).first::<i64>(connection).optional()?;
            Ok(())
        })
    }

    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport> {
        let runs = self.leads.runs();
        if after.is_none() {
            self.writer.write(|connection| failures::prune(connection, before, limit))?;
        }
        let (ranges, page) = self.engine_readers.read(|connection| {
            let ranges = id_ranges(connection, &runs, Period { from: None, to: Some(before) })?;
            let page = pruning::page_of_old(connection, &ranges, after, limit)?;
            Ok((ranges, page))
        })?;
        let report = match page.is_empty() {
            true => PruneReport::default(),
            false => self.writer.write(|connection| pruning::prune(connection, &ranges, page, limit))?,
        };
        if report.next.is_none() {
            self.prune_leads()?;
        }
        Ok(report)
    }

    fn prune_endpoints(
        &self,
        settled_before: UnixMillis,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Option<EndpointId>> {
        self.writer.write(|connection| {
            let page: Vec<NumberRow> = diesel::sql_query(pruning::DELETED_ENDPOINTS)
                .bind::<BigInt, _>(after.map_or(i64::MIN, |id| id.0))
                .bind::<BigInt, _>(sql_limit(limit))
                .load(connection)?;
            let ids: Vec<i64> = page.into_iter().map(|row| row.n).collect();
            for ids in ids.chunks(pruning::IDS_A_STATEMENT) {
                let named = deliveries::table.filter(deliveries::endpoint_id.eq(endpoints::id));
                let nameless = endpoints::table
                    .filter(endpoints::id.eq_any(ids))
                    .filter(endpoints::deleted_at.lt(settled_before.0))
                    .filter(diesel::dsl::not(diesel::dsl::exists(named.select(deliveries::id))));
                diesel::delete(nameless).execute(connection)?;
            }
            Ok(ids.last().copied().filter(|_| ids.len() == limit).map(EndpointId))
        })
    }

    fn purge_organizations(&self, settled_before: UnixMillis, limit: usize) -> StoreResult<bool> {
        let mut purge = self.removal.purge.lock();
        let step = self.write_counted(|connection, change| {
            let deleted: Vec<(i64, i64)> = deleted_organizations::table
                .filter(deleted_organizations::id.gt(purge.looked_at.unwrap_or(i64::MIN)))
                .order(deleted_organizations::id)
                .limit(sql_limit(DELETED_A_STEP))
                .load(connection)?;
            let mut step = PurgeStep { may_have_more: deleted.len() == DELETED_A_STEP, ..PurgeStep::default() };
            for (id, deleted_at) in deleted {
                let is_settled = deleted_at < settled_before.0;
                let mut position = purge.positions.get(&id).cloned().unwrap_or_default();
                let mut purge_from =
                    |position: &mut _| pruning::purge(connection, OrganizationId(id), limit, position, change);
                let mut has_removed = purge_from(&mut position)?;
                if is_settled && !has_removed {
                    // before it is forgotten, from the beginning
                    position = PurgePosition::default();
                    has_removed = purge_from(&mut position)?;
                }
                if has_removed {
                    step.may_have_more = true;
                    step.reached = Some((id, position));
                    break;
                }
                step.looked_at = Some(id);
                if is_settled {
                    diesel::delete(deleted_organizations::table.find(id)).execute(connection)?;
                    step.forgotten.push(id);
                }
            }
            Ok(step)
        })?;
        purge.positions.extend(step.reached);
        step.forgotten.iter().for_each(|id| drop(purge.positions.remove(id)));
        // the next round begins with the first again
        purge.looked_at = step.looked_at.or(purge.looked_at).filter(|_| step.may_have_more);
        Ok(step.may_have_more)
    }

    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize> {
        let mut from = self.removal.keys_from.lock();
        let (removed, next) =
            self.writer.write(|connection| pruning::remove_old_keys(connection, (*from, before.0), limit))?;
        *from = next;
        Ok(removed)
    }

    fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let old = diesel::sql_query(statistics::OLD_ROWS)
                .bind::<BigInt, _>(before.0)
                .bind::<BigInt, _>(sql_limit(limit));
            Ok(old.execute(connection)? >= limit)
        })
    }
}

const POSTGRES_SIZE: &str = "SELECT pg_database_size(current_database()) AS n";

#[derive(QueryableByName)]
struct AgendaEntry {
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
    #[diesel(sql_type = BigInt)]
    queued_at: i64,
}

/// A skip scan: each step seeks the next endpoint in the pending index instead of reading all pending
/// deliveries of this one. The step counter ends it, because PostgreSQL takes no LIMIT inside a recursion.
pub(super) const AGENDA: &str = "
    WITH RECURSIVE pending (endpoint_id, step) AS (
        SELECT min(endpoint_id), 1 FROM deliveries WHERE status = 0 AND endpoint_id > $1
        UNION ALL
        SELECT (SELECT min(endpoint_id) FROM deliveries WHERE status = 0 AND endpoint_id > pending.endpoint_id),
               step + 1
        FROM pending WHERE pending.endpoint_id IS NOT NULL AND step < $2
    )
    SELECT pending.endpoint_id,
           (SELECT organization_id FROM deliveries WHERE status = 0 AND deliveries.endpoint_id = pending.endpoint_id
            ORDER BY queued_at, id LIMIT 1) AS organization_id,
           (SELECT queued_at FROM deliveries WHERE status = 0 AND deliveries.endpoint_id = pending.endpoint_id
            ORDER BY queued_at, id LIMIT 1) AS queued_at
    FROM pending WHERE pending.endpoint_id IS NOT NULL";
