//! Guarantees that only a database can give.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use ringback::domain::attempt::NextStep;
use ringback::domain::event_types::{DefinedEventType, EventTypeState};
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::EndpointId;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::store::cipher::Cipher;
use ringback::store::{CANCELLED_AT_ONCE, EventCommit, StoreError, StoreResult, open, reencrypt};
use test_support::postgres;

use crate::fixture::{
    Fixture, HEADER_VALUE, SECRET, at, cipher, first_page, full_endpoint, keyed, open_sqlite, outcome,
    plain_endpoint, sqlite_url,
};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct PlanStep {
    #[diesel(sql_type = Text)]
    detail: String,
}

fn count(path: &Path, sql: &str) -> i64 {
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    diesel::sql_query(sql).get_result::<Number>(&mut sqlite).unwrap().n
}

pub(crate) fn refusal<T>(result: StoreResult<T>) -> String {
    match result {
        Err(StoreError::Refused(message)) => message,
        Err(error) => panic!("not refused but: {error}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn a_first_attempt_that_succeeds_writes_no_row_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids = f.publish(organization_id, &[endpoint_id, endpoint_id, endpoint_id], at(0));
    f.record(vec![
        outcome(organization_id, endpoint_id, ids[0], 1, 200, NextStep::Succeeded),
        outcome(organization_id, endpoint_id, ids[1], 1, 404, NextStep::Failed),
    ]);
    assert_eq!(count(&path, "SELECT count(*) AS n FROM attempts"), 0);
    f.record(vec![outcome(organization_id, endpoint_id, ids[2], 1, 500, NextStep::RetryAt(at(60)))]);
    assert_eq!(count(&path, "SELECT count(*) AS n FROM attempts"), 1);
    assert_eq!(
        count(&path, "SELECT count(*) AS n FROM deliveries WHERE attempt_detail IS NOT NULL"),
        2,
        "it is in the delivery's row instead"
    );
    f.save_health(EndpointHealth::healthy(organization_id, endpoint_id));
    assert_eq!(count(&path, "SELECT count(*) AS n FROM endpoint_health"), 0);
}

#[test]
fn a_deleted_organization_leaves_no_row_in_any_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let (live, deleted) = (f.endpoint(organization_id), f.endpoint(organization_id));
    f.key(organization_id, 1);
    let new = keyed(f.new_event(organization_id, &[live, deleted], at(0)), "k", 1);
    f.commit_events(vec![new.clone()], at(0));
    for (delivery_id, endpoint_id) in new.deliveries {
        f.record(vec![outcome(organization_id, endpoint_id, delivery_id, 1, 500, NextStep::RetryAt(at(60)))]);
    }
    f.save_health(EndpointHealth { probe_at: Some(at(5)), ..EndpointHealth::healthy(organization_id, live) });
    f.store.delete_endpoint(organization_id, deleted, at(1)).unwrap();
    let event_type = DefinedEventType {
        organization_id,
        name: String::from("order.paid"),
        description: String::new(),
        schema: None,
        sample: None,
        state: EventTypeState::Active,
        created_at: at(0),
    };
    f.store.create_event_type(&event_type).unwrap();
    let tables = [
        "organizations",
        "api_keys",
        "endpoints",
        "endpoint_health",
        "events",
        "deliveries",
        "attempts",
        "idempotency_keys",
        "event_types",
    ];
    let rows = |table: &str| count(&path, &format!("SELECT count(*) AS n FROM {table}"));
    assert!(tables.iter().all(|table| rows(table) > 0));
    f.store.delete_organization(organization_id, at(2)).unwrap();
    assert!(f.purge(at(2), 99) > 0);
    assert_eq!(tables.map(rows), [0; 9]);
    // something of it may still be in flight
    assert_eq!(rows("deleted_organizations"), 1);
    f.commit_events(vec![f.new_event(organization_id, &[live], at(2))], at(2));
    assert!(f.purge(at(3), 99) > 0);
    assert_eq!(tables.map(rows), [0; 9]);
    assert_eq!(rows("deleted_organizations"), 0);
}

/// How many steps one long cancellation takes here, besides the last one, which finds nothing.
const STEPS: usize = 40;

/// Commits of a publisher that ended while at least half of the steps of a long cancellation were still to come.
fn commits_before_the_second_half(f: &Fixture) -> usize {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    for _ in 0..STEPS {
        f.publish(organization_id, &vec![endpoint_id; CANCELLED_AT_ONCE], at(0));
    }
    let (ended, together) = (AtomicUsize::new(0), Barrier::new(2));
    let cancel = || {
        let cancelled = f.store.cancel_pending(organization_id, endpoint_id, at(1)).unwrap();
        ended.fetch_add(1, Ordering::AcqRel);
        cancelled == CANCELLED_AT_ONCE
    };
    let committed = std::thread::scope(|scope| {
        let steps = scope.spawn(|| {
            together.wait();
            while cancel() {}
        });
        together.wait();
        let mut committed = 0;
        while !steps.is_finished() {
            f.publish(organization_id, &[], at(1));
            committed += usize::from(ended.load(Ordering::Acquire) <= STEPS / 2);
        }
        committed
    });
    assert_eq!(ended.into_inner(), STEPS + 1);
    committed
}

#[test]
fn publishers_commit_between_the_steps_of_a_long_cancellation() {
    let f = Fixture::sqlite();
    // with a lock that is not fair a publisher waits for nearly all of the steps, each time. With a fair one it commits after each
    // step; only a system that does not run its thread keeps it from that, which it does not do five times
    let many = (0..5).map(|_| commits_before_the_second_half(&f)).any(|committed| {
        println!("measured: {committed} commits in the first half of {STEPS} steps");
        committed >= STEPS * 3 / 8
    });
    assert!(many, "publishers wait until a cancellation has ended");
}

#[test]
fn pruning_leaves_no_attempt_without_its_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    for number in 0..2 {
        let id = f.publish(organization_id, &[endpoint_id], at(number))[0];
        f.record(vec![
            outcome(organization_id, endpoint_id, id, 1, 500, NextStep::RetryAt(at(60))),
            outcome(organization_id, endpoint_id, id, 2, 200, NextStep::Succeeded),
        ]);
    }
    f.store.prune(at(1), None, 9).unwrap();
    for (table, left) in [("events", 1), ("deliveries", 1), ("attempts", 2)] {
        assert_eq!(count(&path, &format!("SELECT count(*) AS n FROM {table}")), left, "{table}");
    }
}

