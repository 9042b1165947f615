//! Objects of the API: fields in their order, values as they were written.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use ringback::domain::json_text::{harmless, pretty};
use ringback::domain::time::UnixMillis;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use unicode_width::UnicodeWidthStr;

use crate::cli::table::{NOTHING, one_line};

/// Fields that are JSON of users, and shown as such.
const JSON_FIELDS: [&str; 5] = ["payload", "schema", "sample", "filters", "response_body"];

/// A JSON object.
#[derive(Default)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// Of a response.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("the response is not that of an engine (--engine sets another address)")
    }

    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    /// What a field holds, for people.
    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).map_or_else(|| String::from(NOTHING), shown)
    }

    /// The first of these fields that holds something.
    pub(super) fn first_text(&self, names: &[&str]) -> String {
        let texts = names.iter().map(|name| self.text(name));
        texts.into_iter().find(|text| text != NOTHING).unwrap_or_else(|| String::from(NOTHING))
    }

    /// The objects in a field that is a list.
    pub(super) fn list(&self, name: &str) -> Vec<Self> {
        self.get(name).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a field, also one that is there.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let value = to_raw_value(value)?;
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// Sets a field if there is a value.
    pub(super) fn set_given(&mut self, name: &str, value: Option<impl Serialize>) -> anyhow::Result<()> {
        value.map_or(Ok(()), |value| self.set(name, &value))
    }

    pub(super) fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Without these fields.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    /// Every field on a line of its own, objects flattened, the JSON of users behind them.
    pub(super) fn details(&self, now: UnixMillis) -> String {
        let mut lines = Vec::new();
        self.flatten("", now, &mut lines);
        let width = lines.iter().map(|(name, _)| name.width()).max().unwrap_or_default();
        let mut out: Vec<String> = lines.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
        for name in JSON_FIELDS {
            if let Some(value) = self.get(name).filter(|value| value.get() != "null") {
                let text = match serde_json::from_str::<String>(value.get()) {
                    Ok(text) => harmless(&text),
                    Err(_) => pretty(value.get()).unwrap_or_default(),
                };
                out.push(format!("{name}\n  {}", text.replace('\n', "\n  ")));
            }
        }
        out.join("\n")
    }

    fn flatten(&self, prefix: &str, now: UnixMillis, lines: &mut Vec<(String, String)>) {
        for (name, value) in &self.0 {
            if prefix.is_empty() && JSON_FIELDS.contains(&name.as_str()) && value.get() != "null" {
                continue;
            }
            let path = format!("{prefix}{}", one_line(name));
            match serde_json::from_str::<Self>(value.get()) {
                Ok(object) if !object.is_empty() => object.flatten(&format!("{path}."), now, lines),
                _ => lines.push((path, with_distance(name, shown(value), now))),
            }
        }
    }
}

/// A value on one line.
fn shown(value: &RawValue) -> String {
    let text = value.get();
    if let Ok(text) = serde_json::from_str::<String>(text) {
        return one_line(&text);
    }
    let texts = |list: Vec<Box<RawValue>>| list.iter().map(|item| shown(item)).collect::<Vec<_>>().join(", ");
    match text {
        "null" | "[]" | "{}" => String::from(NOTHING),
        // one of objects is for programs
        _ if text.starts_with('[') && !text.contains('{') => {
            serde_json::from_str(text).map_or_else(|_| one_line(text), texts)
        }
        _ => one_line(text),
    }
}

/// A time with how far away it is.
fn with_distance(name: &str, text: String, now: UnixMillis) -> String {
    let is_time = name.ends_with("_at") || matches!(name, "at" | "timestamp");
    match UnixMillis::parse_rfc3339(&text).filter(|_| is_time) {
        Some(at) => format!("{text} ({})", relative(at, now)),
        None => text,
    }
}

/// How far away a time is.
pub(super) fn relative(at: UnixMillis, now: UnixMillis) -> String {
    if at > now { format!("in {}", rounded(at.since(now))) } else { format!("{} ago", rounded(now.since(at))) }
}

/// In the largest unit of which there is one.
fn rounded(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> UnixMillis {
        UnixMillis::parse_rfc3339("2026-11-30T10:00:00Z").unwrap()
    }

    #[test]
    fn details_name_every_field_and_show_the_json_of_users_as_they_wrote_it() {
        let object = Object::parse(
            r#"{"id": "wh_1", "events": ["call.*", "batch.failed"], "headers": {}, "rate_limit": {"per_second": 50.0},
                "description": null, "active": true, "created_at": "2026-11-30T07:00:00.000Z",
                "payload": {"n":1e400,"text":"\u001b[2J"}, "previous_secrets": [{"expires_at": "x"}]}"#,
        )
        .unwrap();
        assert_eq!(
            object.details(now()),
            "id                     wh_1\n\
             events                 call.*, batch.failed\n\
             headers                –\n\
             rate_limit.per_second  50.0\n\
             description            –\n\
             active                 true\n\
             created_at             2026-11-30T07:00:00.000Z (3 h ago)\n\
             previous_secrets       [{\"expires_at\": \"x\"}]\n\
             payload\n  {\n    \"n\": 1e400,\n    \"text\": \"\\u001b[2J\"\n  }"
        );
    }

    #[test]
    fn a_text_cannot_command_the_terminal_or_begin_a_line() {
        let object = Object::parse(r#"{"name": "a\u001b[2J\nb", "a\u001bb": 1}"#).unwrap();
        let details = object.details(now());
        assert!(!details.contains('\u{1b}'), "{details}");
        assert_eq!(details.lines().count(), 2, "{details}");
    }

    #[test]
    fn a_field_that_is_set_replaces_the_one_that_is_there_and_the_others_stay_as_written() {
        let mut object = Object::parse(r#"{"timeout": 5, "filters": {"n": 1e400}}"#).unwrap();
        object.set("timeout", &7).unwrap();
        object.set_given("url", Some("https://a.example")).unwrap();
        object.set_given("retry", None::<u64>).unwrap();
        assert_eq!(object.to_json().unwrap(), r#"{"timeout":7,"filters":{"n": 1e400},"url":"https://a.example"}"#);
    }

    #[test]
    fn distances_are_in_the_largest_unit() {
        for (seconds, expected) in [
            (0, "0 s ago"),
            (59, "59 s ago"),
            (61, "1 min ago"),
            (7_300, "2 h ago"),
            (172_800, "2 d ago"),
            (-90, "in 1 min"),
        ] {
            let at = UnixMillis(now().0 - seconds * 1_000);
            assert_eq!(relative(at, now()), expected);
        }
    }
}
