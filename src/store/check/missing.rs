//! Deliveries that an event must have, and that are not there.
//!
//! What is not pending is removed by retention, of a wide event in steps: from its first delivery on, so that what is left is the
//! end of them. Nothing else removes a delivery of an organization that exists.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt};

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::{CheckTerms, NumberRow, Wrong};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::DeliveryId;

/// Missing deliveries of one event that are named. Larger: an event with thousands fills the report.
const NAMED: usize = 5;

/// The deliveries of an event `e`, without replays.
const OF_EVENT: &str = "d.id > e.id AND d.id <= e.last_delivery_id AND d.event_id = e.id AND NOT d.replayed";

/// Those of a deleted organization are removed in steps.
const IS_KEPT: &str = "NOT EXISTS (SELECT 1 FROM deleted_organizations o WHERE o.id = e.organization_id)";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    last_delivery_id: i64,
    #[diesel(sql_type = Integer)]
    delivery_count: i32,
    #[diesel(sql_type = BigInt)]
    accepted_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    delivery_id: Option<i64>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    status: Option<i16>,
}

/// What an event says about its deliveries.
#[derive(Debug, Clone, Copy)]
struct Promise {
    event_id: i64,
    last_delivery_id: i64,
    count: i32,
    /// Retention has not come to it.
    is_young: bool,
}

/// Events whose count differs from their deliveries, unless retention can be the reason.
pub(super) fn deliveries(
    connection: &mut AnyConnection,
    terms: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    let differing: Vec<NumberRow> = diesel::sql_query(format!(
        "SELECT e.id AS n FROM events e WHERE e.id > {after} AND e.id <= {last} AND {IS_KEPT} \
         AND e.delivery_count <> (SELECT count(*) FROM deliveries d WHERE {OF_EVENT}) ORDER BY e.id"
    ))
    .load(connection)?;
    let mut found = Vec::new();
    for NumberRow { n: id } in differing {
        // again, as retention may be at work
        let rows: Vec<Row> = diesel::sql_query(format!(
            "SELECT e.last_delivery_id, e.delivery_count, e.accepted_at, d.id AS delivery_id, d.status FROM events e \
             LEFT JOIN deliveries d ON {OF_EVENT} WHERE e.id = {id} AND {IS_KEPT}"
        ))
        .load(connection)?;
        let Some(first) = rows.first() else { continue };
        let promise = Promise {
            event_id: id,
            last_delivery_id: first.last_delivery_id,
            count: first.delivery_count,
            is_young: first.accepted_at > terms.kept_since().0,
        };
        let status = |row: &Row| row.delivery_id.zip(row.status);
        found.extend(judge(promise, &rows.iter().filter_map(status).collect()).map(|why| Wrong { key: id, why }));
    }
    Ok(found)
}

/// What is wrong with the deliveries of an event, by their ids and statuses.
fn judge(promise: Promise, present: &BTreeMap<i64, i16>) -> Option<String> {
    let Promise { event_id, last_delivery_id, count, is_young } = promise;
    let (rows, count) = (present.len() as u64, i64::from(count));
    let lacking = u64::try_from(count).ok().and_then(|count| count.checked_sub(rows)).unwrap_or(0);
    if lacking == 0 {
        return (i64::try_from(rows) != Ok(count))
            .then(|| format!("it has {rows} deliveries, and counts {count}"));
    }
    // the ids of most events follow each other
    let follow_each_other = last_delivery_id.checked_sub(event_id) == Some(count);
    let is_end = match present.first_key_value() {
        None => true,
        Some((first, _)) if follow_each_other => last_delivery_id - first + 1 == present.len() as i64,
        Some(_) => present.contains_key(&last_delivery_id),
    };
    let has_pending = present.values().any(|status| *status == DeliveryStatus::Pending.code());
    if is_end && !has_pending && !is_young {
        return None;
    }
    let missing = || (event_id + 1..=last_delivery_id).filter(|id| !present.contains_key(id));
    let mut names: Vec<String> = match follow_each_other {
        true => missing().take(NAMED).map(|id| DeliveryId(id).to_string()).collect(),
        false => Vec::new(),
    };
    if !names.is_empty() && lacking > names.len() as u64 {
        names.push(format!("and {} more", lacking - names.len() as u64));
    }
    let which = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    Some(format!("{lacking} of its {count} deliveries are missing{which}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: i16 = 1;
    const PENDING: i16 = 0;

    /// An event with the id 100 and five deliveries.
    fn judged(present: &[(i64, i16)], is_young: bool) -> Option<String> {
        let promise = Promise { event_id: 100, last_delivery_id: 105, count: 5, is_young };
        judge(promise, &present.iter().copied().collect())
    }

    #[test]
    fn of_an_old_event_retention_may_have_removed_the_beginning_and_nothing_else() {
        assert_eq!(judged(&[(103, ENDED), (104, ENDED), (105, ENDED)], false), None);
        assert_eq!(judged(&[], false), None);
        let hole = [(101, ENDED), (102, ENDED), (104, ENDED), (105, ENDED)];
        assert!(judged(&hole, false).unwrap().contains(&DeliveryId(103).to_string()));
        let without_the_last = [(103, ENDED), (104, ENDED)];
        assert!(judged(&without_the_last, false).unwrap().starts_with("3 of its 5 deliveries are missing"));
        assert!(judged(&[(104, ENDED), (105, PENDING)], false).is_some(), "it waits until nothing is pending");
    }

    #[test]
    fn of_a_young_event_every_delivery_must_be_there() {
        assert!(judged(&[(102, ENDED), (103, ENDED), (104, ENDED), (105, ENDED)], true).is_some());
        assert!(judged(&[], true).unwrap().starts_with("5 of its 5"));
    }

    #[test]
    fn an_event_whose_ids_have_gaps_is_judged_by_its_last_delivery() {
        let promise = Promise { event_id: 100, last_delivery_id: 900, count: 3, is_young: false };
        assert_eq!(judge(promise, &BTreeMap::from([(900, ENDED)])), None);
        let said = judge(promise, &BTreeMap::from([(101, ENDED)])).unwrap();
        assert_eq!(said, "2 of its 3 deliveries are missing");
    }

    #[test]
    fn a_count_that_is_too_low_is_wrong_at_any_age() {
        for count in [-3, 0, 1] {
            let promise = Promise { event_id: 100, last_delivery_id: 102, count, is_young: false };
            let rows = BTreeMap::from([(101, ENDED), (102, ENDED)]);
            assert_eq!(judge(promise, &rows).unwrap(), format!("it has 2 deliveries, and counts {count}"));
        }
    }
}
