//! On PostgreSQL the insert of an idempotency key decides, not the look for it before: two engines can do both at once.

use std::sync::Arc;

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use test_support::postgres as servers;

use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::super::new_key::{NewKey, UidKey};
use super::super::{
    EventCommit, IDEMPOTENCY_KEY_LIFETIME, IdempotencyKey, NewEvent, QueueStore, WriteBatch, postgres,
};
use super::DieselStore;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::labels::EventLabels;
use crate::domain::random::CountingRandomSource;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

fn event(id: i64) -> NewEvent {
    let event = Event {
        id: EventId(id),
        organization_id: OrganizationId(1),
        event_type: String::from("call.completed"),
        occurred_at: NOW,
        accepted_at: NOW,
        body: Bytes::from_static(b"{}"),
        trace: None,
    };
    let deliveries = vec![(DeliveryId(id + 1), EndpointId(2))];
    NewEvent { event: Arc::new(event), deliveries, labels: None, idempotency: None, batch: None }
}

fn key(event_id: i64, key: &str) -> NewKey<'_> {
    NewKey {
        organization_id: 1,
        key: key.into(),
        request_hash: &[0; 32],
        event_id,
        event_type: "call.completed",
        occurred_at: NOW.0,
        delivery_count: 1,
        is_of_batch: false,
        first_of_batch: event_id,
    }
}

/// The key of an item of the batch that begins with `first`.
fn item(event_id: i64, text: &str, first: i64) -> NewKey<'_> {
    NewKey { first_of_batch: first, ..key(event_id, text) }
}

fn of_batch(first: i64, text: &str) -> NewKey<'_> {
    NewKey { is_of_batch: true, ..key(first, text) }
}

/// Writes events as if nobody had looked for their keys; returns for each whether it was stored, and all that are.
fn write(store: &DieselStore, events: &[i64], keys: &[NewKey<'_>], now: UnixMillis) -> (Vec<bool>, Vec<i64>) {
    let new: Vec<NewEvent> = events.iter().map(|id| event(*id)).collect();
    let stored: Vec<&NewEvent> = new.iter().collect();
    let rows = postgres::NewRows { events: &stored, keys, matched_at: None };
    let written = store.writer.run(|connection| {
        let AnyConnection::Postgres(connection) = connection else { panic!("PostgreSQL") };
        let written = postgres::write(connection, rows, &[], None, now)?;
        let told: Vec<bool> = stored.iter().map(|new| written.has_stored(&new.event)).collect();
        // in the tables: events, and those of deliveries
        let found: Vec<Found> = diesel::sql_query(
            "SELECT e.id FROM events e JOIN deliveries d ON d.event_id = e.id WHERE d.id = e.id + 1 ORDER BY e.id",
        )
        .load(connection)?;
        Ok((told, found.into_iter().map(|found| found.id).collect()))
    });
    written.unwrap()
}

/// `None` without a server.
fn store() -> Option<DieselStore> {
    let server = servers::shared()?;
    let secret = Secret::new(String::from("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="));
    let cipher = Cipher::from_master_key(&secret, Arc::new(CountingRandomSource::default())).unwrap();
    Some(postgres::open(&server.create_database(), cipher, postgres::Sharing::WithNodes).unwrap())
}

#[test]
fn of_two_engines_that_store_an_own_id_at_once_one_does() {
    let Some(store) = store() else { return };
    for (first, sent) in [(10, None), (20, Some("k"))] {
        let uid = format!("uid-{first}");
        let labels = EventLabels { uid: Some(uid.clone()), ..EventLabels::default() };
        let idempotency = sent.map(|key| IdempotencyKey { key: key.to_owned(), request_hash: [0; 32] });
        let new = NewEvent { labels: Some(Arc::new(labels)), idempotency, ..event(first) };
        let batch = WriteBatch { events: vec![new], ..WriteBatch::default() };
        assert_eq!(store.commit(&batch, NOW).unwrap().events, [EventCommit::Stored]);
        // the other one, which looked before that
        let (id, key_of_uid) = (first + 100, UidKey::of(&uid));
        assert_eq!(write(&store, &[id], &[key(id, &key_of_uid)], NOW).0, [false], "{sent:?}");
        let keys = [NewKey { is_of_batch: true, ..key(id, &key_of_uid) }, key(id, "another")];
        assert_eq!(write(&store, &[id], &keys, NOW).0, [false], "{sent:?}");
        assert_eq!(write(&store, &[id], &[key(id, "another")], NOW).0, [true], "its other key is not used up");
        store
            .writer
            .run(|connection| {
                Ok(diesel::sql_query("DELETE FROM idempotency_keys WHERE key = 'another'").execute(connection)?)
            })
            .unwrap();
    }
}

#[test]
fn an_event_is_stored_only_with_its_own_keys_and_those_of_its_batch() {
    let Some(store) = store() else { return };
    // 10 with a key, 20 and 30 of a batch, 40 without
    let keys = [key(10, "a"), of_batch(20, "batch"), item(20, "b", 20), item(30, "c", 20)];
    assert_eq!(write(&store, &[10, 20, 30, 40], &keys, NOW), (vec![true; 4], vec![10, 20, 30, 40]));
    // a key that is used
    assert_eq!(write(&store, &[110, 140], &[key(110, "a")], NOW).0, [false, true]);
    // a batch whose key is used, and a key that is not
    let keys = [of_batch(220, "batch"), item(220, "d", 220), item(230, "e", 220), key(240, "f")];
    assert_eq!(write(&store, &[220, 230, 240, 250], &keys, NOW).0, [false, false, true, true]);
    // which has not used up the keys of its items
    let keys = [of_batch(320, "another"), item(320, "d", 320), item(330, "c", 320), item(340, "e", 320)];
    let (told, found) = write(&store, &[320, 330, 340], &keys, NOW);
    assert_eq!(told, [true, false, true], "an item that is stored already is left out of its batch");
    assert_eq!(found, [10, 20, 30, 40, 140, 240, 250, 320, 340]);
    // when it has expired
    let later = NOW + IDEMPOTENCY_KEY_LIFETIME;
    assert_eq!(write(&store, &[410], &[key(410, "a")], later).0, [true]);
    assert_eq!(write(&store, &[510], &[key(510, "a")], later).0, [false]);
}
