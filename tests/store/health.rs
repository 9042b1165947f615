//! The health of endpoints and organizations.

use ringback::domain::attempt::NextStep;
use ringback::domain::endpoint::{DisabledReason, Endpoint};
use ringback::domain::health::{EndpointHealth, EndpointState, EndpointStates, PendingStats};
use ringback::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use ringback::domain::last_failure::LastFailure;
use ringback::domain::rotation::SecretId;
use ringback::store::{DisableEndpoint, EventCommit, WriteBatch};
use test_support::engine::eventually;

use crate::fixture::{Fixture, URL, at, outcome, plain_endpoint};

on_every_store!(
    pending_deliveries_are_counted_for_an_endpoint_and_for_an_organization,
    the_oldest_pending_delivery_is_the_one_created_first,
    endpoints_are_counted_by_their_states,
    the_oldest_pending_delivery_of_all_organizations_is_the_oldest_of_those_that_are_counted,
    the_oldest_pending_delivery_is_found_behind_many_that_have_ended,
    the_states_of_all_endpoints_are_read_page_by_page,
    it_is_stored_that_the_owner_of_a_failing_endpoint_was_notified,
    an_endpoint_is_disabled_with_the_given_reason,
    the_newest_failure_of_an_endpoint_is_kept_in_whatever_order_they_are_written,
    the_last_failure_is_removed_with_its_endpoint_and_with_the_log,
    outcomes_from_a_replaced_url_change_nothing,
    closing_a_breaker_by_hand_keeps_the_rest_of_the_health,
);

fn pending_deliveries_are_counted_for_an_endpoint_and_for_an_organization(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (first, second, foreign) = (f.endpoint(organization_id), f.endpoint(organization_id), f.endpoint(other));
    let none = PendingStats::default();
    assert_eq!(f.store.pending(organization_id, None).unwrap(), none);
    let ids = f.publish(organization_id, &[first, second], at(1));
    f.publish(organization_id, &[second], at(2));
    f.publish(other, &[foreign], at(0));
    let stats = |pending, seconds| PendingStats { pending, oldest_pending_at: Some(at(seconds)) };
    assert_eq!(f.store.pending(organization_id, Some(first)).unwrap(), stats(1, 1));
    assert_eq!(f.store.pending(organization_id, Some(second)).unwrap(), stats(2, 1));
    assert_eq!(f.store.pending(organization_id, None).unwrap(), stats(3, 1));
    assert_eq!(f.store.pending(organization_id, Some(foreign)).unwrap(), none);
    assert_eq!(f.store.pending(other, Some(first)).unwrap(), none);
    f.record(vec![
        outcome(organization_id, first, ids[0], 1, 200, NextStep::Succeeded),
        outcome(organization_id, second, ids[1], 1, 500, NextStep::Failed),
    ]);
    assert_eq!(f.store.pending(organization_id, Some(first)).unwrap(), none);
    assert_eq!(f.store.pending(organization_id, None).unwrap(), stats(1, 2));
}

fn the_oldest_pending_delivery_is_the_one_created_first(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let first = f.publish(organization_id, &[endpoint_id], at(1))[0];
    f.publish(organization_id, &[endpoint_id], at(2));
    f.record(vec![outcome(organization_id, endpoint_id, first, 1, 500, NextStep::RetryAt(at(999)))]);
    let stats = f.store.pending(organization_id, Some(endpoint_id)).unwrap();
    assert_eq!(stats, PendingStats { pending: 2, oldest_pending_at: Some(at(1)) }, "whatever its turn is");
}

fn failing(organization_id: OrganizationId, endpoint_id: EndpointId, seconds: i64) -> EndpointHealth {
    EndpointHealth { failing_since: Some(at(seconds)), ..EndpointHealth::healthy(organization_id, endpoint_id) }
}

