//! Defining event types: an organization its own, the operator those of the catalogue.

use std::sync::Arc;

use actix_web::web;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::Api;
use super::audit::{Author, view};
use super::input::{self, Errors, FieldValue, JsonFields};
use super::known_types::KnownTypes;
use super::line::Line;
use super::offered_types::OfferedType;
use super::problem::{ErrorCode, Problem};
use crate::domain::audit::AuditAction;
use crate::domain::event_type_registry::{Registered, check_data, compile_schema};
use crate::domain::event_types::{CATALOGUE, DefinedEventType, EventTypeState, built_in, is_operational};
use crate::domain::ids::OrganizationId;
use crate::domain::patterns::{PatternError, is_event_type};
use crate::domain::time::UnixMillis;
use crate::store::{Store, StoreError};

/// Of all schemas of one organization together, or of the catalogue; they are in memory, and in one response.
const MAX_SCHEMA_BYTES: usize = 8 * 1024 * 1024;
const MAX_DESCRIPTION_CHARACTERS: usize = 500;

/// Whose types are defined, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Definer {
    owner: OrganizationId,
    by: Author,
}

impl Definer {
    pub(crate) fn organization(organization_id: OrganizationId, by: Author) -> Self {
        Self { owner: organization_id, by }
    }

    pub(crate) fn catalogue(by: Author) -> Self {
        Self { owner: CATALOGUE, by }
    }

    fn line(&self) -> Line {
        if self.is_catalogue() { Line::Admin } else { self.owner.into() }
    }

    /// The store, recording a change of this type.
    fn recording(
        &self,
        (api, store): (&Api, &dyn Store),
        action: AuditAction,
        before: Option<&DefinedEventType>,
        after: Option<&DefinedEventType>,
    ) -> Arc<dyn Store> {
        let subject = before.or(after).map_or("", |event_type| &event_type.name);
        let views =
            [before, after].map(|shown| shown.and_then(|shown| view(&OfferedType::defined(shown.clone()))));
        let owner = (!self.is_catalogue()).then_some(self.owner);
        store.recording(self.by.entry(api, owner, action, subject, views))
    }

    fn is_catalogue(&self) -> bool {
        self.owner == CATALOGUE
    }

    /// What nothing is said of is as in a built-in type of this name, or empty.
    fn new_type(&self, name: String, now: UnixMillis) -> DefinedEventType {
        match built_in(&name).filter(|_| self.is_catalogue()) {
            Some(built_in) => DefinedEventType::of_built_in(built_in, now),
            None => DefinedEventType::named(self.owner, name, now),
        }
    }

    async fn change<T: Send + 'static>(
        &self,
        api: &web::Data<Api>,
        change: impl FnOnce(&Api, &dyn Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        Api::change_by(api, self.line(), self.line().id(), change).await
    }

    /// The type as it is now; for the catalogue also a built-in one that nobody changed.
    fn known(&self, api: &Api, store: &dyn Store, name: &str) -> Result<Option<DefinedEventType>, Problem> {
        let defined = store.own_event_types(self.owner)?.into_iter().find(|defined| defined.name == name);
        if defined.is_some() || !self.is_catalogue() {
            return Ok(defined.filter(|defined| defined.state != EventTypeState::Removed));
        }
        let policy = api.engine.event_type_policy();
        let built_in = policy.built_in().iter().find(|built_in| built_in.name == name);
        Ok(built_in.map(|built_in| DefinedEventType::of_built_in(built_in, api.engine.now())))
    }
}

/// What a body says of a type.
struct Definition {
    /// Only where it is not in the path.
    name: Option<String>,
    description: FieldValue<String>,
    schema: FieldValue<String>,
    sample: FieldValue<String>,
    archived: FieldValue<bool>,
}

