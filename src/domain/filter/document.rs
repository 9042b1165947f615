//! An event's `data`, parsed only as far as filters need.
//!
//! Values stay raw text: a value that no filter refers to is never interpreted, so a number too large for any machine type,
//! or a lone surrogate, does not keep other fields from being found. Nothing recurses into `data`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::number::Number;
use super::{Literal, Path};

/// The most raw bytes of one decoded byte: `\u0041`.
const LONGEST_ESCAPE: usize = 6;

/// An event's `data`, with a cache of the objects that were parsed.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    root: &'a RawValue,
    /// By the address of the object's text, which is its identity within one document.
    objects: RefCell<HashMap<usize, ObjectFields<'a>>>,
}

impl<'a> Document<'a> {
    /// Parses nothing yet.
    pub(crate) fn new(data: &'a RawValue) -> Self {
        Self { root: data, objects: RefCell::default() }
    }

    pub(super) fn find(&self, path: &Path) -> Option<Node<'a>> {
        self.find_name(&path.name).or_else(|| self.find_name(path.fallback.as_deref()?))
    }

    fn find_name(&self, name: &str) -> Option<Node<'a>> {
        let literal = self.field(self.root, name);
        let found = match name.contains('.') {
            true => literal.or_else(|| name.split('.').try_fold(self.root, |at, key| self.field(at, key))),
            false => literal,
        };
        found.map(|raw| Node(raw.get()))
    }

    fn field(&self, object: &'a RawValue, key: &str) -> Option<&'a RawValue> {
        let text = object.get();
        if !text.starts_with('{') {
            return None;
        }
        let mut objects = self.objects.borrow_mut();
        let fields = objects
            .entry(text.as_ptr() as usize)
            // a RawValue is valid JSON, so reading its first level can't fail
            .or_insert_with(|| serde_json::from_str(text).unwrap_or_default());
        fields.0.get(key.as_bytes()).copied()
    }
}

/// The fields of one object. Of a repeated key the last one counts, as in most parsers.
#[derive(Debug, Default)]
struct ObjectFields<'a>(HashMap<Cow<'a, [u8]>, &'a RawValue>);

impl<'de> Deserialize<'de> for ObjectFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = ObjectFields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = HashMap::new();
        while let Some((Text(key), value)) = map.next_entry()? {
            fields.insert(key, value);
        }
        Ok(ObjectFields(fields))
    }
}

/// A JSON string as bytes: as text it would be refused for a lone surrogate, which JSON allows.
struct Text<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(bytes)))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(bytes.to_vec())))
            }
        }
        deserializer.deserialize_bytes(TextVisitor)
    }
}

/// A value of `data`, as its raw text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a str);

impl<'a> Node<'a> {
    pub(super) fn is_any_of(self, literals: &[Literal]) -> bool {
        literals.iter().any(|literal| match literal {
            Literal::Null => self.0 == "null",
            Literal::Bool(value) => self.0 == if *value { "true" } else { "false" },
            Literal::Number(number) => self.compare(number) == Some(Ordering::Equal),
            Literal::Text(text) => self.is_text(text),
        })
    }

    /// How it compares to a number; `None` when it is not a number.
    pub(super) fn compare(self, number: &Number) -> Option<Ordering> {
        let numeric = matches!(self.0.as_bytes().first(), Some(b'-' | b'0'..=b'9'));
        if numeric { number.compared_to_this(self.0) } else { None }
    }

    fn is_text(self, text: &str) -> bool {
        let Some(inner) = self.inner() else { return false };
        // an escape is never shorter than its character: most differences show in the lengths
        if inner.len() < text.len() || inner.len() > text.len() * LONGEST_ESCAPE {
            return false;
        }
        if !inner.contains(&b'\\') {
            return inner == text.as_bytes();
        }
        serde_json::from_str::<Text<'_>>(self.0).is_ok_and(|decoded| *decoded.0 == *text.as_bytes())
    }

    pub(super) fn starts_with(self, prefix: &str) -> bool {
        let Some(inner) = self.inner() else { return false };
        let prefix = prefix.as_bytes();
        let head = &inner[..inner.len().min(prefix.len())];
        if !head.contains(&b'\\') {
            return head == prefix;
        }
        // only as much of a long text is decoded as the prefix can need
        let end = after_escape(inner, prefix.len() * LONGEST_ESCAPE);
        let mut cut = Vec::with_capacity(end + 2);
        cut.push(b'"');
        cut.extend_from_slice(&inner[..end]);
        cut.push(b'"');
        serde_json::from_slice::<Text<'_>>(&cut).is_ok_and(|decoded| decoded.0.starts_with(prefix))
    }

    /// The text between the quotes.
    fn inner(self) -> Option<&'a [u8]> {
        self.0.strip_prefix('"')?.strip_suffix('"').map(str::as_bytes)
    }
}

/// The first place at or after `least` where the text can be cut without breaking an escape sequence. It may split
/// a pair of surrogates or a UTF-8 sequence, but only one that begins after the part that the prefix can match.
fn after_escape(inner: &[u8], least: usize) -> usize {
    let mut at = 0;
    while at < inner.len() && at < least {
        at += match (inner[at], inner.get(at + 1)) {
            (b'\\', Some(b'u')) => 6,
            (b'\\', _) => 2,
            _ => 1,
        };
    }
    at.min(inner.len())
}
