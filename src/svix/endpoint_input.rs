//! What describes an endpoint, and what becomes of it in a webhook.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::fields::{Patch, given};
use super::input::{Invalid, checked_metadata, checked_uid};
use super::secret_input::checked_secret;
use crate::api::Api;
use crate::api::input::{Errors, JsonFields};
use crate::api::webhook_input::WebhookChanges;
use crate::api::webhook_settings::{HeaderBounds, Rules};
use crate::domain::endpoint::{DisabledReason, Endpoint, RateLimit};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{Metadata, OrganizationUid};
use crate::domain::patterns::EventPattern;
use crate::domain::secret::Secret;
use crate::domain::svix::is_name;
use crate::domain::time::UnixMillis;

/// What ids begin with, here and in our own API: an own id that does would be taken for one.
const ID_PREFIXES: [&str; 2] = ["ep_", "wh_"];
const MAX_CHANNELS: usize = 10;
/// Headers that Svix's server lets nobody set, beside those that the engine sets itself.
const FORBIDDEN_HEADERS: [&str; 7] =
    ["age", "cache-control", "clear-site-data", "expires", "pragma", "trailers", "warning"];
/// What the names of others begin with: they sign requests, or belong to those who pass them on.
const FORBIDDEN_BEGINNINGS: [&str; 10] =
    ["svix-", "webhook-", "x-svix-", "x-amz-", "x-amzn-", "x-google", "x-goog-", "x-gfe", "x-azure-", "x-fd-"];

/// The body of a `POST` or `PUT`: what is absent or `null` has its default.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointIn {
    url: String,
    description: Option<String>,
    uid: Option<String>,
    version: Option<u16>,
    disabled: Option<bool>,
    /// Newer libraries call it `eventTypes`.
    filter_types: Option<Vec<String>>,
    event_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    /// Newer libraries call it `throttleRate`.
    rate_limit: Option<u16>,
    throttle_rate: Option<u16>,
    metadata: Option<BTreeMap<String, String>>,
    headers: Option<BTreeMap<String, String>>,
    secret: Option<String>,
}

/// The body of a `PATCH`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointPatch {
    #[serde(default, deserialize_with = "given")]
    url: Option<String>,
    #[serde(default, deserialize_with = "given")]
    description: Option<String>,
    #[serde(default)]
    uid: Patch<String>,
    #[serde(default, deserialize_with = "given")]
    version: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    disabled: Option<bool>,
    #[serde(default)]
    filter_types: Patch<Vec<String>>,
    #[serde(default)]
    event_types: Patch<Vec<String>>,
    #[serde(default)]
    channels: Patch<Vec<String>>,
    #[serde(default)]
    rate_limit: Patch<u16>,
    #[serde(default)]
    throttle_rate: Patch<u16>,
    #[serde(default)]
    metadata: Patch<BTreeMap<String, String>>,
}

/// A checked change of an endpoint; `None` leaves a field as it is.
#[derive(Clone, Default)]
pub(super) struct EndpointChange {
    /// URL and headers, which are checked and set as our own API does.
    settings: Option<WebhookChanges>,
    description: Option<Option<String>>,
    pub(super) uid: Option<Option<OrganizationUid>>,
    is_disabled: Option<bool>,
    /// Empty: all.
    pub(super) events: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    rate_limit: Option<Option<u16>>,
    metadata: Option<Metadata>,
    pub(super) secret: Option<Secret>,
}

impl EndpointIn {
    /// Checks everything: every field is set.
    pub(super) fn checked(self, api: &Api, owner: OrganizationId, invalid: &mut Invalid) -> EndpointChange {
        let description = self.description.unwrap_or_default();
        invalid.check_text("description", &description);
        check_version(self.version, invalid);
        let mut settings = Map::from_iter([("url".to_owned(), Value::from(normalized(self.url)))]);
        if let Some(headers) = &self.headers {
            check_header_names(headers.keys(), invalid);
            settings.insert("headers".to_owned(), json!(headers));
        }
        let rate_limit = self.rate_limit.or(self.throttle_rate);
        invalid.check_rate(rate_limit);
        EndpointChange {
            settings: read_settings(api, owner, settings, invalid),
            description: Some(Some(description).filter(|text| !text.is_empty())),
            uid: Some(self.uid.and_then(|uid| checked_uid(&uid, &ID_PREFIXES, invalid))),
            is_disabled: Some(self.disabled.unwrap_or_default()),
            events: Some(checked_types(self.filter_types.or(self.event_types), invalid)),
            channels: Some(checked_channels(self.channels, invalid)),
            rate_limit: Some(rate_limit),
            metadata: Some(checked_metadata(self.metadata.unwrap_or_default(), invalid)),
            secret: self.secret.and_then(|secret| checked_secret("secret", &secret, invalid)),
        }
    }
}

impl EndpointPatch {
    /// Checks what is given.
    pub(super) fn checked(self, api: &Api, owner: OrganizationId, invalid: &mut Invalid) -> EndpointChange {
        if let Some(description) = &self.description {
            invalid.check_text("description", description);
        }
        check_version(self.version, invalid);
        let url = self.url.map(|url| Map::from_iter([("url".to_owned(), Value::from(normalized(url)))]));
        let rate_limit = self.rate_limit.given().or(self.throttle_rate.given());
        invalid.check_rate(rate_limit.flatten());
        let uid = self.uid.given();
        let types = self.filter_types.given().or(self.event_types.given());
        EndpointChange {
            settings: url.and_then(|url| read_settings(api, owner, url, invalid)),
            description: self.description.map(|text| Some(text).filter(|text| !text.is_empty())),
            uid: uid.map(|uid| uid.and_then(|uid| checked_uid(&uid, &ID_PREFIXES, invalid))),
            is_disabled: self.disabled,
            events: types.map(|types| checked_types(types, invalid)),
            channels: self.channels.given().map(|channels| checked_channels(channels, invalid)),
            rate_limit,
            metadata: self.metadata.given().map(|pairs| checked_metadata(pairs.unwrap_or_default(), invalid)),
            secret: None,
        }
    }
}

