//! Queries for the kept counts of pending deliveries: the count, and the search for the oldest one.

use std::cell::RefCell;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::super::backlog::{Backlog, BacklogChange, Bound, CountedEndpoint};
use super::super::backlog_keeper::{BacklogQueries, Wanted};
use super::super::connection::AnyConnection;
use super::super::schema::deliveries;
use super::super::{CommitReport, EventCommit, StoreResult, WriteBatch};
use super::resend::IDS_A_STATEMENT;
use super::{DieselStore, sql_limit};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::health::PendingStats;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId, instant_in};
use crate::domain::time::UnixMillis;

/// Rows that a request may look at for the oldest pending delivery. Smaller: more searches are left to the background, and
/// the last known one is answered meanwhile. Larger: a request takes longer.
const ROWS_A_REQUEST: usize = 256;
/// Rows that a look at the oldest pending delivery of all endpoints may pass; it is made on a thread of low priority.
/// Smaller: with ten thousand busy endpoints it is said to be older than it is for longer. Larger: a look costs more.
const ROWS_A_LOOK: usize = 100_000;
/// Endpoints for which such a look keeps a connection. Larger: others wait for one for longer.
const ENDPOINTS_A_READ: usize = 64;
/// Rows that a query without a result counts for: what it costs besides.
const ROWS_A_QUERY: usize = 16;
/// Rows that a look-up by an id counts for.
const ROWS_A_LOOKUP: usize = 8;
/// Rows at a time of a search in the background.
const ROWS_A_PAGE: usize = 1_000;
/// Ended deliveries that a search in the background passes one by one, unless more are pending: behind that it reads all
/// pending ones instead.
const ROWS_PASSED: usize = 10_000;
/// Rows that one search in the background may look at. Smaller: the oldest delivery of ten thousand busy endpoints is
/// known later. Larger: one organization's search holds up that of others.
const ROWS_A_SEARCH: usize = 200_000;

impl DieselStore {
    /// Runs a change that begins or ends deliveries in one transaction, and adds what it notes to the kept counts.
    pub(super) fn write_counted<T>(
        &self,
        work: impl FnOnce(&mut AnyConnection, &mut BacklogChange) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let change = RefCell::new(BacklogChange::default());
        self.writer.write_and_settle(
            |connection| work(connection, &mut change.borrow_mut()),
            |result| self.backlog.settle(result, &change.borrow()),
        )
    }

    /// Adds what a commit has done to the kept counts.
    pub(super) fn settle_commit(&self, batch: &WriteBatch, result: &StoreResult<CommitReport>) {
        match result {
            Ok(report) => self.backlog.settle(result, &change_of(batch, report)),
            Err(super::StoreError::Unavailable(_)) => self.backlog.doubt(),
            // rolled back
            Err(_) => {}
        }
    }

