//! How SQLite runs the queries that are written by hand: every one must search an index, and none may sort.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::connection::AnyConnection;
use super::super::{AttemptPosition, AttemptsOf, PageRequest, sqlite};
use super::log_queries;
use super::log_rows::{LogScope, LogSource};
use super::log_sources;
use super::time_ranges::{IdRange, Period, id_ranges};
use super::{
    attempt_list, backlog, delivery_scan, event_queries, expiry, failures, health_queries, maintenance, pruning,
    resend, statistics, tasks,
};
use crate::domain::delivery::{DeliveryFilter, DeliveryStatus};
use crate::domain::event::EventFilter;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
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
    let plan = plan(&mut connection, maintenance::AGENDA);
    let seeks =
        plan.iter().filter(|step| step.contains("SEARCH deliveries USING") && step.contains("deliveries_pending"));
    assert_eq!(seeks.count(), 4, "{plan:#?}");
    assert!(
        !plan.iter().any(|step| step.contains("SCAN deliveries") || step.contains("TEMP B-TREE")),
        "{plan:#?}"
    );
}

const ALL_EVENTS: &str = "events_organization (organization_id=? AND rowid>? AND rowid<?)";
const REPLAYS: &str = "deliveries_replayed (organization_id=? AND rowid>? AND rowid<?)";
const OF_ENDPOINT: &str = "deliveries_endpoint (endpoint_id=? AND rowid>? AND rowid<?)";
const FAILED_OF_ENDPOINT: &str = "deliveries_failed_endpoint (endpoint_id=? AND rowid>? AND rowid<?)";
const EVENTS_OF_TYPE: &str = "events_type (organization_id=? AND event_type=? AND rowid>? AND rowid<?)";
const TAGGED: &str = "event_labels_tag (organization_id=? AND label=? AND event_id>? AND event_id<?)";
const CANCELLED: &str = "deliveries_cancelled (organization_id=? AND rowid>? AND rowid<?)";
const CODE: &str = "deliveries_code (organization_id=? AND response_code=? AND rowid>? AND rowid<?)";
const CODE_OF_ENDPOINT: &str =
    "deliveries_code_endpoint (endpoint_id=? AND response_code=? AND rowid>? AND rowid<?)";
const OWNER: &str =
    "SEARCH o USING COVERING INDEX endpoints_organization (organization_id=? AND id=? AND rowid=?)";
const OWNED: &str = "COVERING INDEX endpoints_organization (organization_id=?)";
const PRIMARY_KEY: &str = "USING INTEGER PRIMARY KEY (rowid";

/// The plan has these steps, in this order, and no others.
fn assert_steps(connection: &mut AnyConnection, sql: &str, expected: &[&str]) {
    let plan = plan(connection, sql);
    let fits = plan.len() == expected.len() && plan.iter().zip(expected).all(|(step, part)| step.contains(part));
    assert!(fits, "{sql}: {plan:#?}, and not {expected:#?}");
}

fn scope(endpoint_id: Option<EndpointId>) -> LogScope {
    LogScope::new(OrganizationId(1), endpoint_id, 3, 9)
}

/// A period's range, with conditions on the times at both of its ends.
fn range(connection: &mut AnyConnection) -> IdRange {
    let at = |seconds: i64| Some(UnixMillis(1_767_225_600_000 + seconds * 1_000));
    id_ranges(connection, &[], Period { from: at(0), to: at(60) }).unwrap()[0]
}

fn of_period(connection: &mut AnyConnection, endpoint_id: Option<EndpointId>) -> LogScope {
    LogScope::of(OrganizationId(1), endpoint_id, range(connection), None)
}

