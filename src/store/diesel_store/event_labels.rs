//! Channels and tags of events. Those that have none, as most, cost nothing: nothing is written for them.

use std::collections::HashMap;

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::label_rows::{CHANNEL, DELIVER_AT, ERASE_AT, TAG, UID, read_instant};
use super::super::schema::event_labels;
use super::query::{BoundValue, DynamicQuery};
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::labels::EventLabels;

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
        // in the text: only so an index of these rows alone can serve
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("kind = 2"))
        .order(event_labels::event_id.desc())
        .select(event_labels::event_id)
        .first(connection)
        .optional()?;
    Ok(found.map(EventId))
}

/// The condition that the event in this column has a tag.
pub(super) fn and_tagged(query: &mut DynamicQuery, event_id: &str, tag: &str) {
    let condition = format!(
        "EXISTS (SELECT 1 FROM event_labels l WHERE l.event_id = {event_id} AND l.kind = 1 AND l.label = {{}})"
    );
    query.and(&condition, BoundValue::Text(tag.to_owned()));
}