    /// The backlog of an endpoint, or of an organization.
    pub(super) fn pending_stats(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats> {
        let kept = self.backlog.backlog();
        let pending = kept.pending(organization_id, endpoint_id)?;
        if pending == 0 {
            return Ok(PendingStats::default());
        }
        let wanted = (organization_id, endpoint_id);
        let search = Search { backlog: kept, wanted, is_in_background: false };
        let found = self.readers.read(|connection| search.run(connection, ROWS_A_REQUEST))?;
        let oldest_pending_at = match found.oldest {
            Oldest::Of(at) => Some(at),
            Oldest::NotBefore(bound) => {
                self.backlog.want(wanted);
                Some(instant_in(bound.0))
            }
            // ended in the meantime
            Oldest::None => return Ok(PendingStats::default()),
        };
        Ok(PendingStats { pending, oldest_pending_at })
    }

    /// When the oldest pending delivery of some endpoints of all organizations was created, or an instant before it. Only
    /// endpoints whose bound is lower than what was found are searched: most of the time one.
    pub(super) fn oldest_pending(
        &self,
        is_counted: &dyn Fn(EndpointId) -> bool,
    ) -> StoreResult<Option<UnixMillis>> {
        let kept = self.backlog.backlog();
        let mut bounds = kept.bounds_of(is_counted)?;
        bounds.sort_unstable();
        let mut look = Look { oldest: None, rows_left: ROWS_A_LOOK, is_over: false };
        for bounds in bounds.chunks(ENDPOINTS_A_READ) {
            self.engine_readers.read(|connection| {
                for (bound, organization_id, endpoint_id) in bounds {
                    look.is_over |= look.oldest.is_some_and(|oldest| oldest <= instant_in(bound.0));
                    if look.is_over {
                        break;
                    }
                    let wanted = (*organization_id, Some(*endpoint_id));
                    let search = Search { backlog: kept, wanted, is_in_background: false };
                    let found = search.run(connection, ROWS_A_REQUEST.min(look.rows_left))?;
                    look.note(&found);
                    if let Oldest::NotBefore(_) = found.oldest {
                        self.backlog.want(wanted);
                    }
                }
                Ok(())
            })?;
            if look.is_over {
                break;
            }
        }
        Ok(look.oldest)
    }
}

/// A look at many endpoints, from the lowest bound on.
struct Look {
    oldest: Option<UnixMillis>,
    rows_left: usize,
    /// Whoever is left has nothing older, or there is no time for them.
    is_over: bool,
}

impl Look {
    fn note(&mut self, found: &Found) {
        let at = match found.oldest {
            Oldest::Of(at) => Some(at),
            Oldest::NotBefore(bound) => Some(instant_in(bound.0)),
            // ended in the meantime
            Oldest::None => None,
        };
        self.oldest = self.oldest.into_iter().chain(at).min();
        self.rows_left = self.rows_left.saturating_sub(found.rows + ROWS_A_LOOKUP);
    }
}

fn change_of(batch: &WriteBatch, report: &CommitReport) -> BacklogChange {
    let mut change = BacklogChange::default();
    for (new, commit) in batch.events.iter().zip(&report.events) {
        if *commit == EventCommit::Stored {
            new.deliveries.iter().for_each(|(id, endpoint_id)| {
                change.begins(new.event.organization_id, *endpoint_id, *id);
            });
        }
    }
    for (outcome, is_recorded) in batch.outcomes.iter().zip(&report.outcomes_recorded) {
        if *is_recorded && outcome.next.due_at().is_none() {
            change.ends(outcome.organization_id, outcome.endpoint_id, 1);
        }
    }
    change
}

/// Notes that those of these deliveries that are pending are removed.
pub(super) fn note_removed(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[i64],
    change: &mut BacklogChange,
) -> StoreResult<()> {
    for ids in ids.chunks(IDS_A_STATEMENT) {
        let pending: Vec<i64> = deliveries::table
            .filter(deliveries::id.eq_any(ids))
            // bound, so that the index of pending deliveries is not an alternative to their ids
            .filter(deliveries::status.eq(DeliveryStatus::Pending.code()))
            .select(deliveries::endpoint_id)
            .load(connection)?;
        pending.into_iter().for_each(|endpoint_id| change.ends(organization_id, EndpointId(endpoint_id), 1));
    }
    Ok(())
}

/// What a search has found.
struct Found {
    oldest: Oldest,
    rows: usize,
}

enum Oldest {
    /// Nothing is pending.
    None,
    /// When the oldest was created.
    Of(UnixMillis),
    /// The search was not finished; none is below this id.
    NotBefore(DeliveryId),
}

/// A search for the oldest pending delivery. It begins where the last one ended, at the bound that is kept: whatever
/// ended since is passed once, not by every search.
struct Search<'a> {
    backlog: &'a Backlog,
    wanted: Wanted,
    is_in_background: bool,
}

impl Search<'_> {
    fn run(&self, connection: &mut AnyConnection, max_rows: usize) -> StoreResult<Found> {
        let (organization_id, endpoint_id) = self.wanted;
        let mut rows = 0;
        loop {
            let Some(from) = self.backlog.bound(organization_id, endpoint_id)? else {
                return Ok(Found { oldest: Oldest::None, rows });
            };
            if let Some(at) = created_at(connection, organization_id, from.bound)? {
                return Ok(Found { oldest: Oldest::Of(at), rows });
            }
            if rows >= max_rows {
                return Ok(Found { oldest: Oldest::NotBefore(from.bound), rows });
            }
            self.backlog.search_began(organization_id, &from)?;
            let passed = match self.is_in_background {
                false => next_page(connection, &from, from.bound, max_rows - rows),
                true => next_of_many(connection, &from),
            };
            let to = passed.as_ref().ok().map(|passed| passed.next);
            self.backlog.search_ended(organization_id, &from, to)?;
            rows += passed?.rows + ROWS_A_QUERY;
        }
    }
}

