//! A change of the master key.

use diesel::prelude::*;

use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::super::encrypted_rows::encrypted_rows;
use super::super::models::corrupt;
use super::super::schema::{endpoints, master_key, svix_answers};
use super::super::{StoreError, StoreResult};
use super::DieselStore;
use crate::domain::ids::{EndpointId, OrganizationId};

/// Endpoints per transaction. Each has at most five encrypted values.
const ENDPOINTS_A_BATCH: i64 = 200;

/// The table has one row.
const THE_ONE: i16 = 1;

impl DieselStore {
    /// Encrypts under `new` every value that is under the key of this store. A value already under `new` is
    /// left alone, so that a second run finishes an interrupted one. Calls `progress` with the number of
    /// endpoints changed so far, and returns the total.
    pub(in crate::store) fn reencrypt(&self, new: &Cipher, progress: &mut dyn FnMut(usize)) -> StoreResult<usize> {
        let known = self.writer.write(|connection| {
            Ok(master_key::table.select(master_key::key_id).first::<String>(connection).optional()?)
        })?;
        if let Some(known) = known.filter(|known| ![self.cipher.key_id(), new.key_id()].contains(known)) {
            return Err(other_key(&known, &self.cipher.key_id()));
        }
        let mut changed = 0;
        let mut after = i64::MIN;
        loop {
            let batch = self.writer.write(|connection| reencrypt_batch(connection, &self.cipher, new, after))?;
            let Some(last) = batch.last else { break };
            after = last;
            changed += batch.changed;
            progress(changed);
        }
        self.writer.write(|connection| {
            // of requests that are repeated, if at all, within seconds
            diesel::delete(svix_answers::table).execute(connection)?;
            let row = (master_key::id.eq(THE_ONE), master_key::key_id.eq(new.key_id()));
            diesel::delete(master_key::table).execute(connection)?;
            diesel::insert_into(master_key::table).values(row).execute(connection)?;
            Ok(())
        })?;
        Ok(changed)
    }

    /// Refuses a master key that is not the one of this database: its secrets could not be read, and those that it writes by no
    /// other node. The first start decides.
    pub(in crate::store) fn require_master_key(&self) -> StoreResult<()> {
        let configured = self.cipher.key_id();
        let expected = self.writer.write(|connection| {
            let known = master_key::table.select(master_key::key_id);
            if let Some(known) = known.first::<String>(connection).optional()? {
                return Ok(Some(known));
            }
            // of a version from before: its secrets decide, and are read later
            let secret = endpoints::table.filter(endpoints::deleted_at.is_null()).select(endpoints::secret);
            let secret: Option<Vec<u8>> = secret.first(connection).optional()?;
            if secret.is_some_and(|secret| !self.cipher.sealed(&secret)) {
                return Ok(None);
            }
            let row = (master_key::id.eq(THE_ONE), master_key::key_id.eq(&configured));
            let insert = diesel::insert_into(master_key::table).values(row);
            match connection {
                AnyConnection::Sqlite(sqlite) => insert.on_conflict_do_nothing().execute(sqlite)?,
                // of two that start at once one waits here for the other
                AnyConnection::Postgres(postgres) => insert.on_conflict_do_nothing().execute(postgres)?,
            };
            Ok(Some(known.first::<String>(connection)?))
        })?;
        match expected {
            Some(expected) if expected != configured => Err(other_key(&expected, &configured)),
            _ => Ok(()),
        }
    }
}

fn other_key(expected: &str, configured: &str) -> StoreError {
    StoreError::Refused(format!(
        "this database is used with the master key whose id is {expected}, the configured one has the id {configured}; \
         every node, and every start, needs the same master key (`ringback master-key rotate` changes it)"
    ))
}

struct ReencryptedBatch {
    changed: usize,
    last: Option<i64>,
}

fn reencrypt_batch(
    connection: &mut AnyConnection,
    old: &Cipher,
    new: &Cipher,
    after: i64,
) -> StoreResult<ReencryptedBatch> {
    let rows = encrypted_rows(connection, (after, i64::MAX), ENDPOINTS_A_BATCH)?;
    let mut batch = ReencryptedBatch { changed: 0, last: rows.last().map(|(id, ..)| *id) };
    for (id, organization_id, secret, previous_secret, older_secrets, headers, credentials) in rows {
        let optional = [&previous_secret, &older_secrets, &headers, &credentials];
        let sealed = [Some(&secret)].into_iter().chain(optional.map(Option::as_ref));
        if sealed.flatten().all(|envelope| new.sealed(envelope)) {
            continue;
        }
        let (owner, endpoint_id) = (OrganizationId(organization_id), EndpointId(id));
        let renew = |envelope: Vec<u8>| {
            if new.sealed(&envelope) {
                return Ok(envelope);
            }
            let plain = old.decrypt(owner, endpoint_id, &envelope);
            let plain = plain.map_err(|error| corrupt(format!("{endpoint_id}: {error}")))?;
            StoreResult::Ok(new.encrypt(owner, endpoint_id, &plain)?)
        };
        diesel::update(endpoints::table.find(id))
            .set((
                endpoints::secret.eq(renew(secret)?),
                endpoints::previous_secret.eq(previous_secret.map(renew).transpose()?),
                endpoints::older_secrets.eq(older_secrets.map(renew).transpose()?),
                endpoints::headers.eq(headers.map(renew).transpose()?),
                endpoints::credentials.eq(credentials.map(renew).transpose()?),
            ))
            .execute(connection)?;
        batch.changed += 1;
    }
    Ok(batch)
}
