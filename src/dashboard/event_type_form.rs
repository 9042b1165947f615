//! The fields of an event type, in the pages of an organization and of the catalogue.

use maud::{Markup, html};
use serde_json::json;
use serde_json::value::RawValue;

use super::components::{self, Complaints};
use super::form::Form;
use crate::api::problem::{InputError, Problem};
use crate::domain::filter::FieldError;

/// Fields that show their own errors.
pub(crate) const FIELDS: &[&str] = &["name", "description", "schema", "sample"];
/// Those that are typed as JSON.
const JSON: [&str; 2] = ["schema", "sample"];
const NAME_HELP: &str = "Lowercase letters, digits, _ and -, in groups separated by dots, such as invoice.paid.";
const SCHEMA_HELP: &str =
    "Optional. A JSON Schema for the data of these events; events that don't match are refused.";
const SCHEMA_EXAMPLE: &str = "{\n  \"type\": \"object\",\n  \"required\": [\"invoice_id\"],\n  \"properties\": { \
                              \"invoice_id\": { \"type\": \"string\" } }\n}";
const SAMPLE_HELP: &str =
    "Optional. Realistic data, for test events. Without it, the first example of the schema is the sample.";
const SAMPLE_EXAMPLE: &str = "{ \"invoice_id\": \"inv_1\" }";

/// A field whose JSON can't be read, and where.
pub(crate) struct NotJson(&'static str, serde_json::Error);

/// The body of the API call, without some fields. What is not JSON is sent as a string, which the API rejects together
/// with the other invalid fields; the second value says where the JSON is invalid.
pub(crate) fn body_of(form: &Form, without: &[&str]) -> (String, Vec<NotJson>) {
    let mut not_json = Vec::new();
    let mut members = Vec::new();
    for field in FIELDS.iter().copied().filter(|field| !without.contains(field)) {
        if !JSON.contains(&field) {
            members.push(format!("\"{field}\":{}", json!(form.text(field))));
            continue;
        }
        let value = match form.given(field).map(|text| (text, serde_json::from_str::<&RawValue>(text))) {
            None => "null".to_owned(),
            Some((_, Ok(value))) => value.get().to_owned(),
            Some((text, Err(error))) => {
                not_json.push(NotJson(field, error));
                json!(text).to_string()
            }
        };
        members.push(format!("\"{field}\":{value}"));
    }
    (format!("{{{}}}", members.join(",")), not_json)
}

/// The same problem, saying where the JSON is invalid.
pub(crate) fn with_position(problem: Problem, not_json: &[NotJson]) -> Problem {
    if not_json.is_empty() {
        return problem;
    }
    let reworded = problem.errors().iter().map(|it| {
        let fault = not_json.iter().find(|NotJson(field, _)| it.field == *field);
        let message =
            fault.map_or_else(|| it.message.clone(), |NotJson(_, error)| format!("is not JSON: {error}"));
        InputError { code: problem.code(), error: FieldError { field: it.field.clone(), message } }
    });
    Problem::input(reworded.collect())
}

pub(crate) fn fields(form: &Form, complaints: &Complaints<'_>, has_name: bool) -> Markup {
    html! {
        @if has_name { (components::text_field("name", "Name", NAME_HELP, form.text("name"), "text", complaints)) }
        (components::text_field("description", "Description", "Optional: when it happens.", form.text("description"), "text", complaints))
        (json_field("schema", "Schema", SCHEMA_HELP, SCHEMA_EXAMPLE, form, complaints))
        (json_field("sample", "Sample data", SAMPLE_HELP, SAMPLE_EXAMPLE, form, complaints))
    }
}

fn json_field(
    name: &str,
    label: &str,
    help: &str,
    example: &str,
    form: &Form,
    complaints: &Complaints<'_>,
) -> Markup {
    let control = html! {
        textarea id=(name) name=(name) rows="8" spellcheck="false" placeholder=(example)
            aria-describedby={ (name) "-help " (name) "-error" } aria-invalid=[complaints.is_wrong(name).then_some("true")] {
            (form.text(name))
        }
    };
    components::field(name, label, help, complaints, &control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::problem::ErrorCode;

    #[test]
    fn json_is_passed_to_the_api_verbatim_and_what_is_none_as_a_string() {
        let body = |form: &str| body_of(&Form::parse(form.as_bytes()), &[]);
        let (text, not_json) = body("name=a.b&schema=%7B%22n%22%3A1e400%7D&sample=%7B%22n%22%3A2e400%7D");
        assert!(text.contains(r#""schema":{"n":1e400},"sample":{"n":2e400}"#) && not_json.is_empty(), "{text}");
        let (text, not_json) = body("name=a.b&schema=%7B%22n%22%3A");
        assert!(text.contains(r#""schema":"{\"n\":""#) && not_json.len() == 1, "{text}");
        assert!(body("name=a.b&schema=").0.contains(r#""schema":null,"sample":null"#));
        let quoted = body("name=a%22%2C%22x%22%3A%22b&schema=").0;
        let parsed: serde_json::Value = serde_json::from_str(&quoted).unwrap();
        assert_eq!(parsed["name"], "a\",\"x\":\"b");
        assert!(!body_of(&Form::parse(b"name=a.b"), &["name"]).0.contains("name"));
    }

    #[test]
    fn invalid_json_is_reported_with_its_position_together_with_other_fields() {
        let error = |field: &str| InputError {
            code: ErrorCode::ValidationFailed,
            error: FieldError { field: field.to_owned(), message: "is wrong".to_owned() },
        };
        let (_, not_json) = body_of(&Form::parse(b"schema=%7B%0A%0Ax"), &[]);
        let problem = with_position(Problem::input(vec![error("name"), error("schema")]), &not_json);
        assert_eq!(problem.errors()[0].message, "is wrong");
        assert!(problem.errors()[1].message.contains("line 3"), "{}", problem.errors()[1].message);
    }
}
