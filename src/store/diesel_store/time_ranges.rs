//! From a period to the ids of its rows.
//!
//! Tables are in the order of ids, and no index has times. An id is never behind its row's time and hardly
//! ahead of it, so a period is a range of ids that is slightly too long, plus a condition on the times of the
//! rows at its ends. Where ids are far ahead of times (`super::id_leads`) the ends are found by searching the
//! events.

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::models::id_bound;
use super::id_leads::{self, DISORDER_MS, IdLead, SMALL_LEAD_MS};
use super::query::{BoundValue, DynamicQuery};
use crate::domain::time::UnixMillis;

/// From its beginning to before its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: Option<UnixMillis>,
    pub(super) to: Option<UnixMillis>,
}

/// A range of ids with rows of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdRange {
    /// Its first id.
    pub(super) from: i64,
    /// Behind its last id.
    pub(super) before: i64,
    /// Which of its rows are in the period.
    pub(super) times: TimeCondition,
}

/// A condition on the times of a range's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TimeCondition {
    from: Option<PeriodEnd>,
    to: Option<PeriodEnd>,
}

/// One end of a period. Rows on the inner side of `id` are within the period whatever their time: it is not
/// read, which keeps a query within an index that does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PeriodEnd {
    id: i64,
    at: i64,
}

impl Period {
    fn starts_after(&self, at: i64) -> Option<i64> {
        self.from.map(|from| from.0).filter(|from| *from > at)
    }

    fn ends_until(&self, at: i64) -> Option<i64> {
        self.to.map(|to| to.0).filter(|to| *to <= at)
    }
}

impl TimeCondition {
    /// Adds the condition on a row's id and time to a query.
    pub(super) fn restrict(&self, query: &mut DynamicQuery, id: &str, time: &str) {
        if let Some(PeriodEnd { id: from, at }) = self.from {
            query.and(&format!("(+{id} >= {{}}"), BoundValue::Number(from));
            query.push(&format!(" OR {time} >= {{}})"), BoundValue::Number(at));
        }
        if let Some(PeriodEnd { id: to, at }) = self.to {
            query.and(&format!("(+{id} < {{}}"), BoundValue::Number(to));
            query.push(&format!(" OR {time} < {{}})"), BoundValue::Number(at));
        }
    }
}

/// The ranges that together have all rows of a period, in the order of ids: one, unless the clock was set back.
pub(super) fn id_ranges(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    period: Period,
) -> StoreResult<Vec<IdRange>> {
    if period == Period::default() {
        return Ok(vec![IdRange { from: 0, before: i64::MAX, times: TimeCondition::default() }]);
    }
    let mut ranges = Vec::new();
    let mut begin = 0;
    for (place, run) in runs.iter().enumerate() {
        let next = runs.get(place + 1).map_or(i64::MAX, |next| next.first_id);
        let end = run.until_id.min(next);
        add(&mut ranges, in_step(begin, run.first_id, period));
        add(&mut ranges, ahead(connection, *run, end, period)?);
        begin = end;
    }
    add(&mut ranges, in_step(begin, i64::MAX, period));
    Ok(ranges)
}

/// Adds a range, joined with the previous one if that continues in it.
fn add(ranges: &mut Vec<IdRange>, range: IdRange) {
    if range.from >= range.before {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.before == range.from && last.times.to.is_none() && range.times.from.is_none() => {
            last.before = range.before;
            last.times.to = range.times.to;
        }
        _ => ranges.push(range),
    }
}

/// Among ids that are ahead by at most [`SMALL_LEAD_MS`].
fn in_step(begin: i64, end: i64, period: Period) -> IdRange {
    let bound = |at: UnixMillis, more: i64| id_bound(UnixMillis(at.0.saturating_add(more)));
    let from = period.from.map_or(begin, |from| bound(from, 0).max(begin));
    let before = period.to.map_or(end, |to| bound(to, SMALL_LEAD_MS).min(end));
    let first = period.from.map(|from| PeriodEnd { id: bound(from, SMALL_LEAD_MS), at: from.0 });
    let last = period.to.map(|to| PeriodEnd { id: bound(to, 0), at: to.0 });
    let times =
        TimeCondition { from: first.filter(|edge| edge.id > from), to: last.filter(|edge| edge.id < before) };
    IdRange { from, before, times }
}

/// In a run of ids that are far ahead.
fn ahead(connection: &mut AnyConnection, run: IdLead, end: i64, period: Period) -> StoreResult<IdRange> {
    let (earliest, latest) = run.times();
    let ids = (run.first_id, end);
    let nothing = IdRange { from: end, before: end, times: TimeCondition::default() };
    if period.starts_after(latest).is_some() || period.ends_until(earliest).is_some() {
        return Ok(nothing);
    }
    let (first, last) = (period.starts_after(earliest), period.ends_until(latest));
    let from = match first {
        Some(at) => id_leads::place_of(connection, ids, UnixMillis(at.saturating_sub(DISORDER_MS)))?.0,
        None => run.first_id,
    };
    let before = match last {
        Some(at) => id_leads::place_of(connection, ids, UnixMillis(at.saturating_add(DISORDER_MS)))?.1,
        None => end,
    };
    let times = TimeCondition {
        from: first.map(|at| PeriodEnd { id: i64::MAX, at }),
        to: last.map(|at| PeriodEnd { id: i64::MIN, at }),
    };
    Ok(IdRange { from, before, times })
}
