//! Deliveries of an endpoint or of an event in the order of their ids, read in both directions and a bounded number at a time.
//!
//! Filters that no index has are applied to what was read, so a list with a rare type ends early and says where it goes on.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::super::StoreResult;
use super::super::attempts::{AttemptsOf, ListFilter, PageEdge};
use super::super::connection::AnyConnection;
use super::super::models::DeliveryRow;
use super::event_labels;
use super::events_by::EventsBy;
use super::id_leads::IdLead;
use super::log_rows::{LogScope, LogSource, from, from_events};
use super::query::{BoundValue, DynamicQuery};
use super::sql_limit;
use super::time_ranges::{IdRange, Period, id_ranges};
use crate::domain::delivery::DeliveryRecord;
use crate::domain::ids::{DeliveryId, EventId, OrganizationId};
use crate::domain::labels::EventLabels;

/// Deliveries in one query. Smaller: a page takes more queries. Larger: one with a filter reads more than it shows.
const AT_ONCE: usize = 100;

const COLUMNS: &str = "SELECT d.id, d.organization_id, d.endpoint_id, d.event_id, d.status, d.attempt_count, \
                       d.created_at, d.due_at, d.finished_at, d.response_code, d.error, d.attempts_before_round, \
                       d.attempt_started_at, d.attempt_duration_ms, e.event_type, e.occurred_at, e.accepted_at";

#[derive(QueryableByName)]
struct ScannedRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(sql_type = Integer)]
    attempts_before_round: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    attempt_started_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    attempt_duration_ms: Option<i64>,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = BigInt)]
    occurred_at: i64,
    #[diesel(sql_type = BigInt)]
    accepted_at: i64,
}

/// A delivery that was read.
pub(super) struct Scanned {
    pub(super) record: DeliveryRecord,
    pub(super) attempts_before_round: i32,
    /// Start and duration of a first attempt that is stored in the delivery's row.
    pub(super) own_attempt: Option<(i64, i64)>,
    pub(super) occurred_at: i64,
    pub(super) accepted_at: i64,
    /// Empty unless they were needed.
    pub(super) labels: EventLabels,
}

/// What is read of each delivery beside its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Attempts,
    Labels,
    Both,
}

impl Reads {
    /// How many rows a delivery costs, its own among them.
    fn cost_of(self, delivery: &Scanned) -> usize {
        match self {
            Self::Attempts | Self::Both => 1 + delivery.record.attempt_count as usize,
            Self::Labels => 1,
        }
    }
}

/// A walk through deliveries.
pub(super) struct DeliveryScan<'a> {
    organization_id: OrganizationId,
    filter: &'a ListFilter,
    is_backwards: bool,
    reads: Reads,
    /// What is left to read, the next part first.
    ranges: Vec<IdRange>,
    /// How many rows may still be looked at.
    budget: usize,
    /// Where the walk stands: everything up to it was looked at.
    pub(super) looked_at: Option<DeliveryId>,
}

impl<'a> DeliveryScan<'a> {
    /// `edge`: the delivery of the edge is the first. `bound`: about how many rows may be looked at.
    pub(super) fn begin(
        connection: &mut AnyConnection,
        runs: &[IdLead],
        organization_id: OrganizationId,
        filter: &'a ListFilter,
        edge: PageEdge<DeliveryId>,
        reads: Reads,
        bound: usize,
    ) -> StoreResult<Self> {
        let mut ranges = id_ranges(connection, runs, Period { from: filter.from, to: filter.to })?;
        for range in &mut ranges {
            match edge {
                PageEdge::Newest => {}
                PageEdge::OlderThan(id) => range.before = range.before.min(id.0.saturating_add(1)),
                PageEdge::NewerThan(id) => range.from = range.from.max(id.0),
            }
        }
        let is_backwards = edge.is_backwards();
        if is_backwards {
            ranges.reverse();
        }
        ranges.retain(|range| range.from < range.before);
        Ok(Self { organization_id, filter, is_backwards, reads, ranges, budget: bound, looked_at: None })
    }

