//! The event types that an organization can publish and ask for, as they are shown.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Api;
use super::environment_types::environment_types;
use super::problem::Problem;
use crate::domain::event_types::{
    CATALOGUE, DefinedEventType, EventType, EventTypeState, OPERATIONAL, is_operational,
};
use crate::domain::ids::OrganizationId;
use crate::domain::svix::EnvironmentEventType;
use crate::domain::time::UnixMillis;

/// Where a type comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TypeOrigin {
    BuiltIn,
    /// The operator added it, or changed a built-in one; or it is of the organization's environment.
    Catalogue,
    Operational,
    Own,
}

/// A type as it is shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OfferedType {
    pub name: String,
    #[serde(rename = "kind")]
    pub origin: TypeOrigin,
    pub description: String,
    /// A realistic `data`.
    pub sample: Box<RawValue>,
    /// A JSON Schema of `data`.
    pub schema: Option<Box<RawValue>>,
    /// It is accepted, and no longer offered.
    pub archived: bool,
    /// `null` for a type that nobody changed.
    pub created_at: Option<UnixMillis>,
}

impl OfferedType {
    pub(crate) fn ours(event_type: &EventType, origin: TypeOrigin) -> Self {
        Self {
            name: event_type.name.to_owned(),
            origin,
            description: event_type.description.to_owned(),
            sample: raw(event_type.sample).unwrap_or_else(empty_object),
            schema: None,
            archived: false,
            created_at: None,
        }
    }

    pub(super) fn defined(defined: DefinedEventType) -> Self {
        let origin = if defined.organization_id == CATALOGUE { TypeOrigin::Catalogue } else { TypeOrigin::Own };
        Self {
            sample: sample_of(&defined),
            origin,
            schema: defined.schema.as_deref().and_then(raw),
            archived: defined.state == EventTypeState::Archived,
            created_at: Some(defined.created_at),
            name: defined.name,
            description: defined.description,
        }
    }
}

impl OfferedType {
    /// Of its schemas, the one of the newest version.
    fn of_environment(event_type: EnvironmentEventType) -> Self {
        let versions = event_type
            .schemas
            .as_deref()
            .and_then(|text| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text).ok());
        let newest = versions.into_iter().flatten().max_by_key(|(version, _)| version.parse::<u64>().ok());
        let schema = newest.map(|(_, schema)| schema);
        Self {
            origin: TypeOrigin::Catalogue,
            sample: schema.as_deref().and_then(|schema| first_example(schema.get())).unwrap_or_else(empty_object),
            schema,
            archived: event_type.archived,
            created_at: Some(event_type.created_at),
            name: event_type.name,
            description: event_type.description,
        }
    }
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    serde_json::from_str(text).ok()
}

/// Its sample; without one the first example of its schema that is an object; without that an empty object.
fn sample_of(defined: &DefinedEventType) -> Box<RawValue> {
    let sample = defined.sample.as_deref().and_then(raw);
    sample.or_else(|| first_example(defined.schema.as_deref()?)).unwrap_or_else(empty_object)
}

/// The first example of a schema that is an object.
fn first_example(schema: &str) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Examples {
        #[serde(default)]
        examples: Vec<Box<RawValue>>,
    }
    let schema: Examples = serde_json::from_str(schema).ok()?;
    schema.examples.into_iter().find(|example| example.get().starts_with('{'))
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string(String::from("{}")).unwrap_or_default()
}

/// The types of the catalogue, archived ones too: the built-in ones first, in their order, then by name.
pub(super) fn catalogue_of(api: &Api, defined: Vec<DefinedEventType>) -> Vec<OfferedType> {
    let policy = api.engine.event_type_policy();
    let is_defined = |built_in: &&EventType| defined.iter().any(|own| own.name == built_in.name);
    let untouched = policy.built_in().iter().filter(|built_in| !is_defined(built_in));
    let mut types: Vec<OfferedType> =
        untouched.map(|built_in| OfferedType::ours(built_in, TypeOrigin::BuiltIn)).collect();
    let there = defined.into_iter().filter(|own| own.state != EventTypeState::Removed);
    types.extend(there.map(OfferedType::defined));
    types
}

