//! Traces for OpenTelemetry, and the variables that its own programs read.

use url::Url;

use super::setting_key::{SettingKey, ValueKind};
use super::value::SettingValue;
use crate::domain::secret::Secret;

/// Below the endpoint, where a collector takes spans.
const TRACES_PATH: &str = "v1/traces";
/// Headers that the exporter or HTTP itself sets; a dash at the end stands for any ending.
const RESERVED: &[&str] = &["host", "connection", "content-", "transfer-encoding", "expect", "upgrade", "te"];
const HIDDEN: &str = "\"(hidden)\"";

/// What exports spans, when there is an endpoint.
#[derive(Clone)]
pub struct OtlpSettings {
    /// Of the collector, with the path for spans.
    pub endpoint: Option<Url>,
    /// Sent with each request to it: names, and values that are often secrets.
    pub headers: Vec<(String, Secret)>,
    /// Of the traces that begin here, from 0 to 1.
    pub sample_ratio: f64,
    /// `service.name`.
    pub service_name: Option<String>,
    /// Further attributes of this process.
    pub attributes: Vec<(String, String)>,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self { endpoint: None, headers: Vec::new(), sample_ratio: 1.0, service_name: None, attributes: Vec::new() }
    }
}

impl OtlpSettings {
    /// What the spans say about this process.
    pub(crate) fn resource(&self) -> Vec<(String, String)> {
        let mut all = self.attributes.clone();
        if let Some(name) = &self.service_name {
            all.retain(|(known, _)| known != "service.name");
            all.push((String::from("service.name"), name.clone()));
        }
        for (name, value) in
            [("service.name", env!("CARGO_PKG_NAME")), ("service.version", env!("CARGO_PKG_VERSION"))]
        {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name.to_owned(), value.to_owned()));
            }
        }
        all
    }
}

/// Variables of OpenTelemetry that stand for a setting, unless the file or a variable of ours has it.
pub(super) const STANDARD_VARIABLES: &[(&str, &str)] =
    &[("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"), ("OTEL_EXPORTER_OTLP_HEADERS", "otlp_headers")];

pub(super) const ENDPOINT: SettingKey = SettingKey {
    name: "otlp_endpoint",
    kind: ValueKind::Text("URL"),
    help: "Sends traces to this OpenTelemetry collector (OTLP over HTTP, port 4318 as a rule), below it to /v1/traces; empty: no traces. Without \
           this setting OTEL_EXPORTER_OTLP_ENDPOINT counts.",
    example: Some(r#""http://127.0.0.1:4318""#),
    read: |value, settings| endpoint(value).map(|url| settings.otlp.endpoint = url),
    show: |settings| settings.otlp.endpoint.as_ref().map(|url| format!("{:?}", url.as_str())),
};

pub(super) const SAMPLE_RATIO: SettingKey = SettingKey {
    name: "otlp_sample_ratio",
    kind: ValueKind::Text("0 to 1"),
    help: "Which part of the traces that begin here is recorded. An event that was published with a `traceparent` is recorded when its \
           publisher's trace is. All nodes need the same. Too large: the collector gets more than it can take, and spans are dropped.",
    example: None,
    read: |value, settings| value.fraction(0.0..=1.0).map(|ratio| settings.otlp.sample_ratio = ratio),
    show: |settings| Some(format!("{:?}", settings.otlp.sample_ratio)),
};

pub(super) const HEADERS: SettingKey = SettingKey {
    name: "otlp_headers",
    kind: ValueKind::Text("name=value, separated by commas"),
    help: "Headers for the collector, for example \"authorization=Bearer%20…\"; a comma or a blank in a value is written as %2C or %20. \
           Prefer the variable RINGBACK_OTLP_HEADERS to this file. Without this setting OTEL_EXPORTER_OTLP_HEADERS counts.",
    example: Some(r#""""#),
    read: |value, settings| headers(value).map(|headers| settings.otlp.headers = headers),
    show: |settings| (!settings.otlp.headers.is_empty()).then(|| HIDDEN.to_owned()),
};

fn endpoint(value: &SettingValue) -> Result<Option<Url>, String> {
    let text = value.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    // the URL is not repeated: it may hold a password
    let wrong = "expects a URL like http://127.0.0.1:4318";
    let mut url = Url::parse(text).map_err(|_| wrong.to_owned())?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(wrong.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some()
    {
        return Err(format!("{wrong}, without user, query and fragment; a key belongs into otlp_headers"));
    }
    let base = url.path().trim_end_matches('/');
    let base = base.strip_suffix(TRACES_PATH).map_or(base, |base| base.trim_end_matches('/'));
    let path = format!("{base}/{TRACES_PATH}");
    url.set_path(&path);
    Ok(Some(url))
}

fn headers(value: &SettingValue) -> Result<Vec<(String, Secret)>, String> {
    let mut headers = Vec::new();
    for (name, value) in pairs(value.text()?)? {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let lower = name.to_ascii_lowercase();
        let is_reserved = |reserved: &&str| match reserved.ends_with('-') {
            true => lower.starts_with(*reserved),
            false => lower == *reserved,
        };
        if name.is_empty() || !name.bytes().all(is_token) || RESERVED.iter().any(is_reserved) {
            return Err(format!("`{name}` can't be a header of these requests"));
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(format!("the value of `{name}` has characters that a header can't have"));
        }
        headers.push((lower, Secret::new(value)));
    }
    Ok(headers)
}

/// Reads `name=value` pairs; a value is percent-encoded. Values are not repeated in errors.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (place, pair) in text.split(',').map(str::trim).enumerate().filter(|(_, pair)| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("expects name=value, separated by commas; item {} has no `=`", place + 1));
        };
        pairs.push((name.trim().to_owned(), decoded(value.trim())));
    }
    Ok(pairs)
}

