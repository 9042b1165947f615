//! `/v1/event-types`: what can be published and asked for.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::value::RawValue;

use super::input::Errors;
use super::pagination::{List, Query};
use super::problem::Problem;
use crate::api::Api;
use crate::domain::event_types::{BUILT_IN, EventType, built_in, is_operational};
use crate::domain::patterns::EventPattern;

#[derive(Serialize)]
struct EventTypeView {
    name: &'static str,
    description: &'static str,
    /// A realistic `data`.
    sample: Option<&'static RawValue>,
    built_in: bool,
}

impl EventTypeView {
    fn new(event_type: &'static EventType) -> Self {
        Self {
            name: event_type.name,
            description: event_type.description,
            sample: serde_json::from_str(event_type.sample).ok(),
            built_in: true,
        }
    }
}

/// `GET /v1/event-types`: all of them on one page.
pub async fn list(request: HttpRequest, _api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    Query::parse(request.query_string(), &mut errors).finish(&mut errors);
    errors.into_result()?;
    let data: Vec<EventTypeView> = BUILT_IN.iter().map(EventTypeView::new).collect();
    Ok(HttpResponse::Ok().json(List { data, next_cursor: None }))
}

/// Whether an event of this type can be published.
pub(super) fn can_be_published(name: &str) -> bool {
    built_in(name).is_some()
}

/// Whether a webhook can ask for this; what nothing will ever match is a slip of the pen.
pub(super) fn can_be_asked_for(pattern: &EventPattern) -> bool {
    match pattern {
        EventPattern::All => true,
        EventPattern::Exact(name) => built_in(name).is_some() || is_operational(name),
        EventPattern::Prefix(_) => BUILT_IN.iter().any(|event_type| pattern.matches(event_type.name)),
    }
}

/// The names of all types that can be published, for messages.
pub(super) fn known_names() -> String {
    BUILT_IN.iter().map(|event_type| event_type.name).collect::<Vec<_>>().join(", ")
}
