//! Queries that are put together from the filters of a request. Only texts of this program become SQL; values
//! are bound.

use diesel::deserialize::QueryableByName;
use diesel::prelude::*;
use diesel::query_builder::BoxedSqlQuery;
use diesel::sql_types::{BigInt, Text};

use super::super::StoreResult;
use super::super::connection::{AnyBackend, AnyConnection};

/// Keys per query: well below the maximum number of parameters of either database.
pub(super) const KEYS_A_QUERY: usize = 500;

/// A value bound to a condition.
pub(super) enum BoundValue {
    Number(i64),
    Text(String),
}

/// A query under construction, with its values.
pub(super) struct DynamicQuery {
    pub(super) sql: String,
    values: Vec<BoundValue>,
}

impl DynamicQuery {
    /// Begins a query.
    pub(super) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Adds a piece; `{}` stands for its value.
    pub(super) fn push(&mut self, sql: &str, value: BoundValue) {
        self.values.push(value);
        self.sql.push_str(&sql.replace("{}", &format!("${}", self.values.len())));
    }

    /// Adds a condition; `{}` stands for its value.
    pub(super) fn and(&mut self, condition: &str, value: BoundValue) {
        self.sql.push_str(" AND ");
        self.push(condition, value);
    }

    /// Adds a condition on a column that has to be one of `ids`.
    pub(super) fn and_one_of(&mut self, column: &str, ids: &[i64]) {
        self.sql.push_str(&format!(" AND {column} IN ("));
        for (place, id) in ids.iter().enumerate() {
            self.push(if place == 0 { "{}" } else { ", {}" }, BoundValue::Number(*id));
        }
        self.sql.push(')');
    }

    fn bound(self) -> BoxedSqlQuery<'static, AnyBackend, diesel::query_builder::SqlQuery> {
        let mut statement = diesel::sql_query(self.sql).into_boxed::<AnyBackend>();
        for value in self.values {
            statement = match value {
                BoundValue::Number(number) => statement.bind::<BigInt, _>(number),
                BoundValue::Text(text) => statement.bind::<Text, _>(text),
            };
        }
        statement
    }

    /// Reads its rows.
    pub(super) fn load<T: QueryableByName<AnyBackend> + 'static>(
        self,
        connection: &mut AnyConnection,
    ) -> StoreResult<Vec<T>> {
        Ok(self.bound().load(connection)?)
    }

    /// Runs it; returns how many rows it changed.
    pub(super) fn execute(self, connection: &mut AnyConnection) -> StoreResult<usize> {
        Ok(self.bound().execute(connection)?)
    }
}

/// Which index SQLite must use: it does not know the numbers of rows, and would choose one that needs a sort.
/// PostgreSQL has statistics, and takes no hints.
pub(super) fn indexed_by(connection: &AnyConnection, index: &str) -> String {
    match connection {
        AnyConnection::Sqlite(_) => format!(" INDEXED BY {index}"),
        AnyConnection::Postgres(_) => String::new(),
    }
}

/// A row of one number.
#[derive(QueryableByName)]
pub(super) struct NumberRow {
    #[diesel(sql_type = BigInt)]
    pub(super) n: i64,
}
