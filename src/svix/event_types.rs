//! `/api/v1/event-type`: what an environment offers its applications.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::access::Access;
use super::error::SvixError;
use super::fields::{Patch, given};
use super::input::{Invalid, read_json};
use super::management_types;
use super::page::{Order, Page, Query};
use crate::api::Api;
use crate::domain::event_type_registry::compile_schema;
use crate::domain::svix::{EnvironmentEventType, EventTypeChange, is_name};
use crate::domain::time::UnixMillis;
use crate::store::{NamePage, Store, StoreResult};

/// JSON Schemas by version.
type Schemas = BTreeMap<String, Box<RawValue>>;

/// What describes a type.
/// Event types that are read at once, with schemas of up to 2 MiB each. Smaller: more statements for a page. Larger: more memory for
/// one reader.
const TYPES_A_STEP: usize = 8;
/// A page with more is not continued. Smaller: more pages. Larger: the same.
const SCHEMA_BYTES_A_PAGE: usize = 4 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    /// When it is not in the path.
    name: Option<String>,
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<Schemas>,
    /// Of older libraries.
    feature_flag: Option<String>,
    feature_flags: Option<Vec<String>>,
    group_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescriptionPatch {
    #[serde(default, deserialize_with = "given")]
    description: Option<String>,
    #[serde(default, deserialize_with = "given")]
    archived: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    deprecated: Option<bool>,
    #[serde(default)]
    schemas: Patch<Schemas>,
    #[serde(default)]
    feature_flag: Patch<String>,
    #[serde(default)]
    feature_flags: Patch<Vec<String>>,
    #[serde(default)]
    group_name: Patch<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventTypeView {
    name: String,
    description: String,
    archived: bool,
    deprecated: bool,
    schemas: Option<Box<RawValue>>,
    feature_flag: Option<String>,
    feature_flags: Option<Vec<String>>,
    group_name: Option<String>,
    created_at: UnixMillis,
    updated_at: UnixMillis,
}

impl EventTypeView {
    fn of(event_type: EnvironmentEventType, with_content: bool) -> Self {
        let schemas = event_type.schemas.filter(|_| with_content);
        let feature_flags = Some(event_type.feature_flags).filter(|flags| !flags.is_empty());
        Self {
            name: event_type.name,
            description: event_type.description,
            archived: event_type.archived,
            deprecated: event_type.deprecated,
            // stored as it was read
            schemas: schemas.and_then(|text| RawValue::from_string(text).ok()),
            feature_flag: feature_flags.as_ref().and_then(|flags| flags.first().cloned()),
            feature_flags,
            group_name: event_type.group_name,
            created_at: event_type.created_at,
            updated_at: event_type.updated_at,
        }
    }
}

/// The name of a type in the path and in iterators.
struct Name(String);

impl std::str::FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        is_name(text).then(|| Self(text.to_owned())).ok_or(())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn path_name(request: &HttpRequest) -> Option<Name> {
    request.match_info().get("event_type")?.parse().ok()
}

/// `GET /api/v1/event-type`.
pub(super) async fn list(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let page: Page<Name> = query.page(Order::Ascending);
    let (with_archived, with_content) = (query.flag("include_archived"), query.flag("with_content"));
    query.finish()?;
    let names = NamePage {
        beyond: page.beyond().map(|Name(name)| name.clone()),
        is_descending: page.fetched() == Order::Descending,
        with_archived,
        limit: page.rows(),
    };
    let line = access.line;
    let rows = api.read(line, move |store| {
        in_steps(names, with_content, |names| {
            management_types::with_own(store, &access.environment, names, |page| seen(store, &access, page))
        })
    });
    let (rows, is_short) = rows.await?;
    let page = if is_short { page.ending_within(rows.len()) } else { page };
    let list = page.list(
        rows,
        |event_type| Name(event_type.name.clone()),
        |event_type| EventTypeView::of(event_type, with_content),
    );
    Ok(HttpResponse::Ok().json(list))
}

/// Reads a page in steps, until it is full, or its schemas are large: then it is short, and goes on from there.
fn in_steps(
    mut page: NamePage,
    with_content: bool,
    read: impl Fn(&NamePage) -> StoreResult<Vec<EnvironmentEventType>>,
) -> StoreResult<(Vec<EnvironmentEventType>, bool)> {
    let (wanted, mut found, mut bytes) = (page.limit, Vec::new(), 0);
    loop {
        page.limit = TYPES_A_STEP.min(wanted - found.len());
        let rows = read(&page)?;
        let is_last = rows.len() < page.limit;
        for mut row in rows {
            page.beyond = Some(row.name.clone());
            row.schemas = row.schemas.filter(|_| with_content);
            bytes += row.schemas.as_ref().map_or(0, String::len);
            found.push(row);
        }
        if is_last || found.len() >= wanted {
            return Ok((found, false));
        }
        if bytes >= SCHEMA_BYTES_A_PAGE {
            return Ok((found, true));
        }
    }
}

/// Those of these names that are no types of the environment, or archived ones.
pub(super) async fn missing(api: &Api, access: &Access, mut names: Vec<String>) -> Result<Vec<String>, SvixError> {
    if names.is_empty() {
        return Ok(names);
    }
    let environment = access.environment.clone();
    let read = api.read(access.line, move |store| {
        let mut unknown = Vec::new();
        for name in names.drain(..) {
            let found = match management_types::own(&environment, &name) {
                // whatever became of a stored one
                Some(own) => Some(own),
                None => store.environment_event_type(&environment, &name)?,
            };
            if found.is_none_or(|found| found.archived) {
                unknown.push(name);
            }
        }
        Ok(unknown)
    });
    Ok(read.await?)
}

/// The types of a page that the caller sees.
fn seen(store: &dyn Store, access: &Access, mut page: NamePage) -> StoreResult<Vec<EnvironmentEventType>> {
    let Some(flags) = &access.feature_flags else {
        return store.environment_event_types(&access.environment, &page);
    };
    let mut found = Vec::new();
    loop {
        let rows = store.environment_event_types(&access.environment, &page)?;
        let is_last = rows.len() < page.limit;
        page.beyond = rows.last().map(|row| row.name.clone());
        found.extend(rows.into_iter().filter(|row| row.is_seen_with(flags)));
        found.truncate(page.limit);
        if is_last || found.len() == page.limit {
            return Ok(found);
        }
    }
}

/// `GET /api/v1/event-type/{name}`.
pub(super) async fn read(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let Name(name) = path_name(&request).ok_or_else(SvixError::not_found)?;
    let environment = access.environment;
    let found = api.read(access.line, move |store| {
        let stored = store.environment_event_type(&environment, &name)?;
        Ok(stored.or_else(|| management_types::own(&environment, &name)))
    });
    let found = found.await?;
    let is_seen = |event_type: &EnvironmentEventType| {
        access.feature_flags.as_ref().is_none_or(|flags| event_type.is_seen_with(flags))
    };
    let found = found.filter(is_seen).ok_or_else(SvixError::not_found)?;
    Ok(HttpResponse::Ok().json(EventTypeView::of(found, true)))
}

/// `POST /api/v1/event-type`: a type, also in the place of an archived one.
pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut description: Description = read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    let name = description.name.take().unwrap_or_default();
    invalid.check_name("name", &name);
    let event_type = description.into_event_type(name, &api, &access, invalid).await?;
    let environment = access.environment;
    let made =
        api.step(access.line.id(), move |store| store.create_environment_event_type(&environment, &event_type));
    let made = made.await?;
    api.environment_types_changed();
    match made {
        Some(made) => Ok(HttpResponse::Created().json(EventTypeView::of(made, true))),
        None => Err(SvixError::conflict("event_type_exists", "An event_type with this name already exists")),
    }
}

