//! The one transaction of the path of an event: new events, outcomes, health, disabled endpoints.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::super::connection::{AnyConnection, in_transaction};
use super::super::fence::Fence;
use super::super::models::hash_from;
use super::super::new_key::{NewKey, UidKey};
use super::super::schema::{events, idempotency_keys};
use super::super::{
    AcceptedEvent, Cipher, CommitReport, EventCommit, IDEMPOTENCY_KEY_LIFETIME, NewEvent, StoreResult, WriteBatch,
    postgres, sqlite,
};
use super::id_leads::{self, IdLead};
use super::query::KEYS_A_QUERY;
use super::{cancelled_attempts, changes, endpoints, event_labels, failures, notices, statistics};
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// The circumstances of a commit.
#[derive(Clone, Copy)]
pub(super) struct Commit<'a> {
    pub(super) cipher: &'a Cipher,
    pub(super) lead: Option<IdLead>,
    pub(super) fence: Option<Fence>,
    pub(super) now: UnixMillis,
}

pub(super) fn commit(
    connection: &mut AnyConnection,
    batch: &WriteBatch,
    commit: Commit<'_>,
) -> StoreResult<CommitReport> {
    let fence = commit.fence;
    match connection {
        AnyConnection::Postgres(_) if commit.lead.is_none() && postgres::is_one_statement(batch) => {
            let report = write(connection, batch, commit)?;
            match report.outcomes_recorded.contains(&false) {
                true => in_transaction(connection, fence, |connection| {
                    cancelled_attempts::record(connection, batch, report)
                }),
                false => Ok(report),
            }
        }
        _ => in_transaction(connection, fence, |connection| {
            if let Some(lead) = commit.lead {
                id_leads::save(connection, lead)?;
            }
            let report = write(connection, batch, commit)?;
            cancelled_attempts::record(connection, batch, report)
        }),
    }
}

fn write(connection: &mut AnyConnection, batch: &WriteBatch, commit: Commit<'_>) -> StoreResult<CommitReport> {
    let Commit { cipher, fence, now, .. } = commit;
    let asks_itself = matches!(connection, AnyConnection::Postgres(_)) && batch.disable.is_empty();
    let outdated = match batch.matched_at.filter(|_| !batch.events.is_empty() && !asks_itself) {
        // before this commit's own changes
        Some(matched_at) => changes::organizations_since(connection, matched_at)?,
        None => HashSet::new(),
    };
    let (disabled, withheld) = endpoints::disable(connection, cipher, &batch.disable, now)?;
    let not_stored = NotStored { withheld: &withheld, outdated: &outdated };
    let uids = uids_are(connection);
    let known_uids = event_labels::known_uids(connection, &batch.events)?;
    let used = used_keys(connection, &batch.events, uids, now)?.with_uids(known_uids);
    let decided = decide(&batch.events, used, &not_stored);
    let keys = decided.keys(&batch.events, uids);
    let mut events = decided.events;
    let stored: Vec<&NewEvent> = batch
        .events
        .iter()
        .zip(&events)
        .filter_map(|(new, commit)| (*commit == EventCommit::Stored).then_some(new))
        .collect();
    let outcomes_recorded = match connection {
        AnyConnection::Sqlite(connection) => {
            sqlite::insert_events(connection, &stored)?;
            sqlite::save_keys(connection, &keys, now)?;
            sqlite::record_outcomes(connection, &batch.outcomes)?
        }
        AnyConnection::Postgres(connection) => {
            let matched_at = batch.matched_at.filter(|_| asks_itself);
            let new = postgres::NewRows { events: &stored, keys: &keys, matched_at };
            let written = postgres::write(connection, new, &batch.outcomes, fence, now)?;
            let commits = events.iter_mut().filter(|commit| **commit == EventCommit::Stored);
            for (new, commit) in stored.iter().zip(commits) {
                if !written.has_stored(&new.event) {
                    *commit = EventCommit::Outdated;
                }
            }
            written.outcomes_recorded
        }
    };
    endpoints::save_health(connection, &batch.health)?;
    statistics::add(connection, &batch.statistics, fence.map_or(0, |fence| fence.slot))?;
    failures::save(connection, &batch.failures)?;
    notices::tell_commit(connection, batch, &disabled, &outcomes_recorded)?;
    Ok(CommitReport { events, outcomes_recorded, after_cancellation: Vec::new(), disabled })
}

