//! The statements that are run for every delivery, each a text that never changes.
//!
//! Diesel takes the text of an update for something that can be another one each time, and has SQLite compile it
//! again for every row: that took as long as the update itself. These say that they are always the same, so they
//! are compiled once for each connection, and not even put together again.

use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, SmallInt, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};

/// A statement: pieces of its text, and behind each one the value that goes there.
macro_rules! statement {
    (
        $(#[$doc:meta])* $name:ident<$a:lifetime>;
        $($sql:literal $field:ident: $rust:ty => $type:ty),+; $end:literal
    ) => {
        $(#[$doc])*
        pub(super) struct $name<$a> {
            $(pub(super) $field: $rust,)+
        }

        impl QueryFragment<Sqlite> for $name<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                $(
                    out.push_sql($sql);
                    out.push_bind_param::<$type, _>(&self.$field)?;
                )+
                out.push_sql($end);
                Ok(())
            }
        }

        impl QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl RunQueryDsl<SqliteConnection> for $name<'_> {}
    };
}

statement! {
    /// A delivery of an event that was just accepted.
    InsertDelivery<'a>;
    "INSERT INTO deliveries (id, organization_id, endpoint_id, event_id, partition, created_at, queued_at, due_at) \
     VALUES (" id: &'a i64 => BigInt,
    ", " organization_id: &'a i64 => BigInt,
    ", " endpoint_id: &'a i64 => BigInt,
    ", " event_id: &'a i64 => BigInt,
    ", " partition: i16 => SmallInt,
    ", " created_at: &'a i64 => BigInt,
    ", " queued_at: &'a i64 => BigInt,
    ", " due_at: &'a i64 => BigInt;
    ")"
}

statement! {
    /// A first attempt that ends its delivery: it lives in the delivery's own row.
    EndAtOnce<'a>;
    "UPDATE deliveries SET attempt_count = " number: i32 => Integer,
    ", response_code = " response_code: Option<i32> => Nullable<Integer>,
    ", error = " error: Option<&'a str> => Nullable<Text>,
    ", status = " status: i16 => SmallInt,
    ", finished_at = " finished_at: i64 => BigInt,
    ", attempt_started_at = " started_at: i64 => BigInt,
    ", attempt_duration_ms = " duration_ms: i64 => BigInt,
    ", attempt_detail = " detail: &'a [u8] => Binary,
    " WHERE id = " id: i64 => BigInt,
    " AND organization_id = " organization_id: i64 => BigInt,
    " AND status = 0 AND attempt_count < " more_than: i32 => Integer;
    ""
}

statement! {
    /// Another attempt that ends its delivery.
    End<'a>;
    "UPDATE deliveries SET attempt_count = " number: i32 => Integer,
    ", response_code = " response_code: Option<i32> => Nullable<Integer>,
    ", error = " error: Option<&'a str> => Nullable<Text>,
    ", status = " status: i16 => SmallInt,
    ", finished_at = " finished_at: i64 => BigInt,
    " WHERE id = " id: i64 => BigInt,
    " AND organization_id = " organization_id: i64 => BigInt,
    " AND status = 0 AND attempt_count < " more_than: i32 => Integer;
    ""
}

statement! {
    /// An attempt after which there is another one.
    Retry<'a>;
    "UPDATE deliveries SET attempt_count = " number: i32 => Integer,
    ", response_code = " response_code: Option<i32> => Nullable<Integer>,
    ", error = " error: Option<&'a str> => Nullable<Text>,
    ", due_at = " due_at: i64 => BigInt,
    // nothing: it keeps its place in the queue
    ", queued_at = COALESCE(" queued_at: Option<i64> => Nullable<BigInt>,
    ", queued_at) WHERE id = " id: i64 => BigInt,
    " AND organization_id = " organization_id: i64 => BigInt,
    " AND status = 0 AND attempt_count < " more_than: i32 => Integer;
    ""
}