impl Definition {
    fn read(body: &[u8], has_name: bool) -> Result<Self, Problem> {
        let mut errors = Errors::new();
        let mut fields = JsonFields::parse(input::or_empty_object(body), &mut errors)?;
        let name = match has_name {
            true => fields.require("name", &mut errors, read_name),
            false => {
                fields.refuse("name", "it is in the path, and can't be changed", &mut errors);
                None
            }
        };
        let description = input::string_of_length(0..=MAX_DESCRIPTION_CHARACTERS);
        let definition = Self {
            name,
            description: fields.read("description", &mut errors, description),
            schema: fields.read("schema", &mut errors, read_schema),
            sample: fields.read("sample", &mut errors, read_sample),
            archived: fields.read("archived", &mut errors, input::boolean),
        };
        fields.finish(&mut errors);
        errors.into_result()?;
        Ok(definition)
    }

    /// Changes what is given, and refuses a sample that does not fit the schema.
    fn apply(self, event_type: &mut DefinedEventType) -> Result<(), Problem> {
        // `null` restores what a built-in type has
        let defaults = built_in(&event_type.name).filter(|_| event_type.organization_id == CATALOGUE);
        if let Some(description) = self.description.given() {
            let default = || defaults.map_or_else(String::new, |it| it.description.to_owned());
            event_type.description = description.unwrap_or_else(default);
        }
        if let Some(schema) = self.schema.given() {
            event_type.schema = schema;
        }
        let gives_sample = matches!(self.sample, FieldValue::Value(_));
        if let Some(sample) = self.sample.given() {
            event_type.sample = sample.or_else(|| defaults.map(|it| it.sample.to_owned()));
        }
        if let Some(archived) = self.archived.given() {
            let is_archived = archived.unwrap_or_default();
            event_type.state = if is_archived { EventTypeState::Archived } else { EventTypeState::Active };
        }
        check_sample(event_type, gives_sample)
    }
}

