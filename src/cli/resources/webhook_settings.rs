//! The settings of a webhook as flags.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::object::Object;
use super::values::{self, read_json};

#[derive(Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingsArgs {
    /// Where events are sent
    #[arg(long)]
    url: Option<String>,
    /// Event types or patterns, like call.completed,batch.*; '' means all
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    events: Option<Vec<String>>,
    /// Only events of these channels, separated by commas; '' for all
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// A note for people; '' takes it away
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether events are sent
    #[arg(long, value_name = "true|false")]
    active: Option<bool>,
    /// Conditions on the data of an event, as JSON or @file
    #[arg(long, value_name = "JSON")]
    filters: Option<String>,
    /// Seconds for a whole attempt
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Retries after the first attempt
    #[arg(long, value_name = "N", conflicts_with = "retry_policy")]
    retry: Option<u64>,
    /// A retry schedule of your own, as JSON or @file
    #[arg(long, value_name = "JSON")]
    retry_policy: Option<String>,
    /// The delay before each retry, in seconds, like 5,300,1800
    #[arg(long, value_name = "DELAYS", value_delimiter = ',', conflicts_with_all = ["retry", "retry_policy"])]
    retry_schedule: Option<Vec<u64>>,
    /// Classes of responses that are retried although they are final, like 4xx,3xx
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    retry_on: Option<Vec<String>>,
    /// A header of every request, like 'x-token: abc'; all of them together replace those that are there
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = values::header)]
    headers: Vec<(String, String)>,
    /// A client certificate for mTLS: a file in PEM, with its intermediates; '' takes it away
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<String>,
    /// The private key of the client certificate: a file in PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<String>,
    /// Where tokens come from: token_url, client_id, client_secret …, as JSON or @file; '' for none
    #[arg(long, value_name = "JSON")]
    oauth2: Option<String>,
    /// The most requests per second
    #[arg(long, value_name = "N")]
    rate_limit_per_second: Option<f64>,
    /// Requests that may come at once after a pause
    #[arg(long, value_name = "N", requires = "rate_limit_per_second")]
    rate_limit_burst: Option<u64>,
    /// The most concurrent requests
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u64>,
    /// One delivery at a time, in the order of events
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    ordered: Option<bool>,
    /// All settings as JSON; `@file` reads a file, `-` standard input. A flag wins over a field
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

impl SettingsArgs {
    /// The body of a call: what --data holds, with the flags over it.
    pub(super) fn body(&self) -> anyhow::Result<Object> {
        let mut body = object_of(self.data.as_deref())?;
        body.set_given("url", self.url.as_ref())?;
        let patterns = |given: &Vec<String>| {
            given.iter().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect::<Vec<_>>()
        };
        body.set_given("events", self.events.as_ref().map(patterns))?;
        body.set_given("channels", self.channels.as_ref().map(patterns))?;
        body.set_given(
            "description",
            self.description.as_ref().map(|text| Some(text).filter(|it| !it.is_empty())),
        )?;
        body.set_given("active", self.active)?;
        let filters = self.filters.as_deref().map(|it| if it.is_empty() { "null" } else { it });
        body.set_given("filters", filters.map(|it| read_json("--filters", it)).transpose()?)?;
        body.set_given("timeout", self.timeout)?;
        body.set_given("retry", self.retry)?;
        let policy = self.retry_policy.as_deref().map(|it| read_json("--retry-policy", it)).transpose()?;
        body.set_given("retry_policy", policy)?;
        body.set_given("retry_schedule", self.retry_schedule.as_ref())?;
        body.set_given("retry_on", self.retry_on.as_ref().map(patterns))?;
        if !self.headers.is_empty() {
            body.set("headers", &self.headers.iter().cloned().collect::<BTreeMap<_, _>>())?;
        }
        body.set_given("client_certificate", self.client_certificate()?)?;
        let oauth2 = self.oauth2.as_deref().map(|it| if it.is_empty() { "null" } else { it });
        body.set_given("oauth2", oauth2.map(|it| read_json("--oauth2", it)).transpose()?)?;
        body.set_given("rate_limit", self.rate_limit())?;
        body.set_given("max_in_flight", self.max_in_flight)?;
        body.set_given("ordered", self.ordered)?;
        Ok(body)
    }