fn endpoints_are_counted_by_their_states(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    assert_eq!(f.store.endpoint_states(organization_id).unwrap(), EndpointStates::default());
    let ids: Vec<EndpointId> = (0..7).map(|_| f.endpoint(organization_id)).collect();
    f.endpoint(other);
    f.save_health(failing(organization_id, ids[1], 1));
    f.save_health(failing(organization_id, ids[2], 1));
    f.save_health(EndpointHealth { probe_at: Some(at(9)), ..failing(organization_id, ids[3], 1) });
    f.save_health(EndpointHealth { probe_at: Some(at(9)), ..failing(organization_id, ids[4], 1) });
    f.store.delete_endpoint(organization_id, ids[2], at(2)).unwrap();
    disable(f, organization_id, ids[4], DisabledReason::Failing);
    let expected = EndpointStates { healthy: 3, failing: 1, paused: 1, disabled: 1 };
    assert_eq!(f.store.endpoint_states(organization_id).unwrap(), expected);
}

fn the_oldest_pending_delivery_of_all_organizations_is_the_oldest_of_those_that_are_counted(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (first, second, foreign) = (f.endpoint(organization_id), f.endpoint(organization_id), f.endpoint(other));
    assert_eq!(f.store.oldest_pending_of(&|_| true).unwrap(), None);
    let oldest = f.publish(organization_id, &[first], at(1))[0];
    f.publish(other, &[foreign], at(2));
    f.publish(organization_id, &[second], at(3));
    f.publish(organization_id, &[first], at(4));
    assert_eq!(f.store.oldest_pending_of(&|_| true).unwrap(), Some(at(1)));
    assert_eq!(f.store.oldest_pending_of(&|id| id == foreign || id == second).unwrap(), Some(at(2)));
    assert_eq!(f.store.oldest_pending_of(&|_| false).unwrap(), None);
    f.record(vec![outcome(organization_id, first, oldest, 1, 200, NextStep::Succeeded)]);
    assert_eq!(f.store.oldest_pending_of(&|_| true).unwrap(), Some(at(2)));
    assert_eq!(f.store.oldest_pending_of(&|id| id == first).unwrap(), Some(at(4)));
}

fn the_oldest_pending_delivery_is_found_behind_many_that_have_ended(f: &Fixture) {
    let organization_id = f.organization();
    let ids: Vec<EndpointId> = (0..3).map(|_| f.endpoint(organization_id)).collect();
    let mut published: Vec<_> = (1..=300).map(|second| f.publish(organization_id, &ids, at(second))).collect();
    let last = published.split_off(299);
    for deliveries in published {
        let ended = ids.iter().zip(deliveries);
        f.record(ended.map(|(id, own)| outcome(organization_id, *id, own, 1, 200, NextStep::Succeeded)).collect());
    }
    // more than one look passes: until then it is said to be older, never younger
    eventually("the oldest", || {
        let oldest = f.store.oldest_pending_of(&|_| true).unwrap().unwrap();
        assert!(oldest <= at(300), "{oldest}");
        (oldest == at(300)).then_some(())
    });
    f.record(vec![outcome(organization_id, ids[0], last[0][0], 1, 200, NextStep::Succeeded)]);
    assert_eq!(f.store.oldest_pending_of(&|id| id == ids[0]).unwrap(), None);
}

fn the_states_of_all_endpoints_are_read_page_by_page(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let ids: Vec<EndpointId> = (0..5).map(|_| f.endpoint(organization_id)).collect();
    let foreign = f.endpoint(other);
    f.save_health(failing(organization_id, ids[1], 1));
    f.save_health(EndpointHealth { probe_at: Some(at(9)), ..failing(organization_id, ids[2], 1) });
    f.store.delete_endpoint(organization_id, ids[3], at(2)).unwrap();
    disable(f, organization_id, ids[4], DisabledReason::Gone);
    let expected = [
        (ids[0], EndpointState::Healthy),
        (ids[1], EndpointState::Failing),
        (ids[2], EndpointState::Paused),
        (ids[4], EndpointState::Disabled),
        (foreign, EndpointState::Healthy),
    ];
    assert_eq!(f.store.scan_states(None, 3).unwrap(), expected[..3]);
    assert_eq!(f.store.scan_states(Some(ids[2]), 3).unwrap(), expected[3..]);
    assert_eq!(f.store.scan_states(Some(foreign), 3).unwrap(), []);
    f.store.delete_organization(other, at(3)).unwrap();
    assert_eq!(f.store.scan_states(Some(ids[4]), 3).unwrap(), [], "of a deleted organization");
}

