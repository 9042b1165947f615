//! What the engine does for all organizations: reading at its start, removing old rows, watching.

use std::collections::HashSet;

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use super::super::models::{EndpointRow, EventTypeRow, HealthRow};
use super::super::schema::{
    api_keys, deleted_organizations, deliveries, endpoint_health, endpoints, event_types, events, organizations,
};
use super::super::{AgendaRow, MaintenanceStore, PruneReport, StoreResult};
use super::endpoints::IsPending;
use super::query::NumberRow;
use super::time_ranges::{Period, id_ranges};
use super::{DieselStore, failures, pruning, sql_limit, statistics};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::OwnEventType;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

impl MaintenanceStore for DieselStore {
    fn largest_id(&self) -> StoreResult<i64> {
        self.readers.read(|connection| {
            let largest: [Option<i64>; 5] = [
                organizations::table.select(max(organizations::id)).first(connection)?,
                api_keys::table.select(max(api_keys::id)).first(connection)?,
                endpoints::table.select(max(endpoints::id)).first(connection)?,
                events::table.select(max(events::id)).first(connection)?,
                deliveries::table.select(max(deliveries::id)).first(connection)?,
            ];
            Ok(largest.into_iter().flatten().max().unwrap_or(0))
        })
    }

    fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>> {
        self.readers.read(|connection| {
            let rows: Vec<EndpointRow> = endpoints::table
                .filter(endpoints::id.gt(after.map_or(i64::MIN, |id| id.0)))
                .filter(endpoints::deleted_at.is_null())
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
    ) -> StoreResult<Vec<OwnEventType>> {
        self.readers.read(|connection| {
            let (organization_id, name) = after.map_or((i64::MIN, ""), |(id, name)| (id.0, name));
            let further_of_it = event_types::organization_id.eq(organization_id).and(event_types::name.gt(name));
            let rows: Vec<EventTypeRow> = event_types::table
                .filter(event_types::organization_id.gt(organization_id).or(further_of_it))
                .order((event_types::organization_id, event_types::name))
                .limit(sql_limit(limit))
                .select(EventTypeRow::as_select())
                .load(connection)?;
            Ok(rows.into_iter().map(OwnEventType::from).collect())
        })
    }

    fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>> {
        self.readers.read(|connection| {
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
        self.readers.read(|connection| {
            let rows: Vec<HealthRow> = endpoint_health::table
                .filter(endpoint_health::probe_at.is_not_null())
                .order(endpoint_health::endpoint_id)
                .select(HealthRow::as_select())
                .load(connection)?;
            Ok(rows.into_iter().map(EndpointHealth::from).collect())
        })
    }

    fn count_pending(&self) -> StoreResult<u64> {
        self.readers.read(|connection| {
            let count: i64 = deliveries::table.filter(IsPending).count().get_result(connection)?;
            Ok(count.max(0) as u64)
        })
    }

    // reads a table: SQLite answers `SELECT 1` without looking at its file
    fn ping(&self) -> StoreResult<()> {
        self.readers.read(|connection| {
            organizations::table.select(organizations::id).first::<i64>(connection).optional()?;
            Ok(())
        })
    }

    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport> {
        let runs = self.leads.runs();
        let report = self.writer.write(|connection| {
            if after.is_none() {
                failures::prune(connection, before, limit)?;
            }
            let ranges = id_ranges(connection, &runs, Period { from: None, to: Some(before) })?;
            let mut page = pruning::page_of_old(connection, &ranges, after, limit)?;
            let may_have_more = pruning::cut(&mut page) || page.len() == limit;
            let next = page.last().filter(|_| may_have_more).map(|last| EventId(last.0));
            let mut found = Vec::new();
            for range in ranges {
                // between the ranges are events of another time
                let mut of_span = page.iter().filter(|(id, ..)| range.from <= *id && *id < range.before);
                if let Some(first) = of_span.next() {
                    found.extend(pruning::deliveries_of(
                        connection,
                        *first,
                        *of_span.next_back().unwrap_or(first),
                    )?);
                }
            }

            let is_pending =
                |(_, _, status): &&pruning::DeliveryOfEvent| *status == DeliveryStatus::Pending.code();
            let kept: HashSet<i64> = found.iter().filter(is_pending).map(|(_, event_id, _)| *event_id).collect();
            let removed: Vec<i64> = page.iter().map(|(id, ..)| *id).filter(|id| !kept.contains(id)).collect();
            let in_removed: HashSet<i64> = removed.iter().copied().collect();
            let removed_deliveries: Vec<i64> = found
                .iter()
                .filter(|(_, event_id, _)| in_removed.contains(event_id))
                .map(|(id, ..)| *id)
                .collect();
            pruning::remove(connection, &removed, &removed_deliveries)?;
            Ok(PruneReport { events: removed.len(), deliveries: removed_deliveries.len(), next })
        })?;
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
        self.writer.write(|connection| {
            let deleted: Vec<(i64, i64)> =
                deleted_organizations::table.order(deleted_organizations::id).load(connection)?;
            for (id, deleted_at) in deleted {
                if pruning::purge(connection, OrganizationId(id), limit)? {
                    return Ok(true);
                }
                if deleted_at < settled_before.0 {
                    diesel::delete(deleted_organizations::table.find(id)).execute(connection)?;
                }
            }
            Ok(false)
        })
    }

    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize> {
        self.writer.write(|connection| {
            let old = diesel::sql_query(pruning::OLD_KEYS)
                .bind::<BigInt, _>(before.0)
                .bind::<BigInt, _>(sql_limit(limit));
            Ok(old.execute(connection)?)
        })
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
