//! Which endpoints want an event: organization → endpoints by event type.

mod interner;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::endpoint::Endpoint;
use super::event_types::is_operational;
use super::filter::{Document, Filter};
use super::ids::{EndpointId, OrganizationId};
use super::labels;
use super::organization::BodyShape;
use super::patterns::EventPattern;
use interner::Interner;

/// Deleted organizations that are remembered. A publisher that was let in before the deletion is only seconds late. Smaller:
/// during a burst of deletions, a late event is stored that nobody can see, and later removed. Larger: costs memory.
const REMEMBERED_DELETIONS: usize = 4_096;

/// The index that every event is matched against. Lists active endpoints only.
///
/// Flat on purpose: most organizations have one or two endpoints, and a map for each would cost more than its content.
/// Lists are sorted by id, so that loading endpoints in ascending order appends.
#[derive(Debug, Default)]
pub struct Subscriptions {
    members: HashMap<EndpointId, Member>,
    lists: HashMap<ListKey, Vec<Posting>>,
    types: Interner<str>,
    conditions: Interner<Condition>,
    deleted_organizations: DeletedOrganizations,
    /// Organizations whose events have a verbatim body.
    verbatim: HashSet<OrganizationId>,
}

/// An endpoint in the index. An inactive one is kept too: it goes with its organization.
#[derive(Debug)]
struct Member {
    organization_id: OrganizationId,
    patterns: Box<[Pattern]>,
    condition: Option<u32>,
}

/// What an endpoint asks of an event beside its type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Condition {
    filter: Option<Filter>,
    channels: Box<[String]>,
}

impl Condition {
    /// `None` when it asks for nothing, as most do.
    fn of(endpoint: &Endpoint) -> Option<Self> {
        let Endpoint { filter, channels, .. } = endpoint;
        let is_there = filter.is_some() || !channels.is_empty();
        is_there.then(|| Self { filter: filter.clone(), channels: channels.clone().into() })
    }

    fn holds(&self, channels: &[String], document: &Document<'_>) -> bool {
        labels::is_reached(&self.channels, channels)
            && self.filter.as_ref().is_none_or(|filter| filter.matches_document(document))
    }
}

/// A pattern over interned event types; a prefix without its final dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Pattern {
    All,
    Prefix(u32),
    Exact(u32),
}

type ListKey = (OrganizationId, Pattern);

/// One endpoint in a list, with the number of its condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Posting {
    id: EndpointId,
    condition: Option<u32>,
}

impl Subscriptions {
    /// Adds or replaces an endpoint; an inactive one is removed from the lists.
    pub fn upsert(&mut self, endpoint: &Endpoint) {
        self.take_out(endpoint.id);
        let mut member =
            Member { organization_id: endpoint.organization_id, patterns: Box::default(), condition: None };
        if endpoint.active {
            member.patterns = self.intern(&endpoint.events);
            let condition = Condition::of(endpoint).map(Arc::new);
            member.condition = condition.map(|shared| self.conditions.acquire(&shared, || Arc::clone(&shared)));
            for &pattern in &member.patterns {
                let list = self.lists.entry((endpoint.organization_id, pattern)).or_default();
                if let Err(place) = list.binary_search_by_key(&endpoint.id, |posting| posting.id) {
                    list.insert(place, Posting { id: endpoint.id, condition: member.condition });
                }
            }
        }
        self.members.insert(endpoint.id, member);
    }

    /// Removes an endpoint.
    pub(crate) fn remove(&mut self, organization_id: OrganizationId, endpoint_id: EndpointId) {
        let known = self.members.get(&endpoint_id);
        if known.is_some_and(|known| known.organization_id != organization_id) {
            return;
        }
        self.take_out(endpoint_id);
    }

    /// Removes all endpoints of an organization that was deleted; returns them.
    pub(crate) fn remove_organization(&mut self, organization_id: OrganizationId) -> Vec<EndpointId> {
        // walks all endpoints: rare, and cheaper than keeping a list per organization
        let of_organization = self.members.iter().filter(|(_, member)| member.organization_id == organization_id);
        let ids: Vec<EndpointId> = of_organization.map(|(&id, _)| id).collect();
        ids.iter().for_each(|id| self.take_out(*id));
        self.deleted_organizations.insert(organization_id);
        self.verbatim.remove(&organization_id);
        ids
    }

    /// Takes over what bodies an organization's events have.
    pub(crate) fn set_body_shape(&mut self, organization_id: OrganizationId, shape: BodyShape) {
        match shape {
            BodyShape::Envelope => self.verbatim.remove(&organization_id),
            BodyShape::Verbatim => self.verbatim.insert(organization_id),
        };
    }

    /// The same for all organizations.
    pub(crate) fn set_verbatim(&mut self, organizations: impl IntoIterator<Item = OrganizationId>) {
        self.verbatim = organizations.into_iter().collect();
    }

    /// What bodies an organization's events have.
    pub(crate) fn body_shape(&self, organization_id: OrganizationId) -> BodyShape {
        // most deployments have none
        match !self.verbatim.is_empty() && self.verbatim.contains(&organization_id) {
            true => BodyShape::Verbatim,
            false => BodyShape::Envelope,
        }
    }

    /// Whether an organization was deleted not long ago.
    pub(crate) fn is_deleted(&self, organization_id: OrganizationId) -> bool {
        self.deleted_organizations.ids.contains(&organization_id)
    }

