use super::*;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ORG: OrganizationId = OrganizationId(1);

fn endpoint(id: i64, events: &[&str], filter: Option<Value>) -> Endpoint {
    Endpoint {
        events: events.iter().map(|text| EventPattern::parse(text).unwrap()).collect(),
        filter: filter.map(|source| Filter::parse(&source).unwrap()),
        ..Endpoint::new(EndpointId(id), ORG, "", Secret::new(String::new()), UnixMillis(0))
    }
}

fn matching(subscriptions: &Subscriptions, event_type: &str, data: &str) -> Vec<i64> {
    let data = RawValue::from_string(data.to_owned()).unwrap();
    subscriptions.matching(ORG, event_type, &[], &data).into_iter().map(|id| id.0).collect()
}

#[test]
fn an_event_finds_those_that_ask_for_it_in_order_and_once() {
    let mut subscriptions = Subscriptions::default();
    subscriptions.upsert(&endpoint(5, &["*", "call.*", "call.completed", "call.completed"], None));
    subscriptions.upsert(&endpoint(3, &["call.completed"], None));
    subscriptions.upsert(&endpoint(4, &[], None));
    subscriptions.upsert(&endpoint(1, &["call.*"], None));
    subscriptions.upsert(&endpoint(2, &["batch.*"], None));
    assert_eq!(matching(&subscriptions, "call.completed", "{}"), [1, 3, 4, 5]);
    assert_eq!(matching(&subscriptions, "callback.done", "{}"), [4, 5]);
    assert_eq!(matching(&subscriptions, "call", "{}"), [4, 5]);
    assert_eq!(subscriptions.active_count(), 5);
}

#[test]
fn operational_events_reach_only_those_that_name_them() {
    let mut subscriptions = Subscriptions::default();
    subscriptions.upsert(&endpoint(1, &["*"], None));
    subscriptions.upsert(&endpoint(2, &["webhook.*"], None));
    subscriptions.upsert(&endpoint(3, &["webhook.disabled"], None));
    assert_eq!(matching(&subscriptions, "webhook.disabled", "{}"), [3]);
}