    /// Whether everything was looked at.
    pub(super) fn is_over(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether this page may look at no more.
    pub(super) fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// The next deliveries that the filter selects, in the order of the walk; `wanted` is an estimate.
    pub(super) fn next(&mut self, connection: &mut AnyConnection, wanted: usize) -> StoreResult<Vec<Scanned>> {
        let Some(&range) = self.ranges.first() else { return Ok(Vec::new()) };
        let is_filtered = self.filter.channel.is_some() || !self.filter.event_types.is_empty();
        let limit = if is_filtered { AT_ONCE } else { wanted.clamp(1, AT_ONCE) };
        let mut read = self.read(connection, range, limit)?;
        let is_range_over = read.len() < limit;
        // as many as their attempts leave room for, but one at least
        let mut affordable = 0;
        for delivery in &read {
            let cost = self.reads.cost_of(delivery);
            if affordable > 0 && cost > self.budget {
                break;
            }
            self.budget = self.budget.saturating_sub(cost);
            affordable += 1;
        }
        let is_cut = affordable < read.len();
        read.truncate(affordable);
        if is_cut {
            self.budget = 0;
        }
        if let Some(last) = read.last().map(|last| last.record.id) {
            self.looked_at = Some(last);
            match self.is_backwards {
                true => self.ranges[0].before = last.0,
                false => self.ranges[0].from = last.0.saturating_add(1),
            }
        }
        if is_range_over && !is_cut {
            self.ranges.remove(0);
        }
        read.retain(|delivery| self.filter.has_type(&delivery.record.event_type));
        self.label(connection, &mut read)?;
        Ok(read)
    }

    fn read(&self, connection: &mut AnyConnection, range: IdRange, limit: usize) -> StoreResult<Vec<Scanned>> {
        let scope = LogScope::of(self.organization_id, self.filter.of.endpoint_id(), range, None);
        let mut rows: Vec<ScannedRow> = Vec::new();
        for source in sources(self.filter.of) {
            let query = build(connection, source, self.filter.of, &scope, self.is_backwards, limit);
            rows.append(&mut query.load(connection)?);
        }
        rows.sort_by_key(|row| row.delivery.id);
        if self.is_backwards {
            rows.reverse();
        }
        rows.truncate(limit);
        let scanned = rows.into_iter().map(|row| {
            Ok(Scanned {
                record: row.delivery.into_record(row.event_type)?,
                attempts_before_round: row.attempts_before_round,
                own_attempt: row.attempt_started_at.zip(row.attempt_duration_ms),
                occurred_at: row.occurred_at,
                accepted_at: row.accepted_at,
                labels: EventLabels::default(),
            })
        });
        scanned.collect()
    }

    /// Adds labels, and drops deliveries without the channel.
    fn label(&self, connection: &mut AnyConnection, read: &mut Vec<Scanned>) -> StoreResult<()> {
        if read.is_empty() || self.reads == Reads::Attempts && self.filter.channel.is_none() {
            return Ok(());
        }
        let mut ids: Vec<i64> = read.iter().map(|delivery| delivery.record.event_id.0).collect();
        ids.dedup();
        let labels: HashMap<EventId, EventLabels> = event_labels::read(connection, self.organization_id, &ids)?;
        for delivery in &mut *read {
            delivery.labels = labels.get(&delivery.record.event_id).cloned().unwrap_or_default();
        }
        if let Some(channel) = &self.filter.channel {
            read.retain(|delivery| delivery.labels.channels.contains(channel));
        }
        Ok(())
    }
}

/// Together they have every delivery, each once.
pub(super) fn sources(of: AttemptsOf) -> Vec<LogSource> {
    match of {
        AttemptsOf::Endpoint(_) => vec![LogSource::Endpoint],
        AttemptsOf::Event(id, _) => vec![LogSource::Events, LogSource::ReplaysOf(id)],
    }
}

/// The query for the next deliveries of one source.
pub(super) fn build(
    connection: &AnyConnection,
    source: LogSource,
    of: AttemptsOf,
    scope: &LogScope,
    is_backwards: bool,
    limit: usize,
) -> DynamicQuery {
    let mut query = match (source, of.event_id()) {
        (LogSource::Events, Some(id)) => from_events(connection, COLUMNS, scope, EventsBy::Id(id)),
        (source, _) => from(connection, COLUMNS, source, scope, true),
    };
    scope.times.restrict(&mut query, "d.id", "d.created_at");
    let direction = if is_backwards { " DESC" } else { "" };
    query.sql.push_str(&format!(" ORDER BY d.id{direction}"));
    query.push(" LIMIT {}", BoundValue::Number(sql_limit(limit)));
    query
}