#[test]
fn secrets_are_not_in_the_database_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let endpoint = full_endpoint(EndpointId(f.id_at(at(0))), organization_id);
    f.store.create_endpoint(&endpoint).unwrap();
    let read_files = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<u8>>()
    };
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let while_open = read_files();
    drop(f);
    for bytes in [while_open, read_files()] {
        assert!(holds(&bytes, &endpoint.url), "the test reads the right files");
        let previous = endpoint.previous_secrets.iter().map(|previous| previous.secret.expose());
        for secret in previous.chain([SECRET, HEADER_VALUE]) {
            assert!(!holds(&bytes, secret));
        }
    }
}

#[test]
fn committed_rows_are_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let sqlite_reopen: Box<dyn Fn() -> Fixture> = Box::new(move || Fixture::over(open_sqlite(&path)));
    let mut reopens = vec![sqlite_reopen];
    if let Some(server) = postgres::shared() {
        let url = server.create_database();
        reopens
            .push(Box::new(move || Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")))));
    }
    for reopen in reopens {
        let f = reopen();
        let organization_id = f.organization();
        let endpoint = full_endpoint(EndpointId(f.id_at(at(0))), organization_id);
        f.store.create_endpoint(&endpoint).unwrap();
        let new = keyed(f.new_event(organization_id, &[endpoint.id], at(1)), "k", 1);
        f.commit_events(vec![new.clone()], at(1));
        let largest = f.store.largest_id().unwrap();
        drop(f);

        let f = reopen();
        assert!(f.store.endpoint(organization_id, endpoint.id).unwrap().unwrap().endpoint == endpoint);
        assert_eq!(f.due(organization_id, endpoint.id, at(2)), [new.deliveries[0].0]);
        assert_eq!(f.store.largest_id().unwrap(), largest);
        let replay = f.commit_events(vec![new], at(2)).events;
        assert!(matches!(replay[0], EventCommit::Replayed(_)));
    }
}

#[test]
fn a_database_of_the_previous_version_keeps_its_secrets_and_health() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let mut endpoint = full_endpoint(EndpointId(f.id_at(at(0))), organization_id);
    endpoint.previous_secrets.truncate(1);
    f.store.create_endpoint(&endpoint).unwrap();
    let failing = EndpointHealth {
        failing_since: Some(at(1)),
        notified: true,
        ..EndpointHealth::healthy(organization_id, endpoint.id)
    };
    f.save_health(failing);
    drop(f);
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    sqlite.batch_execute(include_str!("../../migrations/sqlite/0003_attempts_and_secrets/down.sql")).unwrap();
    sqlite.batch_execute("DELETE FROM __diesel_schema_migrations WHERE version = '0003'").unwrap();
    drop(sqlite);
    let f = Fixture::over(open_sqlite(&path));
    let read = f.store.endpoint(organization_id, endpoint.id).unwrap().unwrap();
    assert!(read.endpoint == endpoint);
    assert_eq!(read.health, failing);
}

