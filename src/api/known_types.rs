//! The event types that one organization knows, for checking what it publishes and asks for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::environment_types::TypeNames;
use crate::domain::event_type_registry::{EventTypeRegistry, Registered};
use crate::domain::ids::OrganizationId;
use crate::domain::nearest::did_you_mean;
use crate::domain::patterns::{EventPattern, PatternError, is_event_type};

/// Comparisons of characters that one request may cause with names that do not exist, some 50 ms. Smaller: fewer of many
/// typos get a suggestion. Larger: a batch of a thousand typos takes the processor from others for seconds.
const MAX_STEPS: usize = 10_000_000;
/// The most types of an organization that an error names, and of the catalogue. Larger: a batch with a thousand typos gets a
/// response of megabytes.
const MAX_NAMED: usize = 20;

/// The event types that one organization knows.
#[derive(Clone)]
pub(crate) struct KnownTypes {
    registry: Arc<RwLock<EventTypeRegistry>>,
    organization_id: OrganizationId,
    /// Types of the organization's environment, which have other names than ours may have.
    environment: Option<TypeNames>,
    /// What looking for similar names may still cost in this request.
    steps_left: Arc<AtomicUsize>,
}

impl KnownTypes {
    pub(crate) fn new(registry: Arc<RwLock<EventTypeRegistry>>, organization_id: OrganizationId) -> Self {
        let steps_left = Arc::new(AtomicUsize::new(MAX_STEPS));
        Self { registry, organization_id, environment: None, steps_left }
    }

    /// Also those of its environment.
    pub(super) fn with_environment(self, environment: Option<TypeNames>) -> Self {
        Self { environment, ..self }
    }

    /// Whether an event of this type can be published, and with what `data`.
    pub(crate) fn lookup(&self, name: &str) -> Registered {
        match self.registry().lookup(self.organization_id, name) {
            Registered::No if self.is_of_environment(name) => Registered::Yes,
            found => found,
        }
    }

    /// Whether it is a type of the environment, which the engine need not know.
    pub(super) fn is_of_environment(&self, name: &str) -> bool {
        self.environment.as_ref().is_some_and(|names| names.contains(name))
    }

    /// What a webhook asks for.
    pub(super) fn pattern(&self, text: &str) -> Result<EventPattern, PatternError> {
        match EventPattern::parse(text) {
            Err(_) if self.is_of_environment(text) => Ok(EventPattern::Exact(text.to_owned())),
            parsed => parsed,
        }
    }

    /// Whether an event may have to be checked against a schema.
    pub(crate) fn may_have_schemas(&self) -> bool {
        self.registry().may_have_schemas(self.organization_id)
    }

    /// Whether a webhook can subscribe to this; a pattern that nothing will ever match is a typo.
    pub(crate) fn can_be_asked_for(&self, pattern: &EventPattern) -> bool {
        match pattern {
            EventPattern::All => true,
            EventPattern::Exact(name) => !matches!(self.lookup(name), Registered::No),
            EventPattern::Prefix(_) => {
                let registry = self.registry();
                let mut names = registry.shared_names().into_iter().chain(registry.names(self.organization_id));
                registry.policy().accepts_unknown
                    || names.any(|name| pattern.matches(name))
                    || self.environment.iter().flat_map(|names| names.iter()).any(|name| pattern.matches(name))
            }
        }
    }

    /// The error for an unknown name or pattern: which type was probably meant, and which exist.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let (shared, own) = self.names();
        let known = || shared.iter().chain(&own).map(String::as_str);
        let cost = name.len() * known().map(str::len).sum::<usize>();
        let is_affordable = |left: usize| left.checked_sub(cost);
        if self.steps_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_affordable).is_err() {
            return String::from("no such event type; GET /v1/event-types lists those that there are");
        }
        let meant = did_you_mean(name, known());
        let names = listed(&shared, &own);
        match name.ends_with(".*") || is_event_type(name) {
            true => format!("no such event type; {meant}POST /v1/event-types registers another. {names}"),
            // nobody can register it
            false => format!("{}; {meant}{names}", PatternError::Malformed),
        }
    }

    /// Those of all organizations, and its own with those of its environment. Copies: who holds the lock while names are compared holds up all publishers.
    fn names(&self) -> (Vec<String>, Vec<String>) {
        let registry = self.registry();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let mut own: Vec<String> = owned(registry.names(self.organization_id));
        own.extend(self.environment.iter().flat_map(|names| names.iter().cloned()));
        own.sort_unstable();
        (owned(registry.shared_names()), own)
    }

    pub(super) fn registry(&self) -> RwLockReadGuard<'_, EventTypeRegistry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The types that can be published, as far as there is room for them.
fn listed(shared: &[String], own: &[String]) -> String {
    let named = shared.iter().take(MAX_NAMED).chain(own.iter().take(MAX_NAMED));
    let named: Vec<&str> = named.map(String::as_str).collect();
    let named_of = |count: usize| count.min(MAX_NAMED);
    match (shared.len() + own.len()) - named_of(shared.len()) - named_of(own.len()) {
        0 if named.is_empty() => String::from("There are none yet"),
        0 => format!("Known are {}", named.join(", ")),
        more => format!("Known are {} and {more} more; GET /v1/event-types lists them", named.join(", ")),
    }
}
