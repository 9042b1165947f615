//! How SQLite runs the queries that are written by hand: every one must search an index, and none may sort.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::connection::AnyConnection;
use super::super::{PageRequest, RequeueRange, sqlite};
use super::log::{self, Source};
use super::{again, conditions, events, pruning, startup, statistics};
use crate::domain::delivery::{DeliveryFilter, DeliveryStatus};
use crate::domain::event::EventFilter;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

#[derive(QueryableByName)]
struct PlanStep {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// A database, and the folder that goes with it.
fn database() -> (tempfile::TempDir, AnyConnection) {
    let folder = tempfile::tempdir().unwrap();
    let connection = sqlite::open_for_plans(folder.path().join("plans.db")).unwrap();
    (folder, connection)
}

fn plan(connection: &mut AnyConnection, sql: &str) -> Vec<String> {
    let steps: Vec<PlanStep> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(connection).unwrap();
    steps.into_iter().map(|step| step.detail).collect()
}

#[test]
fn the_agenda_seeks_from_endpoint_to_endpoint() {
    let (_folder, mut connection) = database();
    let plan = plan(&mut connection, startup::AGENDA);
    let seeks =
        plan.iter().filter(|step| step.contains("SEARCH deliveries USING") && step.contains("deliveries_pending"));
    assert_eq!(seeks.count(), 4, "{plan:#?}");
    assert!(
        !plan.iter().any(|step| step.contains("SCAN deliveries") || step.contains("TEMP B-TREE")),
        "{plan:#?}"
    );
}

const ALL_EVENTS: &str = "events_organization (organization_id=? AND id>? AND id<?)";
const REPLAYS: &str = "deliveries_replayed (organization_id=? AND id>? AND id<?)";
const OF_ENDPOINT: &str = "deliveries_endpoint (endpoint_id=? AND id>? AND id<?)";
const FAILED_OF_ENDPOINT: &str = "deliveries_failed_endpoint (endpoint_id=? AND id>? AND id<?)";
const PRIMARY_KEY: &str = "USING INTEGER PRIMARY KEY (rowid";

/// The plan has these steps, in this order, and no others.
fn assert_steps(connection: &mut AnyConnection, sql: &str, expected: &[&str]) {
    let plan = plan(connection, sql);
    let fits = plan.len() == expected.len() && plan.iter().zip(expected).all(|(step, part)| step.contains(part));
    assert!(fits, "{sql}: {plan:#?}, and not {expected:#?}");
}

#[test]
fn the_log_reads_no_other_organizations_rows_and_sorts_nothing() {
    let (_folder, mut connection) = database();
    let all = DeliveryFilter::default();
    let page = PageRequest { before_id: Some(9), limit: 50 };
    for (filter, indexes) in [
        (all.clone(), &[ALL_EVENTS, REPLAYS][..]),
        (
            DeliveryFilter { event_type: Some(String::from("call.completed")), ..all.clone() },
            &[ALL_EVENTS, REPLAYS],
        ),
        (
            DeliveryFilter { status: Some(DeliveryStatus::Pending), from: Some(UnixMillis(1)), ..all.clone() },
            &[ALL_EVENTS, REPLAYS],
        ),
        (
            DeliveryFilter { status: Some(DeliveryStatus::Failed), ..all.clone() },
            &["deliveries_failed (organization_id=? AND id>? AND id<?)"],
        ),
        (
            DeliveryFilter {
                endpoint_id: Some(EndpointId(7)),
                status: Some(DeliveryStatus::Failed),
                ..all.clone()
            },
            &[FAILED_OF_ENDPOINT],
        ),
        (DeliveryFilter { endpoint_id: Some(EndpointId(7)), ..all }, &[OF_ENDPOINT]),
    ] {
        let sources = log::sources(&filter);
        assert_eq!(sources.len(), indexes.len());
        for (source, index) in sources.iter().zip(indexes) {
            let query = log::build(&connection, *source, OrganizationId(1), &filter, page);
            assert_steps(&mut connection, &query.sql, &[index, PRIMARY_KEY]);
        }
    }
}

#[test]
fn the_list_of_events_searches_its_organizations_and_sorts_nothing() {
    let (_folder, mut connection) = database();
    let page = PageRequest { before_id: None, limit: 50 };
    for event_type in [None, Some(String::from("call.completed"))] {
        let filter = EventFilter { event_type, ..EventFilter::default() };
        let query = events::build(OrganizationId(1), &filter, page);
        let replays = "deliveries_replayed_event (event_id=?)";
        assert_steps(&mut connection, &query.sql, &[ALL_EVENTS, "CORRELATED SCALAR SUBQUERY", replays]);
    }
}

#[test]
fn what_is_sent_again_is_found_by_its_endpoint_in_the_order_of_ids() {
    let (_folder, mut connection) = database();
    for (status, index) in [(DeliveryStatus::Failed, FAILED_OF_ENDPOINT), (DeliveryStatus::Success, OF_ENDPOINT)] {
        let range = RequeueRange { since: UnixMillis(1), until: UnixMillis(2), status };
        let page = again::page(OrganizationId(1), EndpointId(7), &range, None, 500);
        assert_steps(&mut connection, &page.sql, &[index]);
        let count = again::count(OrganizationId(1), EndpointId(7), &range);
        assert_steps(&mut connection, &count.sql, &[index]);
    }
}

#[test]
fn conditions_are_read_from_indexes() {
    let (_folder, mut connection) = database();
    let pending = "COVERING INDEX deliveries_pending (endpoint_id=?)";
    let of_organization = conditions::count_pending(OrganizationId(1), None);
    let owned = "COVERING INDEX endpoints_organization (organization_id=?)";
    assert_steps(&mut connection, &of_organization.sql, &[owned, pending]);
    let of_endpoint = conditions::count_pending(OrganizationId(1), Some(EndpointId(7)));
    assert_steps(&mut connection, &of_endpoint.sql, &["endpoints", pending]);

    let attempt = "PRIMARY KEY (delivery_id=? AND number=?)";
    for (endpoint_id, source, index) in [
        (None, Source::Events, ALL_EVENTS),
        (None, Source::Replays, REPLAYS),
        (Some(EndpointId(7)), Source::Endpoint, OF_ENDPOINT),
    ] {
        let query = conditions::build(&connection, OrganizationId(1), source, endpoint_id, UnixMillis(1), 10_000);
        let expected = [index, PRIMARY_KEY, "CORRELATED SCALAR SUBQUERY", attempt];
        assert_steps(&mut connection, &query.sql, &expected);
    }
    let by_organization = "endpoints_organization (organization_id=?)";
    assert_steps(&mut connection, conditions::STATES, &[by_organization, PRIMARY_KEY]);
}

#[test]
fn the_deliveries_of_an_event_are_a_range_and_what_replays_made() {
    let (_folder, mut connection) = database();
    for (sql, expected) in [
        (
            "SELECT id FROM deliveries WHERE id > ? AND id <= ? AND event_id = ? AND organization_id = ? ORDER BY id",
            "PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            "SELECT id FROM deliveries WHERE event_id = ? AND deliveries.replayed AND organization_id = ? ORDER BY id",
            "deliveries_replayed_event (event_id=?)",
        ),
    ] {
        assert_steps(&mut connection, sql, &[expected]);
    }
}

#[test]
fn pruning_reads_only_what_is_old() {
    let (_folder, mut connection) = database();
    for (sql, expected) in [
        ("SELECT id FROM events WHERE id > ? AND id < ? ORDER BY id LIMIT ?", "PRIMARY KEY (rowid>? AND rowid<?)"),
        (
            "SELECT id, event_id, status FROM deliveries WHERE id > ? AND id <= ? AND NOT (deliveries.replayed)",
            "PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            "SELECT id, event_id, status FROM deliveries WHERE event_id >= ? AND event_id <= ? \
             AND deliveries.replayed",
            "deliveries_replayed_event (event_id>? AND event_id<?)",
        ),
    ] {
        assert_steps(&mut connection, sql, &[expected]);
    }
    let plan = plan(&mut connection, pruning::OLD_KEYS);
    assert!(plan.iter().any(|step| step.contains("idempotency_keys_created (created_at<?)")), "{plan:#?}");
    assert!(!plan.iter().any(|step| step.contains("SCAN") || step.contains("B-TREE")), "{plan:#?}");
}

#[test]
fn counts_are_sought_in_each_period_and_nothing_else_is_read() {
    let (_folder, mut connection) = database();
    let organization_id = OrganizationId(1);
    let ids = [EndpointId(7), EndpointId(8)];
    let reads = [None, Some(&ids[..])].map(|ids| statistics::build(organization_id, ids, UnixMillis(1)));
    let row = "SEARCH s USING PRIMARY KEY (period_start=? AND organization_id=? AND endpoint_id=?)";
    let of_organization = "SEARCH delivery_statistics USING PRIMARY KEY (period_start=? AND organization_id=?)";
    let deletion = statistics::build_deletion(organization_id);
    for (query, target) in reads.iter().map(|query| (query, row)).chain([(&deletion, of_organization)]) {
        let plan = plan(&mut connection, &query.sql);
        assert_eq!(plan.iter().filter(|step| step.contains(target)).count(), 1, "{plan:#?}");
        let period = "SEARCH delivery_statistics USING PRIMARY KEY (period_start>?)";
        assert_eq!(plan.iter().filter(|step| step.contains(period)).count(), 2, "{plan:#?}");
        let reads_more = |step: &String| step.contains("SCAN delivery") || step.contains("B-TREE");
        assert!(!plan.iter().any(reads_more), "{plan:#?}");
    }
    let plan = plan(&mut connection, statistics::OLD_ROWS);
    assert!(plan.iter().any(|step| step.contains("PRIMARY KEY (period_start<?)")), "{plan:#?}");
    assert!(!plan.iter().any(|step| step.contains("SCAN") || step.contains("B-TREE")), "{plan:#?}");
}