    fn client_certificate(&self) -> anyhow::Result<Option<serde_json::Value>> {
        let read = |flag: &str, path: &str| {
            std::fs::read_to_string(path).with_context(|| format!("{flag}: can't read {path}"))
        };
        match (self.client_certificate.as_deref(), self.client_key.as_deref()) {
            (None, _) => Ok(None),
            (Some(""), _) => Ok(Some(serde_json::Value::Null)),
            (Some(_), None) => {
                anyhow::bail!("--client-certificate needs --client-key, the file of its private key")
            }
            (Some(certificate), Some(key)) => Ok(Some(json!({
                "certificate": read("--client-certificate", certificate)?,
                "private_key": read("--client-key", key)?,
            }))),
        }
    }

    fn rate_limit(&self) -> Option<serde_json::Value> {
        self.rate_limit_per_second.map(|per_second| match self.rate_limit_burst {
            Some(burst) => json!({"per_second": per_second, "burst": burst}),
            None => json!({"per_second": per_second}),
        })
    }
}

/// The object that --data gives; an empty one without it.
pub(super) fn object_of(data: Option<&str>) -> anyhow::Result<Object> {
    let Some(given) = data else { return Ok(Object::default()) };
    let json = read_json("--data", given)?;
    serde_json::from_str(json.get()).map_err(|_| anyhow::anyhow!("--data must be an object, like {{\"name\": …}}"))
}

/// Refuses a change that changes nothing: the flags were forgotten.
pub(super) fn refuse_empty(body: &Object) -> anyhow::Result<()> {
    if body.is_empty() {
        anyhow::bail!("nothing to change: say what with flags or --data (`--help` lists them)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingsArgs,
    }

    fn body(args: &[&str]) -> String {
        let line = Line::try_parse_from([&["x"], args].concat()).unwrap_or_else(|error| panic!("{error}"));
        line.settings.body().unwrap_or_else(|error| panic!("{error}")).to_json().unwrap()
    }

    #[test]
    fn flags_become_fields_and_what_is_not_given_is_not_sent() {
        assert_eq!(body(&[]), "{}");
        assert_eq!(
            body(&["--url", "https://a.example", "--events", "call.*, batch.failed", "--active", "false"]),
            r#"{"url":"https://a.example","events":["call.*","batch.failed"],"active":false}"#
        );
        assert_eq!(
            body(&["--header", "b: 2", "--header", "a: x:y", "--rate-limit-per-second", "0.5", "--ordered"]),
            r#"{"headers":{"a":"x:y","b":"2"},"rate_limit":{"per_second":0.5},"ordered":true}"#
        );
        assert_eq!(body(&["--retry-schedule", "5,300,1800"]), r#"{"retry_schedule":[5,300,1800]}"#);
        assert_eq!(body(&["--events", "", "--description", ""]), r#"{"events":[],"description":null}"#);
        assert_eq!(
            body(&["--ordered", "false", "--filters", r#"{"n": 1e400}"#]),
            r#"{"filters":{"n": 1e400},"ordered":false}"#
        );
    }

    #[test]
    fn a_client_certificate_is_read_from_files_and_nothing_takes_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["a.pem", "b.pem"].map(|name| folder.path().join(name).display().to_string());
        std::fs::write(&certificate, "C").unwrap();
        std::fs::write(&key, "K").unwrap();
        assert_eq!(
            body(&["--client-certificate", &certificate, "--client-key", &key, "--oauth2", ""]),
            r#"{"client_certificate":{"certificate":"C","private_key":"K"},"oauth2":null}"#
        );
        assert_eq!(body(&["--client-certificate", ""]), r#"{"client_certificate":null}"#);
        let alone =
            Line::try_parse_from(["x", "--client-certificate", &certificate]).unwrap_or_else(|it| panic!("{it}"));
        assert!(alone.settings.body().is_err_and(|error| error.to_string().contains("--client-key")));
    }

    #[test]
    fn a_flag_wins_over_the_same_field_of_the_data_and_the_rest_of_it_is_sent_as_written() {
        let data = r#"{"timeout": 5, "retry_schedule": [5, 1e1], "url": "https://a.example"}"#;
        assert_eq!(
            body(&["--data", data, "--timeout", "9"]),
            r#"{"timeout":9,"retry_schedule":[5, 1e1],"url":"https://a.example"}"#
        );
        assert!(object_of(Some("[1]")).err().unwrap().to_string().contains("must be an object"));
    }
}
