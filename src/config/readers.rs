//! How single settings are read: each returns what it expects.

use std::path::PathBuf;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::LogFormat;
use super::value::SettingValue;
use crate::domain::retry::RetryPolicy;
use crate::domain::secret::Secret;
use crate::telemetry::logging;

/// An admin key shorter than this can be guessed.
const MIN_ADMIN_KEY_CHARACTERS: usize = 16;
const MASTER_KEY_BYTES: usize = 32;
/// Of the name of a node.
const MAX_NAME_CHARACTERS: usize = 100;

pub(super) fn database_url(value: &SettingValue) -> Result<String, String> {
    let url = value.text()?;
    let path = url.strip_prefix("sqlite://");
    if path.is_some_and(str::is_empty) {
        return Err(String::from("names no file: expects for example sqlite://ringback.db"));
    }
    if path.is_none() && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(String::from("expects sqlite://path/to/file.db or postgres://user@host/database"));
    }
    Ok(url.to_owned())
}

pub(super) fn advertise(value: &SettingValue) -> Result<String, String> {
    let text = value.text()?;
    let expected = "expects an address like http://10.0.0.7:8080, without a path";
    let url = url::Url::parse(text).map_err(|_| expected.to_owned())?;
    let is_plain =
        url.scheme() == "http" && url.path() == "/" && url.query().is_none() && url.username().is_empty();
    match url.host_str().filter(|_| is_plain) {
        Some(host) => Ok(format!("http://{host}:{}", url.port_or_known_default().unwrap_or(80))),
        None => Err(expected.to_owned()),
    }
}

pub(super) fn node_name(value: &SettingValue) -> Result<String, String> {
    let text = value.text()?;
    match !text.trim().is_empty()
        && text.chars().count() <= MAX_NAME_CHARACTERS
        && !text.chars().any(char::is_control)
    {
        true => Ok(text.to_owned()),
        false => Err(format!("expects 1 to {MAX_NAME_CHARACTERS} characters")),
    }
}

pub(super) fn admin_key(value: &SettingValue) -> Result<Secret, String> {
    let text = value.text()?;
    let count = text.chars().count();
    if count < MIN_ADMIN_KEY_CHARACTERS {
        return Err(format!("needs at least {MIN_ADMIN_KEY_CHARACTERS} characters, this one has {count}"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(String::from("may contain only visible ASCII characters, because it travels in a header"));
    }
    Ok(Secret::new(text.to_owned()))
}

pub(super) fn master_key(value: &SettingValue) -> Result<Secret, String> {
    let text = value.text()?;
    let expected = "expects 32 bytes in base64, as `openssl rand -base64 32` prints them";
    let bytes = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| expected.to_owned())?);
    if bytes.len() != MASTER_KEY_BYTES {
        return Err(format!("{expected}; this one has {} bytes", bytes.len()));
    }
    Ok(Secret::new(text.to_owned()))
}

pub(super) fn ca_file(value: &SettingValue) -> Result<PathBuf, String> {
    let text = value.text()?;
    let path = PathBuf::from(text);
    if !path.is_file() {
        return Err(format!("there is no file `{text}`"));
    }
    Ok(path)
}

pub(super) fn log_filter(value: &SettingValue) -> Result<String, String> {
    let text = value.text()?;
    logging::parse_filter(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

pub(super) fn unknown_event_types(value: &SettingValue) -> Result<bool, String> {
    match value.text()? {
        "refuse" => Ok(false),
        "accept" => Ok(true),
        other => Err(format!("expects refuse or accept, got {other}")),
    }
}

pub(super) fn log_format(value: &SettingValue) -> Result<LogFormat, String> {
    match value.text()? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("expects text or json, got `{other}`")),
    }
}

pub(super) fn header_prefix(value: &SettingValue) -> Result<String, String> {
    let text = value.text()?.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_token) {
        return Err(format!("expects the beginning of a header name, for example x-callintel, got `{text}`"));
    }
    if text.ends_with('-') {
        return Err(String::from("must not end with a dash: headers are named `<prefix>-signature`"));
    }
    if text == "webhook" {
        return Err(String::from("can't be `webhook`: `webhook-signature` belongs to Standard Webhooks"));
    }
    if text == "svix" {
        let why = "can't be `svix`: Svix's libraries prefer `svix-signature` to `webhook-signature` and would refuse the hex signature \
                   that Ringback puts there; keep x-callintel or choose another one: these libraries verify `webhook-signature` as it is";
        return Err(String::from(why));
    }
    Ok(text)
}

pub(super) const RETRY_POLICY_EXAMPLE: &str =
    "{ max_attempts = 5, backoff_multiplier = 2.0, initial_delay_seconds = 60, max_delay_seconds = 3600 }";

pub(super) fn retry_policy(value: &SettingValue) -> Result<RetryPolicy, String> {
    let policy: RetryPolicy = value.table(RETRY_POLICY_EXAMPLE)?;
    policy.check().map(|()| policy)
}

/// As in the file.
pub(super) fn shown_policy(policy: &RetryPolicy) -> String {
    let RetryPolicy { max_attempts, backoff_multiplier, initial_delay_seconds, max_delay_seconds } = policy;
    format!(
        "{{ max_attempts = {max_attempts}, backoff_multiplier = {backoff_multiplier:?}, \
         initial_delay_seconds = {initial_delay_seconds}, max_delay_seconds = {max_delay_seconds} }}"
    )
}