/// The sample must fit the schema, whichever of the two is new.
fn check_sample(event_type: &DefinedEventType, gives_sample: bool) -> Result<(), Problem> {
    let (Some(schema), Some(sample)) = (&event_type.schema, &event_type.sample) else { return Ok(()) };
    let (Ok(schema), Ok(sample)) = (compile_schema(schema), serde_json::from_str::<&RawValue>(sample)) else {
        return Ok(());
    };
    let Some(violation) = check_data(&schema, sample).into_iter().next() else { return Ok(()) };
    let place = violation.field.replacen("data", "sample", 1);
    let mut errors = Errors::new();
    match gives_sample {
        true => errors.add(place, format!("does not fit the schema: {}", violation.message)),
        false => errors.add("schema", format!("{place} of the type does not fit it: {}", violation.message)),
    }
    errors.into_result()
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

fn read_sample(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    if !value.get().starts_with('{') {
        errors.add(path, format!("expected an object, as `data` is, got {}", input::kind(value)));
        return None;
    }
    // a NUL in a string is an escape in the text, which every database can hold
    Some(value.get().to_owned())
}

/// Adds the type that the body describes.
pub(crate) async fn create(
    api: &web::Data<Api>,
    definer: Definer,
    body: Bytes,
) -> Result<DefinedEventType, Problem> {
    let now = api.engine.now();
    let reader = definer.clone();
    let read = move || {
        let mut definition = Definition::read(&body, true)?;
        // a name that is missing is among the errors
        let name = definition.name.take().ok_or_else(|| Problem::input(Vec::new()))?;
        let mut event_type = reader.new_type(name, now);
        definition.apply(&mut event_type)?;
        Ok::<_, Problem>(event_type)
    };
    // compiling a schema takes too long for a worker
    let event_type = api.parse(definer.line(), read).await??;
    let by = definer.clone();
    let created = definer.change(api, move |api, store| {
        refuse_name_of_catalogue(api, &by, &event_type.name)?;
        if by.known(api, store, &event_type.name)?.is_some() {
            return Err(already_there(&event_type.name));
        }
        check_room(api, &by, &event_type, None)?;
        // of one that was removed the row is there
        let has_row = store.own_event_types(by.owner)?.iter().any(|defined| defined.name == event_type.name);
        let store = by.recording((api, store), AuditAction::EventTypeCreated, None, Some(&event_type));
        match has_row {
            true => store.save_event_type(&event_type)?,
            false => store.create_event_type(&event_type).map_err(|error| match error {
                StoreError::Conflict => already_there(&event_type.name),
                error => error.into(),
            })?,
        }
        Ok(event_type)
    });
    created.await
}

/// Makes a type what the body says, all of it; adds it when there is none. Returns whether it was added.
pub(crate) async fn put(
    api: &web::Data<Api>,
    definer: Definer,
    name: String,
    body: Bytes,
) -> Result<(DefinedEventType, bool), Problem> {
    let now = api.engine.now();
    let reader = definer.clone();
    let read = move || {
        let mut errors = Errors::new();
        let quoted = RawValue::from_string(serde_json::json!(name).to_string()).unwrap_or_default();
        let name = read_name(&quoted, "name", &mut errors);
        errors.into_result()?;
        let name = name.ok_or_else(|| Problem::input(Vec::new()))?;
        let mut event_type = reader.new_type(name, now);
        Definition::read(&body, false)?.apply(&mut event_type)?;
        Ok::<_, Problem>(event_type)
    };
    let mut event_type = api.parse(definer.line(), read).await??;
    let by = definer.clone();
    let saved = definer.change(api, move |api, store| {
        refuse_name_of_catalogue(api, &by, &event_type.name)?;
        let known = by.known(api, store, &event_type.name)?;
        check_room(api, &by, &event_type, known.as_ref())?;
        event_type.created_at = known.as_ref().map_or(event_type.created_at, |known| known.created_at);
        if known.as_ref() == Some(&event_type) {
            return Ok((event_type, false));
        }
        let action = known.as_ref().map_or(AuditAction::EventTypeCreated, |_| AuditAction::EventTypeChanged);
        by.recording((api, store), action, known.as_ref(), Some(&event_type)).save_event_type(&event_type)?;
        Ok((event_type, known.is_none()))
    });
    saved.await
}

/// Changes what the body gives of a type.
pub(crate) async fn patch(
    api: &web::Data<Api>,
    definer: Definer,
    name: String,
    body: Bytes,
) -> Result<DefinedEventType, Problem> {
    let definition = api.parse(definer.line(), move || Definition::read(&body, false)).await??;
    let by = definer.clone();
    let saved = definer.change(api, move |api, store| {
        let Some(known) = by.known(api, store, &name)? else {
            refuse_name_of_catalogue(api, &by, &name)?;
            return Err(no_such());
        };
        let mut event_type = known.clone();
        definition.apply(&mut event_type)?;
        check_room(api, &by, &event_type, Some(&known))?;
        if event_type == known {
            return Ok(event_type);
        }
        let store = by.recording((api, store), AuditAction::EventTypeChanged, Some(&known), Some(&event_type));
        store.save_event_type(&event_type)?;
        Ok(event_type)
    });
    saved.await
}

/// Removes a type: webhooks that are subscribed to it by name stay so.
pub(crate) async fn remove(api: &web::Data<Api>, definer: Definer, name: String) -> Result<(), Problem> {
    let by = definer.clone();
    let removed = definer.change(api, move |api, store| {
        let Some(known) = by.known(api, store, &name)? else {
            refuse_name_of_catalogue(api, &by, &name)?;
            return Err(no_such());
        };
        let store = by.recording((api, store), AuditAction::EventTypeDeleted, Some(&known), None);
        if by.is_catalogue() && built_in(&name).is_some() {
            // its row says that it is gone
            let state = EventTypeState::Removed;
            store.save_event_type(&DefinedEventType { state, schema: None, sample: None, ..known })?;
            return Ok(());
        }
        match store.delete_event_type(by.owner, &name)? {
            true => Ok(()),
            false => Err(no_such()),
        }
    });
    removed.await
}

pub(super) fn no_such() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such event type; check the name")
}

