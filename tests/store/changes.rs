//! The log of changed settings, and the commits that compare it.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ringback::domain::endpoint::{DisabledReason, Endpoint};
use ringback::domain::event_types::{DefinedEventType, EventTypeState};
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::organization::ApiKey;
use ringback::store::{
    ChangeNumber, Changed, ChangesSince, DisableEndpoint, EventCommit, NewEvent, SettingChange, StoreError,
    WriteBatch, open,
};
use test_support::postgres as server;

use crate::fixture::{Fixture, URL, at, cipher, keyed, open_sqlite, plain_endpoint};

on_every_store!(
    an_event_is_not_stored_if_settings_of_its_organization_were_changed_after_it_was_matched,
    an_event_that_was_not_stored_leaves_its_key_unused,
    a_commit_that_disables_an_endpoint_stores_its_own_events,
    the_log_has_no_gaps_and_names_what_was_changed,
    nothing_is_made_in_an_organization_that_does_not_exist,
);

fn own_type(organization_id: OrganizationId) -> DefinedEventType {
    DefinedEventType {
        organization_id,
        name: String::from("own.type"),
        description: String::new(),
        schema: None,
        sample: None,
        state: EventTypeState::Active,
        created_at: at(0),
    }
}

fn disable(endpoint: &Endpoint) -> DisableEndpoint {
    DisableEndpoint {
        organization_id: endpoint.organization_id,
        endpoint_id: endpoint.id,
        reason: DisabledReason::Gone,
        url: URL.into(),
        announced_by: None,
    }
}

/// Every kind of change, in an order in which each is one.
fn change(f: &Fixture, step: usize, endpoint: &Endpoint) -> Changed {
    let Endpoint { organization_id, id, .. } = *endpoint;
    match step {
        0 => f.store.create_endpoint(endpoint).unwrap(),
        1 => f.store.update_endpoint(&Endpoint { version: endpoint.version + 1, ..endpoint.clone() }).unwrap(),
        2 => {
            let batch = WriteBatch { disable: vec![disable(endpoint)], ..WriteBatch::default() };
            assert_eq!(f.store.commit(&batch, at(1)).unwrap().disabled.len(), 1);
        }
        3 => _ = f.store.delete_endpoint(organization_id, id, at(1)).unwrap(),
        4 => f.store.create_event_type(&own_type(organization_id)).unwrap(),
        5 => assert!(f.store.delete_event_type(organization_id, "own.type").unwrap()),
        _ => assert!(f.store.delete_organization(organization_id, at(1)).unwrap()),
    }
    match step {
        0..4 => Changed::Endpoint(id),
        4 | 5 => Changed::EventTypes,
        _ => Changed::OrganizationDeleted,
    }
}

const CHANGES: usize = 7;

fn commit(f: &Fixture, matched_at: ChangeNumber, events: Vec<NewEvent>) -> Vec<EventCommit> {
    let batch = WriteBatch { events, matched_at: Some(matched_at), ..WriteBatch::default() };
    f.store.commit(&batch, at(2)).unwrap().events
}

fn an_event_is_not_stored_if_settings_of_its_organization_were_changed_after_it_was_matched(f: &Fixture) {
    let (mine, other) = (f.organization(), f.organization());
    let (kept, of_other) = (f.endpoint(mine), f.endpoint(other));
    let endpoint = plain_endpoint(EndpointId(f.id_at(at(0))), mine);
    for step in 0..CHANGES {
        let matched_at = f.store.last_change().unwrap();
        let events = || vec![f.new_event(mine, &[kept], at(2)), f.new_event(other, &[of_other], at(2))];
        assert_eq!(commit(f, matched_at, events()), [EventCommit::Stored, EventCommit::Stored]);
        change(f, step, &endpoint);
        let outdated = events();
        let ids: Vec<_> = outdated.iter().map(|new| new.deliveries[0].0).collect();
        assert_eq!(commit(f, matched_at, outdated), [EventCommit::Outdated, EventCommit::Stored], "{step}");
        assert!(f.store.delivery(mine, ids[0]).unwrap().is_none());
        assert!(f.store.delivery(other, ids[1]).unwrap().is_some());
    }
}

fn an_event_that_was_not_stored_leaves_its_key_unused(f: &Fixture) {
    let organization_id = f.organization();
    let matched_at = f.store.last_change().unwrap();
    let endpoint_id = f.endpoint(organization_id);
    let event = || keyed(f.new_event(organization_id, &[endpoint_id], at(2)), "k", 1);
    assert_eq!(commit(f, matched_at, vec![event()]), [EventCommit::Outdated]);
    let matched_at = f.store.last_change().unwrap();
    assert_eq!(commit(f, matched_at, vec![event()]), [EventCommit::Stored]);
    f.endpoint(organization_id);
    let [again] = commit(f, f.store.last_change().unwrap(), vec![event()]).try_into().unwrap();
    assert!(matches!(again, EventCommit::Replayed(_)));
}

