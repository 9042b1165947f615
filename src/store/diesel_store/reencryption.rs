//! A change of the master key.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::super::models::corrupt;
use super::super::schema::endpoints;
use super::DieselStore;
use crate::domain::ids::{EndpointId, OrganizationId};

/// Endpoints per transaction. Each has at most four encrypted values.
const ENDPOINTS_A_BATCH: i64 = 200;

/// Id, organization, secret, previous secret, older secrets, headers.
type EncryptedColumns = (i64, i64, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

impl DieselStore {
    /// Encrypts under `new` every value that is under the key of this store. A value already under `new` is
    /// left alone, so that a second run finishes an interrupted one. Calls `progress` with the number of
    /// endpoints changed so far, and returns the total.
    pub(in crate::store) fn reencrypt(&self, new: &Cipher, progress: &mut dyn FnMut(usize)) -> StoreResult<usize> {
        let mut changed = 0;
        let mut after = i64::MIN;
        loop {
            let batch = self.writer.write(|connection| reencrypt_batch(connection, &self.cipher, new, after))?;
            let Some(last) = batch.last else { return Ok(changed) };
            after = last;
            changed += batch.changed;
            progress(changed);
        }
    }
}

struct ReencryptedBatch {
    changed: usize,
    last: Option<i64>,
}

/// Deleted endpoints have no encrypted values.
fn reencrypt_batch(
    connection: &mut AnyConnection,
    old: &Cipher,
    new: &Cipher,
    after: i64,
) -> StoreResult<ReencryptedBatch> {
    let rows: Vec<EncryptedColumns> = endpoints::table
        .filter(endpoints::id.gt(after))
        .filter(endpoints::deleted_at.is_null())
        .order(endpoints::id)
        .limit(ENDPOINTS_A_BATCH)
        .select((
            endpoints::id,
            endpoints::organization_id,
            endpoints::secret,
            endpoints::previous_secret,
            endpoints::older_secrets,
            endpoints::headers,
        ))
        .load(connection)?;
    let mut batch = ReencryptedBatch { changed: 0, last: rows.last().map(|(id, ..)| *id) };
    for (id, organization_id, secret, previous_secret, older_secrets, headers) in rows {
        let sealed = [Some(&secret), previous_secret.as_ref(), older_secrets.as_ref(), headers.as_ref()];
        if sealed.into_iter().flatten().all(|envelope| new.sealed(envelope)) {
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
            ))
            .execute(connection)?;
        batch.changed += 1;
    }
    Ok(batch)
}
