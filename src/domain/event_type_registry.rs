//! The event types that organizations and the operator define, with compiled schemas, for the publish path.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

use super::event_types::{CATALOGUE, DefinedEventType, EventTypePolicy, EventTypeState, is_operational};
use super::filter::FieldError;
use super::ids::OrganizationId;
use super::patterns::is_event_type;
use super::schema_bounds::check_bounds;

/// Violations that one response lists.
const MAX_VIOLATIONS: usize = 20;

/// Why a schema can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchemaError {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// It is not a JSON Schema, or refers to something outside itself.
    #[error("not a JSON Schema that stands alone: {0}")]
    Schema(String),
}

/// A compiled schema.
pub(crate) type Schema = Arc<Validator>;

/// Compiles a JSON Schema. References to other documents are refused, because nothing is ever fetched, and so are schemas
/// that could take for ever to check. Patterns are matched in time proportional to the text.
pub(crate) fn compile_schema(text: &str) -> Result<Schema, SchemaError> {
    let schema: Value = serde_json::from_str(text).map_err(|error| SchemaError::Json(error.to_string()))?;
    check_bounds(&schema).map_err(SchemaError::Schema)?;
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    let validator = options.build(&schema).map_err(|error| SchemaError::Schema(error.to_string()))?;
    Ok(Arc::new(validator))
}

/// Whether an organization may publish a type.
#[derive(Clone)]
pub(crate) enum Registered {
    /// It may publish it.
    Yes,
    /// It may publish it with `data` that matches the schema.
    WithSchema(Schema),
    /// The type is the engine's own.
    Operational,
    /// There is no such type.
    No,
}

/// All event types that somebody defined, and which there are besides.
#[derive(Default)]
pub(crate) struct EventTypeRegistry {
    policy: EventTypePolicy,
    /// The catalogue is among them.
    defined: HashMap<OrganizationId, HashMap<String, KnownType>>,
}

/// A type that somebody defined.
pub(crate) struct KnownType {
    state: EventTypeState,
    schema: Option<Schema>,
    /// As it was defined; also one that no longer compiles.
    schema_text: Option<Box<str>>,
}

impl KnownType {
    /// Compiles its schema, which can take long. A stored schema that no longer compiles is ignored, so that an update of
    /// the engine does not stop publishers.
    pub(crate) fn of(event_type: &DefinedEventType) -> Self {
        Self {
            state: event_type.state,
            schema: event_type.schema.as_deref().and_then(|text| compile_schema(text).ok()),
            schema_text: event_type.schema.as_deref().map(Box::from),
        }
    }
}

impl KnownType {
    fn registered(&self) -> Registered {
        match (self.state, &self.schema) {
            (EventTypeState::Removed, _) => Registered::No,
            (_, Some(schema)) => Registered::WithSchema(schema.clone()),
            (_, None) => Registered::Yes,
        }
    }
}

impl EventTypeRegistry {
    /// Without a type that somebody defined.
    pub(crate) fn new(policy: EventTypePolicy) -> Self {
        Self { policy, defined: HashMap::new() }
    }

    pub(crate) fn policy(&self) -> EventTypePolicy {
        self.policy
    }

    /// Adds or replaces a type.
    pub(crate) fn insert(&mut self, event_type: &DefinedEventType) {
        self.insert_known(event_type, KnownType::of(event_type));
    }

    fn insert_known(&mut self, event_type: &DefinedEventType, known: KnownType) {
        let types = self.defined.entry(event_type.organization_id).or_default();
        types.insert(event_type.name.clone(), known);
    }

