//! The event types that organizations and the operator defined.

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::models::EventTypeRow;
use super::super::schema::event_types;
use super::super::{Changed, StoreResult};
use super::changes;
use crate::domain::event_types::{CATALOGUE, DefinedEventType};
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

/// Adds one; an organization that it belongs to must exist.
pub(super) fn insert(connection: &mut AnyConnection, event_type: &DefinedEventType) -> StoreResult<()> {
    let owner = event_type.organization_id;
    if owner != CATALOGUE {
        changes::require_organization(connection, owner)?;
    }
    diesel::insert_into(event_types::table).values(EventTypeRow::from(event_type)).execute(connection)?;
    changes::add(connection, owner, Changed::EventTypes)
}