    /// All endpoints, with their organizations.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (OrganizationId, EndpointId)> {
        self.members.iter().map(|(&id, member)| (member.organization_id, id))
    }

    #[cfg(test)]
    fn active_count(&self) -> usize {
        self.members.values().filter(|member| !member.patterns.is_empty()).count()
    }

    /// Whether this endpoint exists and is active.
    pub(crate) fn is_active(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> bool {
        let member = self.members.get(&endpoint_id);
        member.is_some_and(|member| !member.patterns.is_empty() && member.organization_id == organization_id)
    }

    /// The endpoints that want this event, by id. `data` is parsed at most once, and only if there is a filter; a condition
    /// that several endpoints share is evaluated once.
    pub fn matching(
        &self,
        organization_id: OrganizationId,
        event_type: &str,
        channels: &[String],
        data: &RawValue,
    ) -> Vec<EndpointId> {
        let candidates = self.candidates(organization_id, event_type);
        let document = Document::new(data);
        let mut verdicts: HashMap<u32, bool> = HashMap::new();
        let mut holds = |id: u32| {
            *verdicts
                .entry(id)
                .or_insert_with(|| self.conditions.get(id).is_some_and(|known| known.holds(channels, &document)))
        };
        let wanted = candidates.into_iter().filter(|posting| posting.condition.is_none_or(&mut holds));
        wanted.map(|posting| posting.id).collect()
    }

    /// Whether an endpoint would get an event of this type with these channels, at least with some data.
    pub(crate) fn has_subscriber(
        &self,
        organization_id: OrganizationId,
        event_type: &str,
        channels: &[String],
    ) -> bool {
        let is_reached =
            |id: u32| self.conditions.get(id).is_some_and(|known| labels::is_reached(&known.channels, channels));
        let candidates = self.candidates(organization_id, event_type);
        candidates.iter().any(|posting| posting.condition.is_none_or(is_reached))
    }

    /// At most how many endpoints want an event of this type, whatever its data: one that asks for it in several ways
    /// counts for each.
    pub(crate) fn count_candidates(&self, organization_id: OrganizationId, event_type: &str) -> usize {
        let count = |pattern| self.lists.get(&(organization_id, pattern)).map_or(0, Vec::len);
        let exact = self.types.find(event_type).map_or(0, |id| count(Pattern::Exact(id)));
        if is_operational(event_type) {
            return exact;
        }
        let prefixes = event_type.match_indices('.').filter_map(|(dot, _)| self.types.find(&event_type[..dot]));
        exact + count(Pattern::All) + prefixes.map(|id| count(Pattern::Prefix(id))).sum::<usize>()
    }

    /// By event type alone; ascending, each once.
    fn candidates(&self, organization_id: OrganizationId, event_type: &str) -> Vec<Posting> {
        let mut found: Vec<Posting> = Vec::new();
        let mut lists = 0;
        let mut add = |pattern| {
            if let Some(list) = self.lists.get(&(organization_id, pattern)) {
                found.extend_from_slice(list);
                lists += 1;
            }
        };
        if let Some(id) = self.types.find(event_type) {
            add(Pattern::Exact(id));
        }
        if !is_operational(event_type) {
            add(Pattern::All);
            for (dot, _) in event_type.match_indices('.') {
                if let Some(id) = self.types.find(&event_type[..dot]) {
                    add(Pattern::Prefix(id));
                }
            }
        }
        if lists > 1 {
            // the stable sort merges sorted runs
            found.sort();
            found.dedup();
        }
        found
    }

    fn intern(&mut self, events: &[EventPattern]) -> Box<[Pattern]> {
        if events.is_empty() {
            return [Pattern::All].into();
        }
        let mut number = |text: &str| self.types.acquire(text, || Arc::from(text));
        let patterns = events.iter().map(|pattern| match pattern {
            EventPattern::All => Pattern::All,
            EventPattern::Prefix(prefix) => Pattern::Prefix(number(prefix.trim_end_matches('.'))),
            EventPattern::Exact(event_type) => Pattern::Exact(number(event_type)),
        });
        // duplicates stay: each was counted, and is released separately
        patterns.collect()
    }

    /// Removes an endpoint from the lists and releases its shared values.
    fn take_out(&mut self, id: EndpointId) {
        let Some(member) = self.members.remove(&id) else { return };
        for &pattern in &member.patterns {
            let key = (member.organization_id, pattern);
            if let Some(list) = self.lists.get_mut(&key) {
                if let Ok(place) = list.binary_search_by_key(&id, |posting| posting.id) {
                    list.remove(place);
                }
                if list.is_empty() {
                    self.lists.remove(&key);
                }
            }
        }
        for pattern in member.patterns {
            if let Pattern::Prefix(text) | Pattern::Exact(text) = pattern {
                self.types.release(text);
            }
        }
        if let Some(condition) = member.condition {
            self.conditions.release(condition);
        }
    }
}

/// The latest deleted organizations.
#[derive(Debug, Default)]
struct DeletedOrganizations {
    ids: HashSet<OrganizationId>,
    order: VecDeque<OrganizationId>,
}

impl DeletedOrganizations {
    fn insert(&mut self, id: OrganizationId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED_DELETIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}
