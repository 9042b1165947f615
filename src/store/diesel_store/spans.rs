//! From a period to the ids of its rows.
//!
//! A table is in the order of ids, and no index has times. An id is never behind its row's time and hardly ahead of it, so
//! a period is a range of ids that is a little too long, and a condition on the times of those at its ends. Where ids
//! are far ahead of times (`super::leads`) the ends are looked for among the events.

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::models::id_bound;
use super::leads::{self, DISORDER_MS, Lead, SMALL_LEAD_MS};
use super::query::{Query, Value};
use crate::domain::time::UnixMillis;

/// A period: from its beginning to before its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: Option<UnixMillis>,
    pub(super) to: Option<UnixMillis>,
}

/// A range of ids with rows of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The first id.
    pub(super) from: i64,
    /// Ids below this.
    pub(super) before: i64,
    /// Which of its rows are of the period.
    pub(super) times: Times,
}

/// A condition on the times of a range's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Times {
    from: Option<Edge>,
    to: Option<Edge>,
}

/// One end of a period. Rows beyond `id`, on the inner side, are within it whatever their time: it is not looked at, which
/// keeps a query within an index that does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge {
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

impl Times {
    /// Adds the condition on a row's id and time.
    pub(super) fn restrict(&self, query: &mut Query, id: &str, time: &str) {
        if let Some(Edge { id: from, at }) = self.from {
            query.and(&format!("(+{id} >= {{}}"), Value::Number(from));
            query.push(&format!(" OR {time} >= {{}})"), Value::Number(at));
        }
        if let Some(Edge { id: to, at }) = self.to {
            query.and(&format!("(+{id} < {{}}"), Value::Number(to));
            query.push(&format!(" OR {time} < {{}})"), Value::Number(at));
        }
    }
}

/// The ranges that together have a period's rows, in the order of ids: one, unless the clock was set back.
pub(super) fn spans(connection: &mut AnyConnection, runs: &[Lead], period: Period) -> StoreResult<Vec<Span>> {
    if period == Period::default() {
        return Ok(vec![Span { from: 0, before: i64::MAX, times: Times::default() }]);
    }
    let mut spans = Vec::new();
    let mut begin = 0;
    for (place, run) in runs.iter().enumerate() {
        let next = runs.get(place + 1).map_or(i64::MAX, |next| next.first_id);
        let end = run.until_id.min(next);
        add(&mut spans, in_step(begin, run.first_id, period));
        add(&mut spans, ahead(connection, *run, end, period)?);
        begin = end;
    }
    add(&mut spans, in_step(begin, i64::MAX, period));
    Ok(spans)
}

/// Adds a range, to the one before it when that goes over into it.
fn add(spans: &mut Vec<Span>, span: Span) {
    if span.from >= span.before {
        return;
    }
    match spans.last_mut() {
        Some(last) if last.before == span.from && last.times.to.is_none() && span.times.from.is_none() => {
            last.before = span.before;
            last.times.to = span.times.to;
        }
        _ => spans.push(span),
    }
}

/// Among ids that are ahead by [`SMALL_LEAD_MS`] at most.
fn in_step(begin: i64, end: i64, period: Period) -> Span {
    let bound = |at: UnixMillis, more: i64| id_bound(UnixMillis(at.0.saturating_add(more)));
    let from = period.from.map_or(begin, |from| bound(from, 0).max(begin));
    let before = period.to.map_or(end, |to| bound(to, SMALL_LEAD_MS).min(end));
    let first = period.from.map(|from| Edge { id: bound(from, SMALL_LEAD_MS), at: from.0 });
    let last = period.to.map(|to| Edge { id: bound(to, 0), at: to.0 });
    let times = Times { from: first.filter(|edge| edge.id > from), to: last.filter(|edge| edge.id < before) };
    Span { from, before, times }
}

/// In a run of ids that are far ahead.
fn ahead(connection: &mut AnyConnection, run: Lead, end: i64, period: Period) -> StoreResult<Span> {
    let (earliest, latest) = run.times();
    let ids = (run.first_id, end);
    let nothing = Span { from: end, before: end, times: Times::default() };
    if period.starts_after(latest).is_some() || period.ends_until(earliest).is_some() {
        return Ok(nothing);
    }
    let (first, last) = (period.starts_after(earliest), period.ends_until(latest));
    let from = match first {
        Some(at) => leads::place_of(connection, ids, UnixMillis(at.saturating_sub(DISORDER_MS)))?.0,
        None => run.first_id,
    };
    let before = match last {
        Some(at) => leads::place_of(connection, ids, UnixMillis(at.saturating_add(DISORDER_MS)))?.1,
        None => end,
    };
    let times =
        Times { from: first.map(|at| Edge { id: i64::MAX, at }), to: last.map(|at| Edge { id: i64::MIN, at }) };
    Ok(Span { from, before, times })
}
