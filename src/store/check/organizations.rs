//! Rows of organizations that are gone. Organizations are few where rows are many, so each table is asked for the next
//! organization that it has rows of, through an index.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::{AnyConnection, in_transaction};
use super::{CheckEvent, CheckTerms, Checked, LastRow, number};
use crate::domain::ids::OrganizationId;

/// What its rows are, and what becomes of them.
struct Owned {
    table: &'static str,
    /// Rows of the deployment have the organization 0.
    has_deployment: bool,
    /// Removed with the organization itself, so that what is left is of no use. Other rows are removed in steps later, by the
    /// engine.
    goes_at_once: bool,
}

const fn at_once(table: &'static str, has_deployment: bool) -> Owned {
    Owned { table, has_deployment, goes_at_once: true }
}

const fn later(table: &'static str, has_deployment: bool) -> Owned {
    Owned { table, has_deployment, goes_at_once: false }
}

const TABLES: [Owned; 9] = [
    at_once("api_keys", true),
    at_once("event_types", true),
    at_once("sign_in_links", true),
    at_once("dashboard_sessions", true),
    at_once("svix_tasks", false),
    later("endpoints", false),
    later("events", false),
    later("idempotency_keys", false),
    later("audit_log", true),
];

pub(super) fn check(
    connection: &mut AnyConnection,
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<Vec<Checked>> {
    let mut results = Vec::new();
    for owned in &TABLES {
        let what = "its organization exists, or is being removed";
        let mut result = Checked::new(owned.table, what, "stop the engine and run `ringback check --repair`");
        let (mut after, mut organizations) = (-1, 0);
        while let Some(id) = next(connection, owned.table, after)? {
            organizations += 1;
            if !(id == 0 && owned.has_deployment) && is_gone(connection, owned, id)? {
                let of_it = format!("SELECT count(*) AS n FROM {} WHERE organization_id = {id}", owned.table);
                let rows = number(connection, &of_it)?.unsigned_abs();
                result.wrong += rows;
                result.examples.push(format!("{}: {rows} rows", OrganizationId(id)));
                if terms.repairs() {
                    let did =
                        in_transaction(connection, None, |connection| repair(connection, owned, id, terms.now.0))?;
                    on_event(CheckEvent::Repaired(&did));
                    result.repaired += rows;
                }
            }
            after = id;
        }
        result.examples.truncate(super::EXAMPLES);
        result.rows = Some(organizations);
        on_event(CheckEvent::Looked { at: owned.table, rows: organizations });
        results.push(result);
    }
    Ok(results)
}

fn next(connection: &mut AnyConnection, table: &str, after: i64) -> StoreResult<Option<i64>> {
    let row: LastRow = diesel::sql_query(format!(
        "SELECT min(organization_id) AS last, CAST(0 AS BIGINT) AS n FROM {table} WHERE organization_id > {after}"
    ))
    .get_result(connection)?;
    Ok(row.last)
}

/// What is removed with an organization must not be there while it is being removed, either.
fn is_gone(connection: &mut AnyConnection, owned: &Owned, id: i64) -> StoreResult<bool> {
    let deleted = format!(" + (SELECT count(*) FROM deleted_organizations WHERE id = {id})");
    let or_deleted = if owned.goes_at_once { "" } else { &deleted };
    // in one statement: an organization that is deleted meanwhile is in one of both
    let sql = format!("SELECT (SELECT count(*) FROM organizations WHERE id = {id}){or_deleted} AS n");
    let is_there = number(connection, &sql)? > 0;
    // and a row may have gone with it since it was found
    let rows = format!(
        "SELECT count(*) AS n FROM (SELECT 1 AS one FROM {} WHERE organization_id = {id} LIMIT 1) r",
        owned.table
    );
    Ok(!is_there && number(connection, &rows)? > 0)
}

/// What goes in steps is left to the engine, as if the organization had just been deleted.
fn repair(connection: &mut AnyConnection, owned: &Owned, id: i64, now: i64) -> StoreResult<String> {
    let organization = OrganizationId(id);
    if owned.goes_at_once {
        let sql = format!("DELETE FROM {} WHERE organization_id = {id}", owned.table);
        let removed = diesel::sql_query(sql).execute(connection)?;
        return Ok(format!("{organization} is gone: its {removed} rows in {} are removed", owned.table));
    }
    let pending = format!("SELECT count(*) AS n FROM deliveries WHERE organization_id = {id} AND status = 0");
    let pending = number(connection, &pending)?;
    let sql = format!(
        "INSERT INTO deleted_organizations (id, deleted_at) SELECT {id}, {now} \
         WHERE NOT EXISTS (SELECT 1 FROM deleted_organizations WHERE id = {id})"
    );
    diesel::sql_query(sql).execute(connection)?;
    Ok(format!(
        "{organization} is gone: its rows in {} are removed by the engine when it runs, like those of a deleted organization, with \
         {pending} deliveries that are pending and that nobody owns",
        owned.table
    ))
}