#[test]
fn the_log_reads_no_other_organizations_rows_and_sorts_nothing() {
    let (_folder, mut connection) = database();
    let of_type = Some(String::from("call.completed"));
    let all = DeliveryFilter {
        event_type: of_type,
        status: Some(DeliveryStatus::Success),
        response_code: Some((200, 299)),
        ..DeliveryFilter::default()
    };
    let endpoint = Some(EndpointId(7));
    for (source, endpoint_id, index) in [
        (LogSource::Events, None, EVENTS_OF_TYPE),
        (LogSource::Events, endpoint, EVENTS_OF_TYPE),
        (LogSource::Replays, None, REPLAYS),
        (LogSource::Replays, endpoint, REPLAYS),
        (LogSource::Failed, None, "deliveries_failed (organization_id=? AND rowid>? AND rowid<?)"),
        (LogSource::Failed, endpoint, FAILED_OF_ENDPOINT),
        (LogSource::Cancelled, None, CANCELLED),
        (LogSource::Cancelled, endpoint, CANCELLED),
        (LogSource::Code(503), None, CODE),
        (LogSource::Code(503), endpoint, CODE_OF_ENDPOINT),
        (LogSource::Endpoint, endpoint, OF_ENDPOINT),
    ] {
        for filter in [all.clone(), DeliveryFilter { status: Some(DeliveryStatus::Failed), ..all.clone() }] {
            for scope in [scope(endpoint_id), of_period(&mut connection, endpoint_id)] {
                let query = log_queries::build(&connection, source, &filter, &scope, 50);
                let expected = match endpoint_id.filter(|_| source.is_by_endpoint()) {
                    Some(_) => &[OWNER, index, PRIMARY_KEY][..],
                    None => &[index, PRIMARY_KEY],
                };
                assert_steps(&mut connection, &query.sql, expected);
            }
        }
    }
    let all = DeliveryFilter::default();
    let query = log_queries::build(&connection, LogSource::Events, &all, &scope(None), 50);
    assert_steps(&mut connection, &query.sql, &[ALL_EVENTS, PRIMARY_KEY]);
    let tagged = DeliveryFilter { tag: Some(String::from("rare")), ..DeliveryFilter::default() };
    let query = log_queries::build(&connection, LogSource::Events, &tagged, &scope(None), 50);
    assert_steps(&mut connection, &query.sql, &[TAGGED, PRIMARY_KEY, PRIMARY_KEY]);
    let of_event = DeliveryFilter { event_id: Some(EventId(7)), ..DeliveryFilter::default() };
    let query = log_queries::build(&connection, LogSource::Events, &of_event, &scope(None), 50);
    assert_steps(&mut connection, &query.sql, &[PRIMARY_KEY, PRIMARY_KEY]);
    let query = log_queries::build(&connection, LogSource::ReplaysOf(EventId(7)), &of_event, &scope(None), 50);
    assert_steps(
        &mut connection,
        &query.sql,
        &["deliveries_replayed_event (event_id=? AND rowid>? AND rowid<?)", PRIMARY_KEY],
    );
}

#[test]
fn pending_deliveries_are_sorted_by_their_ids_alone() {
    let (_folder, mut connection) = database();
    let pending = DeliveryFilter { status: Some(DeliveryStatus::Pending), ..DeliveryFilter::default() };
    let queue = "COVERING INDEX deliveries_pending (endpoint_id=?)";
    for (endpoint_id, owner) in [(None, OWNED), (Some(EndpointId(7)), OWNER)] {
        let query = log_queries::build(&connection, LogSource::Pending, &pending, &scope(endpoint_id), 50);
        let sort = "USE TEMP B-TREE FOR ORDER BY";
        let expected = ["CO-ROUTINE p", owner, queue, sort, "SCAN p", PRIMARY_KEY, PRIMARY_KEY, sort];
        assert_steps(&mut connection, &query.sql, &expected);
        let query = log_sources::nth(&connection, LogSource::Pending, &scope(endpoint_id), 50);
        assert_steps(&mut connection, &query.sql, &[owner, queue, sort]);
    }
}