fn disable(
    f: &Fixture,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    reason: DisabledReason,
) -> Vec<Endpoint> {
    let disable =
        vec![DisableEndpoint { organization_id, endpoint_id, reason, url: URL.into(), announced_by: None }];
    f.store.commit(&WriteBatch { disable, ..WriteBatch::default() }, at(5)).unwrap().disabled
}

fn it_is_stored_that_the_owner_of_a_failing_endpoint_was_notified(f: &Fixture) {
    let organization_id = f.organization();
    let id = f.endpoint(organization_id);
    let health = |f: &Fixture| f.store.endpoint(organization_id, id).unwrap().unwrap().health;
    f.save_health(failing(organization_id, id, 1));
    assert!(!health(f).notified);
    f.save_health(EndpointHealth { notified: true, ..failing(organization_id, id, 1) });
    assert!(health(f).notified);
    f.save_health(EndpointHealth::healthy(organization_id, id));
    assert!(!health(f).notified);
}

fn an_endpoint_is_disabled_with_the_given_reason(f: &Fixture) {
    let organization_id = f.organization();
    for reason in [DisabledReason::Gone, DisabledReason::Manual, DisabledReason::Failing] {
        let id = f.endpoint(organization_id);
        let expected = Endpoint {
            active: false,
            disabled_reason: Some(reason),
            disabled_at: Some(at(5)),
            updated_at: at(5),
            version: 2,
            ..plain_endpoint(id, organization_id)
        };
        let disabled = disable(f, organization_id, id, reason);
        assert!(disabled.len() == 1 && disabled[0] == expected);
        assert!(disable(f, organization_id, id, DisabledReason::Gone).is_empty(), "the first reason stays");
        assert!(f.store.endpoint(organization_id, id).unwrap().unwrap().endpoint == expected);
    }
}

fn failure(organization_id: OrganizationId, endpoint_id: EndpointId, seconds: i64) -> LastFailure {
    LastFailure {
        organization_id,
        endpoint_id,
        at: at(seconds),
        delivery_id: DeliveryId(seconds),
        response_code: Some(500),
        error: None,
        // not UTF-8, and with a NUL, which no database accepts in a text
        excerpt: Some(vec![b'a', 0, 0xff, b'\n']),
    }
}

fn save(f: &Fixture, failures: Vec<LastFailure>) {
    f.store.commit(&WriteBatch { failures, ..WriteBatch::default() }, at(0)).unwrap();
}

fn the_newest_failure_of_an_endpoint_is_kept_in_whatever_order_they_are_written(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (first, second) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let last = |organization_id, endpoint_id| f.store.last_failure(organization_id, endpoint_id).unwrap();
    assert_eq!(last(organization_id, first), None);
    let silent = LastFailure {
        response_code: None,
        error: Some("timeout".to_owned()),
        excerpt: None,
        ..failure(organization_id, second, 7)
    };
    save(f, vec![failure(organization_id, first, 5), silent.clone()]);
    save(f, vec![failure(organization_id, first, 4)]);
    assert_eq!(last(organization_id, first), Some(failure(organization_id, first, 5)));
    assert_eq!(last(organization_id, second), Some(silent));
    // several in one commit too
    save(f, [8, 9, 6].map(|seconds| failure(organization_id, first, seconds)).to_vec());
    assert_eq!(last(organization_id, first), Some(failure(organization_id, first, 9)));
    assert_eq!(last(other, first), None, "another organization's");
    // a failure with the wrong organization is not written
    save(f, vec![failure(other, second, 99)]);
    assert_eq!(last(other, second), None);
    assert_eq!(last(organization_id, second).map(|it| it.at), Some(at(7)));
}

