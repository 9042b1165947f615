//! Databases of earlier schemas, with rows in every table (`earlier_schemas/make.py` makes them): brought up to date at the
//! start, after which what was pending is delivered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ringback::domain::ids::EventId;
use test_support::engine::{Serve, eventually};
use test_support::receiver::Receiver;
use test_support::world::Database;

on_both_databases!(a_database_of_each_earlier_schema_is_upgraded_and_delivers_what_was_pending);

/// Where the webhooks of the fixtures lead.
const RECEIVER: &str = "http://receiver.example/hook";

#[derive(QueryableByName)]
struct Pending {
    #[diesel(sql_type = BigInt)]
    event_id: i64,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fixtures, by the schema that they are of.
fn fixtures() -> Vec<(String, String)> {
    let folder = root().join("tests/binary/engine/earlier_schemas");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut fixtures: Vec<(String, String)> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| {
            let schema = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (schema, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    fixtures.sort();
    assert!(fixtures.len() >= 5, "the fixtures were not found");
    fixtures
}

/// The migrations up to a schema, as the versions of that time have run them.
fn schema_of(database: &str, newest: &str) -> String {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root().join("migrations").join(database))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let mut sql = String::from(
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);",
    );
    for folder in folders {
        let version = folder.file_name().unwrap().to_str().unwrap().split('_').next().unwrap().to_owned();
        if version.as_str() <= newest {
            sql += &std::fs::read_to_string(folder.join("up.sql")).unwrap();
            sql += &format!(";\nINSERT INTO __diesel_schema_migrations (version) VALUES ('{version}');\n");
        }
    }
    sql
}

/// Makes the database; returns the events that it has still to deliver.
fn restore(database: &Database, schema: &str, rows: &str, receiver: &Receiver) -> BTreeSet<String> {
    let rows = rows.replace(RECEIVER, &receiver.url());
    let pending = "SELECT d.event_id FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id \
                   WHERE d.status = 0 AND e.active AND e.deleted_at IS NULL";
    let pending: Vec<Pending> = match database.url.strip_prefix("sqlite://") {
        Some(path) => {
            let mut sqlite = SqliteConnection::establish(path).unwrap();
            sqlite.batch_execute(&schema_of("sqlite", schema)).unwrap();
            sqlite.batch_execute(&rows).unwrap();
            diesel::sql_query(pending).load(&mut sqlite).unwrap()
        }
        None => {
            let mut postgres = PgConnection::establish(&database.url).unwrap();
            postgres.batch_execute(&schema_of("postgres", schema)).unwrap();
            // PostgreSQL writes bytes differently
            postgres.batch_execute(&rows.replace(", X'", ", '\\x").replace("(X'", "('\\x")).unwrap();
            diesel::sql_query(pending).load(&mut postgres).unwrap()
        }
    };
    pending.into_iter().map(|row| EventId(row.event_id).to_string()).collect()
}

fn another(database: &Database) -> Database {
    match database.url.starts_with("sqlite://") {
        true => Database::sqlite(),
        false => Database::postgres().unwrap(),
    }
}

fn a_database_of_each_earlier_schema_is_upgraded_and_delivers_what_was_pending(first: Database) {
    for (schema, rows) in fixtures() {
        let database = another(&first);
        let receiver = Receiver::ok();
        let pending = restore(&database, &schema, &rows, &receiver);
        assert!(pending.len() > 3, "{schema}: {pending:?}");
        let key = rows.lines().find_map(|line| line.strip_prefix("-- key: ")).unwrap();
        let serve = database.serve();
        let old = serve.run(&["check"]);
        assert_eq!(old.status.code(), Some(2), "{schema}: {}", String::from_utf8_lossy(&old.stdout));
        let engine = serve.start();
        eventually(&format!("what was pending in {schema} is delivered"), || {
            let delivered: BTreeSet<String> = receiver.seen().iter().map(|seen| seen.event_id()).collect();
            pending.is_subset(&delivered).then_some(())
        });
        // what it had delivered can be read
        let logs = engine.api(key).get("/v1/webhooks/logs?status=success&limit=200").expect(200).json();
        let logs = logs["data"].as_array().unwrap();
        assert!(logs.iter().any(|delivery| delivery["attempt_count"] == 1), "{schema}: {logs:?}");
        drop(engine);
        is_sound(&serve, &schema);
    }
}

fn is_sound(serve: &Serve, schema: &str) {
    let checked = serve.run(&["check"]);
    assert_eq!(checked.status.code(), Some(0), "{schema}: {}", String::from_utf8_lossy(&checked.stdout));
}
