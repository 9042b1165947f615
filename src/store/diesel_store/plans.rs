//! How SQLite runs the queries that are written by hand: every one must search an index, and none may sort.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::connection::AnyConnection;
use super::super::{PageRequest, sqlite};
use super::{log, startup};
use crate::domain::delivery::{DeliveryFilter, DeliveryStatus};
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

#[test]
fn the_log_reads_no_other_organizations_rows_and_sorts_nothing() {
    let (_folder, mut connection) = database();
    let all = DeliveryFilter::default();
    let page = PageRequest { before_id: Some(9), limit: 50 };
    for (filter, index) in [
        (all.clone(), "events_organization (organization_id=? AND id>? AND id<?)"),
        (
            DeliveryFilter { event_type: Some(String::from("call.completed")), ..all.clone() },
            "events_organization (organization_id=? AND id>? AND id<?)",
        ),
        (
            DeliveryFilter { status: Some(DeliveryStatus::Pending), from: Some(UnixMillis(1)), ..all.clone() },
            "events_organization (organization_id=? AND id>? AND id<?)",
        ),
        (
            DeliveryFilter { status: Some(DeliveryStatus::Failed), ..all.clone() },
            "deliveries_failed (organization_id=? AND id>? AND id<?)",
        ),
        (
            DeliveryFilter { endpoint_id: Some(EndpointId(7)), ..all },
            "deliveries_endpoint (endpoint_id=? AND id>? AND id<?)",
        ),
    ] {
        let query = log::build(&connection, OrganizationId(1), &filter, page);
        let plan = plan(&mut connection, &query.sql);
        assert!(plan[0].contains(index), "{filter:?}: {plan:#?}");
        assert!(plan[1].contains("USING INTEGER PRIMARY KEY (rowid"), "{filter:?}: {plan:#?}");
        assert_eq!(plan.len(), 2, "{filter:?}: {plan:#?}");
    }
}
