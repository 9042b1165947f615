//! What only the master key can read.

use diesel::prelude::*;
use serde::de::IgnoredAny;

use super::super::StoreResult;
use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::super::encrypted_rows::{EncryptedColumns, encrypted_rows};
use super::super::schema::master_key;
use super::{CheckTerms, Checked, Wrong};
use crate::domain::ids::{EndpointId, OrganizationId};

/// Webhooks of a statement. Each has up to five encrypted values, of some hundred bytes or, with 20 headers, some thousand. Smaller:
/// more statements. Larger: more memory.
const WEBHOOKS_A_STATEMENT: i64 = 500;

const NOT_GIVEN: &str =
    "no master key is given: set RINGBACK_MASTER_KEY, or RINGBACK_MASTER_KEY_FILE, to check with it";

fn known(connection: &mut AnyConnection) -> StoreResult<Option<String>> {
    Ok(master_key::table.select(master_key::key_id).first(connection).optional()?)
}

/// Whether the key that is given is the one of this database.
pub(super) fn check(connection: &mut AnyConnection, terms: &CheckTerms) -> StoreResult<Checked> {
    let what = "the master key is the one that the database is used with";
    let advice =
        "start the engine, and check, with the key of this database: without it nobody can read its secrets";
    let mut result = Checked::new("master_key", what, advice);
    let known = known(connection)?;
    let Some(cipher) = &terms.cipher else {
        let which = known.map(|id| format!(" (the one of this database has the id {id})")).unwrap_or_default();
        return Ok(result.left_out(format!("{NOT_GIVEN}{which}")));
    };
    result.rows = Some(u64::from(known.is_some()));
    let given = cipher.key_id();
    if let Some(known) = known.filter(|known| *known != given) {
        result.add(format!(
            "the database is used with the key whose id is {known}; the one given has the id {given}"
        ));
    }
    Ok(result)
}

/// Why secrets can't be checked.
pub(super) fn unusable(connection: &mut AnyConnection, terms: &CheckTerms) -> StoreResult<Option<String>> {
    let Some(cipher) = &terms.cipher else { return Ok(Some(NOT_GIVEN.to_owned())) };
    let is_other = known(connection)?.is_some_and(|known| known != cipher.key_id());
    Ok(is_other.then(|| String::from("the master key that is given is not the one of this database")))
}

/// Webhooks with a value that can't be decrypted, or that is not what it must be. Says which, and never the value.
pub(super) fn unreadable(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    (mut after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    let mut found = Vec::new();
    loop {
        let rows = encrypted_rows(connection, (after, last), WEBHOOKS_A_STATEMENT)?;
        let Some((id, ..)) = rows.last() else { return Ok(found) };
        after = *id;
        for row in rows {
            let key = row.0;
            let wrong = problems(cipher, row);
            if !wrong.is_empty() {
                found.push(Wrong { key, why: wrong.join("; ") });
            }
        }
    }
}

fn problems(cipher: &Cipher, row: EncryptedColumns) -> Vec<String> {
    let (id, organization_id, secret, previous, older, headers, credentials) = row;
    let open = |sealed: &[u8], is_json: bool| {
        let plain = cipher
            .decrypt(OrganizationId(organization_id), EndpointId(id), sealed)
            .map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&plain).map_err(|_| String::from("it is no text"))?;
        // without the error's own words, which may quote the value
        match is_json && serde_json::from_str::<IgnoredAny>(text).is_err() {
            true => Err(String::from("it can't be read")),
            false => Ok(()),
        }
    };
    let values = [
        // the rule before this one names a webhook without a secret
        ("its secret", Some(secret).filter(|sealed| !sealed.is_empty()), false),
        ("its previous secret", previous, false),
        ("its older secrets", older, true),
        ("its headers", headers, true),
        ("its credentials", credentials, true),
    ];
    let look = |(name, sealed, is_json): (&str, Option<Vec<u8>>, bool)| {
        open(&sealed?, is_json).err().map(|why| format!("{name}: {why}"))
    };
    values.into_iter().filter_map(look).collect()
}