impl EndpointChange {
    /// Changes the fields that are given. URL and headers were checked before.
    pub(super) fn apply(&self, endpoint: &mut Endpoint, now: UnixMillis) {
        let was_active = endpoint.active;
        if let Some(settings) = &self.settings {
            settings.apply(endpoint, now, &mut Errors::new());
        }
        if let Some(description) = &self.description {
            endpoint.description.clone_from(description);
        }
        if let Some(uid) = &self.uid {
            endpoint.uid.clone_from(uid);
        }
        if let Some(events) = &self.events {
            endpoint.events = events.iter().cloned().map(EventPattern::Exact).collect();
        }
        if let Some(channels) = &self.channels {
            endpoint.channels.clone_from(channels);
        }
        if let Some(rate_limit) = self.rate_limit {
            let limit = |rate: u16| RateLimit { per_second: f64::from(rate), burst: None };
            endpoint.rate_limit = rate_limit.map(limit);
        }
        if let Some(metadata) = &self.metadata {
            endpoint.metadata.clone_from(metadata);
        }
        if let Some(is_disabled) = self.is_disabled {
            endpoint.active = !is_disabled;
        }
        if endpoint.active != was_active {
            endpoint.disabled_reason = (!endpoint.active).then_some(DisabledReason::Manual);
            endpoint.disabled_at = (!endpoint.active).then_some(now);
        }
    }
}

/// The rules of our own API, with more room for headers.
pub(super) fn rules(api: &Api, owner: OrganizationId) -> Rules<'_> {
    Rules { headers: HeaderBounds::WIDE, ..api.rules(owner) }
}

/// As Svix's server shows it: the host in lower case, and a path. What is no URL is left to the check of URLs.
fn normalized(url: String) -> String {
    Url::parse(&url).map_or(url, String::from)
}

/// Reads settings that our own API has as well, by its rules.
fn read_settings(
    api: &Api,
    owner: OrganizationId,
    settings: Map<String, Value>,
    invalid: &mut Invalid,
) -> Option<WebhookChanges> {
    let text = Value::Object(settings).to_string();
    let mut errors = Errors::new();
    let fields = JsonFields::parse(text.as_bytes(), &mut errors);
    let changes = fields.map(|fields| WebhookChanges::read_change(fields, &rules(api, owner), &mut errors));
    match changes.and_then(|changes| errors.into_result().map(|()| changes)) {
        Ok(changes) => Some(changes),
        Err(problem) => {
            invalid.add_all_of(&problem);
            None
        }
    }
}

fn check_version(version: Option<u16>, invalid: &mut Invalid) {
    if version == Some(0) {
        invalid.add("version", "must be at least 1");
    }
}

fn checked_types(types: Option<Vec<String>>, invalid: &mut Invalid) -> Vec<String> {
    let Some(types) = types else { return Vec::new() };
    if types.is_empty() {
        invalid.add("filterTypes", "can't be empty: it has an event type or more, or is null for all");
    }
    if types.iter().any(|name| !is_name(name)) {
        invalid.add("filterTypes", "each must have 1 to 256 of the characters A-Z, a-z, 0-9, -, _ and .");
    }
    without_repetitions(types)
}

fn checked_channels(channels: Option<Vec<String>>, invalid: &mut Invalid) -> Vec<String> {
    let Some(channels) = channels else { return Vec::new() };
    check_channels(&channels, MAX_CHANNELS, invalid);
    without_repetitions(channels)
}

/// Channels of an endpoint or of a message.
pub(super) fn check_channels(channels: &[String], most: usize, invalid: &mut Invalid) {
    if !(1..=most).contains(&channels.len()) {
        invalid.add("channels", format!("must have 1 to {most} items, or be null"));
    }
    if channels.iter().any(|channel| !is_name(channel)) {
        invalid.add("channels", "each must have 1 to 256 of the characters A-Z, a-z, 0-9, -, _ and .");
    }
}

pub(super) fn without_repetitions(mut texts: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    texts
}

/// Headers that are not for others to set.
pub(super) fn check_header_names<'a>(names: impl Iterator<Item = &'a String>, invalid: &mut Invalid) {
    for name in names {
        let lower = name.to_ascii_lowercase();
        let is_forbidden = FORBIDDEN_HEADERS.contains(&lower.as_str())
            || FORBIDDEN_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning));
        if is_forbidden {
            invalid.add(
                "headers",
                format!("{name} can't be set: it signs requests, or is for those who pass them on"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_types_are_lists_with_something_in_them() {
        let errors = |check: &dyn Fn(&mut Invalid)| {
            let mut invalid = Invalid::of_body();
            check(&mut invalid);
            invalid.into_result().is_err()
        };
        let list = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert!(errors(&|invalid| drop(checked_channels(Some(Vec::new()), invalid))));
        assert!(errors(&|invalid| drop(checked_channels(Some(list(&["a b"])), invalid))));
        assert!(errors(&|invalid| drop(checked_channels(Some(list(&["x"; 11])), invalid))));
        assert!(!errors(&|invalid| drop(checked_channels(None, invalid))));
        assert!(errors(&|invalid| drop(checked_types(Some(Vec::new()), invalid))));
        assert!(!errors(&|invalid| assert_eq!(checked_types(Some(list(&["A.b", "A.b"])), invalid), ["A.b"])));
    }
}
