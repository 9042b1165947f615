//! `/v1/event-types`: the event types that can be published and subscribed to, and an organization's own types.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Api;
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::caller::Tenant;
use super::input::{self, Errors, JsonFields};
use super::pagination::QueryString;
use super::problem::{ErrorCode, Problem};
use crate::domain::event_type_registry::{EventTypeRegistry, Registered, compile_schema};
use crate::domain::event_types::{BUILT_IN, EventType, OPERATIONAL, OwnEventType, built_in, is_operational};
use crate::domain::ids::OrganizationId;
use crate::domain::nearest::did_you_mean;
use crate::domain::patterns::{EventPattern, PatternError, is_event_type};
use crate::domain::time::UnixMillis;
use crate::store::StoreError;

/// Comparisons of characters that one request may cause with names that do not exist, some 50 ms. Smaller: fewer of many
/// typos get a suggestion. Larger: a batch of a thousand typos takes the processor from others for seconds.
const MAX_STEPS: usize = 10_000_000;
/// Of all schemas of one organization together; they are in memory, and in one response.
const MAX_SCHEMA_BYTES: usize = 8 * 1024 * 1024;
/// The most own types that an error names. Larger: a batch with a thousand typos gets a response of megabytes.
const MAX_NAMED: usize = 20;
const MAX_DESCRIPTION_CHARACTERS: usize = 500;

/// The event types that one organization knows.
#[derive(Clone)]
pub(crate) struct KnownTypes {
    registry: Arc<RwLock<EventTypeRegistry>>,
    organization_id: OrganizationId,
    /// What looking for similar names may still cost in this request.
    steps_left: Arc<AtomicUsize>,
}

impl KnownTypes {
    pub(crate) fn new(registry: Arc<RwLock<EventTypeRegistry>>, organization_id: OrganizationId) -> Self {
        Self { registry, organization_id, steps_left: Arc::new(AtomicUsize::new(MAX_STEPS)) }
    }

    /// Whether an event of this type can be published, and with what `data`.
    pub(crate) fn lookup(&self, name: &str) -> Registered {
        self.registry().lookup(self.organization_id, name)
    }

    /// Whether the organization has own types.
    pub(crate) fn has_own(&self) -> bool {
        self.own_count() > 0
    }

    /// The number of the organization's own types.
    fn own_count(&self) -> usize {
        self.registry().own_count(self.organization_id)
    }

    /// Whether a webhook can subscribe to this; a pattern that nothing will ever match is a typo.
    pub(crate) fn can_be_asked_for(&self, pattern: &EventPattern) -> bool {
        match pattern {
            EventPattern::All => true,
            EventPattern::Exact(name) => !matches!(self.lookup(name), Registered::No),
            EventPattern::Prefix(_) => {
                BUILT_IN.iter().any(|event_type| pattern.matches(event_type.name))
                    || self.own_names().iter().any(|name| pattern.matches(name))
            }
        }
    }

    /// The error for an unknown name or pattern: which type was probably meant, and which exist.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let cost = name.len() * self.registry().name_bytes(self.organization_id);
        let is_affordable = |left: usize| left.checked_sub(cost);
        if self.steps_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_affordable).is_err() {
            return String::from("no such event type; GET /v1/event-types lists those that there are");
        }
        let own = self.own_names();
        let known = BUILT_IN.iter().map(|event_type| event_type.name).chain(own.iter().map(String::as_str));
        let meant = did_you_mean(name, known);
        let names = names(&own);
        format!("no such event type; {meant}POST /v1/event-types registers another. Known are {names}")
    }

    fn own_names(&self) -> Vec<String> {
        self.registry().names(self.organization_id)
    }

    fn registry(&self) -> RwLockReadGuard<'_, EventTypeRegistry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The types that can be published, with a bounded number of the organization's own.
fn names(own: &[String]) -> String {
    let built_in = BUILT_IN.iter().map(|event_type| event_type.name);
    let named = built_in.chain(own.iter().map(String::as_str).take(MAX_NAMED)).collect::<Vec<_>>().join(", ");
    match own.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more; GET /v1/event-types lists them"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum TypeOrigin {
    BuiltIn,
    Operational,
    Own,
}

#[derive(Serialize)]
struct EventTypeView<'a> {
    name: &'a str,
    kind: TypeOrigin,
    description: &'a str,
    /// A realistic `data`.
    sample: Option<Box<RawValue>>,
    /// A JSON Schema of `data`; own types can have one.
    schema: Option<&'a RawValue>,
    /// Only for own types.
    created_at: Option<UnixMillis>,
}