#[test]
fn the_bound_of_a_page_is_found_from_indexes_alone() {
    let (_folder, mut connection) = database();
    let endpoint = Some(EndpointId(7));
    for (source, endpoint_id, index) in [
        (LogSource::Failed, None, "COVERING INDEX deliveries_failed (organization_id=? AND rowid>? AND rowid<?)"),
        (LogSource::Failed, endpoint, FAILED_OF_ENDPOINT),
        (LogSource::Cancelled, None, CANCELLED),
        (LogSource::Code(503), None, CODE),
        (LogSource::Code(503), endpoint, CODE_OF_ENDPOINT),
        (LogSource::Endpoint, endpoint, OF_ENDPOINT),
    ] {
        let query = log_sources::nth(&connection, source, &scope(endpoint_id), 50);
        let index = format!("COVERING INDEX {}", index.trim_start_matches("COVERING INDEX "));
        let expected = match endpoint_id {
            Some(_) => &[OWNER, index.as_str()][..],
            None => &[index.as_str()],
        };
        assert_steps(&mut connection, &query.sql, expected);
    }
    let of_type = DeliveryFilter { event_type: Some(String::from("call.completed")), ..DeliveryFilter::default() };
    for (filter, index) in [(DeliveryFilter::default(), ALL_EVENTS), (of_type, EVENTS_OF_TYPE)] {
        let query = log_sources::fans(&connection, &filter, &scope(None), 50);
        assert_steps(&mut connection, &query.sql, &[index]);
        let query = log_sources::nth_event(&connection, &filter, &scope(None), 50);
        assert_steps(&mut connection, &query.sql, &[&format!("COVERING INDEX {index}")]);
    }
}

