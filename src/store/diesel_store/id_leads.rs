//! Where ids are ahead of the clock that the times of their rows come from.
//!
//! Ids never decrease. After a clock was set back they continue from where they were, close together, until the
//! clock has caught up; meanwhile a time says nothing about ids. Such runs of ids are rare and are recorded, in
//! the transaction that stores the first row of one. Everywhere else a period is a range of ids
//! (`super::time_ranges`).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use diesel::dsl::min;
use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::models::id_bound;
use super::super::schema::{events, id_leads};
use super::super::{NewEvent, StoreResult};
use crate::domain::ids::{IDS_A_MILLISECOND, instant_in};
use crate::domain::time::UnixMillis;

/// Ids that are ahead by less are not recorded, in milliseconds: a wide fan-out uses up the ids of a few, and a
/// time server sets clocks back by some. Smaller: more runs. Larger: every period reads that much more at its
/// end.
pub(super) const SMALL_LEAD_MS: i64 = 250;
/// How far times within a run can be out of the order of ids, in milliseconds: a clock that is set back by less
/// within a run does not begin a new one, and a replay's delivery waits for the writer. Larger: a period reads
/// more at its ends.
pub(super) const DISORDER_MS: i64 = 10_000;
/// A run is recorded this far in advance, so that it is only recorded again when ids have moved on by as much.
const IN_ADVANCE: i64 = 1_000 * IDS_A_MILLISECOND;

/// A run of ids that are ahead. Within it times grow with the ids, except for [`DISORDER_MS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = id_leads)]
pub(super) struct IdLead {
    pub(super) first_id: i64,
    /// Behind its last id; some of its ids may no longer be ahead.
    pub(super) until_id: i64,
    /// The time of its first row, in Unix milliseconds.
    pub(super) begins_at: i64,
}

/// Rows about to be stored: their first and last id, and their time.
#[derive(Debug, Clone, Copy)]
struct RowIds {
    first_id: i64,
    last_id: i64,
    at: i64,
}

/// All recorded runs, as in the database.
#[derive(Default)]
pub(super) struct IdLeads {
    /// In the order of ids. A run ends where the next one begins.
    runs: RwLock<Arc<Vec<IdLead>>>,
    /// The latest time in the last run; an earlier time begins another run.
    newest_at: AtomicI64,
}

impl IdLeads {
    /// Loads the runs. The first row that is ahead begins a new one: how the clock went in between is unknown.
    pub(super) fn load(connection: &mut AnyConnection) -> StoreResult<Self> {
        let runs = read(connection)?;
        Ok(Self { runs: RwLock::new(Arc::new(runs)), newest_at: AtomicI64::new(i64::MAX) })
    }

    /// Takes over the runs as they are in the database now; see [`Self::load`].
    pub(super) fn replace(&self, runs: Vec<IdLead>) {
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(runs);
        self.newest_at.store(i64::MAX, Ordering::Relaxed);
    }