/// The first use of an idempotency key.
struct UsedKey {
    request_hash: [u8; 32],
    event: AcceptedEvent,
}

/// Key, hash, and the id, type, instant and number of deliveries of its event.
type UsedKeyColumns = (String, Vec<u8>, i64, String, i64, i32);

/// What may be used once.
#[derive(Default)]
struct Used {
    keys: HashMap<(OrganizationId, String), UsedKey>,
    /// Own ids of events that are still kept.
    uids: HashSet<(OrganizationId, String)>,
}

impl Used {
    fn with_uids(mut self, uids: HashSet<(OrganizationId, String)>) -> Self {
        self.uids.extend(uids);
        self
    }
}

/// What decides that an own id is used once.
#[derive(Clone, Copy, PartialEq)]
enum Uids {
    /// The look for it in the commit: there is no other writer.
    Found,
    /// The insert of a key: others write at the same time.
    Keyed,
}

fn uids_are(connection: &AnyConnection) -> Uids {
    match connection {
        AnyConnection::Sqlite(_) => Uids::Found,
        AnyConnection::Postgres(_) => Uids::Keyed,
    }
}

/// The keys of the batch that were used before and have not expired. The response to the first use is in the
/// key's own row: a key can outlive its event.
fn used_keys(
    connection: &mut AnyConnection,
    batch: &[NewEvent],
    uids: Uids,
    now: UnixMillis,
) -> StoreResult<Used> {
    let mut by_organization: HashMap<OrganizationId, Vec<Cow<'_, str>>> = HashMap::new();
    for new in batch {
        let mut add = |key| by_organization.entry(new.event.organization_id).or_default().push(key);
        if let Some(idempotency) = &new.idempotency {
            add(Cow::from(&idempotency.key));
        }
        if let Some(uid) = new.uid().filter(|_| uids == Uids::Keyed) {
            add(Cow::from(UidKey::of(uid)));
        }
        if let Some(batch) = &new.batch {
            let keys = by_organization.entry(new.event.organization_id).or_default();
            // items of a batch stand together
            if keys.iter().rev().take(2).all(|key| *key != batch.marker()) {
                keys.push(Cow::from(batch.marker()));
            }
        }
    }
    let mut used = Used::default();
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
            let (of_uids, rows): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| UidKey::uid_in(&row.0).is_some());
            let of_uids: Vec<(String, i64)> = of_uids.into_iter().map(|row| (row.0, row.2)).collect();
            used.uids.extend(uids_in_use(connection, organization_id, &of_uids)?);
            for (key, request_hash, id, event_type, occurred_at, deliveries) in rows {
                let event = AcceptedEvent {
                    id: EventId(id),
                    event_type,
                    occurred_at: UnixMillis(occurred_at),
                    deliveries: deliveries.max(0) as usize,
                };
                let request_hash = hash_from(&request_hash)?;
                used.keys.insert((organization_id, key), UsedKey { request_hash, event });
            }
        }
    }
    Ok(used)
}

/// The own ids of these keys, if their events are kept; the keys of others are forgotten, so that their ids are free.
fn uids_in_use(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    keys: &[(String, i64)],
) -> StoreResult<Vec<(OrganizationId, String)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let ids = keys.iter().map(|(_, event_id)| *event_id);
    // read after the keys, with which they are written: those that are not there are gone for good
    let kept = events::table.filter(events::id.eq_any(ids)).select(events::id).load(connection)?;
    let kept: HashSet<i64> = kept.into_iter().collect();
    let (in_use, gone): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, event_id)| kept.contains(event_id));
    if !gone.is_empty() {
        let of_gone = idempotency_keys::table
            .filter(idempotency_keys::organization_id.eq(organization_id.0))
            .filter(idempotency_keys::key.eq_any(gone.iter().map(|(key, _)| key)))
            .filter(idempotency_keys::event_id.eq_any(gone.iter().map(|(_, event_id)| event_id)));
        diesel::delete(of_gone).execute(connection)?;
    }
    let uids = in_use.into_iter().filter_map(|(key, _)| UidKey::uid_in(key));
    Ok(uids.map(|uid| (organization_id, uid.to_owned())).collect())
}

/// What becomes of the events of a commit.
struct Decided {
    /// One for each event.
    events: Vec<EventCommit>,
    /// Indexes of events that are the first of their batch: its key is stored with them.
    first_of_batch: Vec<usize>,
}

