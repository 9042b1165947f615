//! The event types that organizations and the operator defined.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::models::EventTypeRow;
use super::super::schema::event_types;
use crate::domain::event_types::DefinedEventType;
use crate::domain::ids::OrganizationId;

/// Those of an organization, in the order of their names.
pub(super) fn own(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
) -> StoreResult<Vec<DefinedEventType>> {
    let rows: Vec<EventTypeRow> = event_types::table
        .filter(event_types::organization_id.eq(organization_id.0))
        .order(event_types::name)
        .select(EventTypeRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(DefinedEventType::from).collect())
}