#[test]
fn rotated_secrets_of_a_deleted_endpoint_are_removed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let endpoint = full_endpoint(EndpointId(f.id_at(at(0))), organization_id);
    f.store.create_endpoint(&endpoint).unwrap();
    let kept = "SELECT count(*) AS n FROM endpoints WHERE older_secrets IS NOT NULL";
    assert_eq!(count(&path, kept), 1);
    f.store.delete_endpoint(organization_id, endpoint.id, at(1)).unwrap();
    assert_eq!(count(&path, kept), 0);
}

#[test]
fn a_second_engine_on_the_same_file_is_refused_until_the_first_has_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let first = open_sqlite(&path);
    let message = refusal(open(&sqlite_url(&path), cipher()));
    assert!(message.contains("another process uses the database") && message.contains("ringback.db"), "{message}");
    drop(first);
    open_sqlite(&path).ping().unwrap();
}

#[test]
fn a_postgres_database_is_not_encrypted_again_while_a_node_uses_it_and_none_starts_meanwhile() {
    let Some(server) = postgres::shared() else { return };
    let url = server.create_database();
    let first = open(&url, cipher()).unwrap_or_else(|error| panic!("{error}"));
    let second = open(&url, cipher()).unwrap_or_else(|error| panic!("nodes share it: {error}"));
    let reencrypt_now = || reencrypt(&url, cipher(), &cipher(), &mut |_| {});
    let message = refusal(reencrypt_now());
    assert!(message.contains("stop all of its nodes"), "{message}");
    drop(first);
    // a node that is about to stop is waited for
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(700));
        drop(second);
    });
    assert_eq!(reencrypt_now().unwrap(), 0);
    stopping.join().unwrap();
}

#[test]
fn after_a_crash_of_postgres_the_store_reports_unavailable_and_recovers_on_its_own() {
    let Some(server) = postgres::private() else { return };
    let url = server.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let before = f.publish(organization_id, &[endpoint_id], at(0))[0];
    server.stop().unwrap();
    let new = f.new_event(organization_id, &[endpoint_id], at(1));
    let batch = ringback::store::WriteBatch { events: vec![new], ..Default::default() };
    for _ in 0..2 {
        assert!(matches!(f.store.commit(&batch, at(1)), Err(StoreError::Unavailable(_))));
        assert!(matches!(f.store.ping(), Err(StoreError::Unavailable(_))));
    }
    server.start_again().unwrap();
    assert_eq!(f.store.commit(&batch, at(1)).unwrap().events, [EventCommit::Stored]);
    let after = batch.events[0].deliveries[0].0;
    assert_eq!(f.due(organization_id, endpoint_id, at(2)), [before, after]);
}

#[test]
fn a_newer_schema_is_used_if_it_has_only_additions_and_refused_if_it_says_that_it_has_more() {
    const ADDED: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')";
    const CHANGED: &str = "UPDATE oldest_reader SET migration = '9999'";
    let refused = |url: &str| refusal(open(url, cipher())).contains("can be used from version 9999 on");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    drop(open_sqlite(&path));
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    diesel::sql_query(ADDED).execute(&mut sqlite).unwrap();
    Fixture::over(open_sqlite(&path)).organization();
    diesel::sql_query(CHANGED).execute(&mut sqlite).unwrap();
    assert!(refused(&sqlite_url(&path)));
    let Some(server) = postgres::shared() else { return };
    let url = server.create_database();
    drop(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let mut connection = PgConnection::establish(&url).unwrap();
    diesel::sql_query(ADDED).execute(&mut connection).unwrap();
    Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}"))).organization();
    diesel::sql_query(CHANGED).execute(&mut connection).unwrap();
    assert!(refused(&url));
}

fn server_analyzes(url: &str) {
    let mut connection = PgConnection::establish(url).unwrap();
    diesel::sql_query("ANALYZE deliveries").execute(&mut connection).unwrap();
}