/// An organization can't define what all of them have.
fn refuse_name_of_catalogue(api: &Api, definer: &Definer, name: &str) -> Result<(), Problem> {
    let types = KnownTypes::new(api.engine.event_types(), definer.owner);
    if definer.is_catalogue() || matches!(types.registry().lookup_shared(name), Registered::No) {
        if is_operational(name) {
            let detail = format!("{name} is the type of an operational event, which can't be changed or deleted");
            return Err(Problem::new(ErrorCode::Conflict, detail));
        }
        return Ok(());
    }
    let detail = format!(
        "{name} is in the catalogue that all organizations share; an organization can change and delete its own event types only: \
         choose another name"
    );
    Err(Problem::new(ErrorCode::Conflict, detail))
}

fn already_there(name: &str) -> Problem {
    let detail = format!("there is an event type {name} already; PUT or PATCH changes it");
    Problem::new(ErrorCode::Conflict, detail)
}

/// Whether there is room for one more type, or for a longer schema of a known one.
fn check_room(
    api: &Api,
    definer: &Definer,
    event_type: &DefinedEventType,
    known: Option<&DefinedEventType>,
) -> Result<(), Problem> {
    let types = KnownTypes::new(api.engine.event_types(), definer.owner);
    let registry = types.registry();
    let most = api.options.limits.event_types_per_organization as usize;
    let is_full = most > 0 && registry.own_count(definer.owner) >= most;
    if known.is_none() && !definer.is_catalogue() && is_full {
        let detail = format!(
            "an organization may have {most} event types of its own (limits.event_types_per_organization); \
             delete one, or ask for a higher limit"
        );
        return Err(Problem::new(ErrorCode::LimitReached, detail));
    }
    let length = |event_type: &DefinedEventType| event_type.schema.as_ref().map_or(0, String::len);
    let others = registry.schema_bytes(definer.owner).saturating_sub(known.map_or(0, length));
    if length(event_type) > 0 && others + length(event_type) > MAX_SCHEMA_BYTES {
        let detail =
            format!("the schemas of all these event types may have {MAX_SCHEMA_BYTES} bytes together; delete one");
        return Err(Problem::new(ErrorCode::LimitReached, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_of_a_new_type_is_named_at_once() {
        let read = |body: &str| Definition::read(body.as_bytes(), true);
        let fields = |body: &str| -> Vec<String> {
            let problem = read(body).err().unwrap();
            problem.errors().iter().map(|error| error.field.clone()).collect()
        };
        let bad = r#"{"name":"No","description":7,"schema":[],"sample":[],"archived":1,"kind":"own"}"#;
        assert_eq!(fields(bad), ["name", "description", "schema", "sample", "archived", "kind"]);
        let reserved = read(r#"{"name":"webhook.failing"}"#).err().unwrap();
        assert_eq!(reserved.code(), ErrorCode::ReservedEventType);
        for schema in [r#"{"type":"banana"}"#, r#"{"$ref":"https://example.com/s.json"}"#] {
            assert_eq!(fields(&format!(r#"{{"name":"a.b","schema":{schema}}}"#)), ["schema"], "{schema}");
        }
        assert_eq!(read(r#"{"name":"a.b","schema":null}"#).unwrap().schema, FieldValue::Null);
    }

    #[test]
    fn a_sample_must_fit_the_schema_whichever_of_the_two_is_new() {
        let apply = |event_type: &mut DefinedEventType, body: &str| {
            let applied = Definition::read(body.as_bytes(), false).and_then(|it| it.apply(event_type));
            applied.err().map(|problem| problem.errors()[0].field.clone())
        };
        let mut event_type = DefinedEventType::named(CATALOGUE, "a.b", UnixMillis(0));
        let schema = r#"{"schema":{"properties":{"n":{"type":"number"}}}}"#;
        assert_eq!(apply(&mut event_type, schema), None);
        assert_eq!(apply(&mut event_type.clone(), r#"{"sample":{"n":"x"}}"#).as_deref(), Some("sample.n"));
        assert_eq!(apply(&mut event_type, r#"{"sample":{"n":1}}"#), None);
        let other = r#"{"schema":{"required":["m"]}}"#;
        assert_eq!(apply(&mut event_type.clone(), other).as_deref(), Some("schema"));
        assert_eq!(apply(&mut event_type, r#"{"schema":{"required":["m"]},"sample":null}"#), None);
    }
}
