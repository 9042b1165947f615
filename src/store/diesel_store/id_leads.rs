//! Where ids are ahead of the clock that the times of their rows come from.
//!
//! Ids never shrink, so after a clock was set back they go on from where they were, close together, until it has caught up.
//! There a time says nothing about ids. Such runs of ids are rare and written down, in the transaction that stores the
//! first row of one; everywhere else a period is a range of ids (`super::time_ranges`).

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

/// Ids that are ahead by less are not written down, in milliseconds: a wide fan-out uses up the ids of a few, and a time
/// server sets clocks back by some. Smaller: more runs. Larger: every period reads so much more at its end.
pub(super) const SMALL_LEAD_MS: i64 = 250;
/// How far times in a run can be out of the order of ids, in milliseconds: a clock that is set back by less within a run
/// begins no new one, and a replay's delivery waits for the writer. Larger: a period reads more at its ends.
pub(super) const DISORDER_MS: i64 = 10_000;
/// A run is written down so far in advance: it is written again only when ids have moved on by so much.
const IN_ADVANCE: i64 = 1_000 * IDS_A_MILLISECOND;

/// A run of ids that are ahead. Within it times grow with the ids, but for [`DISORDER_MS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = id_leads)]
pub(super) struct IdLead {
    /// The first of them.
    pub(super) first_id: i64,
    /// Behind the last of them; some may not be ahead any more.
    pub(super) until_id: i64,
    /// The time of the first row.
    pub(super) begins_at: i64,
}

/// RowIds that are about to be stored: their first and last id, and their time.
#[derive(Debug, Clone, Copy)]
struct RowIds {
    first_id: i64,
    last_id: i64,
    at: i64,
}

/// All runs, as the database has them.
#[derive(Default)]
pub(super) struct IdLeads {
    /// In the order of ids. A run ends where the next one begins.
    runs: RwLock<Arc<Vec<IdLead>>>,
    /// The latest time in the last run; an earlier one begins another.
    newest_at: AtomicI64,
}

impl IdLeads {
    /// Reads them. The first row that is ahead begins a new run: nobody knows how the clock went meanwhile.
    pub(super) fn load(connection: &mut AnyConnection) -> StoreResult<Self> {
        let runs: Vec<IdLead> = id_leads::table.order(id_leads::first_id).load(connection)?;
        Ok(Self { runs: RwLock::new(Arc::new(runs)), newest_at: AtomicI64::new(i64::MAX) })
    }

    /// The runs of now.
    pub(super) fn runs(&self) -> Arc<Vec<IdLead>> {
        Arc::clone(&self.runs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The run to write down with these events, when they are ahead and in none that is known.
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

    /// The same for a row of this id.
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

    /// Takes in a run that was written down.
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

    /// Leaves out those below an id.
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
    /// Whether the id is among them.
    pub(super) fn has(&self, id: i64) -> bool {
        self.first_id <= id && id < self.until_id
    }

    /// No row of the run has an earlier time than the first of these, or a later one than the second.
    pub(super) fn times(&self) -> (i64, i64) {
        (self.begins_at - DISORDER_MS, instant_in(self.until_id).0)
    }
}

/// Writes a run down, in the transaction of its rows.
pub(super) fn save(connection: &mut AnyConnection, lead: IdLead) -> StoreResult<()> {
    diesel::delete(id_leads::table.find(lead.first_id)).execute(connection)?;
    diesel::insert_into(id_leads::table).values(lead).execute(connection)?;
    Ok(())
}

/// Forgets the runs of which no event is left; returns the oldest event's id.
pub(super) fn prune(connection: &mut AnyConnection) -> StoreResult<i64> {
    let oldest: Option<i64> = events::table.select(min(events::id)).first(connection)?;
    let oldest = oldest.unwrap_or(i64::MAX);
    diesel::delete(id_leads::table.filter(id_leads::until_id.le(oldest))).execute(connection)?;
    Ok(oldest)
}

/// Where an instant lies among the events from `from` to before `before`: the id behind the last event of an earlier time, and
/// the first event with this time or a later one (`before` when there is none). Between the two are the deliveries that a replay
/// made of an older event. For ids among which times grow: it looks at one event for each halving.
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
