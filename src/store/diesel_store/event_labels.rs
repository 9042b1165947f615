//! Channels and tags of events. Those that have none, as most, cost nothing: nothing is written for them.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::super::NewEvent;
use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::label_rows::{CHANNEL, DELIVER_AT, ERASE_AT, TAG, UID, read_instant};
use super::super::schema::event_labels;
use super::query::{BoundValue, DynamicQuery, KEYS_A_QUERY};
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::labels::EventLabels;

/// In the text: only so an index of these rows alone can serve.
const IS_UID: &str = "kind = 2";

/// The channels and tags of these events of an organization.
pub(super) fn read(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    event_ids: &[i64],
) -> StoreResult<HashMap<EventId, EventLabels>> {
    let found: Vec<(i64, i16, String)> = event_labels::table
        .filter(event_labels::event_id.eq_any(event_ids))
        .filter(event_labels::organization_id.eq(organization_id.0))
        .order((event_labels::event_id, event_labels::kind, event_labels::place))
        .select((event_labels::event_id, event_labels::kind, event_labels::label))
        .load(connection)?;
    let mut labels: HashMap<EventId, EventLabels> = HashMap::new();
    for (event_id, kind, label) in found {
        let of_event = labels.entry(EventId(event_id)).or_default();
        match kind {
            TAG => of_event.tags.push(label),
            UID => of_event.uid = Some(label),
            DELIVER_AT => of_event.deliver_at = read_instant(&label),
            ERASE_AT => of_event.erase_at = read_instant(&label),
            CHANNEL => of_event.channels.push(label),
            // of a later version
            _ => {}
        }
    }
    Ok(labels)
}

/// The newest event with this own id.
pub(super) fn event_with_uid(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    uid: &str,
) -> StoreResult<Option<EventId>> {
    let found: Option<i64> = event_labels::table
        .filter(event_labels::organization_id.eq(organization_id.0))
        .filter(event_labels::label.eq(uid))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(IS_UID))
        .order(event_labels::event_id.desc())
        .select(event_labels::event_id)
        .first(connection)
        .optional()?;
    Ok(found.map(EventId))
}

/// Of the own ids of these events, those that an event has already.
pub(super) fn known_uids(
    connection: &mut AnyConnection,
    batch: &[NewEvent],
) -> StoreResult<HashSet<(OrganizationId, String)>> {
    let mut by_organization: HashMap<OrganizationId, Vec<&str>> = HashMap::new();
    for new in batch {
        if let Some(uid) = new.uid() {
            by_organization.entry(new.event.organization_id).or_default().push(uid);
        }
    }
    let mut known = HashSet::new();
    for (organization_id, uids) in by_organization {
        for uids in uids.chunks(KEYS_A_QUERY) {
            let found: Vec<String> = event_labels::table
                .filter(event_labels::organization_id.eq(organization_id.0))
                .filter(event_labels::label.eq_any(uids))
                .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(IS_UID))
                .select(event_labels::label)
                .load(connection)?;
            known.extend(found.into_iter().map(|uid| (organization_id, uid)));
        }
    }
    Ok(known)
}

/// The condition that the event in this column has a tag.
pub(super) fn and_tagged(query: &mut DynamicQuery, event_id: &str, tag: &str) {
    let condition = format!(
        "EXISTS (SELECT 1 FROM event_labels l WHERE l.event_id = {event_id} AND l.kind = 1 AND l.label = {{}})"
    );
    query.and(&condition, BoundValue::Text(tag.to_owned()));
}
