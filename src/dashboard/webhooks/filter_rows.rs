//! Converts between a filter and the rows of field, operator and value that the form shows.

use serde_json::{Map, Value, json};

use crate::domain::filter::FieldError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `x: v`.
    Is,
    /// `x: [v, w]`.
    AnyOf,
    /// `ne`.
    IsNot,
    /// `nin`.
    NoneOf,
    /// `min_x`.
    AtLeast,
    /// `max_x`.
    AtMost,
    /// `gt`.
    MoreThan,
    /// `lt`.
    LessThan,
    /// `prefix`.
    StartsWith,
    /// `exists: true`.
    Exists,
    /// `exists: false`.
    Lacks,
    /// `gte`: as `min_x`, but never looks at `x_seconds`.
    ExactlyAtLeast,
    /// `lte`.
    ExactlyAtMost,
}

impl Operator {
    /// Operators that a row offers; the last two are only preserved.
    pub(crate) const OFFERED: [Self; 11] = [
        Self::Is,
        Self::AnyOf,
        Self::IsNot,
        Self::NoneOf,
        Self::AtLeast,
        Self::AtMost,
        Self::MoreThan,
        Self::LessThan,
        Self::StartsWith,
        Self::Exists,
        Self::Lacks,
    ];
    const ALL: [Self; 13] = [
        Self::Is,
        Self::AnyOf,
        Self::IsNot,
        Self::NoneOf,
        Self::AtLeast,
        Self::AtMost,
        Self::MoreThan,
        Self::LessThan,
        Self::StartsWith,
        Self::Exists,
        Self::Lacks,
        Self::ExactlyAtLeast,
        Self::ExactlyAtMost,
    ];

    /// The value in the form.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Is => "eq",
            Self::AnyOf => "in",
            Self::IsNot => "ne",
            Self::NoneOf => "nin",
            Self::AtLeast => "min",
            Self::AtMost => "max",
            Self::MoreThan => "gt",
            Self::LessThan => "lt",
            Self::StartsWith => "prefix",
            Self::Exists => "exists",
            Self::Lacks => "lacks",
            Self::ExactlyAtLeast => "gte",
            Self::ExactlyAtMost => "lte",
        }
    }

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::AnyOf => "is any of",
            Self::IsNot => "is not",
            Self::NoneOf => "is none of",
            Self::AtLeast => "is at least",
            Self::AtMost => "is at most",
            Self::MoreThan => "is greater than",
            Self::LessThan => "is less than",
            Self::StartsWith => "starts with",
            Self::Exists => "exists",
            Self::Lacks => "does not exist",
            Self::ExactlyAtLeast => "is at least (≥)",
            Self::ExactlyAtMost => "is at most (≤)",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }

    fn has_value(self) -> bool {
        !matches!(self, Self::Exists | Self::Lacks)
    }

    fn is_list(self) -> bool {
        matches!(self, Self::AnyOf | Self::NoneOf)
    }
}

/// A row of the form: one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterRow {
    /// A path into `data`, with dots for nested fields.
    pub field: String,
    pub operator: Operator,
    pub value: String,
}

impl FilterRow {
    fn new(field: &str, operator: Operator, value: String) -> Self {
        Self { field: field.to_owned(), operator, value }
    }

    pub(super) fn in_words(&self) -> String {
        let Self { field, operator, value } = self;
        let sentence =
            format!("{field} {} {}", operator.in_words(), if operator.has_value() { value } else { "" });
        sentence.trim_end().to_owned()
    }

    /// The entry in the filter, and the operator within it.
    fn entry(&self) -> (String, Option<&'static str>, Value) {
        let field = self.field.clone();
        match self.operator {
            Operator::Is => {
                let operator = is_bound(&field).then_some("eq");
                (field, operator, read_value(&self.value))
            }
            Operator::AnyOf => (field, None, read_list(&self.value)),
            Operator::IsNot => (field, Some("ne"), read_value(&self.value)),
            Operator::NoneOf => (field, Some("nin"), read_list(&self.value)),
            Operator::AtLeast => (format!("min_{field}"), None, read_value(&self.value)),
            Operator::AtMost => (format!("max_{field}"), None, read_value(&self.value)),
            Operator::MoreThan => (field, Some("gt"), read_value(&self.value)),
            Operator::LessThan => (field, Some("lt"), read_value(&self.value)),
            Operator::StartsWith => (field, Some("prefix"), read_text(&self.value)),
            Operator::Exists => (field, Some("exists"), Value::Bool(true)),
            Operator::Lacks => (field, Some("exists"), Value::Bool(false)),
            Operator::ExactlyAtLeast => (field, Some("gte"), read_value(&self.value)),
            Operator::ExactlyAtMost => (field, Some("lte"), read_value(&self.value)),
        }
    }
}

