//! A page of the queue costs the same after a hundred thousand ended deliveries, with an old snapshot of the database open
//! that keeps their index entries.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use test_support::postgres as servers;

use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::super::event_cache::EventCache;
use super::super::{DuePage, DueRequest, QueuePosition, postgres};
use super::DieselStore;
use super::due::DuePageReader;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::random::CountingRandomSource;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;

const PAGE: usize = 256;
const DELIVERIES: usize = 110_000;

/// Ids are 10 apart, and each delivery is queued a millisecond after the one before it.
const FILL: &str = "
    INSERT INTO events (id, organization_id, event_type, occurred_at, accepted_at, last_delivery_id, delivery_count, body)
        SELECT n * 10, 1, 'call.completed', n, n, n * 10 + 1, 1, '{}'::bytea FROM generate_series(1, 110000) n;
    INSERT INTO deliveries (id, organization_id, endpoint_id, event_id, partition, status, created_at, queued_at, due_at)
        SELECT n * 10 + 1, 1, 2, n * 10, 0, 0, n, n, n FROM generate_series(1, 110000) n;
    ANALYZE";

#[derive(QueryableByName)]
struct Touched {
    #[diesel(sql_type = BigInt)]
    buffers: i64,
}

/// Buffers of the table and its indexes that this session has touched and not yet published.
const TOUCHED: &str = "
    SELECT sum(pg_stat_get_xact_blocks_fetched(c.oid))::bigint AS buffers FROM pg_class c
    WHERE c.relname = 'deliveries' OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'deliveries'::regclass)";

/// Reads a page behind a position; returns how many buffers that took.
fn page(store: &DieselStore, after: Option<QueuePosition>) -> (DuePage, i64) {
    let request = DueRequest {
        now: UnixMillis(i64::MAX - 1),
        max_deliveries: PAGE,
        max_bytes: usize::MAX,
        max_first_bytes: usize::MAX,
        after,
        known: Vec::new(),
    };
    let (organization_id, endpoint_id) = (OrganizationId(1), EndpointId(2));
    let recent = EventCache::default();
    let reader = DuePageReader { organization_id, endpoint_id, request: &request, recent: &recent };
    let read = store.engine_readers.read(|connection| {
        let begin = |connection: &mut AnyConnection| connection.batch_execute("BEGIN");
        begin(connection)?;
        // the server counts on while it has not published its counters, which it does at most once a second
        let before: Touched = diesel::sql_query(TOUCHED).get_result(connection)?;
        let page = reader.read(connection)?;
        let after: Touched = diesel::sql_query(TOUCHED).get_result(connection)?;
        connection.batch_execute("COMMIT")?;
        Ok((page, after.buffers - before.buffers))
    });
    read.unwrap()
}

#[test]
fn pages_that_begin_where_the_last_one_ended_touch_no_more_buffers_after_100_000_deliveries() {
    let Some(server) = servers::shared() else { return };
    let url = server.create_database();
    let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
    let cipher = Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default())).unwrap();
    let store = postgres::open(&url, cipher, postgres::Sharing::WithNodes).unwrap();
    let mut other = PgConnection::establish(&url).unwrap();
    other.batch_execute(FILL).unwrap();
    let mut old = PgConnection::establish(&url).unwrap();
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM deliveries LIMIT 1").unwrap();

    let mut end_up_to = |id: i64| {
        let sql = format!("UPDATE deliveries SET status = 1 WHERE status = 0 AND id <= {id}");
        other.batch_execute(&sql).unwrap();
    };
    let (mut after, mut early, mut late) = (None, Vec::new(), Vec::new());
    for round in 0..20 {
        if round == 10 {
            // all but the last pages at once: as many end as in 400 further rounds
            let last = DELIVERIES - 12 * PAGE;
            end_up_to(last as i64 * 10 + 1);
            let queued_at = UnixMillis(last as i64);
            after = Some(QueuePosition { queued_at, id: crate::domain::ids::DeliveryId(last as i64 * 10 + 1) });
        }
        let (read, buffers) = page(&store, after);
        assert_eq!(read.deliveries.len(), PAGE);
        end_up_to(read.deliveries[PAGE - 1].id.0);
        after = read.end;
        if round < 10 { &mut early } else { &mut late }.push(buffers);
    }
    early.sort_unstable();
    late.sort_unstable();
    assert!(late[9] <= 2 * early[5], "{late:?} buffers a page at the end, {early:?} at the beginning");
    let (_, from_head) = page(&store, None);
    assert!(
        from_head > 4 * late[9],
        "{from_head} from the head, {late:?} behind it: otherwise nothing is shown here"
    );
    old.batch_execute("ROLLBACK").unwrap();
}
