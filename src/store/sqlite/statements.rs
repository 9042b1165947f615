//! The statements of every delivery, with texts that never change.
//!
//! Diesel assumes that the text of an update can differ each time, and makes SQLite compile it again for every
//! row, which took as long as the update itself. These declare that they are always the same, so they are
//! compiled once per connection, and their texts are not even built again.

use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, SmallInt, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};

use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId};
use crate::domain::time::UnixMillis;

/// A statement: pieces of its text, each followed by the value that goes there.
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
    /// A first attempt that finishes its delivery: it is stored in the delivery's own row.
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
    /// A later attempt that finishes its delivery.
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
    /// An attempt that is followed by another one.
    Retry<'a>;
    "UPDATE deliveries SET attempt_count = " number: i32 => Integer,
    ", response_code = " response_code: Option<i32> => Nullable<Integer>,
    ", error = " error: Option<&'a str> => Nullable<Text>,
    ", due_at = " due_at: i64 => BigInt,
    ", attempts_before_round = attempts_before_round + " not_counted: i32 => Integer,
    // `NULL`: it keeps its place in the queue
    ", queued_at = COALESCE(" queued_at: Option<i64> => Nullable<BigInt>,
    ", queued_at) WHERE id = " id: i64 => BigInt,
    " AND organization_id = " organization_id: i64 => BigInt,
    " AND status = 0 AND attempt_count < " more_than: i32 => Integer;
    ""
}

/// `N` deliveries of one new event, at least one.
///
/// `OR FAIL`: otherwise SQLite would copy every page that it changes, to be able to undo the first rows if a
/// later one is refused, and that makes several rows slower than one at a time. The transaction undoes all of
/// them.
pub(super) struct InsertDeliveries<'a, const N: usize> {
    pub(super) event: &'a Event,
    pub(super) due_at: UnixMillis,
    pub(super) rows: &'a [NewDelivery; N],
}

pub(super) struct NewDelivery {
    pub(super) id: DeliveryId,
    pub(super) endpoint_id: EndpointId,
    pub(super) partition: i16,
}

impl<const N: usize> QueryFragment<Sqlite> for InsertDeliveries<'_, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Event { organization_id, id, accepted_at, .. } = self.event;
        out.push_sql(
            "INSERT OR FAIL INTO deliveries \
             (organization_id, event_id, created_at, queued_at, due_at, id, endpoint_id, partition) VALUES (",
        );
        for (place, row) in self.rows.iter().enumerate() {
            if place == 0 {
                out.push_bind_param::<BigInt, _>(&organization_id.0)?;
                out.push_sql(", ");
                out.push_bind_param::<BigInt, _>(&id.0)?;
                out.push_sql(", ");
                out.push_bind_param::<BigInt, _>(&accepted_at.0)?;
                out.push_sql(", ");
                out.push_bind_param::<BigInt, _>(&self.due_at.0)?;
            } else {
                out.push_sql("), (?1, ?2, ?3, ?4");
            }
            out.push_sql(", ?4, ");
            out.push_bind_param::<BigInt, _>(&row.id.0)?;
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(&row.endpoint_id.0)?;
            out.push_sql(", ");
            out.push_bind_param::<SmallInt, _>(&row.partition)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

impl<const N: usize> QueryId for InsertDeliveries<'_, N> {
    type QueryId = InsertDeliveries<'static, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const N: usize> RunQueryDsl<SqliteConnection> for InsertDeliveries<'_, N> {}
