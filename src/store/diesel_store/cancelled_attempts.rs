//! Attempts that were in flight when their delivery was cancelled, because its endpoint was deleted.

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::detail::StoredAttempt;
use super::super::models::AttemptRow;
use super::super::schema::{attempts, deliveries};
use super::super::{CommitReport, StoreResult, WriteBatch};
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::DeliveryStatus;

/// Records the outcomes that were not counted because their delivery was cancelled: the attempt is in the log,
/// and if the receiver acknowledged it the delivery is a success.
pub(super) fn record(
    connection: &mut AnyConnection,
    batch: &WriteBatch,
    mut report: CommitReport,
) -> StoreResult<CommitReport> {
    for (place, outcome) in batch.outcomes.iter().enumerate() {
        if !report.outcomes_recorded[place] && record_one(connection, outcome)? {
            report.after_cancellation.push(place);
        }
    }
    Ok(report)
}

fn record_one(connection: &mut AnyConnection, outcome: &Outcome) -> StoreResult<bool> {
    let attempt = StoredAttempt::of(outcome);
    let number = i32::try_from(attempt.number).unwrap_or(i32::MAX);
    let response_code = attempt.response_code.map(i32::from);
    let cancelled = deliveries::table
        .filter(deliveries::id.eq(outcome.delivery_id.0))
        .filter(deliveries::organization_id.eq(outcome.organization_id.0))
        .filter(deliveries::status.eq(DeliveryStatus::Cancelled.code()))
        .filter(deliveries::attempt_count.lt(number));
    let seen = (
        deliveries::attempt_count.eq(number),
        deliveries::response_code.eq(response_code),
        deliveries::error.eq(attempt.error.as_deref()),
    );
    let updated = match outcome.next {
        NextStep::Succeeded => {
            let ended = (
                deliveries::status.eq(DeliveryStatus::Success.code()),
                deliveries::finished_at.eq(outcome.finished_at.0),
            );
            diesel::update(cancelled).set((seen, ended)).execute(connection)?
        }
        _ => diesel::update(cancelled).set(seen).execute(connection)?,
    };
    if updated == 0 {
        return Ok(false);
    }
    diesel::insert_into(attempts::table).values(AttemptRow::of(outcome, &attempt)).execute(connection)?;
    Ok(true)
}
