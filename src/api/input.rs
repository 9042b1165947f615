//! Reads the fields of a JSON object and collects all errors instead of stopping at the first. Values stay raw text
//! until a reader needs their type.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{ErrorCode, InputError, Problem};
use crate::domain::event::{MAX_JSON_DEPTH, json_depth};
use crate::domain::filter::FieldError;
use crate::domain::ids::ParseIdError;
use crate::domain::time::{UnixMillis, why_not_rfc3339};

/// The errors of an input so far.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<InputError>);

impl Errors {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Reports an invalid field.
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.add_with_code(ErrorCode::ValidationFailed, field, message);
    }

    /// Reports an invalid field whose rule has its own code.
    pub(crate) fn add_with_code(&mut self, code: ErrorCode, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(InputError { code, error: FieldError { field: field.into(), message: message.into() } });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The response if there are errors.
    pub(crate) fn into_result(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::input(self.0)) }
    }
}

/// A field of a JSON object: absent, `null`, or with a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValue<T> {
    /// Absent, or invalid (then it is among the errors).
    Absent,
    Null,
    Value(T),
}

impl<T> FieldValue<T> {
    /// The value; `None` for absent and `null` alike.
    pub(crate) fn into_option(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// What is to be set: `None` when nothing is, `Some(None)` for `null`.
    pub(crate) fn given(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

/// An object's fields in the order in which they were written, duplicates included.
struct RawFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = RawFields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    fields.push((name, map.next_value::<&RawValue>()?));
                }
                Ok(RawFields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// The fields of an object. Readers take them out one by one; [`JsonFields::finish`] reports the remaining ones.
#[derive(Debug)]
pub(crate) struct JsonFields<'a> {
    /// Precedes a field's name in errors: empty, or a path that ends in a dot.
    prefix: String,
    /// If the body is not an object, missing fields are not reported.
    is_object: bool,
    entries: Vec<(String, &'a RawValue)>,
    known: Vec<&'static str>,
}

impl<'a> JsonFields<'a> {
    /// Reads a request's body whose top level must be an object.
    pub(crate) fn parse(body: &'a [u8], errors: &mut Errors) -> Result<Self, Problem> {
        let text = utf8(body)?;
        // before any recursive parser reads it
        if json_depth(text) > MAX_JSON_DEPTH {
            let detail = format!("arrays and objects nest deeper than {MAX_JSON_DEPTH}; flatten the body");
            return Err(Problem::new(ErrorCode::JsonTooDeep, detail));
        }
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            let value: &RawValue = serde_json::from_str(text).map_err(|error| invalid_json(&error))?;
            errors.add("", format!("the body must be an object, not {}", kind(value)));
            let (entries, known) = (Vec::new(), Vec::new());
            return Ok(Self { prefix: String::new(), is_object: false, entries, known });
        }
        let RawFields(entries) = serde_json::from_str(text).map_err(|error| invalid_json(&error))?;
        Ok(Self::new(String::new(), entries, errors))
    }

    /// Reads an object within another; `path` is its own name.
    pub(crate) fn nested(value: &'a RawValue, path: &str, errors: &mut Errors) -> Option<Self> {
        if !value.get().starts_with('{') {
            errors.add(path, format!("expected an object, got {}", kind(value)));
            return None;
        }
        match serde_json::from_str(value.get()) {
            Ok(RawFields(entries)) => Some(Self::new(format!("{path}."), entries, errors)),
            Err(error) => {
                errors.add(path, format!("can't be read: {error}"));
                None
            }
        }
    }

    fn new(prefix: String, entries: Vec<(String, &'a RawValue)>, errors: &mut Errors) -> Self {
        let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut twice: Vec<&str> =
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        twice.dedup();
        for name in twice {
            errors.add(format!("{prefix}{name}"), "given more than once");
        }
        Self { prefix, is_object: true, entries, known: Vec::new() }
    }

    /// Takes a field's raw value; `null` counts as a value.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.known.push(name);
        let position = self.entries.iter().position(|(entry, _)| entry == name)?;
        let value = self.entries.remove(position).1;
        // a second one of the same name is among the errors already
        self.entries.retain(|(entry, _)| entry != name);
        Some(value)
    }

    /// Reads a field with `read`, which reports what is wrong and then returns `None`.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        errors: &mut Errors,
        read: impl FnOnce(&'a RawValue, &str, &mut Errors) -> Option<T>,
    ) -> FieldValue<T> {
        match self.take(name) {
            None => FieldValue::Absent,
            Some(value) if value.get() == "null" => FieldValue::Null,
            Some(value) => {
                let path = format!("{}{name}", self.prefix);
                read(value, &path, errors).map_or(FieldValue::Absent, FieldValue::Value)
            }
        }
    }

    /// Reads a field that must be there and not `null`.
    pub(crate) fn require<T>(
        &mut self,
        name: &'static str,
        errors: &mut Errors,
        read: impl FnOnce(&'a RawValue, &str, &mut Errors) -> Option<T>,
    ) -> Option<T> {
        match self.take(name) {
            Some(value) => read(value, &format!("{}{name}", self.prefix), errors),
            None => {
                if self.is_object {
                    errors.add(format!("{}{name}", self.prefix), "required");
                }
                None
            }
        }
    }

    /// Reports a field that exists but can't be set here.
    pub(crate) fn refuse(&mut self, name: &'static str, message: &str, errors: &mut Errors) {
        if self.hidden(|fields| fields.take(name)).is_some() {
            errors.add(format!("{}{name}", self.prefix), message);
        }
    }

    /// Reads fields that no error names among those to set.
    pub(crate) fn hidden<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let named = self.known.len();
        let read = read(self);
        self.known.truncate(named);
        read
    }

    /// Whether a field is there that no reader took yet.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(entry, _)| entry == name)
    }

    /// All remaining fields, for objects whose names the client chooses.
    pub(crate) fn into_entries(self) -> Vec<(String, &'a RawValue)> {
        self.entries
    }

    /// Reports every field that no reader took.
    pub(crate) fn finish(self, errors: &mut Errors) {
        let known = self.known.join(", ");
        for (name, _) in &self.entries {
            errors.add(format!("{}{name}", self.prefix), format!("unknown field; known are {known}"));
        }
    }
}

/// Without the byte order mark that some editors and shells put first: RFC 8259, 8.1, lets a reader ignore it.
pub(crate) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// The text of a body.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, Problem> {
    let text = without_mark(body);
    std::str::from_utf8(text).map_err(|error| {
        let detail = match body {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => String::from("the body is UTF-16; JSON is sent as UTF-8"),
            _ => format!("the body is not UTF-8: byte {} is wrong", error.valid_up_to() + body.len() - text.len()),
        };
        Problem::new(ErrorCode::InvalidJson, detail)
    })
}