/// When a delivery was created, if it is pending.
fn created_at(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: DeliveryId,
) -> StoreResult<Option<UnixMillis>> {
    let at: Option<i64> = deliveries::table
        .filter(deliveries::id.eq(id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(deliveries::status.eq(DeliveryStatus::Pending.code()))
        .select(deliveries::created_at)
        .first(connection)
        .optional()?;
    Ok(at.map(UnixMillis))
}

struct Passed {
    /// None is pending below this id.
    next: DeliveryId,
    is_pending: bool,
    is_last: bool,
    rows: usize,
}

/// Looks at the endpoint's deliveries behind one, in the order of their ids, up to the first that is pending.
fn next_page(
    connection: &mut AnyConnection,
    from: &Bound,
    behind: DeliveryId,
    limit: usize,
) -> StoreResult<Passed> {
    let page: Vec<(i64, i16)> = deliveries::table
        .filter(deliveries::endpoint_id.eq(from.endpoint_id.0))
        .filter(deliveries::id.gt(behind.0))
        .order(deliveries::id)
        .limit(sql_limit(limit))
        .select((deliveries::id, deliveries::status))
        .load(connection)?;
    let rows = page.len();
    let pending = page.iter().find(|(_, status)| *status == DeliveryStatus::Pending.code());
    let last = page.last().map_or(behind.0, |(id, _)| *id);
    let next = pending.map_or(last.saturating_add(1), |(id, _)| *id);
    Ok(Passed { next: DeliveryId(next), is_pending: pending.is_some(), is_last: rows < limit, rows })
}

#[derive(QueryableByName)]
struct LowestRow {
    #[diesel(sql_type = diesel::sql_types::Nullable<BigInt>)]
    id: Option<i64>,
}

/// The lowest id of an endpoint's pending deliveries. From their index, which has them in the order of their turns: with
/// the bare column a database would look for it among all deliveries in the order of their ids.
pub(super) const LOWEST_PENDING: &str =
    "SELECT min(id + 0) AS id FROM deliveries WHERE endpoint_id = $1 AND status = 0";

fn next_of_many(connection: &mut AnyConnection, from: &Bound) -> StoreResult<Passed> {
    let pending = usize::try_from(from.pending).unwrap_or(usize::MAX);
    let mut behind = from.bound;
    let mut rows = 0;
    while rows <= ROWS_PASSED.max(pending) {
        let page = next_page(connection, from, behind, ROWS_A_PAGE)?;
        rows += page.rows;
        if page.is_pending || page.is_last {
            return Ok(Passed { rows, ..page });
        }
        behind = DeliveryId(page.next.0 - 1);
    }
    let row: LowestRow =
        diesel::sql_query(LOWEST_PENDING).bind::<BigInt, _>(from.endpoint_id.0).get_result(connection)?;
    let next = row.id.map_or(DeliveryId(behind.0 + 1), DeliveryId);
    Ok(Passed { next, is_pending: row.id.is_some(), is_last: false, rows: rows.saturating_add(pending) })
}

#[derive(QueryableByName)]
struct CountedRow {
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    oldest: i64,
}

/// From the pending index alone, and one row for each endpoint: its owner, which may have been deleted.
pub(super) const COUNT: &str = "
    SELECT c.endpoint_id, d.organization_id, c.pending, c.oldest
    FROM (SELECT endpoint_id, count(*) AS pending, min(id) AS oldest FROM deliveries WHERE status = 0 GROUP BY endpoint_id) c
    CROSS JOIN deliveries d WHERE d.id = c.oldest";

/// For the keeper.
pub(super) struct Queries;

impl BacklogQueries for Queries {
    fn open_snapshot(&self, connection: &mut AnyConnection) -> StoreResult<()> {
        // the first read takes the snapshot
        match connection {
            AnyConnection::Sqlite(sqlite) => sqlite.batch_execute("BEGIN; SELECT id FROM deliveries LIMIT 1;")?,
            // many rows may take longer to count than a request may
            AnyConnection::Postgres(postgres) => postgres.batch_execute(
                "SET statement_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT id FROM deliveries LIMIT 1",
            )?,
        }
        Ok(())
    }

    fn count(&self, connection: &mut AnyConnection) -> StoreResult<Vec<CountedEndpoint>> {
        let rows: Vec<CountedRow> = diesel::sql_query(COUNT).load(connection)?;
        let endpoint = |row: CountedRow| CountedEndpoint {
            organization_id: OrganizationId(row.organization_id),
            endpoint_id: EndpointId(row.endpoint_id),
            pending: row.pending.max(0) as u64,
            oldest: DeliveryId(row.oldest),
        };
        Ok(rows.into_iter().map(endpoint).collect())
    }

    fn search(&self, connection: &mut AnyConnection, backlog: &Backlog, wanted: Wanted) -> StoreResult<usize> {
        let search = Search { backlog, wanted, is_in_background: true };
        Ok(search.run(connection, ROWS_A_SEARCH)?.rows)
    }
}
