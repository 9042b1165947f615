//! Finds filters that no event can pass: most likely a mistake, which would otherwise be noticed only after events are
//! missed.

use super::document::Node;
use super::number::{Number, compare};
use super::{FieldError, Literal, ParsedCondition, Test, error};

/// A test and its name in error messages.
type Named<'a> = (&'a str, &'a Test);

/// Names the conditions that contradict others on the same field.
pub(super) fn find(entries: &[ParsedCondition]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let bounds = entry.path.fallback.is_some();
        // both bounds of a field are checked together, once
        let seen = bounds && entries[..index].iter().any(|earlier| earlier.path == entry.path);
        if seen {
            continue;
        }
        let mut tests = named(entry);
        if bounds {
            let others = entries[index + 1..].iter().filter(|other| other.path == entry.path);
            tests.extend(others.flat_map(named));
        } else if tests.iter().any(|(_, test)| test.needs_field()) {
            // the field must be present, so min_x and max_x don't fall back to x_seconds
            let bounds =
                |other: &&ParsedCondition| other.path.fallback.is_some() && other.path.name == entry.path.name;
            tests.extend(entries.iter().filter(bounds).flat_map(named));
        }
        errors.extend(contradiction(&tests));
    }
    errors
}

fn named(entry: &ParsedCondition) -> Vec<Named<'_>> {
    entry.tests.iter().map(|(label, test)| (label.as_str(), test)).collect()
}

/// Why no value satisfies all of the tests.
fn contradiction(tests: &[Named<'_>]) -> Option<FieldError> {
    let absent = tests.iter().find(|(_, test)| matches!(test, Test::Exists(false)));
    if let Some((label, _)) = absent
        && tests.iter().any(|(_, test)| test.needs_field())
    {
        return Some(error(label, "can't hold together with the other conditions on this field"));
    }
    let listed = tests.iter().find_map(|(label, test)| match test {
        Test::In(literals) => Some((label, literals)),
        _ => None,
    });
    if let Some((label, literals)) = listed {
        let possible = literals.iter().any(|literal| satisfies(&literal.to_json(), tests));
        return (!possible).then(|| error(label, "contradicts the other conditions on this field"));
    }
    empty_range(tests)
}

fn satisfies(json: &str, tests: &[Named<'_>]) -> bool {
    tests.iter().all(|(_, test)| test.holds(Some(Node(json))))
}

fn empty_range(tests: &[Named<'_>]) -> Option<FieldError> {
    let lower = tests.iter().filter_map(|(label, test)| match test {
        Test::Greater(number) => Some((*label, number, true)),
        Test::AtLeast(number) => Some((*label, number, false)),
        _ => None,
    });
    let upper = tests.iter().filter_map(|(label, test)| match test {
        Test::Less(number) => Some((*label, number, true)),
        Test::AtMost(number) => Some((*label, number, false)),
        _ => None,
    });
    let upper: Vec<(&str, &Number, bool)> = upper.collect();
    let prefix = tests.iter().any(|(_, test)| matches!(test, Test::Prefix(_)));
    for (label, least, excluded) in lower {
        for (_, most, also_excluded) in &upper {
            let possible = match compare(least.text(), most.text()) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => !excluded && !also_excluded && satisfies(least.text(), tests),
                std::cmp::Ordering::Greater => false,
            };
            if !possible {
                return Some(error(label, "leaves no number below the upper bound on this field"));
            }
        }
        if prefix {
            return Some(error(label, "no value is both a number and a text with a prefix"));
        }
    }
    let (label, ..) = upper.first().filter(|_| prefix)?;
    Some(error(label, "no value is both a number and a text with a prefix"))
}

impl Literal {
    fn to_json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.text().to_owned(),
            Self::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
        }
    }
}