#[test]
fn filters_decide_among_the_candidates() {
    let mut subscriptions = Subscriptions::default();
    for id in 0..4 {
        subscriptions.upsert(&endpoint(id, &[], Some(json!({"n": id % 2}))));
    }
    assert_eq!(matching(&subscriptions, "a", r#"{"n":1}"#), [1, 3]);
    assert_eq!(subscriptions.conditions.len(), 2);
}

#[test]
fn endpoints_are_replaced_and_removed_by_their_own_organization_and_with_it() {
    let mut subscriptions = Subscriptions::default();
    let old = endpoint(1, &["a"], None);
    subscriptions.upsert(&Endpoint { active: false, ..old.clone() });
    assert!(!subscriptions.is_active(ORG, EndpointId(1)));
    subscriptions.upsert(&old);
    assert!(subscriptions.is_active(ORG, EndpointId(1)));
    assert!(!subscriptions.is_active(OrganizationId(2), EndpointId(1)));
    subscriptions.remove(OrganizationId(2), EndpointId(1));
    assert!(subscriptions.is_active(ORG, EndpointId(1)));
    subscriptions.remove(ORG, EndpointId(1));
    assert!(matching(&subscriptions, "a", "{}").is_empty());
    subscriptions.upsert(&endpoint(2, &["a"], None));
    subscriptions.upsert(&Endpoint { active: false, ..endpoint(3, &["a"], None) });
    subscriptions.upsert(&Endpoint { organization_id: OrganizationId(2), ..endpoint(4, &["a"], None) });
    let mut removed = subscriptions.remove_organization(ORG);
    removed.sort();
    assert_eq!(removed, [EndpointId(2), EndpointId(3)]);
    assert_eq!(subscriptions.active_count(), 1);
    assert!(subscriptions.is_deleted(ORG) && !subscriptions.is_deleted(OrganizationId(2)));
}

#[test]
fn what_nobody_uses_any_more_is_freed_and_remembered_deletions_are_bounded() {
    let mut subscriptions = Subscriptions::default();
    for id in 0..5_000 {
        subscriptions.upsert(&endpoint(id, &["a.b", "a.*", "a.b"], Some(json!({"n": id}))));
        subscriptions.remove(ORG, EndpointId(id));
    }
    assert!(subscriptions.lists.is_empty() && subscriptions.members.is_empty());
    assert_eq!(subscriptions.types.len() + subscriptions.conditions.len(), 0);
    (0..5_000).for_each(|id| drop(subscriptions.remove_organization(OrganizationId(id))));
    assert_eq!(subscriptions.deleted_organizations.ids.len(), REMEMBERED_DELETIONS);
    assert!(!subscriptions.is_deleted(OrganizationId(0)) && subscriptions.is_deleted(OrganizationId(4_999)));
}

proptest! {
    #[test]
    fn the_index_agrees_with_asking_every_endpoint(
        steps in prop::collection::vec(
            ((1i64..12, prop::collection::vec("x|y|z", 0..3)), prop::collection::vec("\\*|a\\.\\*|a\\.b\\.\\*|a\\.b|a\\.b\\.c|b|webhook\\.failing", 0..4),
             prop::option::of(0i64..3), any::<bool>(), 0u8..10, 1i64..3),
            1..60,
        ),
        published in prop::collection::vec("x|y|z", 0..3),
    ) {
        let mut subscriptions = Subscriptions::default();
        let mut model: BTreeMap<i64, Endpoint> = BTreeMap::new();
        for ((id, channels), events, filter, active, action, organization) in steps {
            // an id belongs to one organization permanently
            let organization_id = OrganizationId(id % 2 + 1);
            if action == 0 {
                subscriptions.remove(OrganizationId(organization), EndpointId(id));
                let known = model.get(&id).map(|known| known.organization_id.0);
                if known.is_none_or(|known| known == organization) {
                    model.remove(&id);
                }
            } else {
                let events: Vec<&str> = events.iter().map(String::as_str).collect();
                let filter = filter.map(|n| json!({"n": n}));
                let new = Endpoint { organization_id, active, channels, ..endpoint(id, &events, filter) };
                subscriptions.upsert(&new);
                model.insert(id, new);
            }
            for event_type in ["a", "a.b", "a.b.c", "a.x", "b", "webhook.failing"] {
                let data = RawValue::from_string(r#"{"n":1}"#.to_owned()).unwrap();
                let channels = if event_type.len() % 2 == 0 { &[][..] } else { &published[..] };
                let expected: Vec<EndpointId> = model.values().filter(|endpoint| {
                    endpoint.organization_id == ORG && endpoint.active
                        && (endpoint.events.iter().any(|pattern| pattern.matches(event_type))
                            || endpoint.events.is_empty() && EventPattern::All.matches(event_type))
                        && (endpoint.channels.is_empty() || channels.iter().any(|one| endpoint.channels.contains(one)))
                        && endpoint.filter.as_ref().is_none_or(|filter| filter.matches(&data))
                }).map(|endpoint| endpoint.id).collect();
                prop_assert_eq!(subscriptions.matching(ORG, event_type, channels, &data), expected);
                // with data for which every filter holds
                let unfiltered = model.values().map(|endpoint| Endpoint { filter: None, ..endpoint.clone() });
                let mut without_filters = Subscriptions::default();
                unfiltered.for_each(|endpoint| without_filters.upsert(&endpoint));
                prop_assert_eq!(
                    subscriptions.has_subscriber(ORG, event_type, channels),
                    !without_filters.matching(ORG, event_type, channels, &data).is_empty()
                );
            }
            prop_assert_eq!(subscriptions.active_count(), model.values().filter(|endpoint| endpoint.active).count());
        }
    }
}