/// All types that an organization can publish and ask for. Its own come last; of the catalogue those that are not archived,
/// and that it has none of its own of the same name. An application whose environment has types is offered these instead of
/// the catalogue.
pub(crate) async fn all_of(api: &Api, organization_id: OrganizationId) -> Result<Vec<OfferedType>, Problem> {
    let may_be_application = api.may_be_application(organization_id);
    let read = api.read(organization_id, move |store| {
        let own = store.own_event_types(organization_id)?;
        let environment = if may_be_application { environment_types(store, organization_id)? } else { Vec::new() };
        let catalogue = if environment.is_empty() { store.own_event_types(CATALOGUE)? } else { Vec::new() };
        Ok((environment, catalogue, own))
    });
    let (environment, catalogue, own) = read.await?;
    let mut types = match environment.is_empty() {
        true => catalogue_of(api, catalogue),
        false => {
            environment.into_iter().filter(|it| it.is_seen_with(&[])).map(OfferedType::of_environment).collect()
        }
    };
    types.retain(|shared| !shared.archived && own.iter().all(|own| own.name != shared.name));
    types.extend(own.into_iter().map(OfferedType::defined));
    Ok(types)
}

/// The same, without the organization's own archived ones: what a person chooses from.
pub(crate) async fn offered(api: &Api, organization_id: OrganizationId) -> Result<Vec<OfferedType>, Problem> {
    let mut types = all_of(api, organization_id).await?;
    types.retain(|event_type| !event_type.archived);
    Ok(types)
}

/// One that can be published or asked for, archived ones and operational events too; `None` for an unknown one.
pub(super) async fn find(
    api: &Api,
    organization_id: OrganizationId,
    name: &str,
) -> Result<Option<OfferedType>, Problem> {
    if is_operational(name) {
        let operational = OPERATIONAL.iter().find(|event_type| event_type.name == name);
        return Ok(operational.map(|event_type| OfferedType::ours(event_type, TypeOrigin::Operational)));
    }
    let wanted = name.to_owned();
    let may_be_application = api.may_be_application(organization_id);
    let read = api.read(organization_id, move |store| {
        let mut defined = store.own_event_types(organization_id)?;
        defined.extend(store.own_event_types(CATALOGUE)?);
        let defined = defined.into_iter().find(|defined| defined.name == wanted);
        let environment = store.environment_of(organization_id)?.filter(|_| may_be_application);
        let of_environment = match environment {
            Some(environment) => store.environment_event_type(&environment, &wanted)?,
            None => None,
        };
        Ok((of_environment, defined))
    });
    let (of_environment, defined) = read.await?;
    if let Some(found) = of_environment {
        return Ok(Some(OfferedType::of_environment(found)));
    }
    Ok(match defined {
        Some(defined) if defined.state == EventTypeState::Removed => None,
        Some(defined) => Some(OfferedType::defined(defined)),
        None => {
            let policy = api.engine.event_type_policy();
            let built_in = policy.built_in().iter().find(|event_type| event_type.name == name);
            built_in.map(|event_type| OfferedType::ours(event_type, TypeOrigin::BuiltIn))
        }
    })
}

/// A realistic `data` of any type that can be asked for; `None` for an unknown one.
pub(crate) async fn sample(
    api: &Api,
    organization_id: OrganizationId,
    name: &str,
) -> Result<Option<Box<RawValue>>, Problem> {
    let is_accepted = api.engine.event_type_policy().accepts_unknown && !is_operational(name);
    let found = find(api, organization_id, name).await?;
    Ok(found.map(|event_type| event_type.sample).or_else(|| is_accepted.then(empty_object)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_of_a_type_is_its_own_or_the_first_object_among_its_schemas_examples() {
        let examples = r#"{"examples":[1,{"amount":1e400},{"amount":2}]}"#;
        for (sample, schema, expected) in [
            (None, None, "{}"),
            (None, Some("{}"), "{}"),
            (None, Some(r#"{"examples":7}"#), "{}"),
            (None, Some(r#"{"examples":[]}"#), "{}"),
            (None, Some(examples), r#"{"amount":1e400}"#),
            (Some(r#"{"a":1}"#), Some(examples), r#"{"a":1}"#),
        ] {
            let (sample, schema) = (sample.map(str::to_owned), schema.map(str::to_owned));
            let named = DefinedEventType::named(OrganizationId(1), "invoice.paid", UnixMillis(0));
            let defined = DefinedEventType { sample, schema, ..named };
            assert_eq!(sample_of(&defined).get(), expected);
        }
    }
}
