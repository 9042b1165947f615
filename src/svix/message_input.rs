//! What is published: reads and checks it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::applications::ApplicationIn;
use super::endpoint_input::{check_channels, without_repetitions};
use super::error::SvixError;
use super::input::{Invalid, from_json};
use crate::api::pagination::read_instant;
use crate::domain::event::{MAX_JSON_DEPTH, json_depth};
use crate::domain::labels::{EventLabels, MAX_EVENT_CHANNELS, MAX_TAGS, is_label};
use crate::domain::svix::is_name;
use crate::domain::time::UnixMillis;

/// What ids begin with: an own id that does is never found.
pub(super) const ID_PREFIX: &str = "msg_";

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Days that a payload is kept, as Svix's server takes them.
const RETENTION_DAYS: std::ops::RangeInclusive<u32> = 5..=90;
/// The same in hours, as Svix's service takes them.
const RETENTION_HOURS: std::ops::RangeInclusive<u32> = 1..=2_160;
/// How far ahead a message can be published, as with Svix's service.
const FURTHEST_AHEAD: Duration = DAY;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageIn<'a> {
    event_type: String,
    #[serde(borrow, alias = "data")]
    payload: &'a RawValue,
    event_id: Option<String>,
    channels: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    payload_retention_period: Option<i64>,
    payload_retention_hours: Option<i64>,
    transformations_params: Option<TransformationsParams>,
    deliver_at: Option<String>,
    application: Option<ApplicationIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransformationsParams {
    /// The body as it is to be sent.
    raw_payload: Option<String>,
    headers: Option<serde_json::Value>,
}

/// What is to be published, checked.
pub(super) struct CheckedMessage {
    pub event_type: String,
    pub data: Box<RawValue>,
    pub labels: EventLabels,
    pub application: Option<ApplicationIn>,
}

pub(super) fn read_message(text: &[u8], now: UnixMillis) -> Result<CheckedMessage, SvixError> {
    let message: MessageIn<'_> = from_json(text)?;
    let mut invalid = Invalid::of_body();
    invalid.check_name("eventType", &message.event_type);
    if let Some(uid) = &message.event_id
        && (!is_name(uid) || uid.starts_with(ID_PREFIX))
    {
        let msg = "must have 1 to 256 of the characters A-Z, a-z, 0-9, -, _ and ., and not begin with msg_";
        invalid.add("eventId", msg);
    }
    let erase_at = read_retention(message.payload_retention_period, message.payload_retention_hours, &mut invalid)
        .map(|kept| now + kept);
    let deliver_at = message.deliver_at.and_then(|text| read_deliver_at(&text, now, &mut invalid));
    if deliver_at.is_some_and(|at| erase_at.is_some_and(|end| end <= at)) {
        invalid.add("deliverAt", "must come before the end of the payload's retention");
    }
    if let Some(channels) = &message.channels {
        check_channels(channels, MAX_EVENT_CHANNELS, &mut invalid);
    }
    let channels = message.channels.unwrap_or_default();
    let tags = message.tags.unwrap_or_default();
    if tags.len() > MAX_TAGS || !tags.iter().all(|tag| is_label(tag)) {
        invalid.add("tags", format!("has at most {MAX_TAGS} items of 1 to 128 characters"));
    }
    let data = read_payload(message.payload, message.transformations_params, &mut invalid);
    invalid.into_result()?;
    let labels = EventLabels {
        channels: without_repetitions(channels),
        tags: without_repetitions(tags),
        uid: message.event_id,
        deliver_at,
        erase_at,
    };
    Ok(CheckedMessage { event_type: message.event_type, data, labels, application: message.application })
}

/// How long the payload is kept; `None`: as the deployment says.
fn read_retention(days: Option<i64>, hours: Option<i64>, invalid: &mut Invalid) -> Option<Duration> {
    let mut read = |field, unit, given: Option<i64>, allowed: &std::ops::RangeInclusive<u32>| {
        let given = given?;
        let number = u32::try_from(given).ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            invalid.add(field, format!("must be from {} to {} {unit}", allowed.start(), allowed.end()));
        }
        number
    };
    let of_days = read("payloadRetentionPeriod", "days", days, &RETENTION_DAYS);
    let of_hours = read("payloadRetentionHours", "hours", hours, &RETENTION_HOURS);
    if days.is_some() && hours.is_some() {
        invalid.add("payloadRetentionHours", "can't be combined with payloadRetentionPeriod");
    }
    of_days.map(|days| DAY * days).or(of_hours.map(|hours| HOUR * hours))
}

/// When the message is to be sent; `None`: at once, as for a time that is over.
fn read_deliver_at(text: &str, now: UnixMillis, invalid: &mut Invalid) -> Option<UnixMillis> {
    match read_instant(text) {
        Ok(at) if at > now + FURTHEST_AHEAD => {
            invalid.add("deliverAt", "can't be more than 24 hours ahead");
            None
        }
        Ok(at) => Some(at).filter(|at| *at > now),
        Err(msg) => {
            invalid.add("deliverAt", msg);
            None
        }
    }
}

fn read_payload(
    payload: &RawValue,
    params: Option<TransformationsParams>,
    invalid: &mut Invalid,
) -> Box<RawValue> {
    if !payload.get().starts_with('{') {
        invalid.add("payload", "must be an object");
    }
    let mut data = payload.to_owned();
    if let Some(params) = params {
        if params.headers.is_some() {
            invalid.add("transformationsParams", "headers of a single message are not supported");
        }
        match params.raw_payload.map(RawValue::from_string) {
            None => {}
            Some(Ok(raw)) => data = raw,
            Some(Err(_)) => {
                invalid.add("transformationsParams", "rawPayload must be JSON: other bodies are not stored")
            }
        }
    }
    if json_depth(data.get()) > MAX_JSON_DEPTH {
        invalid.add("payload", format!("may nest {MAX_JSON_DEPTH} levels"));
    }
    data
}
