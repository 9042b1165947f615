//! What is encrypted in the rows of endpoints: whoever reads all of it, to encrypt it again or to check it, reads it here.

use diesel::prelude::*;

use super::StoreResult;
use super::connection::AnyConnection;
use super::schema::endpoints;

/// Id, organization, secret, previous secret, older secrets, headers, credentials.
pub(super) type EncryptedColumns =
    (i64, i64, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// Of endpoints behind `after`, up to `last`, by their ids. Deleted endpoints have no encrypted values.
pub(super) fn encrypted_rows(
    connection: &mut AnyConnection,
    (after, last): (i64, i64),
    limit: i64,
) -> StoreResult<Vec<EncryptedColumns>> {
    let rows = endpoints::table
        .filter(endpoints::id.gt(after))
        .filter(endpoints::id.le(last))
        .filter(endpoints::deleted_at.is_null())
        .order(endpoints::id)
        .limit(limit)
        .select((
            endpoints::id,
            endpoints::organization_id,
            endpoints::secret,
            endpoints::previous_secret,
            endpoints::older_secrets,
            endpoints::headers,
            endpoints::credentials,
        ));
    Ok(rows.load(connection)?)
}