impl Decided {
    fn keys<'a>(&self, batch: &'a [NewEvent], uids: Uids) -> Vec<NewKey<'a>> {
        let firsts: HashMap<(OrganizationId, &str), EventId> = self
            .first_of_batch
            .iter()
            .filter_map(|&place| {
                let new = &batch[place];
                Some(((new.event.organization_id, new.batch.as_ref()?.marker()), new.event.id))
            })
            .collect();
        let stored = batch.iter().zip(&self.events).filter(|(_, commit)| **commit == EventCommit::Stored);
        let of_uids = stored.clone().filter(|_| uids == Uids::Keyed).filter_map(|(new, _)| {
            let key = Cow::from(UidKey::of(new.uid()?));
            Some(NewKey { is_of_batch: new.idempotency.is_some(), ..new_key(new, key, &[0; 32]) })
        });
        let of_events = stored.filter_map(|(new, _)| {
            let key = new.idempotency.as_ref()?;
            let of_batch = new.batch.as_ref().map(|batch| (new.event.organization_id, batch.marker()));
            let first = of_batch.and_then(|of_batch| firsts.get(&of_batch)).copied();
            let first_of_batch = first.unwrap_or(new.event.id).0;
            Some(NewKey { first_of_batch, ..new_key(new, Cow::from(&key.key), &key.request_hash) })
        });
        let of_batches = self.first_of_batch.iter().filter_map(|&place| {
            let new = &batch[place];
            let of_batch = new.batch.as_ref()?;
            let key = Cow::from(of_batch.marker());
            Some(NewKey { is_of_batch: true, ..new_key(new, key, of_batch.request_hash()) })
        });
        of_events.chain(of_uids).chain(of_batches).collect()
    }
}

fn new_key<'a>(new: &'a NewEvent, key: Cow<'a, str>, request_hash: &'a [u8; 32]) -> NewKey<'a> {
    NewKey {
        organization_id: new.event.organization_id.0,
        key,
        request_hash,
        event_id: new.event.id.0,
        event_type: &new.event.event_type,
        occurred_at: new.event.occurred_at.0,
        delivery_count: i32::try_from(new.deliveries.len()).unwrap_or(i32::MAX),
        is_of_batch: false,
        first_of_batch: new.event.id.0,
    }
}

/// Events that are not stored whatever their keys are.
struct NotStored<'a> {
    withheld: &'a [EventId],
    /// Organizations whose events have to be matched again.
    outdated: &'a HashSet<OrganizationId>,
}

/// Decides which events of a batch are stored; a key or own id also counts for the events after it in the batch.
fn decide(batch: &[NewEvent], used: Used, not_stored: &NotStored<'_>) -> Decided {
    let Used { keys: mut used, mut uids } = used;
    let mut first_of_batch = Vec::new();
    let mut decide_one = |(place, new): (usize, &NewEvent)| {
        if not_stored.withheld.contains(&new.event.id) {
            return EventCommit::Withheld;
        }
        if not_stored.outdated.contains(&new.event.organization_id) {
            return EventCommit::Outdated;
        }
        if let Some(of_batch) = &new.batch {
            let marker = (new.event.organization_id, of_batch.marker().to_owned());
            match used.get(&marker) {
                Some(first) if first.request_hash != *of_batch.request_hash() => {
                    return EventCommit::BatchKeyReused;
                }
                Some(_) => {}
                None => {
                    first_of_batch.push(place);
                    used.insert(marker, UsedKey { request_hash: *of_batch.request_hash(), event: new.accepted() });
                }
            }
        }
        let key = new.idempotency.as_ref().map(|sent| ((new.event.organization_id, sent.key.clone()), sent));
        if let Some((key, sent)) = &key
            && let Some(first) = used.get(key)
        {
            return match first.request_hash == sent.request_hash {
                true => EventCommit::Replayed(first.event.clone()),
                false => EventCommit::KeyReused,
            };
        }
        if let Some(uid) = new.uid()
            && !uids.insert((new.event.organization_id, uid.to_owned()))
        {
            return EventCommit::KeyReused;
        }
        if let Some((key, sent)) = key {
            used.insert(key, UsedKey { request_hash: sent.request_hash, event: new.accepted() });
        }
        EventCommit::Stored
    };
    let events = batch.iter().enumerate().map(&mut decide_one).collect();
    Decided { events, first_of_batch }
}
