//! The rows of an event's channels and tags, as a commit stores them.

use diesel::prelude::*;

use super::NewEvent;
use super::schema::event_labels;

pub(super) const CHANNEL: i16 = 0;
/// As in the index `event_labels_tag`.
pub(super) const TAG: i16 = 1;
/// The publisher's own id of the event; as in the index `event_labels_uid`.
pub(super) const UID: i16 = 2;

/// A channel or tag of a new event.
#[derive(Insertable)]
#[diesel(table_name = event_labels)]
pub(super) struct LabelRow<'a> {
    pub(super) event_id: i64,
    pub(super) kind: i16,
    pub(super) place: i16,
    pub(super) organization_id: i64,
    pub(super) label: &'a str,
}

/// The rows of an event; none for most.
pub(super) fn rows(new: &NewEvent) -> impl Iterator<Item = LabelRow<'_>> {
    let labels = new.labels.iter().flat_map(|labels| {
        [(CHANNEL, labels.channels.as_slice()), (TAG, &labels.tags), (UID, labels.uid.as_slice())]
    });
    labels.flat_map(move |(kind, texts)| {
        // there are at most ten
        texts.iter().zip(0..).map(move |(label, place)| LabelRow {
            event_id: new.event.id.0,
            kind,
            place,
            organization_id: new.event.organization_id.0,
            label,
        })
    })
}
