//! Rows beside events and settings go with them: channels, tags, and the log of changes.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ringback::domain::audit::{Actor, AuditAction, AuditEntry};
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::EventFilter;
use ringback::domain::ids::{AuditId, EndpointId, OrganizationId};
use ringback::domain::labels::EventLabels;
use ringback::store::{NewEvent, StoreError, open};
use serde_json::json;
use test_support::postgres as server;

use crate::fixture::{Fixture, at, cipher, first_page, open_sqlite, plain_endpoint};

on_every_store!(
    an_entry_is_written_exactly_if_its_change_is_made,
    old_entries_are_removed_in_steps_and_others_stay,
    an_organization_takes_its_entries_with_it_and_the_deployments_stay,
);

fn labelled(f: &Fixture, owner: OrganizationId, tag: &str, seconds: i64) -> NewEvent {
    let (channels, tags) = (vec![String::from("c")], vec![tag.to_owned()]);
    let labels = EventLabels { channels, tags, ..EventLabels::default() };
    let new = NewEvent { labels: Some(Arc::new(labels)), ..f.new_event(owner, &[], at(seconds)) };
    f.commit_events(vec![new.clone()], at(seconds));
    new
}

fn entry(f: &Fixture, owner: Option<OrganizationId>, seconds: i64) -> AuditEntry {
    AuditEntry {
        id: AuditId(f.id_at(at(seconds))),
        organization_id: owner,
        at: at(seconds),
        actor: Actor::SignIn {
            name: Some(String::from("Ada")),
            role: ringback::domain::organization::Role::Owner,
        },
        action: AuditAction::WebhookChanged,
        subject: String::from("wh_1"),
        before: Some(json!({"timeout": 5})),
        after: None,
    }
}

fn log(f: &Fixture, owner: Option<OrganizationId>) -> Vec<AuditEntry> {
    f.store.audit_log(owner, first_page(99)).unwrap()
}

fn endpoint(f: &Fixture, owner: OrganizationId) -> Endpoint {
    plain_endpoint(EndpointId(f.id_at(at(0))), owner)
}

fn an_entry_is_written_exactly_if_its_change_is_made(f: &Fixture) {
    let owner = f.organization();
    let (endpoint, first) = (endpoint(f, owner), entry(f, Some(owner), 1));
    f.store.recording(first.clone()).create_endpoint(&endpoint).unwrap();
    assert_eq!(log(f, Some(owner)), std::slice::from_ref(&first));
    let outdated = f.store.recording(entry(f, Some(owner), 2)).update_endpoint(&endpoint);
    assert!(matches!(outdated, Err(StoreError::Conflict)));
    let nothing = f.store.recording(entry(f, Some(owner), 3));
    assert_eq!(nothing.delete_endpoint(owner, EndpointId(7), at(3)).unwrap(), None);
    assert!(!nothing.delete_event_type(owner, "no.such").unwrap());
    assert_eq!(log(f, Some(owner)), std::slice::from_ref(&first), "what changed nothing is not told");
    let second = entry(f, Some(owner), 4);
    f.store.recording(second.clone()).delete_endpoint(owner, endpoint.id, at(4)).unwrap().unwrap();
    assert_eq!(log(f, Some(owner)), [second, first]);
    assert!(log(f, None).is_empty() && log(f, Some(f.organization())).is_empty());
}

fn old_entries_are_removed_in_steps_and_others_stay(f: &Fixture) {
    let owner = f.organization();
    let entries: Vec<AuditEntry> = (0..5).map(|number| entry(f, Some(owner), number * 10)).collect();
    for entry in &entries {
        f.store.recording(entry.clone()).create_endpoint(&endpoint(f, owner)).unwrap();
    }
    assert!(f.store.prune_audit_log(at(30), 2).unwrap());
    assert_eq!(log(f, Some(owner)).len(), 3);
    assert!(!f.store.prune_audit_log(at(30), 2).unwrap());
    assert_eq!(log(f, Some(owner)), [entries[4].clone(), entries[3].clone()]);
}

fn an_organization_takes_its_entries_with_it_and_the_deployments_stay(f: &Fixture) {
    let (owner, other) = (f.organization(), f.organization());
    for of in [owner, other] {
        f.store.recording(entry(f, Some(of), 1)).create_endpoint(&endpoint(f, of)).unwrap();
    }
    let told = entry(f, None, 2);
    assert!(f.store.recording(told.clone()).delete_organization(owner, at(2)).unwrap());
    f.purge(at(99), 10);
    assert!(log(f, Some(owner)).is_empty());
    assert_eq!((log(f, Some(other)).len(), log(f, None)), (1, vec![told]));
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

const LABELS: &str = "SELECT count(*) AS n FROM event_labels";

/// Labels of events that are gone would be found by nobody, and never removed.
fn labels_go_with_their_events(f: &Fixture, labels: &mut dyn FnMut() -> i64) {
    let (owner, other) = (f.organization(), f.organization());
    labelled(f, owner, "old", 1);
    let young = labelled(f, owner, "young", 60);
    labelled(f, other, "theirs", 61);
    assert_eq!(labels(), 6);
    f.store.prune(at(30), None, 10).unwrap();
    assert_eq!(labels(), 4);
    let filter = EventFilter { tag: Some(String::from("young")), ..EventFilter::default() };
    let found = f.store.events(owner, &filter, first_page(9)).unwrap();
    assert_eq!(found.iter().map(|event| event.id).collect::<Vec<_>>(), [young.event.id]);
    f.store.delete_organization(owner, at(70)).unwrap();
    f.purge(at(99), 10);
    assert_eq!(labels(), 2);
}

#[test]
fn channels_and_tags_go_with_their_events_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    labels_go_with_their_events(&f, &mut || {
        diesel::sql_query(LABELS).get_result::<Number>(&mut sqlite).unwrap().n
    });
}

#[test]
fn channels_and_tags_go_with_their_events_on_postgres() {
    let Some(running) = server::shared() else { return };
    let url = running.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap());
    let mut postgres = PgConnection::establish(&url).unwrap();
    labels_go_with_their_events(&f, &mut || {
        diesel::sql_query(LABELS).get_result::<Number>(&mut postgres).unwrap().n
    });
}