fn the_last_failure_is_removed_with_its_endpoint_and_with_the_log(f: &Fixture) {
    let organization_id = f.organization();
    let [deleted, old, young] = [(); 3].map(|()| f.endpoint(organization_id));
    let last = |endpoint_id| f.store.last_failure(organization_id, endpoint_id).unwrap().map(|it| it.at);
    save(f, vec![failure(organization_id, deleted, 50)]);
    f.store.delete_endpoint(organization_id, deleted, at(60)).unwrap();
    assert_eq!(last(deleted), None);
    save(f, vec![failure(organization_id, deleted, 70), failure(organization_id, old, 5)]);
    assert_eq!(last(deleted), None, "an attempt that ended after it was deleted");
    save(f, vec![failure(organization_id, young, 20)]);
    f.store.prune(at(20), None, 1_000).unwrap();
    assert_eq!((last(old), last(young)), (None, Some(at(20))));
    f.store.delete_organization(organization_id, at(80)).unwrap();
    assert_eq!(last(young), None);
}

fn outcomes_from_a_replaced_url_change_nothing(f: &Fixture) {
    let organization_id = f.organization();
    let (id, told) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let moved = Endpoint {
        url: String::from("https://elsewhere.example/"),
        version: 2,
        ..plain_endpoint(id, organization_id)
    };
    f.store.update_endpoint(&moved).unwrap();
    let read = || f.store.endpoint(organization_id, id).unwrap().unwrap();
    f.save_health(failing(organization_id, id, 1));
    assert!(read().health.is_blank());
    f.save_health_of(failing(organization_id, id, 2), &moved.url);
    f.save_health(EndpointHealth::healthy(organization_id, id));
    assert_eq!(read().health, failing(organization_id, id, 2), "nor does it make it healthy");
    for (url, is_disabled) in [(URL, false), (moved.url.as_str(), true)] {
        let event = f.new_event_of("webhook.disabled", organization_id, &[told], at(5));
        let event_id = event.event.id;
        let reason = DisabledReason::Gone;
        let disable = vec![DisableEndpoint {
            organization_id,
            endpoint_id: id,
            reason,
            url: url.into(),
            announced_by: Some(event_id),
        }];
        let batch = WriteBatch { events: vec![event], disable, ..WriteBatch::default() };
        let report = f.store.commit(&batch, at(5)).unwrap();
        assert_eq!(report.disabled.len(), usize::from(is_disabled), "{url}");
        assert_eq!(report.events, [if is_disabled { EventCommit::Stored } else { EventCommit::Withheld }]);
        assert_eq!(
            f.store.event(organization_id, event_id).unwrap().is_some(),
            is_disabled,
            "the event that announces it"
        );
        assert_eq!(read().endpoint.active, !is_disabled);
    }
}

fn closing_a_breaker_by_hand_keeps_the_rest_of_the_health(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let id = f.endpoint(organization_id);
    let open = EndpointHealth {
        probe_at: Some(at(60)),
        pauses: 4,
        notified: true,
        streak_ends_at: Some(at(90)),
        accepted_secret: Some(SecretId(-5)),
        ..failing(organization_id, id, 1)
    };
    f.save_health(open);
    f.store.close_breaker(other, id).unwrap();
    assert_eq!(f.store.endpoint(organization_id, id).unwrap().unwrap().health, open);
    f.store.close_breaker(organization_id, id).unwrap();
    let closed = EndpointHealth { probe_at: None, pauses: 0, ..open };
    assert_eq!(f.store.endpoint(organization_id, id).unwrap().unwrap().health, closed);
    // the accepted secret alone is worth a row
    let taken =
        EndpointHealth { accepted_secret: Some(SecretId(3)), ..EndpointHealth::healthy(organization_id, id) };
    f.save_health(taken);
    assert_eq!(f.store.endpoint(organization_id, id).unwrap().unwrap().health, taken);
    assert_eq!(f.store.endpoint_states(organization_id).unwrap().healthy, 1);
}