/// `PUT /api/v1/event-type/{name}`: all of it, also of one that is not there yet.
pub(super) async fn put(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let description: Description = read_json(&request, payload).await?;
    let name = request.match_info().get("event_type").unwrap_or_default().to_owned();
    let mut invalid = Invalid::of_path();
    invalid.check_name("event_type_name", &name);
    invalid.into_result()?;
    let event_type = description.into_event_type(name, &api, &access, Invalid::of_body()).await?;
    let environment = access.environment;
    let put = api.step(access.line.id(), move |store| store.put_environment_event_type(&environment, &event_type));
    let (event_type, is_new) = put.await?;
    api.environment_types_changed();
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(EventTypeView::of(event_type, true)))
}

/// `PATCH /api/v1/event-type/{name}`.
pub(super) async fn patch(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let patch: DescriptionPatch = read_json(&request, payload).await?;
    let change = patch.into_change(&api, &access).await?;
    changed(&request, access, &api, change)
        .await
        .map(|event_type| HttpResponse::Ok().json(EventTypeView::of(event_type, true)))
}

/// `DELETE /api/v1/event-type/{name}`: archives it, or removes it with `?expunge=true`.
pub(super) async fn delete(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let expunges = query.flag("expunge");
    query.finish()?;
    if expunges {
        let Name(name) = path_name(&request).ok_or_else(SvixError::not_found)?;
        let environment = access.environment;
        let removed =
            api.step(access.line.id(), move |store| store.remove_environment_event_type(&environment, &name));
        let was_there = removed.await?;
        api.environment_types_changed();
        if !was_there {
            return Err(SvixError::not_found());
        }
    } else {
        let archive = EventTypeChange { archived: Some(true), ..EventTypeChange::default() };
        changed(&request, access, &api, archive).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

async fn changed(
    request: &HttpRequest,
    access: Access,
    api: &Api,
    change: EventTypeChange,
) -> Result<EnvironmentEventType, SvixError> {
    let Name(name) = path_name(request).ok_or_else(SvixError::not_found)?;
    let (environment, now) = (access.environment, api.engine().now());
    let changed = api.step(access.line.id(), move |store| {
        store.change_environment_event_type(&environment, &name, &change, now)
    });
    changed.await?.ok_or_else(SvixError::not_found)
}

impl Description {
    async fn into_event_type(
        self,
        name: String,
        api: &Api,
        access: &Access,
        mut invalid: Invalid,
    ) -> Result<EnvironmentEventType, SvixError> {
        invalid.check_text("description", &self.description);
        let feature_flags = self.feature_flags.or(self.feature_flag.map(|flag| vec![flag])).unwrap_or_default();
        check_flags(&feature_flags, &mut invalid);
        if let Some(group) = &self.group_name {
            invalid.check_name("groupName", group);
        }
        let schemas = check_schemas(api, access, self.schemas, &mut invalid).await?;
        invalid.into_result()?;
        let now = api.engine().now();
        Ok(EnvironmentEventType {
            name,
            description: self.description,
            archived: self.archived.unwrap_or_default(),
            deprecated: self.deprecated.unwrap_or_default(),
            schemas,
            feature_flags,
            group_name: self.group_name,
            created_at: now,
            updated_at: now,
        })
    }
}

impl DescriptionPatch {
    async fn into_change(self, api: &Api, access: &Access) -> Result<EventTypeChange, SvixError> {
        let mut invalid = Invalid::of_body();
        if let Some(description) = &self.description {
            invalid.check_text("description", description);
        }
        let one = self.feature_flag.given().map(|flag| flag.map(|flag| vec![flag]));
        let feature_flags = self.feature_flags.given().or(one).map(Option::unwrap_or_default);
        check_flags(feature_flags.as_deref().unwrap_or_default(), &mut invalid);
        let group_name = self.group_name.given();
        if let Some(Some(group)) = &group_name {
            invalid.check_name("groupName", group);
        }
        let schemas = match self.schemas.given() {
            None => None,
            Some(schemas) => Some(check_schemas(api, access, schemas, &mut invalid).await?),
        };
        invalid.into_result()?;
        let Self { description, archived, deprecated, .. } = self;
        Ok(EventTypeChange { description, archived, deprecated, schemas, feature_flags, group_name })
    }
}

fn check_flags(flags: &[String], invalid: &mut Invalid) {
    flags.iter().for_each(|flag| invalid.check_name("featureFlags", flag));
}

/// Schemas as they are stored. They describe what is sent and refuse nothing, but who reads them must be able to use them.
async fn check_schemas(
    api: &Api,
    access: &Access,
    schemas: Option<Schemas>,
    invalid: &mut Invalid,
) -> Result<Option<String>, SvixError> {
    let Some(schemas) = schemas else { return Ok(None) };
    let checked = api.parse(access.line, move || {
        let wrong = schemas.iter().filter_map(|(version, schema)| {
            compile_schema(schema.get()).err().map(|error| format!("version {version}: {error}"))
        });
        // what was read prints
        (wrong.collect::<Vec<String>>(), serde_json::to_string(&schemas).unwrap_or_default())
    });
    let (wrong, text) = checked.await?;
    wrong.into_iter().for_each(|message| invalid.add("schemas", message));
    Ok(Some(text))
}
