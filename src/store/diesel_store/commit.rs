//! The one transaction of the path of an event: new events, outcomes, health, disabled endpoints.

use std::collections::HashMap;

use diesel::prelude::*;

use super::super::connection::{AnyConnection, in_transaction};
use super::super::models::hash_from;
use super::super::schema::idempotency_keys;
use super::super::{
    AcceptedEvent, Cipher, CommitReport, EventCommit, IDEMPOTENCY_KEY_LIFETIME, NewEvent, StoreResult, WriteBatch,
    postgres, sqlite,
};
use super::id_leads::{self, IdLead};
use super::{cancelled_attempts, endpoints, failures, statistics};
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Keys per query: well below the maximum number of parameters of either database.
const KEYS_A_QUERY: usize = 500;

pub(super) fn commit(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    batch: &WriteBatch,
    lead: Option<IdLead>,
    now: UnixMillis,
) -> StoreResult<CommitReport> {
    match connection {
        // used keys can be read before the statement: nobody else writes
        AnyConnection::Postgres(_) if lead.is_none() && postgres::is_one_statement(batch) => {
            let report = write(connection, cipher, batch, now)?;
            match report.outcomes_recorded.contains(&false) {
                true => {
                    in_transaction(connection, |connection| cancelled_attempts::record(connection, batch, report))
                }
                false => Ok(report),
            }
        }
        _ => in_transaction(connection, |connection| {
            if let Some(lead) = lead {
                id_leads::save(connection, lead)?;
            }
            let report = write(connection, cipher, batch, now)?;
            cancelled_attempts::record(connection, batch, report)
        }),
    }
}

fn write(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    batch: &WriteBatch,
    now: UnixMillis,
) -> StoreResult<CommitReport> {
    let (disabled, withheld) = endpoints::disable(connection, cipher, &batch.disable, now)?;
    let events = decide(&batch.events, used_keys(connection, &batch.events, now)?, &withheld);
    let stored: Vec<&NewEvent> = batch
        .events
        .iter()
        .zip(&events)
        .filter_map(|(new, commit)| (*commit == EventCommit::Stored).then_some(new))
        .collect();
    let outcomes_recorded = match connection {
        AnyConnection::Sqlite(connection) => {
            sqlite::insert_events(connection, &stored)?;
            sqlite::save_keys(connection, &stored, now)?;
            sqlite::record_outcomes(connection, &batch.outcomes)?
        }
        AnyConnection::Postgres(connection) => postgres::write(connection, &stored, &batch.outcomes, now)?,
    };
    endpoints::save_health(connection, &batch.health)?;
    statistics::add(connection, &batch.statistics)?;
    failures::save(connection, &batch.failures)?;
    Ok(CommitReport { events, outcomes_recorded, after_cancellation: Vec::new(), disabled })
}

/// The first use of an idempotency key.
struct UsedKey {
    request_hash: [u8; 32],
    event: AcceptedEvent,
}

/// Key, hash, and the id, type, instant and number of deliveries of its event.
type UsedKeyColumns = (String, Vec<u8>, i64, String, i64, i32);

type UsedKeys = HashMap<(OrganizationId, String), UsedKey>;

/// The keys of the batch that were used before and have not expired. The response to the first use is in the
/// key's own row: a key can outlive its event.
fn used_keys(connection: &mut AnyConnection, batch: &[NewEvent], now: UnixMillis) -> StoreResult<UsedKeys> {
    let mut by_organization: HashMap<OrganizationId, Vec<&str>> = HashMap::new();
    for new in batch {
        if let Some(idempotency) = &new.idempotency {
            by_organization.entry(new.event.organization_id).or_default().push(&idempotency.key);
        }
    }
    let mut used = UsedKeys::new();
    for (organization_id, keys) in by_organization {
        for keys in keys.chunks(KEYS_A_QUERY) {
            let rows: Vec<UsedKeyColumns> = idempotency_keys::table
                .filter(idempotency_keys::organization_id.eq(organization_id.0))
                .filter(idempotency_keys::key.eq_any(keys))
                .filter(idempotency_keys::event_type.is_not_null())
                .filter(idempotency_keys::created_at.gt((now - IDEMPOTENCY_KEY_LIFETIME).0))
                .select((
                    idempotency_keys::key,
                    idempotency_keys::request_hash,
                    idempotency_keys::event_id,
                    idempotency_keys::event_type.assume_not_null(),
                    idempotency_keys::occurred_at.assume_not_null(),
                    idempotency_keys::delivery_count.assume_not_null(),
                ))
                .load(connection)?;
            for (key, request_hash, id, event_type, occurred_at, deliveries) in rows {
                let event = AcceptedEvent {
                    id: EventId(id),
                    event_type,
                    occurred_at: UnixMillis(occurred_at),
                    deliveries: deliveries.max(0) as usize,
                };
                let request_hash = hash_from(&request_hash)?;
                used.insert((organization_id, key), UsedKey { request_hash, event });
            }
        }
    }
    Ok(used)
}

/// Decides which events of a batch are stored; a key also counts for the events after it in the batch.
fn decide(batch: &[NewEvent], mut used: UsedKeys, withheld: &[EventId]) -> Vec<EventCommit> {
    let mut decide_one = |new: &NewEvent| {
        if withheld.contains(&new.event.id) {
            return EventCommit::Withheld;
        }
        let Some(idempotency) = &new.idempotency else { return EventCommit::Stored };
        let key = (new.event.organization_id, idempotency.key.clone());
        match used.get(&key) {
            Some(first) if first.request_hash == idempotency.request_hash => {
                EventCommit::Replayed(first.event.clone())
            }
            Some(_) => EventCommit::KeyReused,
            None => {
                let event = AcceptedEvent {
                    id: new.event.id,
                    event_type: new.event.event_type.clone(),
                    occurred_at: new.event.occurred_at,
                    deliveries: new.deliveries.len(),
                };
                used.insert(key, UsedKey { request_hash: idempotency.request_hash, event });
                EventCommit::Stored
            }
        }
    };
    batch.iter().map(&mut decide_one).collect()
}