#[test]
fn postgres_finds_a_delivery_by_its_key_however_small_the_table_was_when_it_made_the_plan() {
    let Some(server) = postgres::shared() else { return };
    let url = server.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let done = |id| outcome(organization_id, endpoint_id, id, 1, 200, NextStep::Succeeded);
    // planned while there is one row
    let first = f.publish(organization_id, &[endpoint_id], at(0));
    assert_eq!(f.record(vec![done(first[0])]), [true]);
    server_analyzes(&url);
    assert_eq!(f.record(vec![done(f.publish(organization_id, &[endpoint_id], at(0))[0])]), [true]);
    let ids = f.publish(organization_id, &[endpoint_id; 2_000], at(0));
    for id in &ids[..100] {
        assert_eq!(f.record(vec![done(*id)]), [true]);
    }
    drop(f);

    // the statistics of a session are only complete when it has ended
    let mut connection = PgConnection::establish(&url).unwrap();
    let mut number = |sql: &str| diesel::sql_query(sql).get_result::<Number>(&mut connection).unwrap().n;
    let is_alone =
        |_| number("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()") == 1;
    assert!((0..100_000).any(is_alone), "the store's sessions have not ended");
    let read = number(
        "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'deliveries')::BIGINT \
         + (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'deliveries') AS n",
    );
    assert!((102..5_000).contains(&read), "{read} entries for 102 outcomes");
}

#[test]
fn a_database_url_that_cannot_work_is_refused_with_a_remedy() {
    for (url, hint) in [
        ("mysql://root@localhost/ringback", "must begin with sqlite://"),
        ("ringback.db", "must begin with sqlite://"),
        ("sqlite://", "names no file"),
        ("sqlite://:memory:", "names no file"),
        ("sqlite://ringback.db?mode=ro", "leave out the ?"),
        ("sqlite:///no/such/folder/ringback.db", "/no/such/folder of the database file does not exist"),
        ("sqlite:///tmp", "is a folder"),
    ] {
        let message = refusal(open(url, cipher()));
        assert!(message.contains(hint), "{url}: {message}");
    }
}

#[test]
fn an_unreachable_server_is_unavailable() {
    let result = open("postgres://ringback@127.0.0.1:1/ringback", cipher());
    assert!(matches!(result, Err(StoreError::Unavailable(_))));
}

#[test]
fn with_another_master_key_reading_endpoints_names_the_right_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    f.endpoint(organization_id);
    drop(f);
    // as in a database of a version that did not note its key
    let mut database = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    diesel::sql_query("DELETE FROM master_key").execute(&mut database).unwrap();
    drop(database);
    let other = Secret::new(String::from("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="));
    let other = Cipher::from_master_key(&other, Arc::new(CountingRandomSource::default()))
        .unwrap_or_else(|error| panic!("{error}"));
    let store = open(&sqlite_url(&path), other).unwrap_or_else(|error| panic!("{error}"));
    match store.endpoints(organization_id, first_page(1)) {
        Err(StoreError::Corrupt(message)) => assert!(message.contains("master key whose id is"), "{message}"),
        _ => panic!("not refused"),
    }
}

#[cfg(unix)]
#[test]
fn the_files_of_a_new_database_are_readable_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    f.organization();
    for name in ["ringback.db", "ringback.db-wal"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_database_that_cannot_be_written_is_unavailable_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    // another program holds the write lock for longer than a write waits
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    diesel::sql_query("BEGIN IMMEDIATE").execute(&mut other).unwrap();
    let endpoint = plain_endpoint(EndpointId(f.id_at(at(0))), organization_id);
    assert!(matches!(f.store.create_endpoint(&endpoint), Err(StoreError::Unavailable(_))));
    assert!(f.store.organization(organization_id).unwrap().is_some(), "reads still work");
    diesel::sql_query("ROLLBACK").execute(&mut other).unwrap();
    f.store.create_endpoint(&endpoint).unwrap();
}

/// The shapes of the queries that run for every delivery; each must be a search in an index.
#[test]
fn the_queries_of_the_queue_search_the_pending_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let _store = open_sqlite(&path);
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    for sql in [
        "SELECT id FROM deliveries WHERE deliveries.status = 0 AND endpoint_id = ? AND organization_id = ? \
         AND queued_at <= ? ORDER BY queued_at, id LIMIT ?",
        "SELECT count(*) FROM deliveries WHERE deliveries.status = 0",
    ] {
        let plan: Vec<PlanStep> =
            diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(&mut sqlite).unwrap();
        let plan: Vec<&str> = plan.iter().map(|step| step.detail.as_str()).collect();
        assert!(plan.iter().any(|step| step.contains("deliveries_pending")), "{sql}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:?}");
    }
}
