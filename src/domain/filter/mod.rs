//! Filters on an event's `data` (contract, "Filters").
//!
//! What the contract leaves open is decided here:
//! - A name with dots is looked up as one literal key of `data` first, and only when there is none as a path.
//! - `min_x` and `max_x` are always bounds on the number `x`. Only they fall back to `x_seconds`, and only where
//!   `x` is absent. A field that is itself named `min_…` is reached with an object of operators.
//! - Numbers are compared by their exact decimal value: 60 = 60.0, and 2^53 + 1 is not 2^53.
//! - Operands are null, booleans, numbers and strings; `gt gte lt lte` take numbers only. An array or object in
//!   `data` is present, and equals nothing.
//! - `null` in `data` is present.
//! - A filter that no event can pass is refused.

mod contradiction;
mod document;
mod number;
mod parse;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) use document::Document;
use document::Node;
use number::Number;

/// Conditions in one filter; each operator counts.
pub(crate) const MAX_CONDITIONS: usize = 50;
/// Values in one list. Larger: one webhook's filter slows every event of its organization down.
pub(crate) const MAX_LIST: usize = 1_000;

/// What is wrong with one field of an input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The field's path, for example `filters.min_duration`.
    pub field: String,
    /// What to do about it.
    pub message: String,
}

/// A compiled filter. All of its conditions must hold. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Filter(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: Value,
    conditions: Box<[Condition]>,
}

/// The source decides what a filter does.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.source == other.0.source
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.source.hash(state);
    }
}

/// One entry of the source: a field and what must hold of it.
#[derive(Debug)]
struct Condition {
    path: Path,
    tests: Box<[Test]>,
}

/// Where a field is found.
#[derive(Debug, PartialEq)]
struct Path {
    name: Box<str>,
    /// `x` of `min_x` also finds `x_seconds`.
    fallback: Option<Box<str>>,
}

/// What must hold of a field.
#[derive(Debug)]
enum Test {
    In(Box<[Literal]>),
    NotIn(Box<[Literal]>),
    Greater(Number),
    AtLeast(Number),
    Less(Number),
    AtMost(Number),
    Exists(bool),
    Prefix(Box<str>),
}

/// An operand.
#[derive(Debug)]
enum Literal {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
}

impl Filter {
    /// Compiles the `filters` object of a webhook; every bad condition is named.
    pub fn parse(source: &Value) -> Result<Self, Vec<FieldError>> {
        let conditions = parse::conditions(source)?;
        Ok(Self(Arc::new(Compiled { source: source.clone(), conditions })))
    }

    /// The object that it was compiled from.
    pub(crate) fn source(&self) -> &Value {
        &self.0.source
    }

    /// Whether an event with this `data` passes.
    pub(crate) fn matches(&self, data: &RawValue) -> bool {
        self.matches_document(&Document::new(data))
    }

    /// Like [`Filter::matches`], for an event that many filters check: a parsed value is not parsed again.
    pub(crate) fn matches_document(&self, document: &Document<'_>) -> bool {
        self.0.conditions.iter().all(|condition| condition.holds(document))
    }
}

impl Condition {
    fn holds(&self, document: &Document<'_>) -> bool {
        let field = document.find(&self.path);
        self.tests.iter().all(|test| test.holds(field))
    }
}

impl Test {
    fn holds(&self, field: Option<Node<'_>>) -> bool {
        let bound = |holds: fn(std::cmp::Ordering) -> bool, bound: &Number| {
            field.and_then(|field| field.compare(bound)).is_some_and(holds)
        };
        match self {
            Self::In(literals) => field.is_some_and(|field| field.is_any_of(literals)),
            Self::NotIn(literals) => !field.is_some_and(|field| field.is_any_of(literals)),
            Self::Greater(number) => bound(std::cmp::Ordering::is_gt, number),
            Self::AtLeast(number) => bound(std::cmp::Ordering::is_ge, number),
            Self::Less(number) => bound(std::cmp::Ordering::is_lt, number),
            Self::AtMost(number) => bound(std::cmp::Ordering::is_le, number),
            Self::Exists(wanted) => field.is_some() == *wanted,
            Self::Prefix(prefix) => field.is_some_and(|field| field.starts_with(prefix)),
        }
    }

    /// Whether it can't hold of an absent field.
    fn needs_field(&self) -> bool {
        !matches!(self, Self::NotIn(_) | Self::Exists(false))
    }
}

/// A condition together with the names of its tests in error messages.
struct ParsedCondition {
    path: Path,
    tests: Vec<(String, Test)>,
}

fn error(field: &str, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), message: message.to_owned() }
}