#[test]
fn existing_codes_are_found_by_seeking_from_one_to_the_next() {
    let (_folder, mut connection) = database();
    for (column, index) in [("organization_id", "deliveries_code"), ("endpoint_id", "deliveries_code_endpoint")] {
        let plan = plan(&mut connection, &log_sources::codes(column));
        let seek = |bounds: &str| {
            format!("SEARCH d USING COVERING INDEX {index} ({column}=? AND response_code>? {bounds}")
        };
        let seeks = plan.iter().filter(|step| step.contains(&seek("AND response_code<?)")));
        assert_eq!(seeks.count(), 2, "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("SCAN d") || step.contains("B-TREE")), "{plan:#?}");
    }
}

#[test]
fn the_list_of_events_searches_its_organizations_and_sorts_nothing() {
    let (_folder, mut connection) = database();
    let page = PageRequest { before_id: None, limit: 50 };
    for (event_type, index) in [(None, ALL_EVENTS), (Some(String::from("call.completed")), EVENTS_OF_TYPE)] {
        let filter = EventFilter { event_type, ..EventFilter::default() };
        let range = range(&mut connection);
        let query = event_queries::build(&connection, OrganizationId(1), &filter, range, page);
        let replays = "deliveries_replayed_event (event_id=?)";
        assert_steps(&mut connection, &query.sql, &[index, "CORRELATED SCALAR SUBQUERY", replays]);
    }
}

#[test]
fn deliveries_to_resend_are_found_by_their_endpoint_in_the_order_of_ids() {
    let (_folder, mut connection) = database();
    for (status, index) in [(DeliveryStatus::Failed, FAILED_OF_ENDPOINT), (DeliveryStatus::Success, OF_ENDPOINT)] {
        let range = range(&mut connection);
        let page = resend::page(OrganizationId(1), EndpointId(7), status, range, 500);
        assert_steps(&mut connection, &page.sql, &[index]);
        let count = resend::count(OrganizationId(1), EndpointId(7), status, range, 500);
        assert_steps(&mut connection, &count.sql, &["CO-ROUTINE c", index, "SCAN c"]);
    }
}

#[test]
fn health_is_read_from_indexes() {
    let (_folder, mut connection) = database();
    let pending = "COVERING INDEX deliveries_pending";
    assert_steps(
        &mut connection,
        backlog::COUNT,
        &["CO-ROUTINE c", &format!("SCAN deliveries USING {pending}"), "SCAN c", PRIMARY_KEY],
    );
    let lowest = format!("SEARCH deliveries USING {pending} (endpoint_id=?)");
    assert_steps(&mut connection, backlog::LOWEST_PENDING, &[&lowest]);

    let by_organization = "endpoints_organization (organization_id=?)";
    assert_steps(&mut connection, health_queries::STATES, &[by_organization, PRIMARY_KEY]);
}

#[test]
fn the_deliveries_of_an_event_are_one_range_and_those_of_replays() {
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
fn pruning_reads_only_old_rows() {
    let (_folder, mut connection) = database();
    let old = pruning::old_events(range(&mut connection), 500).sql;
    let probe = "SELECT id, accepted_at FROM events WHERE id >= ? AND id < ? ORDER BY id LIMIT ?";
    for (sql, expected) in [
        (old.as_str(), "PRIMARY KEY (rowid>? AND rowid<?)"),
        (probe, "PRIMARY KEY (rowid>? AND rowid<?)"),
        (
            "SELECT id, event_id, status FROM deliveries WHERE id > ? AND id <= ? AND NOT (deliveries.replayed) \
             ORDER BY id LIMIT ?",
            "PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            "SELECT id, event_id, status FROM deliveries WHERE event_id >= ? AND event_id <= ? \
             AND deliveries.replayed ORDER BY event_id, id LIMIT ?",
            "deliveries_replayed_event (event_id>? AND event_id<?)",
        ),
        (
            "SELECT id FROM deliveries WHERE id > ? AND id <= ? AND event_id = ? AND status = ? LIMIT 1",
            "PRIMARY KEY (rowid>? AND rowid<?)",
        ),
    ] {
        assert_steps(&mut connection, sql, &[expected]);
    }
    let deleted = "SEARCH e USING INDEX endpoints_deleted (id>?)";
    assert_steps(&mut connection, pruning::DELETED_ENDPOINTS, &[deleted]);
    let plan = plan(&mut connection, pruning::OLD_KEYS);
    assert!(
        plan.iter().any(|step| step.contains("idempotency_keys_created (created_at>? AND created_at<?)")),
        "{plan:#?}"
    );
    assert!(!plan.iter().any(|step| step.contains("SCAN") || step.contains("B-TREE")), "{plan:#?}");
}

#[test]
fn the_rows_of_a_deleted_organization_are_found_without_reading_those_of_others() {
    let (_folder, mut connection) = database();
    let of_events = pruning::deliveries_of_events(&connection, OrganizationId(1), (3, 7), 9).sql;
    for (sql, expected) in [
        (
            "SELECT id FROM events WHERE organization_id = ? AND id > ? ORDER BY id LIMIT ?",
            &["events_organization (organization_id=? AND rowid>?)"][..],
        ),
        (
            of_events.as_str(),
            &[
                "events_organization (organization_id=? AND rowid>? AND rowid<?)",
                "PRIMARY KEY (rowid>? AND rowid<?)",
            ],
        ),
        (
            "SELECT id FROM deliveries WHERE organization_id = ? AND id > ? AND deliveries.replayed ORDER BY id LIMIT ?",
            &["deliveries_replayed (organization_id=? AND rowid>?)"],
        ),
        (
            "SELECT key FROM idempotency_keys WHERE organization_id = ? AND key > ? ORDER BY key LIMIT ?",
            &["PRIMARY KEY (organization_id=? AND key>?)"],
        ),
    ] {
        let plan = plan(&mut connection, sql);
        for step in expected {
            assert!(plan.iter().any(|found| found.contains(step)), "{plan:#?}");
        }
        assert!(!plan.iter().any(|step| step.contains("SCAN") || step.contains("TEMP B-TREE")), "{plan:#?}");
    }
}

#[test]
fn counts_are_found_by_one_seek_per_period_and_nothing_else_is_read() {
    let (_folder, mut connection) = database();
    let organization_id = OrganizationId(1);
    let ids = [EndpointId(7), EndpointId(8)];
    let reads = [None, Some(&ids[..])].map(|ids| statistics::build(organization_id, ids, UnixMillis(1)));
    let row = "SEARCH s USING PRIMARY KEY (period_start=? AND organization_id=? AND endpoint_id=?)";
    let of_organization = "SEARCH s USING PRIMARY KEY (period_start=? AND organization_id=?)";
    let deletion = statistics::build_deletion(organization_id, 500);
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

#[test]
fn payloads_whose_time_has_come_are_found_by_it_without_reading_those_of_others() {
    let (_folder, mut connection) = database();
    assert_steps(&mut connection, expiry::DUE, &["SEARCH l USING COVERING INDEX event_labels_erase_at (label<?)"]);
}

#[test]
fn old_failures_are_found_by_their_time() {
    let (_folder, mut connection) = database();
    let plan = plan(&mut connection, failures::OLD_ROWS);
    assert!(plan.iter().any(|step| step.contains("endpoint_failures_failed_at (failed_at<?)")), "{plan:#?}");
    assert!(!plan.iter().any(|step| step.contains("SCAN") || step.contains("B-TREE")), "{plan:#?}");
}

#[test]
fn lists_of_attempts_walk_through_deliveries_and_sort_nothing() {
    let (_folder, mut connection) = database();
    let (endpoint, event) = (EndpointId(7), EventId(7));
    let replays = "deliveries_replayed_event (event_id=? AND rowid>? AND rowid<?)";
    for of in
        [AttemptsOf::Endpoint(endpoint), AttemptsOf::Event(event, None), AttemptsOf::Event(event, Some(endpoint))]
    {
        for source in delivery_scan::sources(of) {
            for scope in [scope(of.endpoint_id()), of_period(&mut connection, of.endpoint_id())] {
                for is_backwards in [false, true] {
                    let query = delivery_scan::build(&connection, source, of, &scope, is_backwards, 50);
                    let expected = match source {
                        LogSource::Endpoint => &[OWNER, OF_ENDPOINT, PRIMARY_KEY][..],
                        LogSource::Events => &[PRIMARY_KEY, PRIMARY_KEY],
                        _ => &[replays, PRIMARY_KEY],
                    };
                    assert_steps(&mut connection, &query.sql, expected);
                }
            }
        }
    }
    let keys = [(3, 1), (4, 2)].map(|(id, number)| AttemptPosition { delivery_id: DeliveryId(id), number });
    let [rows, own] = <[_; 2]>::try_from(attempt_list::details(OrganizationId(1), &keys)).ok().unwrap();
    let plan_of_rows = plan(&mut connection, &rows.sql);
    let found = plan_of_rows.iter().any(|step| step.contains("a USING PRIMARY KEY (delivery_id=? AND number=?)"));
    assert!(found, "{plan_of_rows:#?}");
    assert_steps(&mut connection, &own.sql, &[PRIMARY_KEY]);
    let heads = "SELECT number FROM attempts WHERE delivery_id IN (?, ?) AND organization_id = ?";
    assert_steps(&mut connection, heads, &["PRIMARY KEY (delivery_id=?)"]);
}

#[test]
fn a_task_finds_what_is_missing_with_two_short_looks_for_each_event() {
    let (_folder, mut connection) = database();
    let query = tasks::without_delivery(&connection, OrganizationId(1), EndpointId(7), &[3, 5]);
    let steps = [
        "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
        "CORRELATED SCALAR SUBQUERY",
        OF_ENDPOINT,
        "CORRELATED SCALAR SUBQUERY",
        "deliveries_replayed_event (event_id=?)",
    ];
    assert_steps(&mut connection, &query.sql, &steps);
}
