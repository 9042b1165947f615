//! A table page by page.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::{AnyConnection, in_transaction};
use super::rules::{Find, Rule, Table};
use super::{CheckEvent, CheckMode, Checked, LastRow, NumberRow};

/// Rows of a page. Smaller: more statements. Larger: more memory, and on PostgreSQL a statement that takes longer.
const ROWS_A_PAGE: usize = 10_000;
/// Rows that one transaction repairs. Smaller: more transactions. Larger: more is done again after an interruption.
const ROWS_A_REPAIR: usize = 500;
/// Below every key; one more, and PostgreSQL would take it for a number without limits, and use no index.
const BEFORE_ALL: i64 = i64::MIN + 1;

/// Applies all rules of a table to all of its rows.
pub(super) fn walk(
    connection: &mut AnyConnection,
    table: &Table,
    mode: CheckMode,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<Vec<Checked>> {
    let mut results: Vec<Checked> =
        table.rules.iter().map(|rule| Checked::new(table.name, rule.what, rule.advice)).collect();
    let (mut after, mut rows) = (BEFORE_ALL, 0u64);
    while let Some((last, count)) = page_behind(connection, table, after)? {
        for (rule, result) in table.rules.iter().zip(&mut results) {
            let wrong = find(connection, table, rule, (after, last))?;
            if let (CheckMode::Repair { now }, Some(repair)) = (mode, rule.repair) {
                let mut ids = wrong.clone();
                ids.dedup();
                for ids in ids.chunks(ROWS_A_REPAIR) {
                    let did = in_transaction(connection, None, |connection| repair(connection, ids, now))?;
                    did.iter().for_each(|line| on_event(CheckEvent::Repaired(line)));
                }
                // what is still wrong is not repaired
                let left = find(connection, table, rule, (after, last))?.len();
                result.repaired += wrong.len().saturating_sub(left) as u64;
            }
            wrong.into_iter().for_each(|id| result.add((table.shown)(id)));
        }
        (after, rows) = (last, rows + count);
        on_event(CheckEvent::Looked { at: table.name, rows });
    }
    results.iter_mut().for_each(|result| result.rows = Some(rows));
    Ok(results)
}

/// The last key of the next page, and about how many rows it has: several can have one key.
fn page_behind(connection: &mut AnyConnection, table: &Table, after: i64) -> StoreResult<Option<(i64, u64)>> {
    let Table { name, key, .. } = table;
    let page: LastRow = diesel::sql_query(format!(
        "SELECT max(p.k) AS last, count(*) AS n FROM \
         (SELECT {key} AS k FROM {name} WHERE {key} > {after} ORDER BY {key} LIMIT {ROWS_A_PAGE}) p"
    ))
    .get_result(connection)?;
    Ok(page.last.map(|last| (last, page.n.unsigned_abs())))
}

/// The keys of rows of a page that are wrong, in their order.
fn find(
    connection: &mut AnyConnection,
    table: &Table,
    rule: &Rule,
    (after, last): (i64, i64),
) -> StoreResult<Vec<i64>> {
    let Table { name, key, .. } = table;
    match rule.wrong {
        Find::Where(condition) => {
            let rows: Vec<NumberRow> = diesel::sql_query(format!(
                "SELECT t.{key} AS n FROM {name} t WHERE t.{key} > {after} AND t.{key} <= {last} AND ({condition}) \
                 ORDER BY t.{key}"
            ))
            .load(connection)?;
            Ok(rows.into_iter().map(|row| row.n).collect())
        }
        Find::By(find) => find(connection, (after, last)),
    }
}