    /// The runs at this moment.
    pub(super) fn runs(&self) -> Arc<Vec<IdLead>> {
        Arc::clone(&self.runs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The run to record with these events, if they are ahead and not in a recorded run.
    pub(super) fn of_events(&self, events: &[NewEvent]) -> Option<IdLead> {
        let rows = events.iter().filter_map(|new| {
            let last_id = new.deliveries.last().map_or(new.event.id.0, |(id, _)| id.0);
            RowIds { first_id: new.event.id.0, last_id, at: new.event.accepted_at.0 }.if_ahead()
        });
        let together = rows.reduce(|a, b| RowIds {
            first_id: a.first_id.min(b.first_id),
            last_id: a.last_id.max(b.last_id),
            at: a.at.min(b.at),
        });
        self.missing(together?)
    }

    /// The same for a single row.
    pub(super) fn of_row(&self, id: i64, at: UnixMillis) -> Option<IdLead> {
        self.missing(RowIds { first_id: id, last_id: id, at: at.0 }.if_ahead()?)
    }

    fn missing(&self, rows: RowIds) -> Option<IdLead> {
        let runs = self.runs();
        let until_id = rows.last_id.saturating_add(IN_ADVANCE);
        let begun = IdLead { first_id: rows.first_id, until_id, begins_at: rows.at };
        let place = runs.partition_point(|run| run.first_id <= rows.first_id);
        let Some(run) = runs[..place].last() else { return Some(begun) };
        let is_last = place == runs.len();
        let is_in_order =
            !is_last || rows.at >= self.newest_at.load(Ordering::Relaxed).saturating_sub(DISORDER_MS);
        if !is_in_order || rows.first_id > run.until_id {
            return Some(begun);
        }
        if is_last {
            self.newest_at.fetch_max(rows.at, Ordering::Relaxed);
        }
        (rows.last_id >= run.until_id).then_some(IdLead { until_id, ..*run })
    }

    /// Adds a run that was recorded.
    pub(super) fn add(&self, lead: IdLead) {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let known = Arc::make_mut(&mut runs);
        match known.binary_search_by_key(&lead.first_id, |run| run.first_id) {
            Ok(place) => known[place].until_id = known[place].until_id.max(lead.until_id),
            Err(place) => {
                known.insert(place, lead);
                if place + 1 == known.len() {
                    self.newest_at.store(lead.begins_at, Ordering::Relaxed);
                }
            }
        }
    }

    /// Drops runs that end at or below an id.
    pub(super) fn forget_below(&self, id: i64) {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut runs).retain(|run| run.until_id > id);
    }
}

impl RowIds {
    fn if_ahead(self) -> Option<Self> {
        (instant_in(self.last_id).0 - self.at > SMALL_LEAD_MS).then_some(self)
    }
}

impl IdLead {
    /// Whether the id is in the run.
    pub(super) fn has(&self, id: i64) -> bool {
        self.first_id <= id && id < self.until_id
    }

    /// The earliest and the latest time that a row of the run can have.
    pub(super) fn times(&self) -> (i64, i64) {
        (self.begins_at - DISORDER_MS, instant_in(self.until_id).0)
    }
}

/// The recorded runs, in the order of ids.
pub(super) fn read(connection: &mut AnyConnection) -> StoreResult<Vec<IdLead>> {
    Ok(id_leads::table.order(id_leads::first_id).load(connection)?)
}

/// Records a run, in the transaction of its rows.
pub(super) fn save(connection: &mut AnyConnection, lead: IdLead) -> StoreResult<()> {
    diesel::delete(id_leads::table.find(lead.first_id)).execute(connection)?;
    diesel::insert_into(id_leads::table).values(lead).execute(connection)?;
    Ok(())
}

/// Removes the runs of which no event is left; returns the id of the oldest event.
pub(super) fn prune(connection: &mut AnyConnection) -> StoreResult<i64> {
    let oldest: Option<i64> = events::table.select(min(events::id)).first(connection)?;
    let oldest = oldest.unwrap_or(i64::MAX);
    diesel::delete(id_leads::table.filter(id_leads::until_id.le(oldest))).execute(connection)?;
    Ok(oldest)
}

/// Where an instant lies among the events from `from` to before `before`: the id behind the last event with an
/// earlier time, and the first event with this time or a later one (`before` when there is none). Between the
/// two are deliveries that a replay made of an older event. A binary search for ids among which times grow: it
/// reads one event per halving.
pub(super) fn place_of(
    connection: &mut AnyConnection,
    (from, before): (i64, i64),
    at: UnixMillis,
) -> StoreResult<(i64, i64)> {
    let (mut low, mut high, mut found) = (from.max(id_bound(at)), before, before);
    while low < high {
        let middle = low + (high - low) / 2;
        let next: Option<(i64, i64)> = events::table
            .filter(events::id.ge(middle))
            .filter(events::id.lt(high))
            .order(events::id)
            .select((events::id, events::accepted_at))
            .first(connection)
            .optional()?;
        match next {
            Some((id, accepted_at)) if accepted_at < at.0 => low = id + 1,
            Some((id, _)) => (high, found) = (middle, id),
            None => high = middle,
        }
    }
    Ok((low, found))
}
