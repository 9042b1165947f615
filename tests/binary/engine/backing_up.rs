//! `ringback backup`, `check` and `health`, beside real engines.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::{Value, json};
use test_support::engine::{MASTER_KEY, Serve, eventually, text};
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, Publishers, World};

on_both_databases!(
    a_check_finds_nothing_wrong_beside_a_busy_engine_and_after_its_kill,
    a_check_finds_what_points_to_nothing_and_repairs_it_alone,
);

const BEFORE: usize = 30;

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_backup_beside_publishers_has_everything_that_was_acknowledged_before_it_and_is_delivered_after_a_restore() {
    let mut world = World::new(Database::sqlite());
    let receiver = Receiver::holding(200);
    world.webhook(&receiver, json!({"max_in_flight": 2}));
    let before: Vec<String> = (0..BEFORE).map(|number| world.publish(number)).collect();
    let publishers = Publishers::start(2, &world.api);
    publishers.eventually_more(5);
    let folder = world.database.folder.path().to_owned();
    let copy = folder.join("copy.db");
    let name = copy.to_str().unwrap();
    let output = world.serve.run(&["backup", name]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).contains("master key (its id is "), "{}", said(&output));
    publishers.eventually_more(5);
    publishers.stop();

    // one file, which nobody else reads, without what reads its secrets
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("copy") || name.contains("partial"))
        .collect();
    assert_eq!(left, ["copy.db"]);
    let bytes = std::fs::read(&copy).unwrap();
    assert!(!bytes.windows(MASTER_KEY.len()).any(|window| window == MASTER_KEY.as_bytes()));
    let again = world.serve.run(&["backup", name]);
    assert_eq!(code(&again), 1);
    assert!(said(&again).contains("overwrites nothing"), "{}", said(&again));
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);

    world.engine.kill();
    receiver.release();
    let seen = receiver.count();
    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(&copy, restored.path().join("ringback.db")).unwrap();
    let serve = Serve::new(restored.path(), "sqlite://ringback.db");
    assert_eq!(code(&serve.run(&["check"])), 0);
    let _engine = serve.start();
    eventually("what was acknowledged before the backup is delivered from it", || {
        let delivered: HashSet<String> = receiver.seen().iter().map(|seen| seen.event_id()).collect();
        before.iter().all(|id| delivered.contains(id)).then_some(())
    });
    assert!(receiver.count() > seen, "nothing was pending in the backup");
}

#[test]
fn a_backup_that_cannot_be_made_says_why_and_leaves_nothing() {
    let database = Database::sqlite();
    let serve = database.serve();
    let folder = database.folder.path();
    std::fs::write(folder.join("text.db"), "no database at all, but a text of some length".repeat(30)).unwrap();
    for (arguments, expected) in [
        (vec!["backup", "copy.db"], "does not exist"),
        (vec!["backup", "copy.db", "--database-url", "sqlite://text.db"], "not a SQLite database"),
        (vec!["backup", "copy.db", "--database-url", "postgres://x@127.0.0.1:1/x"], "pg_dump"),
        (vec!["backup", ".", "--database-url", "sqlite://text.db"], "is a folder"),
        (vec!["backup", "no/copy.db", "--database-url", "sqlite://text.db"], "create it"),
        (vec!["backup", "text.db-journal", "--database-url", "sqlite://text.db"], "the database's own files"),
        (vec!["backup", "./text.db-wal", "--database-url", "sqlite://text.db"], "the database's own files"),
    ] {
        let output = serve.run(&arguments);
        assert_eq!(code(&output), 1, "{arguments:?}");
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["text.db"]);
}