    /// Those of an organization's types that are not known as they are. They are compiled before [`Self::replace`]: who
    /// holds the lock of the registry holds up all publishers.
    pub(crate) fn unknown<'a>(
        &self,
        organization_id: OrganizationId,
        types: &'a [DefinedEventType],
    ) -> Vec<&'a DefinedEventType> {
        let known = self.defined.get(&organization_id);
        let is_known = |own: &DefinedEventType| {
            let known = known.and_then(|known| known.get(&own.name));
            known.is_some_and(|known| {
                known.state == own.state && known.schema_text.as_deref() == own.schema.as_deref()
            })
        };
        types.iter().filter(|own| !is_known(own)).collect()
    }

    /// Makes these the types of an organization, of which some were compiled now.
    pub(crate) fn replace(
        &mut self,
        organization_id: OrganizationId,
        types: &[DefinedEventType],
        compiled: Vec<(&DefinedEventType, KnownType)>,
    ) {
        for (event_type, known) in compiled {
            self.insert_known(event_type, known);
        }
        let names: HashSet<&str> = types.iter().map(|own| own.name.as_str()).collect();
        if let Some(own) = self.defined.get_mut(&organization_id) {
            own.retain(|name, _| names.contains(name.as_str()));
        }
    }

    /// Removes the types of an organization.
    pub(crate) fn remove_organization(&mut self, organization_id: OrganizationId) {
        self.defined.remove(&organization_id);
    }

    /// Looks a type up.
    pub(crate) fn lookup(&self, organization_id: OrganizationId, name: &str) -> Registered {
        if is_operational(name) {
            return Registered::Operational;
        }
        let own = self.defined.get(&organization_id).and_then(|types| types.get(name));
        let found = own.map_or_else(|| self.lookup_shared(name), KnownType::registered);
        match found {
            Registered::No if self.policy.accepts_unknown && is_event_type(name) => Registered::Yes,
            found => found,
        }
    }

    /// Looks a type of the catalogue up, the built-in ones included.
    pub(crate) fn lookup_shared(&self, name: &str) -> Registered {
        match self.defined.get(&CATALOGUE).and_then(|types| types.get(name)) {
            Some(known) => known.registered(),
            None if self.policy.built_in().iter().any(|it| it.name == name) => Registered::Yes,
            None => Registered::No,
        }
    }

    /// How many types an organization has defined.
    pub(crate) fn own_count(&self, organization_id: OrganizationId) -> usize {
        self.defined.get(&organization_id).map_or(0, HashMap::len)
    }

    /// Whether an event of the organization may have to be checked against a schema.
    pub(crate) fn may_have_schemas(&self, organization_id: OrganizationId) -> bool {
        self.own_count(organization_id) + self.own_count(CATALOGUE) > 0
    }

    /// The length of all schemas that an organization has defined.
    pub(crate) fn schema_bytes(&self, organization_id: OrganizationId) -> usize {
        let types = self.defined.get(&organization_id);
        types.map_or(0, |types| types.values().map(|known| known.schema_text.as_deref().map_or(0, str::len)).sum())
    }

    /// The names of an organization's own types, or of the catalogue's, sorted; archived ones too.
    pub(crate) fn names(&self, organization_id: OrganizationId) -> Vec<&str> {
        let types = self.defined.get(&organization_id).into_iter().flatten();
        let there = types.filter(|(_, known)| known.state != EventTypeState::Removed);
        let mut names: Vec<&str> = there.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The names of the types that all organizations have: the built-in ones first, in their order.
    pub(crate) fn shared_names(&self) -> Vec<&str> {
        let catalogue = self.defined.get(&CATALOGUE);
        let is_defined = |name: &str| catalogue.is_some_and(|types| types.contains_key(name));
        let built_in = self.policy.built_in().iter().map(|it| it.name).filter(|name| !is_defined(name));
        built_in.chain(self.names(CATALOGUE)).collect()
    }
}