/// The response to a text that is not JSON.
pub(crate) fn invalid_json(error: &serde_json::Error) -> Problem {
    if error.is_eof() && (error.line(), error.column()) == (1, 0) {
        return Problem::new(ErrorCode::InvalidJson, "the body is empty: send JSON");
    }
    // its text ends in "at line 1 column 7"
    Problem::new(ErrorCode::InvalidJson, format!("the body is not valid JSON: {error}"))
}

/// The type of a value, for an error message.
pub(crate) fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A string; NUL is refused, because PostgreSQL can't store it.
pub(crate) fn string(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    if !value.get().starts_with('"') {
        errors.add(path, format!("expected a string, got {}", kind(value)));
        return None;
    }
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) if text.contains('\0') => {
            errors.add(path, "must not contain a NUL character");
            None
        }
        Ok(text) => Some(text),
        // half of a surrogate pair
        Err(_) => {
            errors.add(path, "contains an escape that is not a character");
            None
        }
    }
}

/// A string whose length in characters is within these bounds.
pub(crate) fn string_of_length(
    length: RangeInclusive<usize>,
) -> impl FnOnce(&RawValue, &str, &mut Errors) -> Option<String> {
    move |value, path, errors| {
        let text = string(value, path, errors)?;
        let characters = text.chars().count();
        if !length.contains(&characters) {
            let (least, most) = (length.start(), length.end());
            errors.add(path, format!("must have {least} to {most} characters, this has {characters}"));
            return None;
        }
        Some(text)
    }
}

