//! A table page by page.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::{AnyConnection, in_transaction};
use super::rules::{Find, Rule, Table};
use super::{CheckEvent, CheckTerms, Checked, LastRow, NumberRow, Wrong, master_key};

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
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<Vec<Checked>> {
    let mut results: Vec<Checked> =
        table.rules.iter().map(|rule| begin(connection, table, rule, terms)).collect::<StoreResult<_>>()?;
    let (mut after, mut rows) = (BEFORE_ALL, 0u64);
    while let Some((last, count)) = page_behind(connection, table, after)? {
        let page = (after, last);
        let mut found = vec![0; table.rules.len()];
        for ((rule, result), found) in table.rules.iter().zip(&mut results).zip(&mut found) {
            if result.left_out.is_some() {
                continue;
            }
            let wrong = find(connection, table, rule, terms, page)?;
            *found = wrong.len();
            if terms.repairs() {
                repair(connection, rule, &wrong, terms, on_event)?;
            }
            wrong.into_iter().for_each(|wrong| result.add(wrong.shown(table.shown)));
        }
        // after all repairs of the page: one can set right what another rule has found
        for ((rule, result), found) in table.rules.iter().zip(&mut results).zip(found) {
            if found > 0 && terms.repairs() {
                let left = find(connection, table, rule, terms, page)?.len();
                result.repaired += found.saturating_sub(left) as u64;
            }
        }
        (after, rows) = (last, rows + count);
        on_event(CheckEvent::Looked { at: table.name, rows });
    }
    let checked = results.iter_mut().filter(|result| result.left_out.is_none());
    checked.for_each(|result| result.rows = Some(rows));
    Ok(results)
}

/// The result of a rule that has seen no row.
fn begin(connection: &mut AnyConnection, table: &Table, rule: &Rule, terms: &CheckTerms) -> StoreResult<Checked> {
    let result = Checked::new(table.name, rule.what, rule.advice);
    let Find::WithKey(_) = rule.wrong else { return Ok(result) };
    Ok(match master_key::unusable(connection, terms)? {
        Some(reason) => result.left_out(reason),
        None => result,
    })
}

fn repair(
    connection: &mut AnyConnection,
    rule: &Rule,
    wrong: &[Wrong],
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<()> {
    let Some(repair) = rule.repair else { return Ok(()) };
    let mut ids: Vec<i64> = wrong.iter().map(|wrong| wrong.key).collect();
    ids.dedup();
    for ids in ids.chunks(ROWS_A_REPAIR) {
        let did = in_transaction(connection, None, |connection| repair(connection, ids, terms.now))?;
        did.iter().for_each(|line| on_event(CheckEvent::Repaired(line)));
    }
    Ok(())
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

/// The rows of a page that are wrong, in the order of their keys.
fn find(
    connection: &mut AnyConnection,
    table: &Table,
    rule: &Rule,
    terms: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    let Table { name, key, .. } = table;
    match rule.wrong {
        Find::Where(condition) => {
            let rows: Vec<NumberRow> = diesel::sql_query(format!(
                "SELECT t.{key} AS n FROM {name} t WHERE t.{key} > {after} AND t.{key} <= {last} AND ({condition}) \
                 ORDER BY t.{key}"
            ))
            .load(connection)?;
            Ok(rows.into_iter().map(|row| Wrong::from(row.n)).collect())
        }
        Find::By(find) => find(connection, terms, (after, last)),
        Find::WithKey(find) => match &terms.cipher {
            Some(cipher) => find(connection, cipher, (after, last)),
            None => Ok(Vec::new()),
        },
    }
}
