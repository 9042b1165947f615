//! The file of a SQLite database: only one engine can open it, whatever path leads to it, and a file that is
//! not a database is not changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use ringback::store::{Store, StoreError, StoreResult, WriteBatch, open};

use crate::databases::refusal;
use crate::fixture::{Fixture, at, cipher, open_sqlite, sqlite_url};

fn try_open(path: &Path) -> StoreResult<Arc<dyn Store>> {
    open(&sqlite_url(path), cipher())
}

#[test]
fn the_size_of_a_database_is_that_of_its_file_and_of_its_write_ahead_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    f.publish(f.organization(), &[], at(0));
    let length = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    let size = f.store.size().unwrap();
    assert_eq!(size.log, length("ringback.db-wal"));
    assert_eq!(size.total, length("ringback.db") + size.log);
    assert!(size.log > 0);
}

/// Other paths to the same file.
fn other_names(folder: &Path, path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap();
    std::os::unix::fs::symlink(path, folder.join("symbolic.db")).unwrap();
    std::os::unix::fs::symlink(folder, folder.join("folder")).unwrap();
    std::fs::hard_link(path, folder.join("hard.db")).unwrap();
    std::fs::create_dir(folder.join("inner")).unwrap();
    vec![
        folder.join("symbolic.db"),
        folder.join("hard.db"),
        folder.join("folder").join(name),
        folder.join("inner/..").join(name),
        folder.join(".").join(name),
    ]
}

#[test]
fn a_second_engine_is_refused_whatever_path_leads_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    std::fs::remove_file(folder.path().join("ringback.db.lock")).unwrap();
    for name in other_names(folder.path(), &path).iter().chain([&path]) {
        let message = refusal(try_open(name));
        assert!(message.contains("another process uses the database") && message.contains("stop it"), "{message}");
    }
    f.publish(organization_id, &[], at(0));
    // a copy is another database
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    open_sqlite(&copy).ping().unwrap();
}

#[test]
fn a_refused_start_releases_none_of_sqlites_locks_of_the_running_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    refusal(try_open(&path));
    // the process that closes a database last removes the log: another process must see that it is not the last
    let sql = "PRAGMA wal_checkpoint(PASSIVE)";
    let other = std::process::Command::new("sqlite3").arg(&path).arg(sql).output();
    let Ok(other) = other else { return };
    assert!(other.status.success(), "{other:?}");
    assert!(folder.path().join("ringback.db-wal").exists(), "the log was removed from under the engine");
    f.publish(organization_id, &[], at(0));
    drop(f);
    let events = open_sqlite(&path).events(organization_id, &Default::default(), crate::fixture::first_page(9));
    assert_eq!(events.unwrap().len(), 1);
}

#[test]
fn a_database_with_two_names_is_refused_until_only_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    drop(open_sqlite(&path));
    let other = folder.path().join("other.db");
    std::fs::hard_link(&path, &other).unwrap();
    for name in [&path, &other] {
        let message = refusal(try_open(name));
        assert!(message.contains("2 names (hard links)") && message.contains("-samefile"), "{message}");
    }
    std::fs::remove_file(other).unwrap();
    open_sqlite(&path).ping().unwrap();
}

#[test]
fn through_a_symbolic_link_the_log_is_next_to_the_file_and_nothing_is_missing_under_its_own_name() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, link) = (elsewhere.path().join("real.db"), folder.path().join("ringback.db"));
    // a dangling link so far
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let f = Fixture::over(open_sqlite(&link));
    let organization_id = f.organization();
    assert!(elsewhere.path().join("real.db-wal").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "like any other new file");
    drop(f);
    assert!(open_sqlite(&path).organization(organization_id).unwrap().is_some());
}

#[test]
fn nothing_is_acknowledged_while_the_file_is_moved_away_and_the_store_recovers_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let aside = folder.path().join("aside.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let publish = |second| {
        let events = vec![f.new_event(organization_id, &[], at(second))];
        f.store.commit(&WriteBatch { events, ..WriteBatch::default() }, at(second))
    };
    publish(0).unwrap();
    std::fs::rename(&path, &aside).unwrap();
    let told = |result: StoreResult<_>| match result {
        Err(StoreError::Unavailable(message)) => message,
        _ => panic!("stored in a file that is lost"),
    };
    assert!(told(publish(1)).contains("was moved, removed or replaced"));
    // another file of that name is not written to either
    std::fs::write(&path, "").unwrap();
    assert!(told(publish(2)).contains("restart the"));
    std::fs::rename(&aside, &path).unwrap();
    publish(3).unwrap();
}

#[test]
fn a_file_that_is_not_a_database_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    let text = "this is not a database, however long it may be ".repeat(500);
    std::fs::write(&path, &text).unwrap();
    let message = refusal(try_open(&path));
    assert!(message.contains("is not a SQLite database") && message.contains("another file"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let message = refusal(open("sqlite:///dev/null", cipher()));
    assert!(message.contains("is not a file"), "{message}");
}

#[test]
fn a_database_of_another_program_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("customers #1%.db");
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    sqlite.batch_execute("CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('Zoë')").unwrap();
    drop(sqlite);
    let before = std::fs::read(&path).unwrap();
    let message = refusal(try_open(&path));
    assert!(message.contains("of another program") && message.contains("another file"), "{message}");
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn a_database_in_utf_16_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.db");
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    sqlite
        .batch_execute("PRAGMA encoding = 'UTF-16le'; CREATE TABLE __diesel_schema_migrations (version TEXT)")
        .unwrap();
    drop(sqlite);
    let message = refusal(try_open(&path));
    assert!(message.contains("UTF-16le") && message.contains(".dump"), "{message}");
}

#[test]
fn nothing_of_a_deleted_secret_stays_in_the_file() {
    use ringback::domain::ids::EndpointId;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let full = crate::fixture::full_endpoint(EndpointId(f.id_at(at(0))), organization_id);
    f.store.create_endpoint(&full).unwrap();
    let neighbour = f.endpoint(organization_id);
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    #[derive(QueryableByName)]
    struct Sealed {
        #[diesel(sql_type = diesel::sql_types::Binary)]
        sealed: Vec<u8>,
    }
    let mut sealed = Vec::new();
    for column in ["secret", "previous_secret", "headers", "credentials"] {
        let sql = format!("SELECT {column} AS sealed FROM endpoints WHERE id = {}", full.id.0);
        sealed.push(diesel::sql_query(sql).get_result::<Sealed>(&mut sqlite).unwrap().sealed);
    }
    drop(sqlite);
    drop(f);
    let holds = |sealed: &[u8]| {
        let file = std::fs::read(&path).unwrap();
        file.windows(sealed.len()).any(|window| window == sealed)
    };
    assert!(sealed.iter().all(|sealed| holds(sealed)), "the test looks for the right bytes");
    let f = Fixture::over(open_sqlite(&path));
    f.store.delete_endpoint(organization_id, full.id, at(1)).unwrap();
    assert!(f.store.endpoint(organization_id, neighbour).unwrap().is_some());
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    #[derive(QueryableByName)]
    struct Checkpoint {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        busy: i32,
    }
    // the thread that counts pending deliveries can be in its way
    let is_blocked = |sqlite: &mut SqliteConnection| {
        let checkpoint = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result::<Checkpoint>(sqlite);
        checkpoint.unwrap().busy != 0
    };
    while is_blocked(&mut sqlite) {}
    assert!(!sealed.iter().any(|sealed| holds(sealed)));
}