impl<'a> EventTypeView<'a> {
    fn ours(event_type: &'static EventType, kind: TypeOrigin) -> Self {
        Self {
            name: event_type.name,
            kind,
            description: event_type.description,
            sample: serde_json::from_str(event_type.sample).ok(),
            schema: None,
            created_at: None,
        }
    }

    fn own(event_type: &'a OwnEventType) -> Self {
        Self {
            name: &event_type.name,
            kind: TypeOrigin::Own,
            description: &event_type.description,
            sample: Some(sample_of(event_type)),
            schema: event_type.schema.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            created_at: Some(event_type.created_at),
        }
    }
}

/// The types that can be published, on one page, and separately those that the engine publishes.
#[derive(Serialize)]
struct EventTypesView<'a> {
    data: Vec<EventTypeView<'a>>,
    operational: Vec<EventTypeView<'a>>,
    next_cursor: Option<String>,
}

/// The first example of its schema that is an object; without one, an empty object.
fn sample_of(event_type: &OwnEventType) -> Box<RawValue> {
    #[derive(serde::Deserialize)]
    struct Examples {
        #[serde(default)]
        examples: Vec<Box<RawValue>>,
    }
    let schema = event_type.schema.as_deref().and_then(|text| serde_json::from_str::<Examples>(text).ok());
    let mut examples = schema.into_iter().flat_map(|schema| schema.examples);
    examples.find(|example| example.get().starts_with('{')).unwrap_or_else(empty_object)
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string(String::from("{}")).unwrap_or_default()
}

/// The organization's own types, by their names.
pub(crate) async fn own_types(api: &Api, organization_id: OrganizationId) -> Result<Vec<OwnEventType>, Problem> {
    api.read(organization_id, move |store| store.own_event_types(organization_id)).await
}

/// A realistic `data` of any type that a webhook can subscribe to; `None` for an unknown type.
pub(crate) async fn sample(
    api: &Api,
    organization_id: OrganizationId,
    name: &str,
) -> Result<Option<Box<RawValue>>, Problem> {
    let operational = || OPERATIONAL.iter().find(|event_type| event_type.name == name);
    if let Some(event_type) = built_in(name).or_else(operational) {
        return Ok(serde_json::from_str(event_type.sample).ok());
    }
    let own = own_types(api, organization_id).await?;
    Ok(own.iter().find(|event_type| event_type.name == name).map(sample_of))
}

/// `GET /v1/event-types`: all of them on one page.
pub(crate) async fn list(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    QueryString::parse(request.query_string(), &mut errors).finish(&mut errors);
    errors.into_result()?;
    let own = own_types(&api, organization_id).await?;
    let built_in = BUILT_IN.iter().map(|event_type| EventTypeView::ours(event_type, TypeOrigin::BuiltIn));
    let operational =
        OPERATIONAL.iter().map(|event_type| EventTypeView::ours(event_type, TypeOrigin::Operational));
    let view = EventTypesView {
        data: built_in.chain(own.iter().map(EventTypeView::own)).collect(),
        operational: operational.collect(),
        next_cursor: None,
    };
    Ok(HttpResponse::Ok().json(view))
}

/// `POST /v1/event-types {name, description?, schema?}`.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let event_type = create_from(&api, organization_id, body.bytes.clone()).await?;
    let location = format!("/v1/event-types/{}", event_type.name);
    let view = EventTypeView::own(&event_type);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(view))
}

/// Adds the type that the body describes.
pub(crate) async fn create_from(
    api: &web::Data<Api>,
    organization_id: OrganizationId,
    body: Bytes,
) -> Result<OwnEventType, Problem> {
    let now = api.engine.now();
    // compiling a schema takes too long for a worker
    let event_type = api.parse(organization_id, move || read_event_type(&body, organization_id, now)).await??;
    let created = Api::change(api, organization_id, move |api, store| {
        let most = api.options.limits.event_types_per_organization;
        if most > 0 && KnownTypes::new(api.engine.event_types(), organization_id).own_count() >= most as usize {
            let detail = format!(
                "this deployment allows an organization {most} event types of its own \
                 (limits.event_types_per_organization); delete one, or ask the operator for a higher limit"
            );
            return Err(Problem::new(ErrorCode::LimitReached, detail));
        }
        let types = KnownTypes::new(api.engine.event_types(), organization_id);
        let schema_bytes = event_type.schema.as_ref().map_or(0, String::len);
        if types.registry().schema_bytes(organization_id) + schema_bytes > MAX_SCHEMA_BYTES {
            let detail = format!(
                "the schemas of an organization's event types may have {MAX_SCHEMA_BYTES} bytes together; delete one"
            );
            return Err(Problem::new(ErrorCode::LimitReached, detail));
        }
        store.create_event_type(&event_type).map_err(|error| match error {
            StoreError::Conflict => already_there(&event_type.name),
            error => error.into(),
        })?;
        Ok(event_type)
    });
    created.await
}

