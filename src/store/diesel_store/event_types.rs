//! Event types that organizations added.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::models::EventTypeRow;
use super::super::schema::event_types;
use super::sql_limit;
use crate::domain::event_types::OwnEventType;
use crate::domain::ids::OrganizationId;

pub(super) fn create(connection: &mut AnyConnection, event_type: &OwnEventType) -> StoreResult<()> {
    diesel::insert_into(event_types::table).values(EventTypeRow::from(event_type)).execute(connection)?;
    Ok(())
}

pub(super) fn list(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
) -> StoreResult<Vec<OwnEventType>> {
    let rows: Vec<EventTypeRow> = event_types::table
        .filter(event_types::organization_id.eq(organization_id.0))
        .order(event_types::name)
        .select(EventTypeRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(OwnEventType::from).collect())
}

pub(super) fn delete(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    name: &str,
) -> StoreResult<bool> {
    let own = event_types::table
        .filter(event_types::organization_id.eq(organization_id.0))
        .filter(event_types::name.eq(name));
    Ok(diesel::delete(own).execute(connection)? > 0)
}

pub(super) fn scan(
    connection: &mut AnyConnection,
    after: Option<(OrganizationId, &str)>,
    limit: usize,
) -> StoreResult<Vec<OwnEventType>> {
    let (organization_id, name) = after.map_or((i64::MIN, ""), |(id, name)| (id.0, name));
    let further_of_it = event_types::organization_id.eq(organization_id).and(event_types::name.gt(name));
    let rows: Vec<EventTypeRow> = event_types::table
        .filter(event_types::organization_id.gt(organization_id).or(further_of_it))
        .order((event_types::organization_id, event_types::name))
        .limit(sql_limit(limit))
        .select(EventTypeRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(OwnEventType::from).collect())
}
