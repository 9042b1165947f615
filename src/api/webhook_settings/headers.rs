//! The setting `headers`: headers that are added to every request.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Change, Rules, Structured};
use crate::api::input::{self, Errors, JsonFields};
use crate::domain::endpoint::CustomHeader;
use crate::domain::secret::Secret;

/// Shown instead of a header's value, which is often a credential of the receiver: it can be set but not read. Sent back,
/// it leaves the value unchanged.
pub(crate) const MASK: &str = "********";

const MAX_HEADERS: usize = 20;
const MAX_HEADER_NAME_BYTES: usize = 128;
/// Names and values together: receivers refuse heads of more than 8 KiB, and the engine adds its own headers.
const MAX_HEADERS_BYTES: usize = 4_096;

/// How many headers there may be, and how long. Larger: receivers refuse requests for their heads, and every webhook in memory
/// can have as much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderBounds {
    count: usize,
    value_bytes: usize,
    /// Of names and values.
    total_bytes: usize,
    /// Whether a value can be empty, and have white space anywhere.
    takes_blanks: bool,
}

impl HeaderBounds {
    pub(crate) const USUAL: Self = Self {
        count: MAX_HEADERS,
        // of all together it is said
        value_bytes: usize::MAX,
        total_bytes: MAX_HEADERS_BYTES,
        takes_blanks: false,
    };
    /// Closer to Svix's server, which bounds values alone.
    pub(crate) const WIDE: Self =
        Self { count: 50, value_bytes: 4_096, total_bytes: 32 * 1024, takes_blanks: true };

    /// What is wrong with a value, if anything.
    fn value_fault(&self, text: &str) -> Option<String> {
        let is_visible = |byte: u8| matches!(byte, b' '..=b'~') || (self.takes_blanks && byte == b'\t');
        let is_blank = text.is_empty() || text.trim() != text;
        if !text.bytes().all(is_visible) || (is_blank && !self.takes_blanks) {
            let fault = match self.takes_blanks {
                true => "a value is visible ASCII, blanks and tabs",
                false => "a value is visible ASCII, not empty, without white space at its ends",
            };
            return Some(fault.to_owned());
        }
        let bytes = self.value_bytes;
        (text.len() > bytes).then(|| format!("a value may have {bytes} bytes, this has {}", text.len()))
    }
}

/// Headers that the engine or HTTP itself sets; a star stands for any ending.
const RESERVED_HEADERS: [&str; 13] = [
    "host",
    "connection",
    "content-*",
    "transfer-encoding",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "proxy-*",
    "keep-alive",
    "user-agent",
    "webhook-*",
    "x-callintel-*",
];

pub(super) const HEADERS: Structured = Structured {
    type_name: "object",
    bounds: "at most 20, together 4,096 bytes",
    schema: || {
        let value = json!({"type": "string", "minLength": 1, "maxLength": MAX_HEADERS_BYTES, "pattern": r"^[!-~]([ -~]*[!-~])?$"});
        json!({
            "type": "object", "maxProperties": MAX_HEADERS, "additionalProperties": value,
            "propertyNames": {"pattern": r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$"},
        })
    },
    response_schema: || json!({"type": "object", "additionalProperties": {"type": "string"}}),
    get: |endpoint| {
        let masked = |header: &CustomHeader| (header.name.clone(), Value::from(MASK));
        Value::Object(endpoint.headers.iter().map(masked).collect::<Map<_, _>>())
    },
    read: |value, path, rules, errors| {
        let headers = read_headers(value, path, rules, errors)?;
        Some(Change::new(move |endpoint, errors| endpoint.headers = unmask(&headers, &endpoint.headers, errors)))
    },
    reset: |endpoint, _| endpoint.headers.clear(),
};

/// A value equal to the mask keeps the stored value, so that a webhook that was read can be written back.
fn unmask(headers: &[CustomHeader], stored: &[CustomHeader], errors: &mut Errors) -> Vec<CustomHeader> {
    let mut unmasked = headers.to_vec();
    for header in unmasked.iter_mut().filter(|header| header.value.expose() == MASK) {
        match stored.iter().find(|stored| stored.name.eq_ignore_ascii_case(&header.name)) {
            Some(stored) => header.value = stored.value.clone(),
            None => errors.add(format!("headers.{}", header.name), "the mask stands for no stored value here"),
        }
    }
    unmasked
}

fn read_headers(
    value: &RawValue,
    path: &str,
    rules: &Rules<'_>,
    errors: &mut Errors,
) -> Option<Vec<CustomHeader>> {
    let entries = JsonFields::nested(value, path, errors)?.into_entries();
    let HeaderBounds { count, total_bytes, .. } = rules.headers;
    if entries.len() > count {
        errors.add(path, format!("may have at most {count} headers, this has {}", entries.len()));
        return None;
    }
    let mut headers: Vec<CustomHeader> = Vec::with_capacity(entries.len());
    let mut total = 0;
    for (name, value) in entries {
        let path = format!("{path}.{name}");
        if let Some(message) = header_name_fault(&name, rules.signature_header_prefix) {
            errors.add(path, message);
            continue;
        }
        let Some(text) = input::string(value, &path, errors) else { continue };
        if let Some(fault) = rules.headers.value_fault(&text) {
            errors.add(path, fault);
            continue;
        }
        let known = headers.iter().any(|header| header.name.eq_ignore_ascii_case(&name) && header.name != name);
        if known {
            errors.add(path, "given more than once; upper and lower case make no difference");
            continue;
        }
        total += name.len() + text.len();
        headers.push(CustomHeader { name, value: Secret::new(text) });
    }
    if total > total_bytes {
        errors.add(path, format!("names and values together may have {total_bytes} bytes, these have {total}"));
        return None;
    }
    Some(headers)
}

/// What is wrong with a header's name, if anything.
fn header_name_fault(name: &str, signature_header_prefix: &str) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > MAX_HEADER_NAME_BYTES || !name.bytes().all(is_token) {
        return Some("a header's name is 1 to 128 letters, digits and !#$%&'*+-.^_`|~");
    }
    let name = name.to_ascii_lowercase();
    let reserved = RESERVED_HEADERS.iter().any(|reserved| match reserved.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *reserved,
    });
    let own = name.strip_prefix(&signature_header_prefix.to_ascii_lowercase());
    let is_own = !signature_header_prefix.is_empty() && own.is_some_and(|rest| rest.starts_with('-'));
    (reserved || is_own).then_some("is set by the engine or by HTTP itself; choose another name")
}
