//! The rows of an event's channels, tags and times, as a commit stores them.

use std::borrow::Cow;

use diesel::prelude::*;

use super::NewEvent;
use super::schema::event_labels;
use crate::domain::time::UnixMillis;

pub(super) const CHANNEL: i16 = 0;
/// As in the index `event_labels_tag`.
pub(super) const TAG: i16 = 1;
/// The publisher's own id of the event; as in the index `event_labels_uid`.
pub(super) const UID: i16 = 2;
/// When its first attempts are due.
pub(super) const DELIVER_AT: i16 = 3;
/// When its payload is forgotten; as in the index `event_labels_erase_at`.
pub(super) const ERASE_AT: i16 = 4;

/// An instant as a label: as a text it has the order of time.
pub(super) fn instant_label(at: UnixMillis) -> String {
    format!("{:013}", at.0)
}

/// Reads an instant.
pub(super) fn read_instant(label: &str) -> Option<UnixMillis> {
    label.parse().ok().map(UnixMillis)
}

/// A channel, tag or time of a new event.
#[derive(Insertable)]
#[diesel(table_name = event_labels)]
pub(super) struct LabelRow<'a> {
    pub(super) event_id: i64,
    pub(super) kind: i16,
    pub(super) place: i16,
    pub(super) organization_id: i64,
    pub(super) label: Cow<'a, str>,
}

/// The rows of an event; none for most.
pub(super) fn rows(new: &NewEvent) -> impl Iterator<Item = LabelRow<'_>> {
    let row = move |kind, place, label| LabelRow {
        event_id: new.event.id.0,
        kind,
        place,
        organization_id: new.event.organization_id.0,
        label,
    };
    let texts = new.labels.iter().flat_map(|labels| {
        [(CHANNEL, labels.channels.as_slice()), (TAG, &labels.tags), (UID, labels.uid.as_slice())]
    });
    let texts = texts.flat_map(move |(kind, texts)| {
        // there are at most ten
        texts.iter().zip(0..).map(move |(label, place)| row(kind, place, Cow::Borrowed(label.as_str())))
    });
    let times =
        new.labels.iter().flat_map(|labels| [(DELIVER_AT, labels.deliver_at), (ERASE_AT, labels.erase_at)]);
    let times = times.filter_map(move |(kind, at)| at.map(|at| row(kind, 0, Cow::Owned(instant_label(at)))));
    texts.chain(times)
}
