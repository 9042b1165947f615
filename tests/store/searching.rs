//! Endpoints are found by their state, their rate limit and their URL.

use ringback::domain::endpoint::{DisabledReason, Endpoint};
use ringback::domain::health::{EndpointHealth, EndpointState};
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::store::{EndpointSearch, PageRequest};

use crate::fixture::{Fixture, at, first_page, full_endpoint, plain_endpoint};

on_every_store!(
    endpoints_are_found_by_their_state_and_troubled_ones_without_those_that_a_person_disabled,
    endpoints_are_found_by_a_part_of_their_url_as_it_is_written,
    found_endpoints_come_in_pages_newest_first,
);

fn found(f: &Fixture, organization_id: OrganizationId, search: &EndpointSearch) -> Vec<EndpointId> {
    let found = f.store.search_endpoints(organization_id, search, first_page(50)).unwrap();
    found.into_iter().map(|start| start.endpoint.id).collect()
}

fn with(f: &Fixture, organization_id: OrganizationId, change: impl FnOnce(&mut Endpoint)) -> EndpointId {
    let id = EndpointId(f.id_at(at(1)));
    let mut endpoint = plain_endpoint(id, organization_id);
    change(&mut endpoint);
    f.store.create_endpoint(&endpoint).unwrap();
    id
}

fn endpoints_are_found_by_their_state_and_troubled_ones_without_those_that_a_person_disabled(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    f.endpoint(other);
    let healthy = f.endpoint(organization_id);
    let [failing, paused] = [None, Some(at(9))].map(|probe_at| {
        let id = f.endpoint(organization_id);
        let healthy = EndpointHealth::healthy(organization_id, id);
        f.save_health(EndpointHealth { failing_since: Some(at(1)), probe_at, ..healthy });
        id
    });
    let [by_hand, gone, given_up] =
        [DisabledReason::Manual, DisabledReason::Gone, DisabledReason::Failing].map(|reason| {
            with(f, organization_id, |endpoint| {
                endpoint.active = false;
                endpoint.disabled_reason = Some(reason);
                endpoint.disabled_at = Some(at(2));
            })
        });
    let deleted = with(f, organization_id, |endpoint| endpoint.active = false);
    f.store.delete_endpoint(organization_id, deleted, at(3)).unwrap();
    for (search, expected) in [
        (EndpointSearch::State(EndpointState::Healthy), vec![healthy]),
        (EndpointSearch::State(EndpointState::Failing), vec![failing]),
        (EndpointSearch::State(EndpointState::Paused), vec![paused]),
        (EndpointSearch::State(EndpointState::Disabled), vec![given_up, gone, by_hand]),
        (EndpointSearch::Troubled, vec![given_up, gone, paused, failing]),
        (EndpointSearch::RateLimited, vec![]),
    ] {
        assert_eq!(found(f, organization_id, &search), expected, "{search:?}");
    }
    let limited = full_endpoint(EndpointId(f.id_at(at(1))), organization_id);
    f.store.create_endpoint(&limited).unwrap();
    assert_eq!(found(f, organization_id, &EndpointSearch::RateLimited), [limited.id]);
}

fn endpoints_are_found_by_a_part_of_their_url_as_it_is_written(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let at_url = |owner, url: &str| with(f, owner, |endpoint| url.clone_into(&mut endpoint.url));
    let first = at_url(organization_id, "https://Hooks.example.com/a_1%21!");
    let second = at_url(organization_id, "https://example.com/hooks?x='1'");
    at_url(other, "https://hooks.example.com/");
    for (part, expected) in [
        ("HOOKS", vec![second, first]),
        ("https://hooks.example.com/", vec![first]),
        ("a_1%21!", vec![first]),
        ("'1'", vec![second]),
        ("_", vec![first]),
        ("%%", vec![]),
        ("a-1", vec![]),
    ] {
        assert_eq!(found(f, organization_id, &EndpointSearch::Url(part.to_owned())), expected, "{part}");
    }
}

fn found_endpoints_come_in_pages_newest_first(f: &Fixture) {
    let organization_id = f.organization();
    let ids: Vec<EndpointId> = (0..5).map(|_| f.endpoint(organization_id)).collect();
    let search = EndpointSearch::State(EndpointState::Healthy);
    let page = |before: Option<EndpointId>| {
        let page = PageRequest { before_id: before.map(|id| id.0), limit: 2 };
        let found = f.store.search_endpoints(organization_id, &search, page).unwrap();
        found.into_iter().map(|start| start.endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None), [ids[4], ids[3]]);
    assert_eq!(page(Some(ids[3])), [ids[2], ids[1]]);
    assert_eq!(page(Some(ids[1])), [ids[0]]);
}