fn a_commit_that_disables_an_endpoint_stores_its_own_events(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let endpoint = f.store.endpoint(organization_id, endpoint_id).unwrap().unwrap().endpoint;
    let announcement = f.new_event(organization_id, &[], at(2));
    let disable = DisableEndpoint { announced_by: Some(announcement.event.id), ..disable(&endpoint) };
    let batch = WriteBatch {
        events: vec![announcement],
        matched_at: Some(f.store.last_change().unwrap()),
        disable: vec![disable],
        ..WriteBatch::default()
    };
    assert_eq!(f.store.commit(&batch, at(2)).unwrap().events, [EventCommit::Stored]);
    let event = f.new_event(organization_id, &[endpoint_id], at(3));
    assert_eq!(commit(f, batch.matched_at.unwrap(), vec![event]), [EventCommit::Outdated]);
}

fn the_log_has_no_gaps_and_names_what_was_changed(f: &Fixture) {
    let organization_id = f.organization();
    let begin = f.store.last_change().unwrap();
    let endpoint = plain_endpoint(EndpointId(f.id_at(at(0))), organization_id);
    let lines = (0..CHANGES).map(|step| SettingChange {
        number: ChangeNumber(begin.0 + 1 + step as i64),
        organization_id,
        what: change(f, step, &endpoint),
    });
    let lines: Vec<SettingChange> = lines.collect();
    let since = |after: i64, limit| f.store.changes_since(ChangeNumber(begin.0 + after), limit).unwrap();
    assert_eq!(since(0, 99), ChangesSince::Lines(lines.clone()));
    assert_eq!(since(2, 3), ChangesSince::Lines(lines[2..5].to_vec()));
    assert_eq!(since(CHANGES as i64, 99), ChangesSince::Lines(Vec::new()));
    assert_eq!(f.store.last_change().unwrap(), lines[CHANGES - 1].number);
    // what changes nothing
    f.store.update_endpoint(&endpoint).unwrap_err();
    f.store.create_endpoint(&endpoint).unwrap_err();
    assert_eq!(f.store.delete_endpoint(organization_id, endpoint.id, at(3)).unwrap(), None);
    assert!(!f.store.delete_event_type(organization_id, "own.type").unwrap());
    assert!(!f.store.delete_organization(organization_id, at(3)).unwrap());
    assert_eq!(f.store.last_change().unwrap(), lines[CHANGES - 1].number);
}

fn nothing_is_made_in_an_organization_that_does_not_exist(f: &Fixture) {
    let (deleted, never) = (f.organization(), OrganizationId(5));
    let key = f.key(deleted, 1);
    f.store.delete_organization(deleted, at(1)).unwrap();
    for organization_id in [deleted, never] {
        let key = ApiKey { organization_id: Some(organization_id), hash: [2; 32], ..key.clone() };
        let endpoint = plain_endpoint(EndpointId(f.id_at(at(0))), organization_id);
        let results = [
            f.store.create_key(&key),
            f.store.create_endpoint(&endpoint),
            f.store.create_event_type(&own_type(organization_id)),
        ];
        for result in results {
            assert!(matches!(result, Err(StoreError::NoSuchOrganization)), "{result:?}");
        }
        assert!(f.store.key_by_hash(&key.hash).unwrap().is_none());
        assert!(f.store.own_event_types(organization_id).unwrap().is_empty());
    }
}

/// With a way to run SQL beside the store.
fn old_lines(f: &Fixture, run: &mut dyn FnMut(&str)) {
    let organization_id = f.organization();
    f.endpoint(organization_id);
    let begin = f.store.last_change().unwrap();
    run("UPDATE counters SET value = value + 9999 WHERE name = 'setting_changes'");
    let newest = f.endpoint(organization_id);
    // one of before is kept; those in between are not there
    assert_eq!(f.store.changes_since(begin, 9).unwrap(), ChangesSince::Everything);
    assert_eq!(f.store.changes_since(ChangeNumber(0), 9).unwrap(), ChangesSince::Everything);
    let last = ChangeNumber(begin.0 + 9_999);
    let line =
        SettingChange { number: ChangeNumber(last.0 + 1), organization_id, what: Changed::Endpoint(newest) };
    assert_eq!(f.store.changes_since(last, 9).unwrap(), ChangesSince::Lines(vec![line]));
    // a kind of change that a newer version has
    run("UPDATE setting_changes SET kind = 99");
    assert_eq!(f.store.changes_since(last, 9).unwrap(), ChangesSince::Everything);
}

#[test]
fn whoever_misses_lines_that_were_removed_is_told_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    old_lines(&f, &mut |sql| sqlite.batch_execute(sql).unwrap());
    let lines: i64 =
        diesel::sql_query("SELECT count(*) AS n FROM setting_changes").get_result::<Lines>(&mut sqlite).unwrap().n;
    assert_eq!(lines, 1, "those with ten thousand behind them are removed");
}

#[test]
fn whoever_misses_lines_that_were_removed_is_told_on_postgres() {
    let Some(running) = server::shared() else { return };
    let url = running.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap());
    let mut postgres = PgConnection::establish(&url).unwrap();
    old_lines(&f, &mut |sql| postgres.batch_execute(sql).unwrap());
    let lines: i64 = diesel::sql_query("SELECT count(*) AS n FROM setting_changes")
        .get_result::<Lines>(&mut postgres)
        .unwrap()
        .n;
    assert_eq!(lines, 1, "those with ten thousand behind them are removed");
}

#[derive(QueryableByName)]
struct Lines {
    #[diesel(sql_type = BigInt)]
    n: i64,
}
