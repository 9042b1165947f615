//! Sessions of the dashboard.

use std::sync::Arc;

use diesel::prelude::*;

use super::super::models::{corrupt, hash_from};
use super::super::schema::dashboard_sessions::{self, dsl};
use super::super::schema::sign_in_links;
use super::super::{LinkUse, SessionStore, StoreError, StoreResult};
use super::{DieselStore, changes, sql_limit};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Role;
use crate::domain::session::{DashboardSession, LINKS_FOR_ONE, SESSIONS_FOR_ONE, SignIn, SignInLink, Visitor};
use crate::domain::time::UnixMillis;

/// Whoever is signed in with the admin key. Ids of organizations are positive.
const ADMIN: i64 = 0;

#[derive(Queryable, Selectable)]
#[diesel(table_name = dashboard_sessions)]
struct SessionRow {
    token_hash: Vec<u8>,
    organization_id: i64,
    key_hash: Vec<u8>,
    expires_at: i64,
    role: Option<String>,
    name: Option<String>,
    return_url: Option<String>,
}

impl TryFrom<SessionRow> for DashboardSession {
    type Error = StoreError;
    fn try_from(row: SessionRow) -> StoreResult<Self> {
        let SessionRow { token_hash, organization_id, key_hash, expires_at, role, name, return_url } = row;
        let began_with = match role {
            Some(role) => SignIn::Link(Arc::new(Visitor { role: role_from(&role)?, name, return_url })),
            None => SignIn::Key(hash_from(&key_hash)?),
        };
        Ok(Self {
            token_hash: hash_from(&token_hash)?,
            organization_id: (organization_id != ADMIN).then_some(OrganizationId(organization_id)),
            began_with,
            expires_at: UnixMillis(expires_at),
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = sign_in_links)]
struct LinkRow {
    token_hash: Vec<u8>,
    organization_id: i64,
    role: String,
    name: Option<String>,
    return_url: Option<String>,
    expires_at: i64,
}

impl From<&SignInLink> for LinkRow {
    fn from(link: &SignInLink) -> Self {
        let Visitor { role, name, return_url } = link.visitor.clone();
        Self {
            token_hash: link.token_hash.to_vec(),
            organization_id: link.organization_id.0,
            role: role.as_str().to_owned(),
            name,
            return_url,
            expires_at: link.expires_at.0,
        }
    }
}

impl TryFrom<LinkRow> for SignInLink {
    type Error = StoreError;
    fn try_from(row: LinkRow) -> StoreResult<Self> {
        let LinkRow { token_hash, organization_id, role, name, return_url, expires_at } = row;
        Ok(Self {
            token_hash: hash_from(&token_hash)?,
            organization_id: OrganizationId(organization_id),
            visitor: Visitor { role: role_from(&role)?, name, return_url },
            expires_at: UnixMillis(expires_at),
        })
    }
}

fn role_from(text: &str) -> StoreResult<Role> {
    Role::parse(text).ok_or_else(|| corrupt(format!("role {text}")))
}

impl SessionStore for DieselStore {
    fn begin_session(&self, session: &DashboardSession, now: UnixMillis) -> StoreResult<()> {
        let owner = session.organization_id.map_or(ADMIN, |id| id.0);
        self.writer.write(|connection| {
            if let Some(organization_id) = session.organization_id {
                changes::require_organization(connection, organization_id)?;
            }
            let (key_hash, visitor) = match &session.began_with {
                SignIn::Key(hash) => (hash.as_slice(), None),
                SignIn::Link(visitor) => (&[][..], Some(visitor)),
            };
            let row = (
                dsl::token_hash.eq(session.token_hash.as_slice()),
                dsl::organization_id.eq(owner),
                dsl::key_hash.eq(key_hash),
                dsl::expires_at.eq(session.expires_at.0),
                dsl::role.eq(visitor.map(|visitor| visitor.role.as_str())),
                dsl::name.eq(visitor.and_then(|visitor| visitor.name.as_deref())),
                dsl::return_url.eq(visitor.and_then(|visitor| visitor.return_url.as_deref())),
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
            let row: Option<SessionRow> = dashboard_sessions::table
                .find(token_hash.as_slice())
                .select(SessionRow::as_select())
                .first(connection)
                .optional()?;
            row.map(DashboardSession::try_from).transpose()
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
            let links: Vec<Vec<u8>> = sign_in_links::table
                .filter(sign_in_links::expires_at.le(now.0))
                .order(sign_in_links::expires_at)
                .limit(sql_limit(limit))
                .select(sign_in_links::token_hash)
                .load(connection)?;
            for token_hash in &links {
                diesel::delete(sign_in_links::table.find(token_hash)).execute(connection)?;
            }
            Ok(over.len().max(links.len()) >= limit)
        })
    }

    fn create_link(&self, link: &SignInLink, now: UnixMillis) -> StoreResult<()> {
        self.writer.write(|connection| {
            changes::require_organization(connection, link.organization_id)?;
            diesel::insert_into(sign_in_links::table).values(LinkRow::from(link)).execute(connection)?;
            let own = sign_in_links::organization_id.eq(link.organization_id.0);
            let over = sign_in_links::table.filter(own).filter(sign_in_links::expires_at.le(now.0));
            diesel::delete(over).execute(connection)?;
            let above: Vec<Vec<u8>> = sign_in_links::table
                .filter(own)
                .order((sign_in_links::expires_at.desc(), sign_in_links::token_hash))
                .offset(sql_limit(LINKS_FOR_ONE))
                .limit(sql_limit(LINKS_FOR_ONE))
                .select(sign_in_links::token_hash)
                .load(connection)?;
            for token_hash in above {
                diesel::delete(sign_in_links::table.find(token_hash)).execute(connection)?;
            }
            Ok(())
        })
    }

    fn use_link(&self, token_hash: &[u8; 32], now: UnixMillis) -> StoreResult<LinkUse> {
        // whoever guesses must not keep the writer busy
        let found = self.key_readers.read(|connection| {
            let link = sign_in_links::table.find(token_hash.as_slice()).select(sign_in_links::expires_at);
            Ok(link.first::<i64>(connection).optional()?)
        })?;
        if found.is_none() {
            return Ok(LinkUse::Unknown);
        }
        self.writer.write(|connection| {
            let link = sign_in_links::table.find(token_hash.as_slice());
            let row: Option<LinkRow> = link.select(LinkRow::as_select()).first(connection).optional()?;
            let Some(row) = row else { return Ok(LinkUse::Unknown) };
            // of two that use it at once, one waits here for the other
            let unused = link.filter(sign_in_links::used_at.is_null()).filter(sign_in_links::expires_at.gt(now.0));
            let used = diesel::update(unused).set(sign_in_links::used_at.eq(now.0)).execute(connection)?;
            let link = SignInLink::try_from(row)?;
            Ok(if used > 0 { LinkUse::First(link) } else { LinkUse::Refused(link) })
        })
    }
}
