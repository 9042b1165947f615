//! Sessions of the dashboard.

use diesel::prelude::*;

use super::super::models::hash_from;
use super::super::schema::dashboard_sessions::{self, dsl};
use super::super::{SessionStore, StoreResult};
use super::{DieselStore, changes, sql_limit};
use crate::domain::ids::OrganizationId;
use crate::domain::session::{DashboardSession, SESSIONS_FOR_ONE};
use crate::domain::time::UnixMillis;

/// Whoever is signed in with the admin key. Ids of organizations are positive.
const ADMIN: i64 = 0;

impl SessionStore for DieselStore {
    fn begin_session(&self, session: &DashboardSession, now: UnixMillis) -> StoreResult<()> {
        let owner = session.organization_id.map_or(ADMIN, |id| id.0);
        self.writer.write(|connection| {
            if let Some(organization_id) = session.organization_id {
                changes::require_organization(connection, organization_id)?;
            }
            let row = (
                dsl::token_hash.eq(session.token_hash.as_slice()),
                dsl::organization_id.eq(owner),
                dsl::key_hash.eq(session.key_hash.as_slice()),
                dsl::expires_at.eq(session.expires_at.0),
            );
            diesel::insert_into(dashboard_sessions::table).values(row).execute(connection)?;
            let own = dsl::organization_id.eq(owner);
            diesel::delete(dashboard_sessions::table.filter(own).filter(dsl::expires_at.le(now.0)))
                .execute(connection)?;
            let above: Vec<Vec<u8>> = dashboard_sessions::table
                .filter(own)
                .order((dsl::expires_at.desc(), dsl::token_hash))
                .offset(sql_limit(SESSIONS_FOR_ONE))
                .limit(sql_limit(SESSIONS_FOR_ONE))
                .select(dsl::token_hash)
                .load(connection)?;
            for token_hash in above {
                diesel::delete(dashboard_sessions::table.find(token_hash)).execute(connection)?;
            }
            Ok(())
        })
    }

    fn session(&self, token_hash: &[u8; 32]) -> StoreResult<Option<DashboardSession>> {
        self.key_readers.read(|connection| {
            let row: Option<(i64, Vec<u8>, i64)> = dashboard_sessions::table
                .find(token_hash.as_slice())
                .select((dsl::organization_id, dsl::key_hash, dsl::expires_at))
                .first(connection)
                .optional()?;
            let Some((owner, key_hash, expires_at)) = row else { return Ok(None) };
            Ok(Some(DashboardSession {
                token_hash: *token_hash,
                organization_id: (owner != ADMIN).then_some(OrganizationId(owner)),
                key_hash: hash_from(&key_hash)?,
                expires_at: UnixMillis(expires_at),
            }))
        })
    }

    fn end_session(&self, token_hash: &[u8; 32]) -> StoreResult<()> {
        self.writer.write(|connection| {
            diesel::delete(dashboard_sessions::table.find(token_hash.as_slice())).execute(connection)?;
            Ok(())
        })
    }

    fn prune_sessions(&self, now: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let over: Vec<Vec<u8>> = dashboard_sessions::table
                .filter(dsl::expires_at.le(now.0))
                .order(dsl::expires_at)
                .limit(sql_limit(limit))
                .select(dsl::token_hash)
                .load(connection)?;
            for token_hash in &over {
                diesel::delete(dashboard_sessions::table.find(token_hash)).execute(connection)?;
            }
            Ok(over.len() >= limit)
        })
    }
}
