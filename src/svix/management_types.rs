//! Event types that the management environment has of itself: those of its messages. One that is stored under such a name, also an
//! archived one, takes its place.

use crate::domain::notice::NoticeKind;
use crate::domain::svix::{Environment, EnvironmentEventType};
use crate::domain::time::UnixMillis;
use crate::store::{NamePage, Store, StoreResult};

/// They were always there.
const MADE_AT: UnixMillis = UnixMillis(0);

fn event_type(kind: NoticeKind) -> EnvironmentEventType {
    EnvironmentEventType {
        name: kind.event_type().to_owned(),
        description: kind.description().to_owned(),
        archived: false,
        deprecated: false,
        schemas: None,
        feature_flags: Vec::new(),
        group_name: None,
        created_at: MADE_AT,
        updated_at: MADE_AT,
    }
}

/// The environment's own type of this name.
pub(super) fn own(environment: &Environment, name: &str) -> Option<EnvironmentEventType> {
    NoticeKind::parse(name).filter(|_| environment.is_management()).map(event_type)
}

/// A page of what is stored and of the environment's own types, in one order.
pub(super) fn with_own(
    store: &dyn Store,
    environment: &Environment,
    page: &NamePage,
    stored: impl FnOnce(NamePage) -> StoreResult<Vec<EnvironmentEventType>>,
) -> StoreResult<Vec<EnvironmentEventType>> {
    let mut types = stored(page.clone())?;
    if !environment.is_management() {
        return Ok(types);
    }
    for own in NoticeKind::ALL.into_iter().map(event_type) {
        let is_beyond = page.beyond.as_ref().is_none_or(|beyond| match page.is_descending {
            true => own.name < *beyond,
            false => own.name > *beyond,
        });
        if is_beyond && store.environment_event_type(environment, &own.name)?.is_none() {
            types.push(own);
        }
    }
    types.sort_by(|one, other| one.name.cmp(&other.name));
    if page.is_descending {
        types.reverse();
    }
    // what is stored behind the last one is on another page, and so is all behind it
    types.truncate(page.limit);
    Ok(types)
}
