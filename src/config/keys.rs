//! The one list of what can be set, in the order of the example file.

use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::value::Given;
use super::{LogFormat, Settings};
use crate::domain::secret::Secret;
use crate::telemetry::logging;

/// An admin key shorter than this can be guessed.
const MIN_ADMIN_KEY_CHARACTERS: usize = 16;
const MASTER_KEY_BYTES: usize = 32;
/// Of memory bounds: below it not even one event of 10 MiB fits.
const MIN_MEMORY_BYTES: i64 = 16 * 1024 * 1024;
const MAX_MEMORY_BYTES: i64 = 1 << 40;
const DAY_SECONDS: i64 = 86_400;
/// Longer means "for ever".
const DECADE_SECONDS: i64 = 10 * 365 * DAY_SECONDS;

/// Something that can be set.
pub struct Key {
    /// As in the file; a dot stands for a table: `delivery.idle_linger_seconds`.
    pub name: &'static str,
    /// Reads a value into the settings, or says what it expects.
    read: fn(&Given, &mut Settings) -> Result<(), String>,
    /// The value as it would be written in the file; `None` when it is not set. Secrets are not shown.
    show: fn(&Settings) -> Option<String>,
}

impl Key {
    /// The environment variable of the same meaning.
    pub fn variable(&self) -> String {
        format!("RINGBACK_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The value as it would be written in the file; `None` when it is not set. Secrets are not shown.
    pub fn show(&self, settings: &Settings) -> Option<String> {
        (self.show)(settings)
    }

    pub(super) fn read(&self, given: &Given, settings: &mut Settings) -> Result<(), String> {
        (self.read)(given, settings)
    }
}

/// A key whose value is a whole number within bounds.
macro_rules! number {
    ($name:literal, $field:ident, $type:ty, $range:expr) => {
        Key {
            name: $name,
            read: |given, settings| {
                let number = given.integer($range)?;
                settings.delivery.$field = <$type>::try_from(number).map_err(|_| String::from("is too large"))?;
                Ok(())
            },
            show: |settings| Some(settings.delivery.$field.to_string()),
        }
    };
}

/// A key whose value is a duration in whole seconds.
macro_rules! seconds {
    ($name:literal, $field:ident, $range:expr) => {
        Key {
            name: $name,
            read: |given, settings| {
                settings.delivery.$field = Duration::from_secs(given.integer($range)?.unsigned_abs());
                Ok(())
            },
            show: |settings| Some(settings.delivery.$field.as_secs().to_string()),
        }
    };
}

/// All of them.
pub static KEYS: &[Key] = &[
    Key {
        name: "listen",
        read: |given, settings| given.address().map(|address| settings.listen = address),
        show: |settings| Some(quoted(settings.listen)),
    },
    Key {
        name: "database_url",
        read: |given, settings| database_url(given).map(|url| settings.database_url = url),
        show: |settings| Some(quoted(without_password(&settings.database_url))),
    },
    Key {
        name: "admin_key",
        read: |given, settings| admin_key(given).map(|key| settings.admin_key = Some(key)),
        show: |settings| settings.admin_key.as_ref().map(|_| quoted("(hidden)")),
    },
    Key {
        name: "master_key",
        read: |given, settings| master_key(given).map(|key| settings.master_key = Some(key)),
        show: |settings| settings.master_key.as_ref().map(|_| quoted("(hidden)")),
    },
    Key {
        name: "allow_http",
        read: |given, settings| given.boolean().map(|allow| settings.allow_http = allow),
        show: |settings| Some(settings.allow_http.to_string()),
    },
    Key {
        name: "allowed_networks",
        read: |given, settings| given.networks().map(|networks| settings.allowed_networks = networks),
        show: |settings| Some(list(&settings.allowed_networks)),
    },
    Key {
        name: "allowed_ports",
        read: |given, settings| given.ports().map(|ports| settings.allowed_ports = ports),
        show: |settings| Some(list(&settings.allowed_ports)),
    },
    Key {
        name: "dns_servers",
        read: |given, settings| given.addresses().map(|servers| settings.dns_servers = servers),
        show: |settings| Some(list(&settings.dns_servers)),
    },
    Key {
        name: "ca_file",
        read: |given, settings| ca_file(given).map(|path| settings.ca_file = Some(path)),
        show: |settings| settings.ca_file.as_ref().map(|path| quoted(path.display())),
    },
    Key {
        name: "log",
        read: |given, settings| log_filter(given).map(|filter| settings.log = filter),
        show: |settings| Some(quoted(&settings.log)),
    },
    Key {
        name: "log_format",
        read: |given, settings| log_format(given).map(|format| settings.log_format = format),
        show: |settings| {
            Some(quoted(match settings.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }))
        },
    },
    Key {
        name: "metrics_listen",
        read: |given, settings| given.address().map(|address| settings.metrics_listen = Some(address)),
        show: |settings| settings.metrics_listen.map(quoted),
    },
    Key {
        name: "signature_header_prefix",
        read: |given, settings| header_prefix(given).map(|prefix| settings.signature_header_prefix = prefix),
        show: |settings| Some(quoted(&settings.signature_header_prefix)),
    },
    number!("delivery.max_active_endpoints", max_active_endpoints, usize, 1..=10_000_000),
    number!("delivery.payload_memory_bytes", payload_memory_bytes, usize, MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES),
    number!("delivery.max_uncommitted_events", max_uncommitted_events, usize, 1..=10_000_000),
    number!("delivery.max_uncommitted_bytes", max_uncommitted_bytes, usize, MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES),
    number!("delivery.breaker_failure_threshold", breaker_failure_threshold, u32, 1..=1_000_000),
    seconds!("delivery.breaker_initial_pause_seconds", breaker_initial_pause, 1..=DAY_SECONDS),
    seconds!("delivery.breaker_max_pause_seconds", breaker_max_pause, 1..=DAY_SECONDS),
    seconds!("delivery.idle_linger_seconds", idle_linger, 0..=DAY_SECONDS),
    seconds!("delivery.disable_after_seconds", disable_after, 1..=DECADE_SECONDS),
    seconds!("delivery.retention_seconds", retention, 1..=DECADE_SECONDS),
];

fn quoted(value: impl std::fmt::Display) -> String {
    // Rust escapes a text like TOML does, but for characters that no setting needs
    format!("{:?}", value.to_string())
}

fn list<T: std::fmt::Display>(values: &[T]) -> String {
    let items: Vec<String> = values.iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

fn database_url(given: &Given) -> Result<String, String> {
    let url = given.text()?;
    let path = url.strip_prefix("sqlite://");
    if path.is_some_and(str::is_empty) {
        return Err(String::from("names no file, expects for example sqlite://ringback.db"));
    }
    if path.is_none() && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(String::from("expects sqlite://path/to/file.db or postgres://user@host/database"));
    }
    Ok(url.to_owned())
}

/// The URL without the password of `user:password@`, for people's eyes. One that can't be read is not shown at all:
/// who can tell where its password ends.
pub(crate) fn without_password(database_url: &str) -> String {
    let hidden = || String::from("(hidden)");
    if database_url.starts_with("sqlite:") {
        return database_url.to_owned();
    }
    let Ok(mut url) = url::Url::parse(database_url) else { return hidden() };
    let names_password = |(name, _): (std::borrow::Cow<'_, str>, _)| name.ends_with("password");
    // a `/`, `#` or `?` in a password that is not percent-encoded ends the host before the `@`
    let is_cut_short = [url.path(), url.query().unwrap_or_default(), url.fragment().unwrap_or_default()]
        .iter()
        .any(|part| part.contains('@'));
    if is_cut_short || url.query_pairs().any(names_password) {
        return hidden();
    }
    match url.password() {
        None => database_url.to_owned(),
        Some(_) => url.set_password(Some("hidden")).map_or_else(|()| hidden(), |()| url.to_string()),
    }
}

fn admin_key(given: &Given) -> Result<Secret, String> {
    let text = given.text()?;
    let count = text.chars().count();
    if count < MIN_ADMIN_KEY_CHARACTERS {
        return Err(format!("needs at least {MIN_ADMIN_KEY_CHARACTERS} characters, this one has {count}"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(String::from("may hold only visible ASCII characters, as it travels in a header"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn master_key(given: &Given) -> Result<Secret, String> {
    let text = given.text()?;
    let expected = "expects 32 bytes in base64, as `openssl rand -base64 32` prints them";
    let bytes = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| expected.to_owned())?);
    if bytes.len() != MASTER_KEY_BYTES {
        return Err(format!("{expected}; this one holds {} bytes", bytes.len()));
    }
    Ok(Secret::new(text.to_owned()))
}

fn ca_file(given: &Given) -> Result<PathBuf, String> {
    let text = given.text()?;
    let path = PathBuf::from(text);
    if !path.is_file() {
        return Err(format!("there is no file `{text}`"));
    }
    Ok(path)
}

fn log_filter(given: &Given) -> Result<String, String> {
    let text = given.text()?;
    logging::parse_filter(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn log_format(given: &Given) -> Result<LogFormat, String> {
    match given.text()? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("expects text or json, got `{other}`")),
    }
}

fn header_prefix(given: &Given) -> Result<String, String> {
    let text = given.text()?.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_token) {
        return Err(format!("expects the beginning of a header's name, for example x-callintel, got `{text}`"));
    }
    if text.ends_with('-') {
        return Err(format!("ends without a dash: `{text}signature` is built as `<prefix>-signature`"));
    }
    if text == "webhook" {
        return Err(String::from("can't be `webhook`: `webhook-signature` belongs to Standard Webhooks"));
    }
    Ok(text)
}
