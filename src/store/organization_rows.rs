//! Rows of organizations.

use diesel::prelude::*;

use super::models::{corrupt, header_style, header_style_code, metadata_text, svix_id};
use super::schema::organizations;
use super::{StoreError, StoreResult};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{BodyShape, Organization, OrganizationChange, OrganizationUid};
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = organizations)]
pub(super) struct OrganizationRow {
    id: i64,
    name: String,
    created_at: i64,
    uid: Option<String>,
    metadata: Option<String>,
    body: i16,
    header_style: i16,
    environment: String,
    rate_limit: Option<i32>,
    updated_at: Option<i64>,
    tokens_valid_from: Option<i64>,
    svix_id: Option<String>,
}

/// The shapes in their order in the column.
fn body_shape(code: i16) -> StoreResult<BodyShape> {
    let shape = usize::try_from(code).ok().and_then(|code| BodyShape::ALL.get(code));
    shape.copied().ok_or_else(|| corrupt(format!("body {code}")))
}

impl From<&Organization> for OrganizationRow {
    fn from(organization: &Organization) -> Self {
        Self {
            id: organization.id.0,
            name: organization.name.clone(),
            created_at: organization.created_at.0,
            uid: organization.uid.as_ref().map(ToString::to_string),
            metadata: metadata_text(&organization.metadata),
            body: organization.body as i16,
            header_style: header_style_code(organization.header_style),
            environment: organization.environment.stored().to_owned(),
            rate_limit: organization.rate_limit.map(i32::from),
            updated_at: organization.updated_at.map(|at| at.0),
            tokens_valid_from: organization.tokens_valid_from.map(|at| at.0),
            svix_id: organization.svix_id.as_ref().map(ToString::to_string),
        }
    }
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = StoreError;
    fn try_from(row: OrganizationRow) -> StoreResult<Self> {
        let environment = Environment::of_stored(row.environment);
        let read =
            |uid: String| OrganizationUid::parse_in(&environment, &uid).map_err(|_| corrupt(format!("uid {uid}")));
        let uid = row.uid.map(read).transpose()?;
        let metadata = row.metadata.map(|text| serde_json::from_str(&text).map_err(corrupt)).transpose()?;
        Ok(Self {
            id: OrganizationId(row.id),
            uid,
            name: row.name,
            metadata: metadata.unwrap_or_default(),
            body: body_shape(row.body)?,
            header_style: header_style(row.header_style),
            environment,
            rate_limit: row.rate_limit.and_then(|limit| u16::try_from(limit).ok()),
            created_at: UnixMillis(row.created_at),
            updated_at: row.updated_at.map(UnixMillis),
            tokens_valid_from: row.tokens_valid_from.map(UnixMillis),
            svix_id: row.svix_id.as_deref().map(svix_id).transpose()?,
        })
    }
}

/// The columns that an [`OrganizationChange`] sets.
#[derive(AsChangeset)]
#[diesel(table_name = organizations)]
pub(super) struct OrganizationChangeset {
    name: Option<String>,
    uid: Option<Option<String>>,
    metadata: Option<Option<String>>,
    body: Option<i16>,
    rate_limit: Option<Option<i32>>,
    updated_at: Option<i64>,
    tokens_valid_from: Option<i64>,
}

impl OrganizationChangeset {
    /// `None` when there is nothing to set.
    pub(super) fn of(change: &OrganizationChange) -> Option<Self> {
        let OrganizationChange { name, uid, metadata, body, rate_limit, updated_at, tokens_valid_from } = change;
        (*change != OrganizationChange::default()).then(|| Self {
            name: name.clone(),
            uid: uid.as_ref().map(|uid| uid.as_ref().map(ToString::to_string)),
            metadata: metadata.as_ref().map(metadata_text),
            body: body.map(|shape| shape as i16),
            rate_limit: rate_limit.map(|limit| limit.map(i32::from)),
            updated_at: updated_at.map(|at| at.0),
            tokens_valid_from: tokens_valid_from.map(|at| at.0),
        })
    }
}
