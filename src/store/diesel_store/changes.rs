//! The log of changed settings in its tables.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt};

use super::super::changes::{CHANGES_KEPT, ChangeNumber, ChangeStore, Changed, ChangesSince, SettingChange};
use super::super::connection::AnyConnection;
use super::super::schema::{counters, organizations, setting_changes};
use super::super::{StoreError, StoreResult};
use super::{DieselStore, event_types, sql_limit};
use crate::domain::event_types::DefinedEventType;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::BodyShape;

const COUNTER: &str = "setting_changes";

/// One round trip. Others who change settings wait at the counter's row until this transaction has ended, so that numbers
/// are in the order of commits.
const ADD_LINE: &str = "
    WITH next AS (UPDATE counters SET value = value + 1 WHERE name = 'setting_changes' RETURNING value),
         removed AS (DELETE FROM setting_changes WHERE number <= (SELECT value FROM next) - $1)
    INSERT INTO setting_changes (number, organization_id, kind, endpoint_id) SELECT value, $2, $3, $4 FROM next";

/// Adds a line, in the transaction of the change and as late as possible: see [`ADD_LINE`].
pub(super) fn add(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    what: Changed,
) -> StoreResult<()> {
    let (kind, endpoint_id) = what.columns();
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            let counter = counters::table.find(COUNTER);
            diesel::update(counter).set(counters::value.eq(counters::value + 1)).execute(sqlite)?;
            let number: i64 = counter.select(counters::value).first(sqlite)?;
            let row = (
                setting_changes::number.eq(number),
                setting_changes::organization_id.eq(organization_id.0),
                setting_changes::kind.eq(kind),
                setting_changes::endpoint_id.eq(endpoint_id),
            );
            diesel::insert_into(setting_changes::table).values(row).execute(sqlite)?;
            let old = setting_changes::table.filter(setting_changes::number.le(number - CHANGES_KEPT));
            diesel::delete(old).execute(sqlite)?;
        }
        AnyConnection::Postgres(postgres) => {
            diesel::sql_query(ADD_LINE)
                .bind::<BigInt, _>(CHANGES_KEPT)
                .bind::<BigInt, _>(organization_id.0)
                .bind::<SmallInt, _>(kind)
                .bind::<Nullable<BigInt>, _>(endpoint_id)
                .execute(postgres)?;
        }
    }
    Ok(())
}

/// The organizations with lines behind `after`.
pub(super) fn organizations_since(
    connection: &mut AnyConnection,
    after: ChangeNumber,
) -> StoreResult<HashSet<OrganizationId>> {
    let later = setting_changes::table.filter(setting_changes::number.gt(after.0));
    let ids: Vec<i64> = later.select(setting_changes::organization_id).load(connection)?;
    Ok(ids.into_iter().map(OrganizationId).collect())
}

impl ChangeStore for DieselStore {
    // the writer has one connection; another one renews the fence on PostgreSQL, which waits for what the last had begun and
    // lets nothing of it begin any more
    fn wait_until_decided(&self) -> StoreResult<()> {
        self.writer.run(|_| Ok(()))
    }

    fn last_change(&self) -> StoreResult<ChangeNumber> {
        self.engine_readers.read(|connection| {
            let last: i64 = counters::table.find(COUNTER).select(counters::value).first(connection)?;
            Ok(ChangeNumber(last))
        })
    }

    fn changes_since(&self, after: ChangeNumber, limit: usize) -> StoreResult<ChangesSince> {
        let rows: Vec<(i64, i64, i16, Option<i64>)> = self.engine_readers.read(|connection| {
            let later = setting_changes::table.filter(setting_changes::number.gt(after.0));
            Ok(later.order(setting_changes::number).limit(sql_limit(limit)).load(connection)?)
        })?;
        // the next line is missing if it was removed in the meantime
        if rows.first().is_some_and(|(number, ..)| *number != after.0 + 1) {
            self.event_cache.clear();
            return Ok(ChangesSince::Everything);
        }
        let lines = rows.into_iter().map(|(number, organization_id, kind, endpoint_id)| {
            let what = Changed::from_columns(kind, endpoint_id)?;
            let (number, organization_id) = (ChangeNumber(number), OrganizationId(organization_id));
            Some(SettingChange { number, organization_id, what })
        });
        let lines: Option<Vec<SettingChange>> = lines.collect();
        for line in lines.iter().flatten() {
            if let Changed::PayloadErased(id) = line.what {
                self.event_cache.forget(id);
            }
        }
        Ok(lines.map_or(ChangesSince::Everything, ChangesSince::Lines))
    }

    fn verbatim_organizations(&self) -> StoreResult<Vec<OrganizationId>> {
        self.engine_readers.read(|connection| {
            let verbatim = organizations::table.filter(organizations::body.eq(BodyShape::Verbatim as i16));
            let ids: Vec<i64> = verbatim.select(organizations::id).load(connection)?;
            Ok(ids.into_iter().map(OrganizationId).collect())
        })
    }

    fn is_verbatim(&self, organization_id: OrganizationId) -> StoreResult<bool> {
        self.engine_readers.read(|connection| {
            let row = organizations::table.find(organization_id.0).select(organizations::body);
            let body: Option<i16> = row.first(connection).optional()?;
            Ok(body == Some(BodyShape::Verbatim as i16))
        })
    }

    fn event_types_now(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>> {
        self.engine_readers.read(|connection| event_types::own(connection, organization_id))
    }
}

/// Refuses a change in an organization that does not exist (any more). Its row stays until the change has ended: a deletion
/// waits for it, and then finds what was made.
pub(super) fn require_organization(connection: &mut AnyConnection, id: OrganizationId) -> StoreResult<()> {
    let row = organizations::table.find(id.0).select(organizations::id);
    let found: Option<i64> = match connection {
        AnyConnection::Sqlite(sqlite) => row.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => row.for_key_share().first(postgres).optional()?,
    };
    found.map(|_| ()).ok_or(StoreError::NoSuchOrganization)
}