/// Characters of the longest name (contract).
pub(crate) const MAX_NAME: usize = 200;

/// A name that an operator chose: visible, on one line.
pub(crate) fn name(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    let text = string_of_length(1..=MAX_NAME)(value, path, errors)?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        errors.add(path, "must not be blank or contain control characters");
        return None;
    }
    Some(text)
}

/// `true` or `false`.
pub(crate) fn boolean(value: &RawValue, path: &str, errors: &mut Errors) -> Option<bool> {
    match value.get() {
        "true" => Some(true),
        "false" => Some(false),
        quoted @ (r#""true""# | r#""false""#) => {
            let bare = quoted.trim_matches('"');
            errors.add(path, format!("expected true or false, got a string: write {bare} without quotes"));
            None
        }
        _ => {
            errors.add(path, format!("expected true or false, got {}", kind(value)));
            None
        }
    }
}

/// A whole number within bounds.
pub(crate) fn whole_number(
    range: RangeInclusive<u64>,
) -> impl FnOnce(&RawValue, &str, &mut Errors) -> Option<u64> {
    move |value, path, errors| {
        let (least, most) = (*range.start() as f64, *range.end() as f64);
        let number = number(least..=most)(value, path, errors)?;
        if number.fract() != 0.0 {
            errors.add(path, format!("must be a whole number, got {}", value.get()));
            return None;
        }
        Some(number as u64)
    }
}

/// A number within bounds.
pub(crate) fn number(range: RangeInclusive<f64>) -> impl FnOnce(&RawValue, &str, &mut Errors) -> Option<f64> {
    move |value, path, errors| {
        if kind(value) != "a number" {
            let bare = value.get().trim_matches('"');
            let is_quoted = kind(value) == "a string" && serde_json::from_str::<f64>(bare).is_ok();
            let hint = if is_quoted { format!(": write {bare} without quotes") } else { String::new() };
            errors.add(path, format!("expected a number, got {}{hint}", kind(value)));
            return None;
        }
        // a number beyond f64 is beyond every range as well
        match value.get().parse::<f64>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                errors.add(path, format!("must be from {} to {}", range.start(), range.end()));
                None
            }
        }
    }
}

/// An array with at most this many items.
pub(crate) fn array(
    most: usize,
) -> impl for<'a> FnOnce(&'a RawValue, &str, &mut Errors) -> Option<Vec<&'a RawValue>> {
    move |value, path, errors| read_array(value, most, path, errors)
}

fn read_array<'a>(value: &'a RawValue, most: usize, path: &str, errors: &mut Errors) -> Option<Vec<&'a RawValue>> {
    if !value.get().starts_with('[') {
        errors.add(path, format!("expected an array, got {}", kind(value)));
        return None;
    }
    match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        Ok(items) if items.len() > most => {
            errors.add(path, format!("may have at most {most} items, this has {}", items.len()));
            None
        }
        Ok(items) => Some(items),
        Err(error) => {
            errors.add(path, format!("can't be read: {error}"));
            None
        }
    }
}

/// An id of one kind.
pub(crate) fn id<Id: FromStr<Err = ParseIdError>>(
    value: &RawValue,
    path: &str,
    errors: &mut Errors,
) -> Option<Id> {
    let text = string(value, path, errors)?;
    text.parse().map_err(|error: ParseIdError| errors.add(path, error.to_string())).ok()
}

/// For calls whose fields are all optional: an absent body means an empty object.
pub(crate) fn or_empty_object(body: &[u8]) -> &[u8] {
    if body.is_empty() { b"{}" } else { body }
}

/// An instant in RFC 3339.
pub(crate) fn instant(value: &RawValue, path: &str, errors: &mut Errors) -> Option<UnixMillis> {
    let text = string(value, path, errors)?;
    let instant = UnixMillis::parse_rfc3339(&text);
    if instant.is_none() {
        errors.add(path, not_an_instant(&text));
    }
    instant
}