/// `DELETE /v1/event-types/{name}`: webhooks that are subscribed to it by name stay so.
pub(crate) async fn delete(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("event_type").unwrap_or_default().to_owned();
    remove(&api, organization_id, name).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Removes one of the organization's own types.
pub(crate) async fn remove(
    api: &web::Data<Api>,
    organization_id: OrganizationId,
    name: String,
) -> Result<(), Problem> {
    if built_in(&name).is_some() || is_operational(&name) {
        let detail = format!("{name} is built in; only an organization's own event types can be deleted");
        return Err(Problem::new(ErrorCode::Conflict, detail));
    }
    let deleted = Api::change(api, organization_id, move |_, store| {
        if !store.delete_event_type(organization_id, &name)? {
            return Err(Problem::new(ErrorCode::NotFound, "there is no such event type; check the name"));
        }
        Ok(())
    });
    deleted.await
}

fn already_there(name: &str) -> Problem {
    Problem::new(
        ErrorCode::Conflict,
        format!("there is an event type {name} already; delete it first to change it"),
    )
}

fn read_event_type(
    body: &[u8],
    organization_id: OrganizationId,
    now: UnixMillis,
) -> Result<OwnEventType, Problem> {
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(body, &mut errors)?;
    let name = fields.require("name", &mut errors, read_name);
    let description = input::string_of_length(0..=MAX_DESCRIPTION_CHARACTERS);
    let description = fields.read("description", &mut errors, description).into_option().unwrap_or_default();
    let schema = fields.read("schema", &mut errors, read_schema).into_option();
    fields.finish(&mut errors);
    errors.into_result()?;
    // a name that is missing is among the errors
    let name = name.ok_or_else(|| Problem::input(Vec::new()))?;
    if built_in(&name).is_some() {
        return Err(Problem::new(ErrorCode::Conflict, format!("{name} is built in; choose another name")));
    }
    Ok(OwnEventType { organization_id, name, description, schema, created_at: now })
}

fn read_name(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    let name = input::string(value, path, errors)?;
    if !is_event_type(&name) {
        errors.add(path, PatternError::Malformed.to_string());
        return None;
    }
    if is_operational(&name) {
        let message = "is the name of an operational event, which the engine alone makes; choose another";
        errors.add_with_code(ErrorCode::ReservedEventType, path, message);
        return None;
    }
    Some(name)
}

fn read_schema(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    let text = value.get();
    if !text.starts_with('{') {
        errors.add(path, format!("expected a JSON Schema, which is an object, got {}", input::kind(value)));
        return None;
    }
    match compile_schema(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            errors.add(path, error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(schema: Option<&str>) -> OwnEventType {
        OwnEventType {
            organization_id: OrganizationId(1),
            name: String::from("invoice.paid"),
            description: String::new(),
            schema: schema.map(str::to_owned),
            created_at: UnixMillis(0),
        }
    }

    #[test]
    fn the_sample_of_an_own_type_is_the_first_object_among_its_schemas_examples() {
        for (schema, expected) in [
            (None, "{}"),
            (Some("{}"), "{}"),
            (Some(r#"{"examples":7}"#), "{}"),
            (Some(r#"{"examples":[]}"#), "{}"),
            (Some(r#"{"examples":[1,{"amount":1e400},{"amount":2}]}"#), r#"{"amount":1e400}"#),
        ] {
            assert_eq!(sample_of(&own(schema)).get(), expected, "{schema:?}");
        }
    }

    #[test]
    fn every_bad_field_of_a_new_type_is_named_at_once() {
        let read = |body: &str| read_event_type(body.as_bytes(), OrganizationId(1), UnixMillis(0));
        let problem = read(r#"{"name":"No","description":7,"schema":[],"kind":"own"}"#).unwrap_err();
        let fields: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["name", "description", "schema", "kind"]);
        assert_eq!(read(r#"{"name":"call.completed"}"#).unwrap_err().code(), ErrorCode::Conflict);
        assert_eq!(read(r#"{"name":"webhook.failing"}"#).unwrap_err().code(), ErrorCode::ReservedEventType);
        for schema in [r#"{"type":"banana"}"#, r#"{"$ref":"https://example.com/s.json"}"#] {
            let problem = read(&format!(r#"{{"name":"a.b","schema":{schema}}}"#)).unwrap_err();
            assert_eq!(problem.errors()[0].field, "schema", "{schema}");
        }
        assert_eq!(read(r#"{"name":"a.b","schema":null}"#).unwrap().schema, None);
    }
}
