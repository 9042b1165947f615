//! The table `[svix]`: the Svix-compatible API.

use std::ops::RangeInclusive;

use url::Url;

use super::setting_key::{SettingKey, ValueKind};
use super::value::SettingValue;
use crate::domain::secret::{Secret, SecretKind};

/// Whoever has one token can try secrets against it without asking us: shorter ones are found. Not the 32 bytes of RFC 7518, so
/// that whoever comes from Svix with 16 random bytes need not replace all tokens.
const MIN_SECRET_BYTES: usize = 16;
/// Of a retry schedule (contract).
const MAX_DELAYS: usize = 20;
const DELAYS: RangeInclusive<i64> = 1..=604_800;
/// They are compared with each request of a browser.
const MAX_ORIGINS: usize = 50;
const ANY_ORIGIN: &str = "*";

/// The Svix-compatible API, which is there when it has a secret.
#[derive(Clone)]
pub struct SvixSettings {
    /// Signs its tokens.
    pub jwt_secret: Option<Secret>,
    /// Seconds before each retry.
    pub retry_schedule: Vec<u32>,
    /// Of secrets that nobody supplies.
    pub secret_kind: SecretKind,
    /// `webhook-*` instead of `svix-*`.
    pub whitelabel_headers: bool,
    /// Whose pages may call it.
    pub cors_origins: Vec<String>,
}

impl Default for SvixSettings {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            retry_schedule: vec![5, 300, 1_800, 7_200, 18_000, 36_000, 36_000],
            secret_kind: SecretKind::default(),
            whitelabel_headers: false,
            cors_origins: vec![ANY_ORIGIN.to_owned()],
        }
    }
}

impl SvixSettings {
    /// Whether pages of every origin may call it.
    pub fn allows_every_origin(&self) -> bool {
        self.cors_origins.iter().any(|origin| origin == ANY_ORIGIN)
    }
}

pub(super) const JWT_SECRET: SettingKey = SettingKey {
    name: "svix.jwt_secret",
    kind: ValueKind::Text("text"),
    help: "Signs the tokens (HS256) of the Svix-compatible API, and turns that API on, at `/api/v1`; at least 16 bytes. Whoever has it has \
           every organization. Prefer the variable RINGBACK_SVIX_JWT_SECRET to this file.",
    example: Some(r#""""#),
    read: |value, settings| jwt_secret(value).map(|secret| settings.svix.jwt_secret = Some(secret)),
    show: |settings| settings.svix.jwt_secret.as_ref().map(|_| String::from("\"(hidden)\"")),
};

pub(super) const RETRY_SCHEDULE: SettingKey = SettingKey {
    name: "svix.retry_schedule",
    kind: ValueKind::Text("list of seconds"),
    help: "Delays before each retry, for endpoints made by the Svix-compatible API: up to 20 of 1 to 604800 seconds, none for \
           no retries. All nodes need the same. Too few: an event is lost to a receiver that is away for longer. Too many: deliveries to dead receivers pile up.",
    example: None,
    read: |value, settings| retry_schedule(value).map(|delays| settings.svix.retry_schedule = delays),
    show: |settings| Some(format!("{:?}", settings.svix.retry_schedule)),
};

pub(super) const DEFAULT_SIGNATURE_TYPE: SettingKey = SettingKey {
    name: "svix.default_signature_type",
    kind: ValueKind::Text("hmac256 or ed25519"),
    help: "What signs for endpoints that the Svix-compatible API makes, or whose secrets it rotates, when no secret is given: a shared secret \
           (hmac256), or a private key whose public key receivers verify with (ed25519). Svix's libraries verify only the first. All \
           nodes need the same.",
    example: None,
    read: |value, settings| secret_kind(value).map(|kind| settings.svix.secret_kind = kind),
    show: |settings| Some(format!("{:?}", secret_kind_name(settings.svix.secret_kind))),
};

pub(super) const WHITELABEL_HEADERS: SettingKey = SettingKey {
    name: "svix.whitelabel_headers",
    kind: ValueKind::Text("true or false"),
    help: "Endpoints made by the Svix-compatible API get the headers webhook-id, webhook-timestamp and webhook-signature instead of svix-id, \
           svix-timestamp and svix-signature. Svix's libraries verify both. All nodes need the same.",
    example: None,
    read: |value, settings| value.boolean().map(|is_on| settings.svix.whitelabel_headers = is_on),
    show: |settings| Some(settings.svix.whitelabel_headers.to_string()),
};

pub(super) const CORS_ORIGINS: SettingKey = SettingKey {
    name: "svix.cors_origins",
    kind: ValueKind::Text("list of origins"),
    help: "Origins whose pages may call the Svix-compatible API from a browser, like [\"https://app.example.com\"]; \"*\" for all. The token \
           decides what they may do, not the origin.",
    example: None,
    read: |value, settings| cors_origins(value).map(|origins| settings.svix.cors_origins = origins),
    show: |settings| Some(format!("{:?}", settings.svix.cors_origins)),
};

fn jwt_secret(value: &SettingValue) -> Result<Secret, String> {
    let text = value.text()?;
    match text.len() {
        length if length >= MIN_SECRET_BYTES => Ok(Secret::new(text.to_owned())),
        length => Err(format!("needs at least {MIN_SECRET_BYTES} bytes, this one has {length}")),
    }
}

fn secret_kind(value: &SettingValue) -> Result<SecretKind, String> {
    let text = value.text()?;
    let kinds = [SecretKind::Hmac, SecretKind::Ed25519];
    let found = kinds.into_iter().find(|kind| secret_kind_name(*kind) == text);
    found.ok_or_else(|| format!("expects hmac256 or ed25519, got `{text}`"))
}

/// As Svix's server calls it.
fn secret_kind_name(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Hmac => "hmac256",
        SecretKind::Ed25519 => "ed25519",
    }
}