/// The filter made of these rows, or an error for each pair that can't be combined.
pub(crate) fn to_filter(lines: &[FilterRow]) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut filter: Map<String, Value> = Map::new();
    let mut errors = Vec::new();
    for line in lines {
        let (field, operator, value) = line.entry();
        let Some(before) = filter.get_mut(&field) else {
            filter.insert(field, operator.map_or(value.clone(), |operator| json!({ operator: value })));
            continue;
        };
        // a second condition on a field: all of its conditions become operators
        if !before.is_object() {
            let shorthand = if before.is_array() { "in" } else { "eq" };
            *before = json!({ shorthand: before.take() });
        }
        let shorthand = if line.operator.is_list() { "in" } else { "eq" };
        let name = operator.unwrap_or(shorthand);
        let is_bound = matches!(line.operator, Operator::AtLeast | Operator::AtMost);
        if let Some(operators) = before.as_object_mut()
            && !is_bound
            && !operators.contains_key(name)
        {
            operators.insert(name.to_owned(), value);
            continue;
        }
        let message = format!(
            "there are two conditions “{} {} …”; all conditions must be met, so use one, with “is any of” or \
             “is none of” for several values",
            line.field,
            line.operator.in_words()
        );
        errors.push(FieldError { field: format!("filters.{}", line.field), message });
    }
    if errors.is_empty() { Ok(filter) } else { Err(errors) }
}

/// The rows of a filter; `None` if rows can't express it.
pub(crate) fn of_filter(filter: &Value) -> Option<Vec<FilterRow>> {
    let lines = filter.as_object()?.iter().flat_map(|(name, wanted)| lines_of(name, wanted));
    let lines: Vec<FilterRow> = lines.collect::<Option<_>>()?;
    let is_kept = lines.iter().all(|line| line.field.trim() == line.field && !line.field.is_empty());
    // equivalent forms may become the shorter one, but nothing may get lost
    let again = Value::Object(to_filter(&lines).ok()?);
    (is_kept && spelt_out(&again) == spelt_out(filter)).then_some(lines)
}

/// Whether a field name is read as a bound on another field.
fn is_bound(name: &str) -> bool {
    ["min_", "max_"].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|field| !field.is_empty()))
}

/// The same filter with every condition spelled out as an operator.
fn spelt_out(filter: &Value) -> Value {
    let fields = filter.as_object().into_iter().flatten();
    let spelt = fields.map(|(name, wanted)| {
        let wanted = match wanted {
            Value::Object(_) => wanted.clone(),
            Value::Array(_) => json!({ "in": wanted }),
            _ if is_bound(name) => wanted.clone(),
            _ => json!({ "eq": wanted }),
        };
        (name.clone(), wanted)
    });
    Value::Object(spelt.collect())
}

fn lines_of(name: &str, wanted: &Value) -> Vec<Option<FilterRow>> {
    let bound = |prefix: &str, operator| {
        let field = name.strip_prefix(prefix).filter(|field| !field.is_empty())?;
        Some(FilterRow::new(field, operator, written(wanted, false)))
    };
    match wanted {
        Value::Object(operators) => {
            operators.iter().map(|(operator, operand)| operator_line(name, operator, operand)).collect()
        }
        Value::Array(_) => vec![Some(FilterRow::new(name, Operator::AnyOf, written(wanted, true)))],
        _ => {
            let line = bound("min_", Operator::AtLeast).or_else(|| bound("max_", Operator::AtMost));
            vec![Some(line.unwrap_or_else(|| FilterRow::new(name, Operator::Is, written(wanted, false))))]
        }
    }
}

fn operator_line(field: &str, operator: &str, operand: &Value) -> Option<FilterRow> {
    let operator = match (operator, operand) {
        ("exists", Value::Bool(true)) => Operator::Exists,
        ("exists", Value::Bool(false)) => Operator::Lacks,
        ("eq" | "in" | "ne" | "nin" | "gt" | "lt" | "gte" | "lte" | "prefix", _) => Operator::parse(operator)?,
        _ => return None,
    };
    let value = match operator {
        Operator::StartsWith => written_text(operand.as_str()?, false),
        operator if operator.has_value() => written(operand, operator.is_list()),
        _ => String::new(),
    };
    Some(FilterRow::new(field, operator, value))
}

/// A value as a row shows it. Strings are unquoted unless they could be read as something else.
fn written(value: &Value, is_list: bool) -> String {
    match value {
        Value::Array(items) => items.iter().map(|item| written(item, is_list)).collect::<Vec<_>>().join(", "),
        Value::String(text) => {
            let bare = written_text(text, is_list);
            if scalar(&bare).is_some_and(|read| !read.is_string()) {
                Value::from(text.as_str()).to_string()
            } else {
                bare
            }
        }
        other => other.to_string(),
    }
}

