//! Which of an organization's events a query reads, and through which index.

use super::super::connection::AnyConnection;
use super::query::{BoundValue, DynamicQuery, indexed_by};
use crate::domain::delivery::DeliveryFilter;
use crate::domain::event::EventFilter;
use crate::domain::ids::{EventId, OrganizationId};

/// The index for the most selective part of a filter. A query adds the condition on the type itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventsBy<'a> {
    Organization,
    Type,
    Tag(&'a str),
    Id(EventId),
}

impl<'a> EventsBy<'a> {
    pub(super) fn of_deliveries(filter: &'a DeliveryFilter) -> Self {
        match filter.event_id {
            Some(id) => Self::Id(id),
            None => Self::of(filter.tag.as_deref(), filter.event_type.as_deref()),
        }
    }

    pub(super) fn of_events(filter: &'a EventFilter) -> Self {
        Self::of(filter.tag.as_deref(), filter.event_type.as_deref())
    }

    fn of(tag: Option<&'a str>, event_type: Option<&str>) -> Self {
        match (tag, event_type) {
            (Some(tag), _) => Self::Tag(tag),
            (None, Some(_)) => Self::Type,
            (None, None) => Self::Organization,
        }
    }

    /// What stands behind `FROM`: the events `e`, and before them what leads to them.
    pub(super) fn tables(self, connection: &AnyConnection) -> String {
        let indexed = |table: &str, index| format!("{table}{}", indexed_by(connection, index));
        match self {
            Self::Organization => indexed("events e", "events_organization"),
            Self::Type => indexed("events e", "events_type"),
            Self::Tag(_) => format!("{} CROSS JOIN events e", indexed("event_labels t", "event_labels_tag")),
            Self::Id(_) => String::from("events e"),
        }
    }

    /// The event's id in the index, for ranges and orders.
    pub(super) fn id(self) -> &'static str {
        if matches!(self, Self::Tag(_)) { "t.event_id" } else { "e.id" }
    }

    /// The conditions that select its events, those of the organization among them.
    pub(super) fn restrict(self, query: &mut DynamicQuery, organization_id: OrganizationId) {
        match self {
            Self::Organization | Self::Type => {
                query.and("e.organization_id = {}", BoundValue::Number(organization_id.0));
            }
            Self::Tag(tag) => {
                query.and("t.kind = 1 AND t.organization_id = {}", BoundValue::Number(organization_id.0));
                query.and("t.label = {} AND e.id = t.event_id", BoundValue::Text(tag.to_owned()));
            }
            Self::Id(id) => {
                query.and("e.id = {}", BoundValue::Number(id.0));
                query.and("+e.organization_id = {}", BoundValue::Number(organization_id.0));
            }
        }
    }
}
