//! The event types of the environment of an application (Svix-compatible API): our own routes and the dashboard take them too.

use std::collections::HashSet;
use std::sync::Arc;

use super::Api;
use super::key_text::hash_key;
use super::line::Line;
use super::lookup_cache::{CacheAnswer, Credential, LookupCache};
use super::problem::Problem;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::BodyShape;
use crate::domain::svix::EnvironmentEventType;
use crate::store::{NamePage, Store, StoreResult};

/// Types that are read at once. Smaller: more reads. Larger: one read holds its connection for longer.
const PAGE: usize = 250;

/// The names of all types of an environment, archived ones too.
pub(crate) type TypeNames = Arc<HashSet<String>>;

/// What the environments of organizations had a moment ago.
#[derive(Default)]
pub(crate) struct KnownEnvironmentTypes(LookupCache<NamesOfOrganization>);

#[derive(Clone)]
struct NamesOfOrganization(OrganizationId, TypeNames);

impl Credential for NamesOfOrganization {
    fn owner(&self) -> Line {
        self.0.into()
    }
}

impl KnownEnvironmentTypes {
    /// Call after types of an environment were changed.
    pub(crate) fn forget(&self) {
        self.0.forget_everything();
    }
}

impl Api {
    /// Whether the organization can be an application, whose environment has types. Does not ask the store.
    pub(super) fn may_be_application(&self, organization_id: OrganizationId) -> bool {
        self.engine.body_shape(organization_id) == BodyShape::Verbatim
    }

    /// The names of the types of an organization's environment; `None` for one that can't be an application, which costs nothing.
    pub(super) async fn environment_type_names(
        &self,
        organization_id: OrganizationId,
    ) -> Result<Option<TypeNames>, Problem> {
        if !self.may_be_application(organization_id) {
            return Ok(None);
        }
        let cache = &self.environment_types.0;
        let (hash, now) = (hash_key(&organization_id.to_string()), self.engine.now());
        if let CacheAnswer::Known(NamesOfOrganization(_, names)) = cache.get(&hash, now) {
            return Ok(Some(names));
        }
        let generation = cache.generation();
        let types = self.read(organization_id, move |store| environment_types(store, organization_id)).await?;
        let names: TypeNames = Arc::new(types.into_iter().map(|event_type| event_type.name).collect());
        cache.insert(hash, Some(NamesOfOrganization(organization_id, Arc::clone(&names))), generation, now);
        Ok(Some(names))
    }
}

/// The types of an organization's environment, archived ones too, by name.
pub(super) fn environment_types(
    store: &dyn Store,
    organization_id: OrganizationId,
) -> StoreResult<Vec<EnvironmentEventType>> {
    let Some(environment) = store.environment_of(organization_id)? else { return Ok(Vec::new()) };
    let mut page = NamePage { with_archived: true, limit: PAGE, ..NamePage::default() };
    let mut types = Vec::new();
    loop {
        let rows = store.environment_event_types(&environment, &page)?;
        let is_last = rows.len() < page.limit;
        page.beyond = rows.last().map(|row| row.name.clone());
        types.extend(rows);
        if is_last {
            return Ok(types);
        }
    }
}