#[test]
fn what_a_killed_backup_left_is_removed_by_the_next_one_and_a_running_one_is_let_alone() {
    let world = World::new(Database::sqlite());
    let folder = world.database.folder.path();
    let left = folder.join(".ringback-backup-killed.partial");
    std::fs::write(&left, "half of a database").unwrap();
    let running = folder.join(".ringback-backup-running.partial");
    let lock = std::fs::File::create(&running).unwrap();
    lock.lock().unwrap();
    let output = world.serve.run(&["backup", "copy.db"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(!left.exists() && running.exists());
    drop(lock);
    let output = world.serve.run(&["backup", "next.db"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(!running.exists() && folder.join("copy.db").exists());
}

#[test]
fn health_passes_with_a_running_engine_and_fails_without_it() {
    let mut world = World::new(Database::sqlite());
    let url = format!("http://{}", world.engine.address());
    for arguments in [&["health", "--url", &url][..], &["health", "--live", "--url", &url]] {
        assert_eq!(code(&world.serve.run(arguments)), 0);
    }
    // as in a container: by the settings of the engine
    let same = world.serve.clone().set("RINGBACK_LISTEN", &url.replace("http://127.0.0.1", "0.0.0.0"));
    assert_eq!(code(&same.run(&["health"])), 0);
    world.engine.kill();
    let output = same.run(&["health"]);
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("nothing listens"), "{}", said(&output));
}

fn check(serve: &Serve, more: &[&str]) -> (i32, Value, String) {
    let output = serve.run(&[&["check", "--json"], more].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (code(&output), report, said(&output))
}

/// Everything that writes rows: retries, failures, resends, replays, labels, batches, deletions.
fn busy_world(database: Database) -> World {
    let world = World::new(database);
    let (sound, broken) = (Receiver::ok(), Receiver::answering(|number| reply([200, 500, 400][number % 3])));
    world.webhook(&sound, json!({}));
    let flaky = world.webhook(&broken, json!({"retry_policy": {"max_attempts": 3, "initial_delay_seconds": 1}}));
    let deleted = world.webhook(&broken, json!({}));
    let events: Vec<String> = (0..20).map(|number| world.publish(number)).collect();
    let labelled =
        json!({"event_type": "call.completed", "data": {"a": 1}, "tags": ["a", "b"], "channels": ["c"]});
    world.api.post("/v1/events", &labelled).expect(202);
    world.api.try_call("DELETE", &format!("/v1/webhooks/{}", text(&deleted, "id")), None).unwrap().expect(204);
    world.eventually_idle();
    let path = format!("/v1/webhooks/{}/recover", text(&flaky, "id"));
    world.api.post(&path, &json!({"since": "2024-01-01T00:00:00Z"})).expect(202);
    world.api.post(&format!("/v1/events/{}/replay", events[0]), &json!({})).expect(202);
    world.api.post(&format!("/v1/webhooks/{}/test", text(&flaky, "id")), &json!({})).expect(200);
    world
}

fn a_check_finds_nothing_wrong_beside_a_busy_engine_and_after_its_kill(database: Database) {
    let mut world = busy_world(database);
    let publishers = Publishers::start(2, &world.api);
    publishers.eventually_more(20);
    let (code, report, said) = check(&world.serve, &[]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(report["result"], "ok");
    let looked_at = |table: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .filter(|check| check["table"] == table)
            .filter_map(|check| check["looked_at"].as_u64())
            .max()
            .unwrap()
    };
    assert!(looked_at("events") > 20 && looked_at("deliveries") > 40 && looked_at("attempts") > 0, "{report}");
    publishers.stop();
    world.engine.kill();
    let (code, _, said) = check(&world.serve, &[]);
    assert_eq!(code, 0, "{said}");
}

/// Runs statements as a stranger does, who knows no rules.
fn damage(database: &Database, statements: &str) {
    match database.url.strip_prefix("sqlite://") {
        Some(path) => SqliteConnection::establish(path).unwrap().batch_execute(statements).unwrap(),
        None => PgConnection::establish(&database.url).unwrap().batch_execute(statements).unwrap(),
    }
}

fn a_check_finds_what_points_to_nothing_and_repairs_it_alone(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::answering(|_| reply(500));
    let webhook =
        world.webhook(&receiver, json!({"retry_policy": {"max_attempts": 5, "initial_delay_seconds": 3600}}));
    for number in 0..3 {
        world.publish(number);
    }
    let labelled = json!({"event_type": "call.completed", "data": {}, "tags": ["lost"]});
    world.api.post("/v1/events", &labelled).expect(202);
    eventually("each was tried", || {
        world.logs(&webhook).iter().all(|delivery| delivery["attempt_count"].as_u64() > Some(0)).then_some(())
    });
    let (code, _, refused) = check(&world.serve, &["--repair"]);
    assert_eq!(code, 2, "repaired under a running engine: {refused}");
    assert!(refused.contains("another"), "{refused}");
    world.engine.kill();
    damage(
        &world.database,
        "DELETE FROM events WHERE id = (SELECT max(id) FROM events); \
         DELETE FROM deliveries WHERE id = (SELECT min(id) FROM deliveries); \
         UPDATE deliveries SET partition = (partition + 1) % 256 \
         WHERE id = (SELECT min(id) FROM deliveries); \
         UPDATE api_keys SET organization_id = 77; \
         UPDATE events SET delivery_count = 9 WHERE id = (SELECT max(id) FROM events);",
    );
    let (code, report, said) = check(&world.serve, &[]);
    assert_eq!(code, 1, "{said}");
    let wrong = |report: &Value| -> Vec<(String, u64)> {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().filter(|check| check["result"] == "wrong");
        let named = |check: &Value| format!("{}: {}", check["table"].as_str().unwrap_or(""), text(check, "what"));
        found.map(|check| (named(check), check["wrong"].as_u64().unwrap())).collect()
    };
    let found = wrong(&report);
    for (table, part, count) in [
        ("api_keys", "organization", 1),
        // of one the count is wrong, of the other the delivery is missing
        ("events", "count of deliveries", 2),
        ("event_labels", "event that exists", 1),
        ("deliveries", "event that exists", 1),
        ("deliveries", "partition", 1),
        ("attempts", "delivery that exists", 1),
    ] {
        let is_it = |(what, wrong): &&(String, u64)| {
            what.starts_with(&format!("{table}: ")) && what.contains(part) && *wrong == count
        };
        assert!(found.iter().any(|it| is_it(&it)), "{table}, {part}: {found:?}");
    }
    let of_rows = found.iter().filter(|(what, _)| !what.starts_with("delivery_statistics"));
    assert_eq!(of_rows.count(), 6, "{found:?}");

    let (code, report, said) = check(&world.serve, &["--repair"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(wrong(&report), []);
    assert!(said.contains("was pending, and is cancelled: its event is gone"), "not silently: {said}");
    let (code, _, said) = check(&world.serve, &[]);
    assert_eq!(code, 0, "{said}");
    world.kill_and_restart();
}

#[test]
fn a_check_makes_a_missing_index_again_and_says_when_a_schema_is_not_its_own() {
    let database = Database::sqlite();
    let serve = database.serve();
    let (code, _, said) = check(&serve, &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("does not exist"), "{said}");
    drop(serve.start());
    damage(&database, "DROP INDEX deliveries_pending");
    let (code, _, said) = check(&serve, &[]);
    assert_eq!(code, 1);
    assert!(said.contains("the index deliveries_pending is missing"), "{said}");
    assert_eq!(check(&serve, &["--repair"]).0, 0);
    assert_eq!(check(&serve, &[]).0, 0);
    damage(&database, "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')");
    assert_eq!(check(&serve, &[]).0, 0, "additions don't matter");
    damage(&database, "UPDATE oldest_reader SET migration = '9999'");
    let (code, _, said) = check(&serve, &[]);
    assert_eq!(code, 2);
    assert!(said.contains("a newer version made"), "{said}");
}

/// Writes noise over the beginning of a table's or index's first page.
fn spoil_page(database: &Database, name: &str) {
    use std::io::{Seek, SeekFrom, Write};
    #[derive(QueryableByName)]
    struct Place {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        place: i64,
    }
    let path = database.url.strip_prefix("sqlite://").unwrap();
    let mut connection = SqliteConnection::establish(path).unwrap();
    connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let query = format!(
        "SELECT (rootpage - 1) * page_size AS place FROM sqlite_schema, pragma_page_size WHERE name = '{name}'"
    );
    let Place { place } = diesel::sql_query(query).get_result(&mut connection).unwrap();
    drop(connection);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(place as u64)).unwrap();
    file.write_all(&[0xA5; 300]).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_check_of_a_damaged_file_says_what_is_damaged_and_what_to_do() {
    for name in ["events", "deliveries", "attempts", "organizations"] {
        let database = Database::sqlite();
        let serve = database.serve();
        drop(serve.start());
        spoil_page(&database, name);
        let (code, report, said) = check(&serve, &[]);
        assert_eq!((code, &report["result"]), (1, &json!("wrong")), "{name}: {said}");
        assert!(said.contains("restore a backup"), "{name}: {said}");
        assert!(said.contains(&format!("the table {name} is damaged")), "{name}: {said}");
        let path = database.url.strip_prefix("sqlite://").unwrap();
        let before = std::fs::read(path).unwrap();
        let (code, _, said) = check(&serve, &["--repair"]);
        assert_eq!(code, 1, "{name}: {said}");
        assert!(said.contains("nothing was changed"), "{name}: {said}");
        assert!(std::fs::read(path).unwrap() == before, "{name}: it was changed");
    }
    let database = Database::sqlite();
    let serve = database.serve();
    drop(serve.start());
    damage(&database, "DROP TABLE endpoint_health");
    let (code, _, said) = check(&serve, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the column endpoint_health.") && said.contains("no such table"), "{said}");
}

#[test]
fn a_file_that_can_not_even_be_opened_is_called_damaged_by_check_and_by_serve_and_is_not_changed() {
    let database = Database::sqlite();
    let serve = database.serve();
    drop(serve.start());
    damage(&database, "PRAGMA wal_checkpoint(TRUNCATE)");
    let path = database.url.strip_prefix("sqlite://").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 5).unwrap();
    let before = std::fs::read(path).unwrap();
    for arguments in [&[][..], &["--repair"]] {
        let (code, report, said) = check(&serve, arguments);
        assert_eq!((code, &report["result"]), (1, &json!("wrong")), "{said}");
        assert!(said.contains("malformed") && said.contains("restore a backup"), "{said}");
    }
    let refusal = serve.refusal();
    assert!(refusal.contains("is damaged") && refusal.contains("restore a backup"), "{refusal}");
    assert!(std::fs::read(path).unwrap() == before, "it was changed");
}

#[test]
fn a_repair_rebuilds_an_index_whose_page_header_is_broken_and_loses_no_row() {
    let world = busy_world(Database::sqlite());
    let World { database, serve, mut engine, .. } = world;
    engine.kill();
    let rows = |table| database.rows(table);
    let tables = ["events", "deliveries", "attempts", "endpoints", "organizations"];
    let before = tables.map(rows);
    for name in ["events_type", "deliveries_endpoint", "organizations_by_uid", "deliveries_pending"] {
        spoil_page(&database, name);
        let (code, _, said) = check(&serve, &[]);
        assert_eq!(code, 1, "{name}: {said}");
        assert!(said.contains("the table itself can be read"), "{name}: {said}");
        let (code, report, said) = check(&serve, &["--repair"]);
        assert_eq!((code, &report["result"]), (0, &json!("ok")), "{name}: {said}");
        assert!(said.contains(&format!("the index {name} is made again")), "{name}: {said}");
        let (code, _, said) = check(&serve, &[]);
        assert_eq!(code, 0, "{name}: {said}");
        assert_eq!(tables.map(rows), before, "{name}");
    }
    drop(serve.start());
}

#[test]
fn the_exit_code_tells_repaired_from_wrong_from_not_checked_and_a_missing_key_is_none_of_them() {
    let database = Database::sqlite();
    let serve = database.serve();
    drop(serve.start());
    let (code, report, said) = check(&serve.clone().set("RINGBACK_MASTER_KEY", ""), &[]);
    assert_eq!((code, &report["result"]), (0, &json!("ok")), "{said}");
    assert!(said.contains("no master key is given"), "{said}");
    let (code, _, said) = check(&serve.clone().set("RINGBACK_MASTER_KEY", "short"), &[]);
    assert_eq!(code, 2, "{said}");
    let mut world = World::start(database, serve);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({}));
    world.publish(1);
    world.eventually_idle();
    world.engine.kill();
    damage(&world.database, "UPDATE events SET delivery_count = -1");
    assert_eq!(check(&world.serve, &[]).0, 1);
    let (code, report, said) = check(&world.serve, &["--repair"]);
    assert_eq!((code, &report["result"]), (0, &json!("ok")), "the first repair tells that it was enough: {said}");
    assert!(said.contains("its count of deliveries was -1, and is 1 now"), "{said}");
    damage(&world.database, "UPDATE events SET delivery_count = -1; UPDATE deliveries SET status = 9");
    assert_eq!(check(&world.serve, &["--repair"]).0, 1);
    assert_eq!(check(&world.serve, &["--database-url", "sqlite://none.db"]).0, 2);
}