fn retry_schedule(value: &SettingValue) -> Result<Vec<u32>, String> {
    let delays = value.integers(DELAYS)?;
    match delays.len() {
        ..=MAX_DELAYS => Ok(delays.into_iter().filter_map(|delay| u32::try_from(delay).ok()).collect()),
        count => Err(format!("expects at most {MAX_DELAYS} delays, got {count}")),
    }
}

fn cors_origins(value: &SettingValue) -> Result<Vec<String>, String> {
    let mut origins = Vec::new();
    for item in value.items()? {
        let origin = match item.as_ref() {
            ANY_ORIGIN => ANY_ORIGIN.to_owned(),
            text => origin(text)?,
        };
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    match origins.len() {
        ..=MAX_ORIGINS => Ok(origins),
        count => Err(format!("expects at most {MAX_ORIGINS} origins, got {count}")),
    }
}

/// As browsers send it.
fn origin(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.map(|url| url.origin().ascii_serialization())
        .ok_or_else(|| format!("expects origins like https://app.example.com, or * for all, got `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untyped(text: &str) -> SettingValue {
        SettingValue::Untyped(text.to_owned())
    }

    #[test]
    fn a_secret_that_can_be_found_by_trying_is_refused() {
        assert!(jwt_secret(&untyped("0123456789abcdef")).is_ok());
        let error = jwt_secret(&untyped("0123456789abcde")).err().unwrap();
        assert!(error.contains("at least 16 bytes") && !error.contains("abcde"), "{error}");
    }

    #[test]
    fn a_signature_type_has_the_names_of_svix() {
        assert_eq!(secret_kind(&untyped("hmac256")), Ok(SecretKind::Hmac));
        assert_eq!(secret_kind(&untyped("ed25519")), Ok(SecretKind::Ed25519));
        assert!(secret_kind(&untyped("Ed25519")).is_err_and(|error| error.contains("hmac256 or ed25519")));
    }

    #[test]
    fn a_schedule_is_a_list_of_delays_in_the_file_and_in_the_variable() {
        assert_eq!(retry_schedule(&untyped("5, 300,1800")), Ok(vec![5, 300, 1_800]));
        let list = SettingValue::List(vec![SettingValue::Integer(5), SettingValue::Integer(604_800)]);
        assert_eq!(retry_schedule(&list), Ok(vec![5, 604_800]));
        assert_eq!(retry_schedule(&SettingValue::List(Vec::new())), Ok(Vec::new()));
        assert_eq!(retry_schedule(&untyped("")), Ok(Vec::new()));
        for wrong in ["0", "604801", "5;300", "-5", "1.5"] {
            assert!(retry_schedule(&untyped(wrong)).is_err(), "{wrong}");
        }
        let many = vec!["5"; MAX_DELAYS + 1].join(",");
        assert!(retry_schedule(&untyped(&many)).is_err_and(|error| error.contains("at most 20")));
    }

    #[test]
    fn origins_are_as_browsers_send_them() {
        let read =
            cors_origins(&untyped("https://App.example.com/,http://localhost:3000,https://app.example.com"));
        assert_eq!(read, Ok(vec!["https://app.example.com".to_owned(), "http://localhost:3000".to_owned()]));
        assert_eq!(cors_origins(&untyped("*")), Ok(vec!["*".to_owned()]));
        for wrong in ["app.example.com", "https://a.example/path", "https://*.example.com/x", "ftp://a.example"] {
            assert!(cors_origins(&untyped(wrong)).is_err(), "{wrong}");
        }
    }
}
