//! The end of an application's tokens, and of what came in by its sign-in links.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::changes::Changed;
use super::super::connection::AnyConnection;
use super::super::schema::{dashboard_sessions, organizations, sign_in_links};
use super::{DieselStore, changes};
use crate::domain::ids::OrganizationId;
use crate::domain::svix::{EndingTokens, TokenEnds};
use crate::domain::time::UnixMillis;

/// Of an organization's row.
pub(super) const COLUMNS: (
    organizations::tokens_valid_from,
    organizations::tokens_ending_before,
    organizations::tokens_end_at,
) = (organizations::tokens_valid_from, organizations::tokens_ending_before, organizations::tokens_end_at);

/// As they are read.
pub(super) type Columns = (Option<i64>, Option<i64>, Option<i64>);

/// What they say.
pub(super) fn ends((valid_from, made_before, end_at): Columns) -> TokenEnds {
    let ending = made_before.zip(end_at).map(|(made_before, end_at)| EndingTokens {
        made_before: UnixMillis(made_before),
        end_at: UnixMillis(end_at),
    });
    TokenEnds { valid_from: valid_from.map(UnixMillis), ending }
}

impl DieselStore {
    /// See [`SvixStore::end_tokens`](super::super::SvixStore::end_tokens).
    pub(super) fn end_tokens_of(
        &self,
        id: OrganizationId,
        more: EndingTokens,
        now: UnixMillis,
    ) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let row = organizations::table.find(id.0).select(COLUMNS);
            let known: Option<Columns> = match connection {
                AnyConnection::Sqlite(sqlite) => row.first(sqlite).optional()?,
                AnyConnection::Postgres(postgres) => row.for_no_key_update().first(postgres).optional()?,
            };
            let Some(known) = known else { return Ok(false) };
            let TokenEnds { valid_from, ending } = ends(known).with(more, now);
            diesel::update(organizations::table.find(id.0))
                .set((
                    organizations::tokens_valid_from.eq(valid_from.map(|at| at.0)),
                    organizations::tokens_ending_before.eq(ending.map(|ending| ending.made_before.0)),
                    organizations::tokens_end_at.eq(ending.map(|ending| ending.end_at.0)),
                ))
                .execute(connection)?;
            end_visits(connection, id, more.end_at)?;
            self.record(connection)?;
            changes::add(connection, id, Changed::Organization)?;
            Ok(true)
        })
    }
}

fn end_visits(connection: &mut AnyConnection, id: OrganizationId, end_at: UnixMillis) -> StoreResult<()> {
    diesel::delete(sign_in_links::table.filter(sign_in_links::organization_id.eq(id.0))).execute(connection)?;
    let longer = dashboard_sessions::table
        .filter(dashboard_sessions::organization_id.eq(id.0))
        // only those that began with a link have one
        .filter(dashboard_sessions::role.is_not_null())
        .filter(dashboard_sessions::expires_at.gt(end_at.0));
    diesel::update(longer).set(dashboard_sessions::expires_at.eq(end_at.0)).execute(connection)?;
    Ok(())
}