fn written_text(text: &str, is_list: bool) -> String {
    let needs_quotes = text.is_empty()
        || text.trim() != text
        || text.starts_with('"')
        || text.contains(char::is_control)
        || (is_list && text.contains(','));
    if needs_quotes { Value::from(text).to_string() } else { text.to_owned() }
}

/// A single JSON value.
fn scalar(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    (!value.is_array() && !value.is_object()).then_some(value)
}

fn read_value(text: &str) -> Value {
    scalar(text.trim()).unwrap_or_else(|| Value::from(text.trim()))
}

fn read_text(text: &str) -> Value {
    scalar(text.trim()).filter(Value::is_string).unwrap_or_else(|| Value::from(text.trim()))
}

/// Comma-separated values; a comma within quotes belongs to its value.
fn read_list(text: &str) -> Value {
    let (mut items, mut current, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            ',' if !quoted => {
                items.push(std::mem::take(&mut current));
                continue;
            }
            '"' if !escaped && (quoted || current.trim().is_empty()) => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && character == '\\' && !escaped;
        current.push(character);
    }
    items.push(current);
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    Value::Array(items.map(read_value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filter::Filter;

    fn line(field: &str, operator: Operator, value: &str) -> FilterRow {
        FilterRow::new(field, operator, value.to_owned())
    }

    #[test]
    fn rows_become_the_contracts_short_forms() {
        let lines = [
            line("duration", Operator::AtLeast, "60"),
            line("agent_id", Operator::AnyOf, "agent_1, agent_2"),
            line("status", Operator::Is, "completed"),
            line("custom_metadata.vip", Operator::Is, "true"),
            line("call_from", Operator::StartsWith, "+44"),
            line("failure_reason", Operator::Lacks, ""),
        ];
        let expected = json!({"min_duration": 60, "agent_id": ["agent_1", "agent_2"], "status": "completed",
            "custom_metadata.vip": true, "call_from": {"prefix": "+44"}, "failure_reason": {"exists": false}});
        assert_eq!(Value::Object(to_filter(&lines).unwrap()), expected);
    }

    #[test]
    fn every_filter_that_rows_can_show_round_trips() {
        for filter in [
            json!({}),
            json!({"min_duration": 60, "max_duration": 3600.5}),
            json!({"a": "x", "b": 5, "c": null, "d": true}),
            json!({"a": "5", "b": "true", "c": "", "d": " x ", "e": "\"quoted\"", "f": "a\nb", "g": "a, b"}),
            json!({"a": ["x, y", "5", 5, null, "\\", "say \"hi\", then go", ""]}),
            json!({"a": {"gt": 1, "lt": 5}, "b": {"gte": 1, "lte": 5}, "c": {"ne": "x", "exists": true}}),
            json!({"a": {"nin": ["x", "y"]}, "b": {"prefix": "5"}, "c": {"prefix": ""}, "d": {"prefix": "\"x"}}),
            json!({"min_": 5, "min_wage": {"eq": 7}, "max_min_x": 3}),
        ] {
            let lines = of_filter(&filter).unwrap_or_else(|| panic!("{filter}"));
            assert_eq!(Value::Object(to_filter(&lines).unwrap()), filter);
            assert!(Filter::parse(&filter).is_ok(), "{filter}");
        }
        // equivalent forms come back as the shorter one
        let lines = of_filter(&json!({"a": {"eq": 1}, "b": {"in": [1]}})).unwrap();
        assert_eq!(Value::Object(to_filter(&lines).unwrap()), json!({"a": 1, "b": [1]}));
    }

    #[test]
    fn filters_that_rows_can_not_show_stay_json() {
        for filter in [json!({" a": 1}), json!({"": 1}), json!({"a": {"like": "x"}}), json!({"a": {"eq": [1]}})] {
            assert_eq!(of_filter(&filter), None, "{filter}");
        }
    }

    #[test]
    fn different_conditions_on_a_field_are_combined_and_equal_operators_refused() {
        let lines = [line("a", Operator::AnyOf, "1, 2"), line("a", Operator::IsNot, "3")];
        assert_eq!(Value::Object(to_filter(&lines).unwrap()), json!({"a": {"in": [1, 2], "ne": 3}}));
        for operator in [Operator::Is, Operator::AtLeast, Operator::MoreThan] {
            let errors = to_filter(&[line("a", operator, "1"), line("a", operator, "2")]).unwrap_err();
            assert_eq!(errors[0].field, "filters.a", "{operator:?}");
        }
    }

    #[test]
    fn a_row_reads_as_a_sentence() {
        assert_eq!(line("duration", Operator::AtLeast, "60").in_words(), "duration is at least 60");
        assert_eq!(line("a.b", Operator::Exists, "left over").in_words(), "a.b exists");
    }
}
