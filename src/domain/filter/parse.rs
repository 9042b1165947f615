//! Compiles the `filters` object to conditions.

use serde_json::{Map, Value};

use super::contradiction;
use super::number::Number;
use super::{Condition, FieldError, Literal, MAX_CONDITIONS, MAX_LIST, ParsedCondition, Path, Test, error};
use crate::domain::event::MAX_JSON_DEPTH;

/// Compiles the source; reports every invalid condition, and those that contradict each other.
pub(super) fn conditions(source: &Value) -> Result<Box<[Condition]>, Vec<FieldError>> {
    let Value::Object(fields) = source else {
        return Err(vec![error("filters", "must be an object of field names and the values wanted")]);
    };
    let mut errors = Vec::new();
    let count: usize = fields.values().map(|wanted| wanted.as_object().map_or(1, Map::len)).sum();
    if count > MAX_CONDITIONS {
        errors.push(error("filters", &format!("holds {count} conditions, at most {MAX_CONDITIONS} are allowed")));
    }
    let mut entries = Vec::with_capacity(fields.len());
    for (name, wanted) in fields {
        match entry(name, wanted) {
            Ok(entry) => entries.push(entry),
            Err(found) => errors.extend(found),
        }
    }
    errors.extend(contradiction::find(&entries));
    if !errors.is_empty() {
        return Err(errors);
    }
    let strip = |entry: ParsedCondition| Condition {
        path: entry.path,
        tests: entry.tests.into_iter().map(|(_, test)| test).collect(),
    };
    Ok(entries.into_iter().map(strip).collect())
}

fn entry(name: &str, wanted: &Value) -> Result<ParsedCondition, Vec<FieldError>> {
    let label = format!("filters.{name}");
    if name.split('.').count() > MAX_JSON_DEPTH {
        let message = format!("goes deeper than {MAX_JSON_DEPTH} levels, which no event does");
        return Err(vec![error(&label, &message)]);
    }
    if let Value::Object(operators) = wanted {
        let tests = operators_of(&label, operators)?;
        return Ok(ParsedCondition { path: Path { name: name.into(), fallback: None }, tests });
    }
    if let Some((field, test)) = bound(name) {
        let number = number(wanted).ok_or_else(|| {
            let message = format!(
                "must be a number, as it bounds the field \"{field}\"; \
                 for a field that is named \"{name}\" write {{\"eq\": …}}"
            );
            vec![error(&label, &message)]
        })?;
        let path = Path { name: field.into(), fallback: Some(format!("{field}_seconds").into()) };
        return Ok(ParsedCondition { path, tests: vec![(label, test(number))] });
    }
    let literals = match wanted {
        Value::Array(values) => list(&label, values),
        value => literal(&label, value).map(|literal| [literal].into()),
    };
    let tests = vec![(label, Test::In(literals.map_err(|error| vec![error])?))];
    Ok(ParsedCondition { path: Path { name: name.into(), fallback: None }, tests })
}

/// Makes a test from the number of a `min_x` or `max_x`.
type MakeTest = fn(Number) -> Test;

/// The field that `min_x` or `max_x` bounds, and how.
fn bound(name: &str) -> Option<(&str, MakeTest)> {
    let least = name.strip_prefix("min_").map(|field| (field, Test::AtLeast as MakeTest));
    let most = || name.strip_prefix("max_").map(|field| (field, Test::AtMost as MakeTest));
    least.or_else(most).filter(|(field, _)| !field.is_empty())
}

fn operators_of(label: &str, operators: &Map<String, Value>) -> Result<Vec<(String, Test)>, Vec<FieldError>> {
    if operators.is_empty() {
        return Err(vec![error(label, "needs at least one operator: eq ne in nin gt gte lt lte exists prefix")]);
    }
    let (mut tests, mut errors) = (Vec::with_capacity(operators.len()), Vec::new());
    for (operator, operand) in operators {
        let label = format!("{label}.{operator}");
        match test(&label, operator, operand) {
            Ok(test) => tests.push((label, test)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(tests) } else { Err(errors) }
}

fn test(label: &str, operator: &str, operand: &Value) -> Result<Test, FieldError> {
    let number = || number(operand).ok_or_else(|| error(label, "must be a number"));
    let values = || match operand {
        Value::Array(values) => list(label, values),
        _ => Err(error(label, "must be a list")),
    };
    match operator {
        "eq" => Ok(Test::In([literal(label, operand)?].into())),
        "ne" => Ok(Test::NotIn([literal(label, operand)?].into())),
        "in" => Ok(Test::In(values()?)),
        "nin" => Ok(Test::NotIn(values()?)),
        "gt" => Ok(Test::Greater(number()?)),
        "gte" => Ok(Test::AtLeast(number()?)),
        "lt" => Ok(Test::Less(number()?)),
        "lte" => Ok(Test::AtMost(number()?)),
        "exists" => operand.as_bool().map(Test::Exists).ok_or_else(|| error(label, "must be true or false")),
        "prefix" => {
            let prefix = operand.as_str().ok_or_else(|| error(label, "must be a text"))?;
            Ok(Test::Prefix(prefix.into()))
        }
        _ => Err(error(label, "is no operator; there are eq ne in nin gt gte lt lte exists prefix")),
    }
}

fn list(label: &str, values: &[Value]) -> Result<Box<[Literal]>, FieldError> {
    if values.is_empty() {
        return Err(error(label, "needs at least one value"));
    }
    if values.len() > MAX_LIST {
        return Err(error(label, &format!("holds {} values, at most {MAX_LIST} are allowed", values.len())));
    }
    values.iter().map(|value| literal(label, value)).collect()
}

fn literal(label: &str, value: &Value) -> Result<Literal, FieldError> {
    match value {
        Value::Null => Ok(Literal::Null),
        Value::Bool(value) => Ok(Literal::Bool(*value)),
        Value::Number(number) => Ok(Literal::Number(Number::new(number))),
        Value::String(text) => Ok(Literal::Text(text.as_str().into())),
        Value::Array(_) | Value::Object(_) => {
            Err(error(label, "must be a text, a number, true, false or null, not a list or an object"))
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(Number::new(number)),
        _ => None,
    }
}
