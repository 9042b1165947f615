//! The log of changes in its table.

use std::sync::Arc;

use diesel::prelude::*;
use serde_json::Value;

use super::super::audit::AuditStore;
use super::super::connection::AnyConnection;
use super::super::models::{corrupt, id_bound};
use super::super::schema::audit_log;
use super::super::{PageRequest, Store, StoreError, StoreResult};
use super::{DieselStore, sql_limit};
use crate::domain::audit::{Actor, AuditAction, AuditEntry};
use crate::domain::ids::{AuditId, KeyId, OrganizationId};
use crate::domain::organization::Role;
use crate::domain::time::UnixMillis;

const ADMIN_KEY: i16 = 0;
const KEY: i16 = 1;
const SIGN_IN: i16 = 2;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
struct AuditRow {
    id: i64,
    organization_id: i64,
    at: i64,
    actor: i16,
    actor_key_id: Option<i64>,
    actor_role: Option<String>,
    actor_name: Option<String>,
    action: String,
    subject: String,
    before: Option<String>,
    after: Option<String>,
}

/// The organization of an entry in its row: 0 for the deployment's.
fn owner_column(organization_id: Option<OrganizationId>) -> i64 {
    organization_id.map_or(0, |id| id.0)
}

impl From<&AuditEntry> for AuditRow {
    fn from(entry: &AuditEntry) -> Self {
        let (actor, key_id, role, name) = match &entry.actor {
            Actor::AdminKey => (ADMIN_KEY, None, None, None),
            Actor::Key { key_id, role } => (KEY, Some(key_id.0), Some(*role), None),
            Actor::SignIn { name, role } => (SIGN_IN, None, Some(*role), name.clone()),
        };
        Self {
            id: entry.id.0,
            organization_id: owner_column(entry.organization_id),
            at: entry.at.0,
            actor,
            actor_key_id: key_id,
            actor_role: role.map(|role| role.as_str().to_owned()),
            actor_name: name,
            action: entry.action.as_str().to_owned(),
            subject: entry.subject.clone(),
            before: entry.before.as_ref().map(Value::to_string),
            after: entry.after.as_ref().map(Value::to_string),
        }
    }
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;
    fn try_from(row: AuditRow) -> StoreResult<Self> {
        let role = row.actor_role.as_deref().and_then(Role::parse);
        let actor = match (row.actor, row.actor_key_id, role) {
            (ADMIN_KEY, ..) => Actor::AdminKey,
            (KEY, Some(id), Some(role)) => Actor::Key { key_id: KeyId(id), role },
            (SIGN_IN, _, Some(role)) => Actor::SignIn { name: row.actor_name, role },
            (other, ..) => return Err(corrupt(format!("actor {other} of entry {}", row.id))),
        };
        let view =
            |text: Option<String>| text.map(|text| serde_json::from_str(&text).map_err(corrupt)).transpose();
        Ok(Self {
            id: AuditId(row.id),
            organization_id: (row.organization_id != 0).then_some(OrganizationId(row.organization_id)),
            at: UnixMillis(row.at),
            actor,
            action: AuditAction::parse(&row.action).ok_or_else(|| corrupt(format!("action {}", row.action)))?,
            subject: row.subject,
            before: view(row.before)?,
            after: view(row.after)?,
        })
    }
}

impl DieselStore {
    /// Writes the entry of this view of the store, if it has one, in the transaction of the change.
    pub(super) fn record(&self, connection: &mut AnyConnection) -> StoreResult<()> {
        if let Some(entry) = &self.entry {
            diesel::insert_into(audit_log::table).values(AuditRow::from(entry)).execute(connection)?;
        }
        Ok(())
    }
}

/// Removes entries of a deleted organization, at most `limit`; returns how many.
pub(super) fn delete(connection: &mut AnyConnection, id: OrganizationId, limit: usize) -> StoreResult<usize> {
    let own = audit_log::table.filter(audit_log::organization_id.eq(id.0));
    let ids: Vec<i64> = own.limit(sql_limit(limit)).select(audit_log::id).load(connection)?;
    Ok(diesel::delete(audit_log::table.filter(audit_log::id.eq_any(ids))).execute(connection)?)
}

impl AuditStore for DieselStore {
    fn recording(&self, entry: AuditEntry) -> Arc<dyn Store> {
        Arc::new(Self { shared: Arc::clone(&self.shared), entry: Some(entry) })
    }

    fn audit_log(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<AuditEntry>> {
        self.readers.read(|connection| {
            let rows: Vec<AuditRow> = audit_log::table
                .filter(audit_log::organization_id.eq(owner_column(owner)))
                .filter(audit_log::id.lt(page.before_id.unwrap_or(i64::MAX)))
                .order(audit_log::id.desc())
                .limit(sql_limit(page.limit))
                .select(AuditRow::as_select())
                .load(connection)?;
            rows.into_iter().map(AuditEntry::try_from).collect()
        })
    }

    fn prune_audit_log(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let old = audit_log::table.filter(audit_log::id.lt(id_bound(before))).order(audit_log::id);
            let ids: Vec<i64> = old.limit(sql_limit(limit)).select(audit_log::id).load(connection)?;
            let removed =
                diesel::delete(audit_log::table.filter(audit_log::id.eq_any(ids))).execute(connection)?;
            Ok(removed >= limit)
        })
    }
}
