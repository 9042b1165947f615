//! On PostgreSQL the writer's connection holds the lock of the one engine that writes, and all publishers wait
//! while another is opened: nothing costs it but the end of the connection itself.

use std::thread;

use diesel::prelude::*;
use diesel::sql_types::Integer;
use ringback::domain::delivery::DeliveryFilter;
use ringback::domain::event_types::DefinedEventType;
use ringback::domain::ids::OrganizationId;
use ringback::store::{StoreError, open};
use test_support::postgres;

use crate::fixture::{Fixture, at, cipher, first_page};

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// Another session in the store's database.
struct Watcher(PgConnection);

impl Watcher {
    fn sessions(&mut self, sql: &str) -> Vec<i32> {
        let found: Vec<Session> = diesel::sql_query(sql).load(&mut self.0).unwrap();
        found.into_iter().map(|session| session.pid).collect()
    }

    /// The session that holds the writer's lock.
    fn writer(&mut self) -> i32 {
        let holders = self.sessions(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        );
        assert_eq!(holders.len(), 1, "{holders:?}");
        holders[0]
    }

    fn others(&mut self) -> Vec<i32> {
        self.sessions(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             ORDER BY pid",
        )
    }

    fn run(&mut self, sql: &str) {
        diesel::sql_query(sql).execute(&mut self.0).unwrap();
    }

    /// Does this to the writer's session while it waits for the lock of a table.
    fn while_it_waits(&mut self, act: &str) {
        let waits =
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let waiting = (0..100_000).find_map(|_| self.sessions(waits).pop()).expect("the writer waits");
        self.run(&format!("SELECT {act}({waiting})"));
    }
}

fn store_and_watcher() -> Option<(Fixture, Watcher)> {
    let url = postgres::shared()?.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    Some((f, Watcher(PgConnection::establish(&url).unwrap())))
}

fn event_type(organization_id: OrganizationId, name: &str) -> DefinedEventType {
    DefinedEventType::named(organization_id, name, at(0))
}

#[test]
fn a_text_that_postgres_refuses_costs_no_connection() {
    let Some((f, mut watcher)) = store_and_watcher() else { return };
    let organization_id = f.organization();
    let page = |text: &str| {
        let filter = DeliveryFilter { event_type: Some(text.to_owned()), ..DeliveryFilter::default() };
        f.store.deliveries(organization_id, &filter, first_page(1)).map(|page| page.rows.len())
    };
    assert_eq!(page("call.completed").unwrap(), 0);
    let (writer, before) = (watcher.writer(), watcher.others());
    for _ in 0..20 {
        let deleted = f.store.delete_event_type(organization_id, "a\0b");
        assert!(matches!(deleted, Err(StoreError::Invalid(_))), "{deleted:?}");
        let created = f.store.create_event_type(&event_type(organization_id, "a\0b"));
        assert!(matches!(created, Err(StoreError::Invalid(_))), "{created:?}");
        assert!(matches!(page("a\0b"), Err(StoreError::Invalid(_))));
    }
    f.store.create_event_type(&event_type(organization_id, "order.paid")).unwrap();
    assert_eq!(page("call.completed").unwrap(), 0);
    assert_eq!(watcher.writer(), writer);
    assert_eq!(watcher.others(), before);
}

#[test]
fn a_statement_that_is_cancelled_keeps_the_connection_and_a_session_that_is_ended_is_replaced() {
    let Some((f, mut watcher)) = store_and_watcher() else { return };
    let organization_id = f.organization();
    for (act, is_kept) in [("pg_cancel_backend", true), ("pg_terminate_backend", false)] {
        let writer = watcher.writer();
        watcher.run("BEGIN");
        watcher.run("LOCK TABLE event_types IN EXCLUSIVE MODE");
        let created = thread::scope(|scope| {
            let creating = scope.spawn(|| f.store.create_event_type(&event_type(organization_id, act)));
            watcher.while_it_waits(act);
            creating.join().unwrap()
        });
        watcher.run("ROLLBACK");
        assert!(matches!(created, Err(StoreError::Unavailable(_))), "{created:?}");
        f.store.create_event_type(&event_type(organization_id, act)).unwrap();
        assert_eq!(watcher.writer() == writer, is_kept, "{act}");
    }
}

#[test]
fn a_session_in_which_everything_fails_is_replaced() {
    let Some((f, mut watcher)) = store_and_watcher() else { return };
    let organization_id = f.organization();
    let writer = watcher.writer();
    watcher.run("ALTER TABLE event_types RENAME TO elsewhere");
    for _ in 0..8 {
        let deleted = f.store.delete_event_type(organization_id, "order.paid");
        assert!(matches!(deleted, Err(StoreError::Unavailable(_))), "{deleted:?}");
    }
    watcher.run("ALTER TABLE elsewhere RENAME TO event_types");
    assert!(!f.store.delete_event_type(organization_id, "order.paid").unwrap());
    assert_ne!(watcher.writer(), writer);
}