/// Checks `data` against a schema; returns violations with their fields, up to a bound.
pub(crate) fn check_data(schema: &Schema, data: &RawValue) -> Vec<FieldError> {
    let value: Value = match serde_json::from_str(data.get()) {
        Ok(value) => value,
        Err(error) => {
            let message = format!("can't be checked against the schema of this type: {error}");
            return vec![FieldError { field: String::from("data"), message }];
        }
    };
    let errors = schema.iter_errors(&value).take(MAX_VIOLATIONS);
    errors
        .map(|error| FieldError {
            field: format!("data{}", error.instance_path().to_string().replace('/', ".")),
            message: error.masked().to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;

    const SCHEMA: &str =
        r#"{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"n":{"maximum":5}}}"#;

    fn own(name: &str, schema: Option<&str>) -> DefinedEventType {
        let schema = schema.map(str::to_owned);
        DefinedEventType { schema, ..DefinedEventType::named(OrganizationId(1), name, UnixMillis(0)) }
    }

    #[test]
    fn an_organizations_types_are_its_own() {
        let mut registry = EventTypeRegistry::default();
        registry.insert(&own("invoice.paid", None));
        assert!(matches!(registry.lookup(OrganizationId(1), "invoice.paid"), Registered::Yes));
        assert!(matches!(registry.lookup(OrganizationId(2), "invoice.paid"), Registered::No));
        assert!(matches!(registry.lookup(OrganizationId(2), "call.completed"), Registered::Yes));
        assert!(matches!(registry.lookup(OrganizationId(1), "webhook.failing"), Registered::Operational));
        assert_eq!([1, 2].map(|id| registry.own_count(OrganizationId(id))), [1, 0]);
    }

    fn shared(name: &str, state: EventTypeState) -> DefinedEventType {
        DefinedEventType { state, ..DefinedEventType::named(CATALOGUE, name, UnixMillis(0)) }
    }

    #[test]
    fn the_catalogue_is_everyones_and_can_take_built_in_types_away() {
        let mut registry = EventTypeRegistry::default();
        registry.insert(&shared("invoice.paid", EventTypeState::Active));
        registry.insert(&shared("invoice.old", EventTypeState::Archived));
        registry.insert(&shared("call.missed", EventTypeState::Removed));
        let is_there = |name: &str| !matches!(registry.lookup(OrganizationId(2), name), Registered::No);
        assert!(is_there("invoice.paid") && is_there("invoice.old") && is_there("call.completed"));
        assert!(!is_there("call.missed") && !is_there("invoice.new"));
        let names = registry.shared_names();
        assert_eq!((names[0], &names[13..]), ("call.initiated", &["invoice.old", "invoice.paid"][..]));
        // one's own type counts for oneself, whatever the catalogue says
        registry.insert(&own("call.missed", None));
        assert!(matches!(registry.lookup(OrganizationId(1), "call.missed"), Registered::Yes));
        assert!(matches!(registry.lookup(OrganizationId(2), "call.missed"), Registered::No));
    }

    #[test]
    fn built_in_types_and_the_refusal_of_unknown_ones_can_be_switched_off() {
        let bare = EventTypeRegistry::new(EventTypePolicy { has_built_in: false, accepts_unknown: false });
        assert!(matches!(bare.lookup(OrganizationId(1), "call.completed"), Registered::No));
        assert!(bare.shared_names().is_empty());
        let mut open = EventTypeRegistry::new(EventTypePolicy { has_built_in: false, accepts_unknown: true });
        open.insert(&own("invoice.paid", Some(SCHEMA)));
        let lookup = |name: &str| open.lookup(OrganizationId(1), name);
        assert!(matches!(lookup("anything.at.all"), Registered::Yes));
        assert!(matches!(lookup("invoice.paid"), Registered::WithSchema(_)));
        assert!(matches!(lookup("Not a name"), Registered::No));
        assert!(matches!(lookup("webhook.failing"), Registered::Operational));
    }

    #[test]
    fn an_organizations_types_are_replaced_and_only_new_schemas_compiled() {
        let mut registry = EventTypeRegistry::default();
        let organization_id = OrganizationId(1);
        registry.insert(&own("old", None));
        registry.insert(&own("kept", Some(SCHEMA)));
        registry.insert(&own("changed", None));
        let types = [own("kept", Some(SCHEMA)), own("changed", Some(SCHEMA)), own("new", None)];
        let unknown = registry.unknown(organization_id, &types);
        assert_eq!(unknown.iter().map(|own| own.name.as_str()).collect::<Vec<_>>(), ["changed", "new"]);
        let compiled = unknown.into_iter().map(|own| (own, KnownType::of(own))).collect();
        registry.replace(organization_id, &types, compiled);
        assert_eq!(registry.names(organization_id), ["changed", "kept", "new"]);
        assert!(matches!(registry.lookup(organization_id, "changed"), Registered::WithSchema(_)));
        assert!(matches!(registry.lookup(organization_id, "old"), Registered::No));
        registry.replace(organization_id, &[], Vec::new());
        assert_eq!(registry.own_count(organization_id), 0);
    }

    #[test]
    fn every_violation_of_a_schema_names_its_field() {
        let schema = compile_schema(SCHEMA).unwrap();
        let check = |json: &str| check_data(&schema, &RawValue::from_string(json.to_owned()).unwrap());
        assert_eq!(check(r#"{"id":"a"}"#), []);
        let errors = check(r#"{"id":5,"n":9}"#);
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["data.id", "data.n"]);
        assert_eq!(check("{}")[0].field, "data");
        assert_eq!(check(r#"{"id":"a","n":1e400}"#)[0].field, "data");
    }

    #[test]
    fn a_schema_that_is_none_or_that_refers_elsewhere_is_refused() {
        assert!(matches!(compile_schema("nope"), Err(SchemaError::Json(_))));
        assert!(matches!(compile_schema(r#"{"type":"banana"}"#), Err(SchemaError::Schema(_))));
        let remote = r#"{"$ref":"https://example.com/schema.json"}"#;
        assert!(matches!(compile_schema(remote), Err(SchemaError::Schema(_))));
        let local = r#"{"$ref":"file:///etc/passwd"}"#;
        assert!(matches!(compile_schema(local), Err(SchemaError::Schema(_))));
    }
}
