//! What a database's errors mean.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::super::StoreError;

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        use DatabaseErrorKind::{CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation, Unknown};
        match error {
            // the id or hash exists already
            DieselError::DatabaseError(UniqueViolation, _) => Self::Conflict,
            DieselError::DatabaseError(CheckViolation | ForeignKeyViolation | NotNullViolation, information) => {
                Self::Corrupt(information.message().to_owned())
            }
            DieselError::DatabaseError(Unknown, information) if is_about_data(information.message()) => {
                Self::Invalid(information.message().to_owned())
            }
            DieselError::SerializationError(error) => Self::Invalid(error.to_string()),
            DieselError::InvalidCString(error) => Self::Invalid(error.to_string()),
            DieselError::DeserializationError(error) => Self::Corrupt(error.to_string()),
            // what a database reports when it can't work now: disk full, read-only, server gone, time-out
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// How errors about values begin or what they contain: Diesel passes on neither PostgreSQL's code nor SQLite's.
/// What is not recognized counts as an outage, whose callers try again: that loses nothing.
const ABOUT_DATA: [&str; 7] = [
    "invalid byte sequence for encoding",
    "unsupported Unicode escape sequence",
    "out of range",
    "value too long for type",
    "index row size",
    "index row requires",
    "string or blob too big",
];

/// Whether the database refuses a value, so that the same statement will always fail.
fn is_about_data(message: &str) -> bool {
    ABOUT_DATA.iter().any(|part| message.contains(part)) || names_bytes(message)
}

/// PostgreSQL ends its error for a NUL or for other bytes that are no text with the bytes, in every language:
/// `… "UTF8": 0x00`.
fn names_bytes(message: &str) -> bool {
    let Some((before, bytes)) = message.rsplit_once(": 0x") else { return false };
    let is_hex = |byte: &str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    before.contains("UTF8") && bytes.split(" 0x").all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_values_are_taken_for_such() {
        for message in [
            "invalid byte sequence for encoding \"UTF8\": 0x00",
            "ungültige Byte-Sequenz für Kodierung »UTF8«: 0x00",
            "séquence d'octets invalide pour l'encodage « UTF8 » : 0xed 0xa0 0x80",
            "integer out of range",
            "index row size 2720 exceeds btree version 4 maximum 2704 for index \"event_types_pkey\"",
            "string or blob too big",
        ] {
            assert!(is_about_data(message), "{message}");
        }
        for message in [
            "could not extend file \"base/16384/16385\": No space left on device",
            "canceling statement due to statement timeout",
            "terminating connection due to administrator command",
            "database or disk is full",
            "out of shared memory",
            "invalid page in block 7 of relation UTF8: 0xzz",
        ] {
            assert!(!is_about_data(message), "{message}");
        }
    }
}