/// `%20` as a blank; what is no such escape stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let escaped = escape.and_then(|digits| {
            let digits = std::str::from_utf8(digits)
                .ok()
                .filter(|digits| digits.bytes().all(|it| it.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        out.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl OtlpSettings {
    /// Takes what describes the service from the variables of OpenTelemetry; returns what is wrong with one.
    pub(super) fn describe(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "OTEL_SERVICE_NAME" => self.service_name = Some(value.trim().to_owned()),
            "OTEL_RESOURCE_ATTRIBUTES" => self.attributes = pairs(value)?,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Loaded, Origin, Settings, SettingsError, merge};

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        merge(Some(("ringback.toml", file)), variables, &Flags::default())
    }

    fn settings(file: &str, variables: &[(&str, &str)]) -> Settings {
        load(file, variables).expect("settings").settings
    }

    fn url(settings: &Settings) -> Option<&str> {
        settings.otlp.endpoint.as_ref().map(Url::as_str)
    }

    #[test]
    fn spans_go_below_the_endpoint_wherever_it_ends() {
        for (text, expected) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/otlp", "https://c/otlp/v1/traces"),
            ("https://c/otlp/v1/traces/", "https://c/otlp/v1/traces"),
        ] {
            assert_eq!(url(&settings("", &[("RINGBACK_OTLP_ENDPOINT", text)])), Some(expected));
        }
        for wrong in ["4318", "grpc://c:4317", "http://user:pass@c", "http://c?key=pass", "http://"] {
            let error = load("", &[("RINGBACK_OTLP_ENDPOINT", wrong)]).err().expect(wrong).to_string();
            assert!(error.contains("http://127.0.0.1:4318") && !error.contains("pass"), "{error}");
        }
    }

    #[test]
    fn the_standards_variables_count_where_ours_and_the_file_say_nothing() {
        let standard = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:1");
        let key = ("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b%2Cc%, y=1=2");
        let loaded = load("", &[standard, key]).unwrap();
        assert_eq!(url(&loaded.settings), Some("http://standard:1/v1/traces"));
        assert_eq!(loaded.origins["otlp_endpoint"], Origin::Variable(standard.0.to_owned()));
        let headers: Vec<_> =
            loaded.settings.otlp.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("x-key", "a b,c%"), ("y", "1=2")]);
        assert_eq!(
            url(&settings("otlp_endpoint = \"http://file:2\"", &[standard])),
            Some("http://file:2/v1/traces")
        );
        assert_eq!(url(&settings("otlp_endpoint = \"\"", &[standard])), None);
        let ours = ("RINGBACK_OTLP_ENDPOINT", "http://ours:3");
        assert_eq!(
            url(&settings("otlp_endpoint = \"http://file:2\"", &[standard, ours])),
            Some("http://ours:3/v1/traces")
        );
        assert_eq!(url(&settings("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")])), None);
        let off = [standard, ("OTEL_SDK_DISABLED", "true")];
        assert_eq!(url(&settings("", &off)), None);
    }

    #[test]
    fn a_ratio_is_a_number_from_0_to_1() {
        for (text, expected) in [("0", 0.0), ("0.25", 0.25), ("1", 1.0), ("1.0", 1.0)] {
            assert_eq!(settings(&format!("otlp_sample_ratio = {text}"), &[]).otlp.sample_ratio, expected);
            assert_eq!(settings("", &[("RINGBACK_OTLP_SAMPLE_RATIO", text)]).otlp.sample_ratio, expected);
        }
        for wrong in ["1.1", "-0.1", "nan", "inf", "half", "10%"] {
            assert!(load("", &[("RINGBACK_OTLP_SAMPLE_RATIO", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_values_of_headers_are_never_shown() {
        let shown = HEADERS.show(&settings("otlp_headers = \"x=s3cret\"", &[]));
        assert_eq!(shown.as_deref(), Some(HIDDEN));
        for wrong in ["s3cret", "x=a,s3cret", "content-type=s3cret", "x=s3cret%0A", "host=s3cret"] {
            let error = load("", &[("RINGBACK_OTLP_HEADERS", wrong)]).err().expect(wrong).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn spans_say_which_service_made_them() {
        let named = settings(
            "",
            &[
                ("OTEL_SERVICE_NAME", "webhooks"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=a%20b"),
            ],
        );
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            named.otlp.resource(),
            [
                pair("deployment.environment.name", "a b"),
                pair("service.name", "webhooks"),
                pair("service.version", &version)
            ]
        );
        let plain = [pair("service.name", "ringback"), pair("service.version", &version)];
        assert_eq!(settings("", &[]).otlp.resource(), plain);
    }
}
