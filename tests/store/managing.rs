//! Organizations, keys, endpoints.

use ringback::domain::endpoint::Endpoint;
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::{EndpointId, KeyId, OrganizationId};
use ringback::domain::organization::{ApiKey, BodyShape, Organization, OrganizationChange, OrganizationUid, Role};
use ringback::domain::retry::{RetryDelays, RetryPolicy, RetrySchedule};
use ringback::domain::svix::Environment;
use ringback::store::{Changed, ChangesSince, DirectedPage, PageRequest, StoreError};

use crate::fixture::{Fixture, at, first_page, full_endpoint, plain_endpoint};

on_every_store!(
    organizations_are_listed_newest_first_and_paged,
    an_organization_is_found_by_its_own_id_which_no_other_one_has,
    an_own_id_is_unique_in_its_environment_whose_organizations_are_listed_in_both_directions,
    those_with_verbatim_bodies_are_known_and_every_change_of_it_is_in_the_log_of_changes,
    a_webhook_is_found_by_its_own_id_which_no_other_of_its_organization_has_until_it_is_deleted,
    a_key_is_found_by_its_hash_until_it_is_revoked,
    a_key_of_the_deployment_belongs_to_no_organization_and_outlives_them,
    the_use_of_a_key_is_noted_once_a_minute,
    an_endpoint_is_read_back_as_it_was_stored,
    a_list_of_endpoints_shows_their_health_newest_first,
    an_update_from_an_old_version_is_a_conflict,
    an_update_can_empty_every_optional_field,
    an_id_that_exists_is_not_overwritten,
    another_organizations_rows_do_not_exist,
    a_deleted_endpoint_is_invisible_and_its_deliveries_stay_as_cancelled,
    a_deleted_organization_is_removed_with_all_of_its_rows_and_no_others,
    the_largest_id_counts_every_table_and_deleted_endpoints,
    endpoints_of_all_organizations_are_scanned_in_the_order_of_their_ids,
    health_is_stored_only_while_an_endpoint_is_not_healthy,
    the_health_of_a_deleted_endpoint_is_not_saved,
);

