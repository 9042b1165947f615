//! Databases of earlier versions: their rows are upgraded with their schema.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ringback::domain::ids::OrganizationId;
use ringback::store::{AcceptedEvent, EventCommit, open};

use crate::fixture::{Fixture, START, at, cipher, keyed, sqlite_url};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The first two versions, and a table of the versions that a database has.
fn old_schema(folder: &str) -> String {
    let read = |name: &str| {
        std::fs::read_to_string(format!("{}/migrations/{folder}/{name}/up.sql", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    };
    format!(
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP); \
         INSERT INTO __diesel_schema_migrations (version) VALUES ('0001'), ('0002'); {}; {};",
        read("0001_initial"),
        read("0002_deleted_organizations")
    )
}

const OLD_EVENT: i64 = 5;

/// An organization with a live and a deleted endpoint, an event with its key, and a key whose event was
/// removed.
fn old_rows() -> String {
    let start = START.0;
    let hash = "01".repeat(32);
    let endpoint = |id: i64, deleted_at: &str| {
        format!(
            "({id}, 1, 'https://example.com/?token=t', true, '[]', 10000, '{{\"retries\":3}}', '[]', 32, false, x'0102', \
             x'0304', x'0506', 7, 1, 1, 1, {deleted_at})"
        )
    };
    format!(
        "INSERT INTO organizations VALUES (1, 'Acme', {start}); \
         INSERT INTO endpoints (id, organization_id, url, active, events, timeout_ms, retry, retry_on, max_in_flight, \
         ordered, secret, headers, previous_secret, previous_secret_expires_at, created_at, updated_at, version, deleted_at) \
         VALUES {}, {}; \
         INSERT INTO events VALUES ({OLD_EVENT}, 1, 'user.created', {start}, {start}, {OLD_EVENT}, 3, x'7b7d'); \
         INSERT INTO idempotency_keys VALUES (1, 'kept', x'{hash}', {OLD_EVENT}, {start}), (1, 'gone', x'{hash}', 4, {start});",
        endpoint(2, "NULL"),
        endpoint(3, "9")
    )
}

fn is_up_to_date(url: &str, mut count: impl FnMut(&str) -> i64) {
    let f = Fixture::over(open(url, cipher()).unwrap_or_else(|error| panic!("{error}"))).going_on_above(99);
    let organization_id = OrganizationId(1);
    let answer = AcceptedEvent {
        id: ringback::domain::ids::EventId(OLD_EVENT),
        event_type: String::from("user.created"),
        occurred_at: START,
        deliveries: 3,
    };
    assert_eq!(f.store.prune(at(1), None, 9).unwrap().events, 1);
    let again = |key| {
        let new = keyed(f.new_event(organization_id, &[], at(2)), key, 1);
        f.commit_events(vec![new], at(2)).events.remove(0)
    };
    assert_eq!(again("kept"), EventCommit::Replayed(answer));
    assert_eq!(again("gone"), EventCommit::Stored, "as before: there is no response to repeat");
    let secrets = "FROM endpoints WHERE length(secret) + length(previous_secret) + length(headers) > 0";
    assert_eq!(count(&format!("SELECT min(id) AS n {secrets}")), 2, "the live one has its own");
    assert_eq!(count(&format!("SELECT count(*) AS n {secrets}")), 1, "and the deleted one none");
    assert_eq!(count("SELECT count(*) AS n FROM endpoints WHERE url LIKE '%token%'"), 1);
}

#[test]
fn a_sqlite_database_of_an_earlier_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    sqlite.batch_execute(&format!("{} {}", old_schema("sqlite"), old_rows())).unwrap();
    is_up_to_date(&sqlite_url(&path), |sql| diesel::sql_query(sql).get_result::<Number>(&mut sqlite).unwrap().n);
}

#[test]
fn a_postgres_database_of_an_earlier_version_is_brought_up_to_date() {
    let Some(server) = test_support::postgres::shared() else { return };
    let url = server.create_database();
    let mut postgres = PgConnection::establish(&url).unwrap();
    // PostgreSQL writes bytes differently
    let rows = old_rows().replace("x'", "'\\x");
    postgres.batch_execute(&format!("{} {rows}", old_schema("postgres"))).unwrap();
    is_up_to_date(&url, |sql| diesel::sql_query(sql).get_result::<Number>(&mut postgres).unwrap().n);
}
