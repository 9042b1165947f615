//! Host names that can be looked up and requested. The URL standard allows names that neither DNS nor an HTTP request can
//! carry; unusual names that both can carry are allowed here: underscores, hyphens at the ends, tildes.

use thiserror::Error;

/// Bytes of one part, and of the whole name with its dots (RFC 1035, section 2.3.4).
const MAX_PART: usize = 63;
const MAX_NAME: usize = 253;

/// Why a host name can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum HostNameError {
    /// It ends with a dot.
    #[error("remove the dot at its end")]
    Dot,
    /// Two dots in a row, or one at the beginning.
    #[error("between two dots, and before the first one, there must be a part of the name")]
    EmptyPart,
    /// A part that is too long.
    #[error("the part that begins with {part} has {length} characters; at most {MAX_PART} are allowed")]
    LongPart {
        /// Its beginning.
        part: String,
        /// Its length in bytes.
        length: usize,
    },
    /// The whole name is too long.
    #[error("it has {0} characters; at most {MAX_NAME} are allowed")]
    Long(usize),
    /// A character that a request's host can't have (RFC 3986, section 3.2.2).
    #[error("it must not contain the character {0:?}")]
    Character(char),
}

/// Checks a name in the form that `url` normalizes it to.
pub(super) fn check_host_name(name: &str) -> Result<(), HostNameError> {
    if let Some(character) = name.chars().find(|&character| !is_allowed(character)) {
        return Err(HostNameError::Character(character));
    }
    if name.len() > 1 && name.ends_with('.') && !name.ends_with("..") {
        return Err(HostNameError::Dot);
    }
    for part in name.split('.') {
        match part.len() {
            0 => return Err(HostNameError::EmptyPart),
            1..=MAX_PART => {}
            length => return Err(HostNameError::LongPart { part: part.chars().take(10).collect(), length }),
        }
    }
    match name.len() {
        ..=MAX_NAME => Ok(()),
        length => Err(HostNameError::Long(length)),
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(character)
}