fn organizations_are_listed_newest_first_and_paged(f: &Fixture) {
    let ids: Vec<OrganizationId> = (0..5).map(|_| f.organization()).collect();
    let first = f.store.organizations(first_page(2)).unwrap();
    assert_eq!(first.iter().map(|o| o.id).collect::<Vec<_>>(), [ids[4], ids[3]]);
    let rest = f.store.organizations(PageRequest { before_id: Some(ids[3].0), limit: 10 }).unwrap();
    assert_eq!(rest.iter().map(|o| o.id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
    assert_eq!(f.store.organization(ids[0]).unwrap().as_ref(), Some(&rest[2]));
    assert_eq!(f.store.organization(OrganizationId(1)).unwrap(), None);
    f.store.ping().unwrap();
}

fn an_organization_is_found_by_its_own_id_which_no_other_one_has(f: &Fixture) {
    let (first, second) = (f.organization(), f.organization());
    let uid: OrganizationUid = "customer-42".parse().unwrap();
    let named = OrganizationChange { uid: Some(Some(uid.clone())), ..OrganizationChange::default() };
    let id_of = |name: &str| f.store.resolve_organization(&name.parse().unwrap()).unwrap();
    assert_eq!(id_of("customer-42"), None);
    let changed = f.store.update_organization(first, &named).unwrap().unwrap();
    assert_eq!(f.store.organization_by_uid(&Environment::default(), &uid).unwrap().as_ref(), Some(&changed));
    assert_eq!((id_of("customer-42"), id_of(&first.to_string())), (Some(first), Some(first)));
    assert!(matches!(f.store.update_organization(second, &named), Err(StoreError::Conflict)));
    let same = Organization { id: OrganizationId(f.id_at(at(0))), ..changed.clone() };
    assert!(matches!(f.store.create_organization(&same), Err(StoreError::Conflict)));
    let nothing = OrganizationChange::default();
    assert_eq!(f.store.update_organization(first, &nothing).unwrap(), Some(changed));
    assert_eq!(f.store.update_organization(OrganizationId(1), &named).unwrap(), None);
    f.store.delete_organization(first, at(1)).unwrap();
    assert_eq!((id_of("customer-42"), id_of(&first.to_string())), (None, None));
    assert!(f.store.update_organization(second, &named).unwrap().is_some());
}

fn an_own_id_is_unique_in_its_environment_whose_organizations_are_listed_in_both_directions(f: &Fixture) {
    let environment = "org_staging".parse::<Environment>().unwrap();
    let make = |environment: &Environment, uid: &str| {
        let mut organization = Organization::named(OrganizationId(f.id_at(at(0))), "App", at(0));
        organization.uid = Some(uid.parse().unwrap());
        organization.environment = environment.clone();
        organization.body = BodyShape::Verbatim;
        organization.rate_limit = Some(70);
        f.store.create_organization(&organization).map(|()| organization)
    };
    let own = make(&Environment::default(), "a").unwrap();
    let apps = ["a", "b", "c"].map(|uid| make(&environment, uid).unwrap());
    assert!(matches!(make(&environment, "b"), Err(StoreError::Conflict)));
    assert_eq!(f.store.organization_by_uid(&environment, &"a".parse().unwrap()).unwrap().as_ref(), Some(&apps[0]));
    // by its name alone one of the deployment's own is meant
    assert_eq!(f.store.resolve_organization(&"a".parse().unwrap()).unwrap(), Some(own.id));
    assert_eq!(f.store.resolve_organization(&"b".parse().unwrap()).unwrap(), None);
    let list = |behind: Option<OrganizationId>, is_ascending| {
        let page = DirectedPage { behind: behind.map(|id| id.0), is_ascending, limit: 2 };
        f.store.organizations_of(&environment, page).unwrap()
    };
    assert_eq!(list(None, true), apps[..2]);
    assert_eq!(list(Some(apps[1].id), true), apps[2..]);
    assert_eq!(list(None, false), [apps[2].clone(), apps[1].clone()]);
    assert_eq!(list(Some(apps[1].id), false), apps[..1]);
}

fn those_with_verbatim_bodies_are_known_and_every_change_of_it_is_in_the_log_of_changes(f: &Fixture) {
    let before = f.store.last_change().unwrap();
    let lines = || match f.store.changes_since(before, 99).unwrap() {
        ChangesSince::Lines(lines) => {
            lines.iter().map(|line| (line.organization_id, line.what)).collect::<Vec<_>>()
        }
        ChangesSince::Everything => panic!("all lines are kept"),
    };
    let plain = f.organization();
    let mut verbatim = Organization::named(OrganizationId(f.id_at(at(0))), "App", at(0));
    verbatim.body = BodyShape::Verbatim;
    f.store.create_organization(&verbatim).unwrap();
    assert_eq!(f.store.verbatim_organizations().unwrap(), [verbatim.id]);
    assert_eq!(lines(), [(verbatim.id, Changed::Organization)]);
    let shaped = |body| OrganizationChange { body: Some(body), ..OrganizationChange::default() };
    f.store.update_organization(plain, &shaped(BodyShape::Verbatim)).unwrap();
    f.store.update_organization(verbatim.id, &shaped(BodyShape::Envelope)).unwrap();
    assert_eq!(f.store.verbatim_organizations().unwrap(), [plain]);
    assert!(f.store.is_verbatim(plain).unwrap() && !f.store.is_verbatim(verbatim.id).unwrap());
    assert_eq!(lines().len(), 3);
}

fn a_webhook_is_found_by_its_own_id_which_no_other_of_its_organization_has_until_it_is_deleted(f: &Fixture) {
    let (owner, other) = (f.organization(), f.organization());
    let named = |owner| Endpoint {
        uid: Some("main".parse().unwrap()),
        ..plain_endpoint(EndpointId(f.id_at(at(0))), owner)
    };
    let first = named(owner);
    f.store.create_endpoint(&first).unwrap();
    f.store.create_endpoint(&named(other)).unwrap();
    assert!(matches!(f.store.create_endpoint(&named(owner)), Err(StoreError::Conflict)));
    let find = || f.store.endpoint_by_uid(owner, &"main".parse().unwrap()).unwrap().map(|found| found.endpoint.id);
    assert_eq!(find(), Some(first.id));
    f.store.delete_endpoint(owner, first.id, at(1)).unwrap();
    assert_eq!(find(), None);
    let (second, third) = (named(owner), plain_endpoint(EndpointId(f.id_at(at(2))), owner));
    f.store.create_endpoint(&second).unwrap();
    f.store.create_endpoint(&third).unwrap();
    assert_eq!(find(), Some(second.id));
    let list = |behind: Option<EndpointId>, is_ascending| {
        let page = DirectedPage { behind: behind.map(|id| id.0), is_ascending, limit: 1 };
        let found = f.store.endpoints_of(owner, page).unwrap();
        found.into_iter().map(|start| start.endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!((list(None, true), list(None, false)), (vec![second.id], vec![third.id]));
    assert_eq!((list(Some(second.id), true), list(Some(second.id), false)), (vec![third.id], vec![]));
}

fn a_key_of_the_deployment_belongs_to_no_organization_and_outlives_them(f: &Fixture) {
    let organization_id = f.organization();
    let own = f.key(organization_id, 1);
    let key = ApiKey {
        id: KeyId(f.id_at(at(0))),
        organization_id: None,
        hash: [2; 32],
        role: Role::Admin,
        ..own.clone()
    };
    f.store.create_key(&key).unwrap();
    f.store.delete_organization(organization_id, at(1)).unwrap();
    assert_eq!(f.store.key_by_hash(&own.hash).unwrap(), None);
    assert_eq!(f.store.key_by_hash(&key.hash).unwrap().as_ref(), Some(&key));
    assert_eq!(f.store.keys(None, first_page(9)).unwrap(), std::slice::from_ref(&key));
    assert_eq!(f.store.revoke_key(Some(organization_id), key.id).unwrap(), None);
    assert_eq!(f.store.revoke_key(None, key.id).unwrap(), Some(key.hash));
    assert_eq!(f.store.key_by_hash(&key.hash).unwrap(), None);
}

fn the_use_of_a_key_is_noted_once_a_minute(f: &Fixture) {
    let key = f.key(f.organization(), 1);
    for (used, noted) in [(5, 5), (64, 5), (65, 65), (64, 65)] {
        f.store.note_key_used(key.id, at(used)).unwrap();
        let read = f.store.key_by_hash(&key.hash).unwrap().unwrap();
        assert_eq!(read.last_used_at, Some(at(noted)), "{used}");
    }
    f.store.note_key_used(KeyId(1), at(9)).unwrap();
}

fn a_key_is_found_by_its_hash_until_it_is_revoked(f: &Fixture) {
    let organization_id = f.organization();
    let key = f.key(organization_id, 1);
    let other = f.key(organization_id, 2);
    assert_eq!(f.store.key_by_hash(&key.hash).unwrap().as_ref(), Some(&key));
    assert_eq!(f.store.keys(Some(organization_id), first_page(9)).unwrap(), [other.clone(), key.clone()]);
    let page = PageRequest { before_id: Some(other.id.0), limit: 9 };
    assert_eq!(f.store.keys(Some(organization_id), page).unwrap(), std::slice::from_ref(&key));
    assert!(matches!(f.store.create_key(&key), Err(StoreError::Conflict)));
    assert_eq!(f.store.revoke_key(Some(organization_id), key.id).unwrap(), Some(key.hash));
    assert_eq!(f.store.revoke_key(Some(organization_id), key.id).unwrap(), None);
    assert_eq!(f.store.key_by_hash(&key.hash).unwrap(), None);
    assert_eq!(f.store.keys(Some(organization_id), first_page(9)).unwrap(), [other]);
}

fn an_endpoint_is_read_back_as_it_was_stored(f: &Fixture) {
    let organization_id = f.organization();
    let ways = [
        RetrySchedule::Retries(0),
        RetrySchedule::Policy(RetryPolicy { max_attempts: 7, ..RetryPolicy::default() }),
        RetrySchedule::Delays(RetryDelays::new(&[1, 604_800, 5]).unwrap()),
    ];
    let with = |retry| move |id, organization_id| Endpoint { retry, ..full_endpoint(id, organization_id) };
    let full: Vec<Box<dyn Fn(EndpointId, OrganizationId) -> Endpoint>> =
        ways.into_iter().map(|way| Box::new(with(way)) as _).collect();
    for make in full.into_iter().chain([Box::new(plain_endpoint) as _]) {
        let endpoint = make(EndpointId(f.id_at(at(0))), organization_id);
        f.store.create_endpoint(&endpoint).unwrap();
        let read = f.store.endpoint(organization_id, endpoint.id).unwrap().unwrap();
        assert!(read.endpoint == endpoint);
        assert_eq!(read.health, EndpointHealth::healthy(organization_id, endpoint.id));
    }
}

fn failing(organization_id: OrganizationId, endpoint_id: EndpointId, probe: bool) -> EndpointHealth {
    EndpointHealth {
        streak_ends_at: Some(at(9_000)),
        accepted_secret: None,
        endpoint_id,
        organization_id,
        failing_since: Some(at(1)),
        probe_at: probe.then_some(at(30)),
        pauses: 2,
        notified: true,
    }
}

fn a_list_of_endpoints_shows_their_health_newest_first(f: &Fixture) {
    let organization_id = f.organization();
    let ids: Vec<EndpointId> = (0..4).map(|_| f.endpoint(organization_id)).collect();
    f.save_health(failing(organization_id, ids[2], true));
    let page = f.store.endpoints(organization_id, first_page(2)).unwrap();
    assert_eq!(page.iter().map(|start| start.endpoint.id).collect::<Vec<_>>(), [ids[3], ids[2]]);
    assert!(page[0].health.is_healthy());
    assert_eq!(page[1].health, failing(organization_id, ids[2], true));
    let next = PageRequest { before_id: Some(ids[2].0), limit: 2 };
    let page = f.store.endpoints(organization_id, next).unwrap();
    assert_eq!(page.iter().map(|start| start.endpoint.id).collect::<Vec<_>>(), [ids[1], ids[0]]);
}

fn read(f: &Fixture, organization_id: OrganizationId, id: EndpointId) -> Endpoint {
    f.store.endpoint(organization_id, id).unwrap().unwrap().endpoint
}

fn an_update_from_an_old_version_is_a_conflict(f: &Fixture) {
    let organization_id = f.organization();
    let id = f.endpoint(organization_id);
    let changed = Endpoint { version: 2, ..full_endpoint(id, organization_id) };
    f.store.update_endpoint(&changed).unwrap();
    assert!(read(f, organization_id, id) == changed);
    let late = Endpoint { version: 2, ..plain_endpoint(id, organization_id) };
    assert!(matches!(f.store.update_endpoint(&late), Err(StoreError::Conflict)));
    let absent = Endpoint { version: 2, ..plain_endpoint(EndpointId(5), organization_id) };
    assert!(matches!(f.store.update_endpoint(&absent), Err(StoreError::Conflict)));
    assert!(read(f, organization_id, id) == changed);
}

fn an_update_can_empty_every_optional_field(f: &Fixture) {
    let organization_id = f.organization();
    let full = full_endpoint(EndpointId(f.id_at(at(0))), organization_id);
    f.store.create_endpoint(&full).unwrap();
    let emptied = Endpoint { version: 2, ..plain_endpoint(full.id, organization_id) };
    f.store.update_endpoint(&emptied).unwrap();
    assert!(read(f, organization_id, full.id) == emptied);
}

fn an_id_that_exists_is_not_overwritten(f: &Fixture) {
    let organization_id = f.organization();
    let id = f.endpoint(organization_id);
    let again = full_endpoint(id, organization_id);
    assert!(matches!(f.store.create_endpoint(&again), Err(StoreError::Conflict)));
    let organization = f.store.organization(organization_id).unwrap().unwrap();
    assert!(matches!(f.store.create_organization(&organization), Err(StoreError::Conflict)));
    assert!(read(f, organization_id, id) == plain_endpoint(id, organization_id));
}

fn another_organizations_rows_do_not_exist(f: &Fixture) {
    let (mine, other) = (f.organization(), f.organization());
    let endpoint_id = f.endpoint(mine);
    let key = f.key(mine, 1);
    let delivery_id = f.publish(mine, &[endpoint_id], at(0))[0];
    assert!(f.store.endpoint(other, endpoint_id).unwrap().is_none());
    assert!(f.store.endpoints(other, first_page(9)).unwrap().is_empty());
    assert!(f.store.keys(Some(other), first_page(9)).unwrap().is_empty());
    assert_eq!(f.store.revoke_key(Some(other), key.id).unwrap(), None);
    assert_eq!(f.store.delete_endpoint(other, endpoint_id, at(1)).unwrap(), None);
    assert_eq!(f.store.cancel_pending(other, endpoint_id, at(1)).unwrap(), 0);
    let stolen = Endpoint { version: 2, ..plain_endpoint(endpoint_id, other) };
    assert!(matches!(f.store.update_endpoint(&stolen), Err(StoreError::Conflict)));
    assert!(f.due(other, endpoint_id, at(5)).is_empty());
    assert!(f.log(other, &Default::default()).is_empty());
    let by_endpoint =
        ringback::domain::delivery::DeliveryFilter { endpoint_id: Some(endpoint_id), ..Default::default() };
    assert!(f.log(other, &by_endpoint).is_empty());
    assert!(f.store.delivery(other, delivery_id).unwrap().is_none());
    f.save_health(failing(other, endpoint_id, true));
    assert!(f.store.open_breakers().unwrap().is_empty());
    assert_eq!(f.due(mine, endpoint_id, at(5)), [delivery_id]);
    assert_eq!(f.store.keys(Some(mine), first_page(9)).unwrap(), [key]);
    assert!(read(f, mine, endpoint_id) == plain_endpoint(endpoint_id, mine));
}

fn a_deleted_endpoint_is_invisible_and_its_deliveries_stay_as_cancelled(f: &Fixture) {
    use ringback::domain::delivery::DeliveryStatus;
    let organization_id = f.organization();
    let (deleted, kept) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let deliveries = f.publish(organization_id, &[deleted, kept], at(0));
    f.save_health(failing(organization_id, deleted, true));
    assert!(f.store.delete_endpoint(organization_id, deleted, at(7)).unwrap().is_some());
    assert_eq!(f.store.delete_endpoint(organization_id, deleted, at(8)).unwrap(), None);
    assert!(f.store.endpoint(organization_id, deleted).unwrap().is_none());
    let listed = f.store.endpoints(organization_id, first_page(9)).unwrap();
    assert_eq!(listed.iter().map(|start| start.endpoint.id).collect::<Vec<_>>(), [kept]);
    assert_eq!(f.store.scan_endpoints(None, 9).unwrap().len(), 1);
    assert!(f.store.open_breakers().unwrap().is_empty());
    let update = Endpoint { version: 2, ..plain_endpoint(deleted, organization_id) };
    assert!(matches!(f.store.update_endpoint(&update), Err(StoreError::Conflict)));
    let cancelled = f.store.delivery(organization_id, deliveries[0]).unwrap().unwrap().record;
    assert_eq!(cancelled.status, DeliveryStatus::Cancelled);
    assert_eq!((cancelled.finished_at, cancelled.next_attempt_at), (Some(at(7)), None));
    assert!(f.due(organization_id, deleted, at(9)).is_empty());
    assert_eq!(f.due(organization_id, kept, at(9)), [deliveries[1]]);
    // accepted in the instant of the deletion
    let late = f.publish(organization_id, &[deleted], at(7));
    assert_eq!(f.store.cancel_pending(organization_id, deleted, at(9)).unwrap(), 1);
    let late = f.store.delivery(organization_id, late[0]).unwrap().unwrap().record;
    assert_eq!((late.status, late.finished_at), (DeliveryStatus::Cancelled, Some(at(9))));
    assert_eq!(f.store.count_pending().unwrap(), 1);
}

fn a_deleted_organization_is_removed_with_all_of_its_rows_and_no_others(f: &Fixture) {
    use crate::fixture::{keyed, outcome};
    use ringback::domain::attempt::NextStep;
    let (deleted, kept) = (f.organization(), f.organization());
    let [gone, soft, stays] = [deleted, deleted, kept].map(|id| f.endpoint(id));
    let key = f.key(deleted, 1);
    let kept_key = f.key(kept, 2);
    let deliveries = f.publish(deleted, &[gone, soft], at(0));
    f.record(vec![outcome(deleted, gone, deliveries[0], 1, 500, NextStep::RetryAt(at(60)))]);
    f.commit_events(vec![keyed(f.new_event(deleted, &[gone], at(1)), "k", 1)], at(1));
    let kept_delivery = f.publish(kept, &[stays], at(1));
    f.save_health(failing(deleted, gone, true));
    f.save_health(failing(kept, stays, true));
    f.store.delete_endpoint(deleted, soft, at(2)).unwrap();
    assert!(f.store.delete_organization(deleted, at(3)).unwrap());
    assert!(!f.store.delete_organization(deleted, at(3)).unwrap());
    f.purge(at(3), 99);
    assert_eq!(f.store.organization(deleted).unwrap(), None);
    assert_eq!(f.store.key_by_hash(&key.hash).unwrap(), None);
    assert!(f.store.delivery(deleted, deliveries[0]).unwrap().is_none());
    assert!(f.log(deleted, &Default::default()).is_empty());
    assert_eq!(f.store.count_pending().unwrap(), 1);
    assert_eq!(f.store.open_breakers().unwrap(), [failing(kept, stays, true)]);
    assert_eq!(f.store.key_by_hash(&kept_key.hash).unwrap(), Some(kept_key));
    assert_eq!(f.log(kept, &Default::default()), kept_delivery);
}

fn the_largest_id_counts_every_table_and_deleted_endpoints(f: &Fixture) {
    assert_eq!(f.store.largest_id().unwrap(), 0);
    let organization_id = f.organization();
    assert_eq!(f.store.largest_id().unwrap(), organization_id.0);
    let KeyId(key) = f.key(organization_id, 1).id;
    assert_eq!(f.store.largest_id().unwrap(), key);
    let event = f.new_event(organization_id, &[], at(0));
    f.commit_events(vec![event.clone()], at(0));
    assert_eq!(f.store.largest_id().unwrap(), event.event.id.0);
    let endpoint_id = EndpointId(f.id_at(at(0)));
    f.store.create_endpoint(&plain_endpoint(endpoint_id, organization_id)).unwrap();
    f.store.delete_endpoint(organization_id, endpoint_id, at(0)).unwrap();
    assert_eq!(f.store.largest_id().unwrap(), endpoint_id.0);
    let deliveries = f.publish(organization_id, &[endpoint_id], at(0));
    assert_eq!(f.store.largest_id().unwrap(), deliveries[0].0);
}

fn endpoints_of_all_organizations_are_scanned_in_the_order_of_their_ids(f: &Fixture) {
    let (first, second) = (f.organization(), f.organization());
    let ids = [first, second, first].map(|id| f.endpoint(id));
    let scanned = f.store.scan_endpoints(None, 2).unwrap();
    assert_eq!(scanned.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(scanned[1].organization_id, second);
    let scanned = f.store.scan_endpoints(Some(ids[1]), 2).unwrap();
    assert_eq!(scanned.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), ids[2..]);
    assert!(f.store.scan_endpoints(Some(ids[2]), 2).unwrap().is_empty());
}

fn health_is_stored_only_while_an_endpoint_is_not_healthy(f: &Fixture) {
    let organization_id = f.organization();
    let (open, shaky) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let health = |id| f.store.endpoint(organization_id, id).unwrap().unwrap().health;
    f.save_health(failing(organization_id, open, true));
    f.save_health(failing(organization_id, shaky, false));
    assert_eq!(f.store.open_breakers().unwrap(), [failing(organization_id, open, true)]);
    assert_eq!(health(shaky), failing(organization_id, shaky, false));
    let longer = EndpointHealth { pauses: 3, probe_at: Some(at(99)), ..failing(organization_id, open, true) };
    f.save_health(longer);
    assert_eq!(health(open), longer);
    f.save_health(EndpointHealth::healthy(organization_id, open));
    f.save_health(EndpointHealth::healthy(organization_id, open));
    assert!(health(open).is_healthy());
    assert!(f.store.open_breakers().unwrap().is_empty());
}

fn the_health_of_a_deleted_endpoint_is_not_saved(f: &Fixture) {
    let organization_id = f.organization();
    let id = f.endpoint(organization_id);
    f.store.delete_endpoint(organization_id, id, at(1)).unwrap();
    f.save_health(failing(organization_id, id, true));
    assert!(f.store.open_breakers().unwrap().is_empty());
}
