//! No change holds the writer for longer than some rows take, however much it has to do.

use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::EndpointId;
use ringback::domain::round::Rounds;
use ringback::store::{ReplayTargets, RequeueRange, open};

use crate::fixture::{Fixture, at, cipher, keyed, open_sqlite, outcome};

on_every_store!(
    an_event_is_replayed_to_more_endpoints_than_one_step_takes,
    a_range_is_sent_again_whole_in_steps_of_any_size,
);

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn count(path: &Path, table: &str) -> i64 {
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let counted = diesel::sql_query(format!("SELECT count(*) AS n FROM {table}"));
    counted.get_result::<Number>(&mut sqlite).unwrap().n
}

fn an_event_is_replayed_to_more_endpoints_than_one_step_takes(f: &Fixture) {
    let organization_id = f.organization();
    let endpoints: Vec<EndpointId> = (0..600).map(|_| f.endpoint(organization_id)).collect();
    let (had, new) = endpoints.split_at(400);
    let event = f.new_event(organization_id, had, at(0));
    f.commit_events(vec![event.clone()], at(0));
    // the first one is pending all the time
    let ended = event.deliveries[1..].iter();
    let ended =
        ended.map(|&(id, endpoint_id)| outcome(organization_id, endpoint_id, id, 1, 200, NextStep::Succeeded));
    f.record(ended.collect());
    assert_eq!(f.store.count_pending().unwrap(), 1);
    let mut wanted = endpoints.clone();
    wanted.extend(had);
    let targets = ReplayTargets::Endpoints(wanted);
    for _ in 0..2 {
        // the second time everything is pending already
        let replayed = f.store.replay_event(
            organization_id,
            event.event.id,
            &targets,
            Rounds::Schedule,
            &mut || f.id_at(at(9)),
            at(9),
        );
        assert_eq!(replayed.unwrap().unwrap(), endpoints);
        assert_eq!(f.store.count_pending().unwrap(), 600);
    }
    for &(id, endpoint_id) in &event.deliveries {
        assert_eq!(f.due(organization_id, endpoint_id, at(9)), [id], "its own delivery goes again");
    }
    for &endpoint_id in new {
        assert_eq!(f.due(organization_id, endpoint_id, at(9)).len(), 1);
    }
    let nothing = ReplayTargets::Endpoints(Vec::new());
    let replayed = f.store.replay_event(
        organization_id,
        event.event.id,
        &nothing,
        Rounds::Schedule,
        &mut || f.id_at(at(9)),
        at(9),
    );
    assert_eq!(replayed.unwrap().unwrap(), []);
}

