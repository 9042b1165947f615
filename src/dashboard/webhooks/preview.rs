//! Previews of the form's filter and schedule while they are edited.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::Value;
use serde_json::value::RawValue;

use super::draft::read_filter_rows;
use super::filter_rows::{self, FilterRow};
use super::form::{sample_box, schedule_of};
use super::{is_too_deep, pretty_sample};
use crate::api::Api;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::response::fragment;
use crate::dashboard::viewer::Viewer;
use crate::domain::filter::{FieldError, Filter};

/// `GET /webhooks/preview/sample`: the sample of the chosen event type.
pub(crate) async fn sample(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let sample = pretty_sample(&api, viewer.organization_id()?, query.text("sample_type")).await?;
    let mut response = fragment(&sample_box(&sample.unwrap_or_default()));
    // the result next to it is for another sample now
    let name = actix_web::http::header::HeaderName::from_static("hx-trigger-after-settle");
    response.headers_mut().insert(name, actix_web::http::header::HeaderValue::from_static("sample"));
    Ok(response)
}

/// `POST /webhooks/preview/filter`: whether the filter matches the sample.
pub(crate) async fn filter(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    // the sample may be large, and each condition reads it
    let verdict = api.parse(viewer.organization_id()?, move || verdict(&form)).await?;
    Ok(fragment(&verdict))
}

/// `POST /webhooks/preview/retry`: the schedule in words.
pub(crate) async fn retry(
    _: Viewer,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    Ok(fragment(&schedule_of(&form)))
}

/// A condition, and whether the sample meets it.
type Checked = (String, bool);

fn verdict(form: &Form) -> Markup {
    let conditions = match check(form) {
        Ok(conditions) => conditions,
        Err(errors) => {
            return html! {
                div.note-box.bad { "Invalid filter:" ul { @for error in errors { li { code { (error.field) } ": " (error.message) } } } }
            };
        }
    };
    let failing = conditions.iter().filter(|(_, holds)| !holds).count();
    html! {
        @if failing == 0 {
            p.note-box.ok { strong { "Would match this sample." } @if conditions.is_empty() { " There are no conditions." } }
        } @else {
            p.note-box.warn { strong { "Would not match this sample." } " The marked conditions are not met." }
        }
        ul.verdicts { @for (condition, holds) in conditions {
            li {
                @if holds { span.badge.ok { "met" } } @else { span.badge.bad { "not met" } }
                " " (condition)
            }
        } }
    }
}

fn check(form: &Form) -> Result<Vec<Checked>, Vec<FieldError>> {
    let error = |field: &str, message: String| vec![FieldError { field: field.to_owned(), message }];
    let text = form.text("sample");
    let sample = match serde_json::from_str::<Box<RawValue>>(text) {
        Ok(sample) if !is_too_deep(text) => sample,
        Ok(_) => return Err(error("sample", "is nested too deeply".to_owned())),
        Err(fault) => return Err(error("sample", format!("is not JSON: {fault}"))),
    };
    let source = if form.text("filter_as") == "json" {
        match form.given("filter_json") {
            None => Value::Object(serde_json::Map::new()),
            Some(text) => {
                serde_json::from_str(text).map_err(|fault| error("filters", format!("is not JSON: {fault}")))?
            }
        }
    } else {
        let lines = read_filter_rows(form);
        if let Some(line) = lines.iter().find(|line| line.field.is_empty()) {
            return Err(error("filters", format!("the condition with the value “{}” has no field", line.value)));
        }
        Value::Object(filter_rows::to_filter(&lines)?)
    };
    let whole = Filter::parse(&source)?;
    let holds = |line: &FilterRow| {
        let source = filter_rows::to_filter(std::slice::from_ref(line)).map(Value::Object)?;
        Filter::parse(&source).map(|filter| (line.in_words(), filter.matches(&sample)))
    };
    match filter_rows::of_filter(&source) {
        Some(lines) => lines.iter().map(holds).collect(),
        None => Ok(vec![("the filter".to_owned(), whole.matches(&sample))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(fields: &[(&str, &str)]) -> Result<Vec<Checked>, Vec<FieldError>> {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        check(&Form::parse(encoded.as_bytes()))
    }

    const SAMPLE: (&str, &str) = ("sample", r#"{"duration_seconds":345,"agent_id":"a"}"#);

    #[test]
    fn a_preview_shows_for_each_condition_whether_it_is_met() {
        let conditions = checked(&[
            SAMPLE,
            ("filter_field", "duration"),
            ("filter_operator", "min"),
            ("filter_value", "60"),
            ("filter_field", "agent_id"),
            ("filter_operator", "in"),
            ("filter_value", "b, c"),
            ("filter_field", ""),
            ("filter_operator", "eq"),
            ("filter_value", ""),
        ]);
        let expected = [("duration is at least 60", true), ("agent_id is any of b, c", false)];
        let expected = expected.map(|(words, holds)| (words.to_owned(), holds));
        let mut conditions = conditions.unwrap();
        conditions.sort_by(|a, b| b.0.cmp(&a.0));
        assert_eq!(conditions, expected);
    }

    #[test]
    fn a_json_filter_is_previewed_like_rows() {
        let json = r#"{"agent_id":{"prefix":"a","ne":"b"}}"#;
        let conditions = checked(&[SAMPLE, ("filter_as", "json"), ("filter_json", json)]).unwrap();
        assert!(conditions.len() == 2 && conditions.iter().all(|(_, holds)| *holds), "{conditions:?}");
    }

    #[test]
    fn an_invalid_filter_or_sample_is_reported() {
        assert_eq!(checked(&[("sample", "{")]).unwrap_err()[0].field, "sample");
        let field = |json: &str| {
            checked(&[SAMPLE, ("filter_as", "json"), ("filter_json", json)]).unwrap_err()[0].field.clone()
        };
        assert_eq!(field("{"), "filters");
        assert_eq!(field(r#"{"a":{"like":1}}"#), "filters.a.like");
        assert_eq!(checked(&[SAMPLE]).unwrap(), []);
    }
}