/// The error for a text that should be an instant.
pub(crate) fn not_an_instant(text: &str) -> String {
    format!("must be an instant in RFC 3339, for example 2024-12-16T10:30:45Z; {}", why_not_rfc3339(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    /// Reads one value; its reader must report an error exactly when it returns nothing.
    fn read<T>(text: &str, reader: impl FnOnce(&RawValue, &str, &mut Errors) -> Option<T>) -> Result<T, String> {
        let mut errors = Errors::new();
        let value = reader(&raw(text), "field", &mut errors);
        match (value, errors.into_result()) {
            (Some(value), Ok(())) => Ok(value),
            (None, Err(problem)) => Err(problem.errors()[0].message.clone()),
            _ => panic!("a value and a fault, or neither: {text}"),
        }
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, expected) in [("10", 10), ("1e1", 10), ("10.0", 10), ("0", 0), ("-0", 0), ("60", 60)] {
            assert_eq!(read(text, whole_number(0..=60)), Ok(expected), "{text}");
        }
        for text in ["61", "-1", "1.5", "1e400", "-1e400", "9999999999999999999999", "\"10\"", "true", "[]"] {
            assert!(read(text, whole_number(0..=60)).is_err(), "{text}");
        }
        assert_eq!(read("null", boolean).unwrap_err(), "expected true or false, got null");
        assert_eq!(read("7", string).unwrap_err(), "expected a string, got a number");
        let quoted = "expected a number, got a string: write 10 without quotes";
        assert_eq!(read("\"10\"", whole_number(0..=60)).unwrap_err(), quoted);
        assert_eq!(read("\"ten\"", whole_number(0..=60)).unwrap_err(), "expected a number, got a string");
        let quoted = "expected true or false, got a string: write true without quotes";
        assert_eq!(read("\"true\"", boolean).unwrap_err(), quoted);
        assert_eq!(read("0", number(0.01..=10_000.0)).unwrap_err(), "must be from 0.01 to 10000");
    }

    #[test]
    fn strings_that_no_database_can_hold_are_refused() {
        assert_eq!(read(r#""\u00e9\/""#, string).as_deref(), Ok("é/"));
        assert!(read(r#""a\u0000b""#, string).is_err());
        assert!(read(r#""\ud800""#, string).is_err());
        // characters, not bytes
        assert!(read("\"éé\"", string_of_length(0..=2)).is_ok());
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        assert_eq!(utf8("\u{feff}{}".as_bytes()).ok(), Some("{}"));
        let detail = |body: &[u8]| utf8(body).err().map(|problem| problem.detail().to_owned());
        assert_eq!(detail(b"\xff\xfe{\0}\0").as_deref(), Some("the body is UTF-16; JSON is sent as UTF-8"));
        assert_eq!(detail(b"\xef\xbb\xbf{\xff").as_deref(), Some("the body is not UTF-8: byte 4 is wrong"));
    }

    #[test]
    fn unknown_and_repeated_fields_are_named_with_their_path() {
        let mut errors = Errors::new();
        let outer = raw(r#"{"a":1,"a":2,"b":{"x":1,"y":2,"y":3},"c":null}"#);
        let mut fields = JsonFields::parse(outer.get().as_bytes(), &mut errors).unwrap();
        fields.take("a");
        let nested = fields.take("b").unwrap();
        let mut nested = JsonFields::nested(nested, "b", &mut errors).unwrap();
        nested.take("y");
        nested.finish(&mut errors);
        fields.finish(&mut errors);
        let problem = errors.into_result().unwrap_err();
        let named: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["a", "b.y", "b.x", "c"]);
        assert_eq!(problem.errors()[3].message, "unknown field; known are a, b");
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(body: Vec<u8>, text in r#"[\[\]{}":,0-9a-z\\ ]{0,60}"#) {
            for body in [body.as_slice(), text.as_bytes()] {
                let mut errors = Errors::new();
                if let Ok(mut fields) = JsonFields::parse(body, &mut errors) {
                    fields.read("a", &mut errors, string);
                    fields.finish(&mut errors);
                }
            }
        }
    }
}