fn a_range_is_sent_again_whole_in_steps_of_any_size(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids = f.publish(organization_id, &[endpoint_id; 900], at(0));
    f.record(ids.iter().map(|id| outcome(organization_id, endpoint_id, *id, 1, 404, NextStep::Failed)).collect());
    let range =
        RequeueRange { since: at(0), until: at(1), status: DeliveryStatus::Failed, rounds: Rounds::Schedule };
    let (mut after, mut requeued) = (None, 0);
    loop {
        let page = f.store.requeue_range(organization_id, endpoint_id, &range, after, 100_000, at(5)).unwrap();
        requeued += page.deliveries;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(requeued, 900);
    assert_eq!(f.due(organization_id, endpoint_id, at(5)), ids);
    // all of them wait for a retry
    let retry = |id: &_| outcome(organization_id, endpoint_id, *id, 2, 500, NextStep::RetryAt(at(500)));
    f.record(ids.iter().map(retry).collect());
    assert!(f.due(organization_id, endpoint_id, at(6)).is_empty());
    let (mut after, mut made_due) = (None, 0);
    loop {
        let made = f.store.make_due(organization_id, endpoint_id, after, 100_000, at(6)).unwrap();
        made_due += made.deliveries;
        after = made.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(made_due, 900);
    assert_eq!(f.due(organization_id, endpoint_id, at(6)), ids);
}

#[test]
fn with_an_old_snapshot_a_step_on_postgres_does_not_pass_what_was_removed_before() {
    let Some(server) = test_support::postgres::shared() else { return };
    let url = server.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let (deleted, kept) = (f.organization(), f.organization());
    for commit in 0..20 {
        let new = |n: usize, owner| keyed(f.new_event(owner, &[], at(commit)), &format!("{commit} {n}"), 1);
        let events = (0..100).flat_map(|n| [new(n, deleted), new(n, kept)]);
        f.commit_events(events.collect(), at(commit));
    }
    let mut snapshot = PgConnection::establish(&url).unwrap();
    for sql in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT id FROM events LIMIT 1"] {
        diesel::sql_query(sql).execute(&mut snapshot).unwrap();
    }
    drop(f);
    let mut watcher = PgConnection::establish(&url).unwrap();
    // as in a database that has lived for a moment
    diesel::sql_query("ANALYZE").execute(&mut watcher).unwrap();
    // the statistics of a session are only complete when it has ended
    let mut read_by = |work: &dyn Fn(&Fixture)| {
        let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
        work(&f);
        drop(f);
        let mut number = |sql: &str| diesel::sql_query(sql).get_result::<Number>(&mut watcher).unwrap().n;
        let sessions = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()";
        assert!((0..100_000).any(|_| number(sessions) == 2), "the store's sessions have not ended");
        number(
            "SELECT sum(idx_tup_read)::BIGINT AS n FROM pg_stat_user_indexes WHERE relname IN ('events', 'idempotency_keys')",
        )
    };
    let before = read_by(&|_| {});
    let purge = read_by(&|f| {
        f.store.delete_organization(deleted, at(50)).unwrap();
        assert!(f.purge(at(50), 50) >= 40);
    });
    let keys = read_by(&|f| while f.store.prune_idempotency_keys(at(99), 50).unwrap() > 0 {});
    let prune = read_by(&|f| {
        let mut after = None;
        loop {
            after = f.store.prune(at(99), after, 50).unwrap().next;
            if after.is_none() {
                break;
            }
        }
    });
    let read = [purge - before, keys - purge, prune - keys];
    assert!(read.iter().all(|read| *read < 20_000), "{read:?} entries for 4,000, 2,000 and 2,000 rows");
}

#[test]
fn deliveries_with_many_attempts_are_removed_few_at_a_time() {
    for f in [Some(Fixture::sqlite()), Fixture::postgres()].into_iter().flatten() {
        let organization_id = f.organization();
        let endpoint_id = f.endpoint(organization_id);
        for second in 0..60 {
            let id = f.publish(organization_id, &[endpoint_id], at(second))[0];
            for number in 1..=30 {
                let next = if number < 30 { NextStep::RetryAt(at(60)) } else { NextStep::Failed };
                f.record(vec![outcome(organization_id, endpoint_id, id, number, 500, next)]);
            }
        }
        let step = f.store.prune(at(99), None, 500).unwrap();
        assert!((10..=40).contains(&step.events), "{} events with 32 rows each", step.events);
        let mut removed = step.events;
        let mut after = step.next;
        while after.is_some() {
            let step = f.store.prune(at(99), after, 500).unwrap();
            removed += step.events;
            after = step.next;
        }
        assert_eq!(removed, 60);
    }
}

#[test]
fn a_deletion_of_an_organization_that_was_interrupted_hides_its_webhooks_and_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let (organization_id, other) = (f.organization(), f.organization());
    let endpoint_id = f.endpoint(organization_id);
    let stays = f.endpoint(other);
    f.save_health(EndpointHealth {
        probe_at: Some(at(5)),
        ..EndpointHealth::healthy(organization_id, endpoint_id)
    });
    f.publish(organization_id, &[endpoint_id], at(0));
    drop(f);
    // what its first transaction does
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    for sql in [
        format!("DELETE FROM organizations WHERE id = {}", organization_id.0),
        format!("INSERT INTO deleted_organizations (id, deleted_at) VALUES ({}, {})", organization_id.0, at(1).0),
    ] {
        diesel::sql_query(sql).execute(&mut sqlite).unwrap();
    }
    drop(sqlite);
    let f = Fixture::over(open_sqlite(&path));
    assert!(f.store.endpoint(organization_id, endpoint_id).unwrap().is_none());
    let seen: Vec<EndpointId> =
        f.store.scan_endpoints(None, 9).unwrap().iter().map(|endpoint| endpoint.id).collect();
    assert_eq!(seen, [stays]);
    assert!(f.purge(at(2), 99) > 0);
    for (table, left) in
        [("endpoints", 1), ("endpoint_health", 0), ("deliveries", 0), ("deleted_organizations", 0)]
    {
        assert_eq!(count(&path, table), left, "{table}");
    }
}

#[test]
fn an_organization_with_more_webhooks_than_one_step_takes_is_deleted_with_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let endpoints: Vec<EndpointId> = (0..1_100).map(|_| f.endpoint(organization_id)).collect();
    f.store.delete_endpoint(organization_id, endpoints[7], at(0)).unwrap();
    assert!(f.store.delete_organization(organization_id, at(1)).unwrap());
    assert_eq!(count(&path, "endpoints"), 0);
    assert!(!f.store.delete_organization(organization_id, at(1)).unwrap());
}

#[test]
fn more_deleted_organizations_than_one_step_looks_at_are_all_removed() {
    for f in [Some(Fixture::sqlite()), Fixture::postgres()].into_iter().flatten() {
        let organizations: Vec<_> = (0..50).map(|_| f.organization()).collect();
        for &organization_id in &organizations {
            let endpoint_id = f.endpoint(organization_id);
            f.publish(organization_id, &[endpoint_id], at(0));
            f.store.delete_organization(organization_id, at(1)).unwrap();
        }
        f.purge(at(1), 99);
        assert_eq!(f.store.count_pending().unwrap(), 0);
        // an event that was being accepted
        let endpoint_id = EndpointId(f.id_at(at(1)));
        f.publish(organizations[0], &[endpoint_id], at(1));
        f.purge(at(2), 99);
        assert_eq!(f.store.count_pending().unwrap(), 0);
    }
}
