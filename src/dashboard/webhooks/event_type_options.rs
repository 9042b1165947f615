//! The event types that a form offers.

use crate::api::Api;
use crate::api::event_types::own_types;
use crate::api::problem::Problem;
use crate::domain::event_types::{BUILT_IN, OPERATIONAL, OwnEventType};
use crate::domain::ids::OrganizationId;

#[derive(Default)]
pub(crate) struct EventTypeOptions {
    own: Vec<OwnEventType>,
}

pub(crate) struct EventTypeOption<'a> {
    pub name: &'a str,
    pub description: &'a str,
}

impl EventTypeOptions {
    pub(crate) async fn of(api: &Api, organization_id: OrganizationId) -> Result<Self, Problem> {
        Ok(Self { own: own_types(api, organization_id).await? })
    }

    /// In groups, none of them empty.
    pub(crate) fn groups(&self) -> Vec<(&'static str, Vec<EventTypeOption<'_>>)> {
        let built_in = |prefix: &str| {
            let types = BUILT_IN.iter().filter(|event_type| event_type.name.starts_with(prefix));
            types.map(|it| EventTypeOption { name: it.name, description: it.description }).collect()
        };
        let own = self.own.iter().map(|it| EventTypeOption { name: &it.name, description: &it.description });
        let operational =
            OPERATIONAL.iter().map(|it| EventTypeOption { name: it.name, description: it.description });
        let groups: [(&str, Vec<EventTypeOption<'_>>); 4] = [
            ("Calls", built_in("call.")),
            ("Batches", built_in("batch.")),
            ("Custom", own.collect()),
            ("Operational", operational.collect()),
        ];
        groups.into_iter().filter(|(_, types)| !types.is_empty()).collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.groups().into_iter().flat_map(|(_, types)| types).map(|it| it.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_event_type_is_offered() {
        let types = EventTypeOptions { own: Vec::new() };
        assert_eq!(types.names().len(), BUILT_IN.len() + OPERATIONAL.len());
        assert_eq!(types.groups().len(), 3);
    }
}
