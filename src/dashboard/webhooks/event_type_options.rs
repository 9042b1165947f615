//! The event types that a form offers.

use crate::api::Api;
use crate::api::offered_types::{OfferedType, TypeOrigin, offered};
use crate::api::problem::Problem;
use crate::domain::event_types::OPERATIONAL;
use crate::domain::ids::OrganizationId;

#[derive(Default)]
pub(crate) struct EventTypeOptions {
    types: Vec<OfferedType>,
}

pub(crate) struct EventTypeOption<'a> {
    pub name: &'a str,
    pub description: &'a str,
}

impl EventTypeOptions {
    pub(crate) async fn of(api: &Api, organization_id: OrganizationId) -> Result<Self, Problem> {
        Ok(Self { types: offered(api, organization_id).await? })
    }

    /// In groups, none of them empty: those of all organizations by what their names begin with.
    pub(crate) fn groups(&self) -> Vec<(String, Vec<EventTypeOption<'_>>)> {
        let option = |it: &'static crate::domain::event_types::EventType| EventTypeOption {
            name: it.name,
            description: it.description,
        };
        let mut groups: Vec<(String, Vec<EventTypeOption<'_>>)> = Vec::new();
        let (own, shared): (Vec<_>, Vec<_>) = self.types.iter().partition(|it| it.origin == TypeOrigin::Own);
        for (title, it) in shared
            .iter()
            .map(|it| (group_title(&it.name), it))
            .chain(own.iter().map(|it| (String::from("Custom"), it)))
        {
            let offered = EventTypeOption { name: &it.name, description: &it.description };
            match groups.iter_mut().find(|(known, _)| *known == title) {
                Some((_, types)) => types.push(offered),
                None => groups.push((title, vec![offered])),
            }
        }
        groups.push((String::from("Operational"), OPERATIONAL.iter().map(option).collect()));
        groups
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.groups().into_iter().flat_map(|(_, types)| types).map(|it| it.name).collect()
    }
}

/// `call.completed` is among the calls, `invoice.paid` below "Invoice".
fn group_title(name: &str) -> String {
    match name.split('.').next().unwrap_or_default() {
        "call" => String::from("Calls"),
        "batch" => String::from("Batches"),
        other => {
            let mut letters = other.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

#[cfg(test)]
impl EventTypeOptions {
    /// Those of a deployment that defined none.
    pub(crate) fn built_in() -> Self {
        let types = crate::domain::event_types::BUILT_IN.iter();
        Self { types: types.map(|it| OfferedType::ours(it, TypeOrigin::BuiltIn)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event_types::{BUILT_IN, EventType};

    #[test]
    fn every_known_event_type_is_offered_below_what_its_name_begins_with() {
        let mut options = EventTypeOptions::built_in();
        assert_eq!(options.names().len(), BUILT_IN.len() + OPERATIONAL.len());
        let invoice = EventType { name: "invoice.paid", ..BUILT_IN[0] };
        options.types.push(OfferedType::ours(&invoice, TypeOrigin::Catalogue));
        let titles: Vec<String> = options.groups().into_iter().map(|(title, _)| title).collect();
        assert_eq!(titles, ["Calls", "Batches", "Invoice", "Operational"]);
    }
}
