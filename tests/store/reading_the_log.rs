//! The delivery log.

use ringback::domain::attempt::{AttemptError, NextStep, TlsFault};
use ringback::domain::delivery::{DeliveryFilter, DeliveryStatus};
use ringback::domain::ids::{DeliveryId, EventId};
use ringback::store::PageRequest;
use serde_json::json;

use crate::fixture::{Fixture, at, outcome, unanswered};

on_every_store!(
    the_log_is_newest_first_and_paged_by_its_last_id,
    the_log_is_filtered_by_each_field_and_by_all_together,
    a_period_includes_its_beginning_and_not_its_end,
    one_attempt_is_read_back_in_full,
    three_attempts_are_read_back_in_their_order,
    an_attempt_without_a_response_keeps_its_error,
    the_detail_of_an_error_is_read_back_with_the_attempt,
);

fn the_log_is_newest_first_and_paged_by_its_last_id(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let endpoints = [f.endpoint(organization_id), f.endpoint(organization_id)];
    let foreign = f.endpoint(other);
    let mut ids: Vec<DeliveryId> = Vec::new();
    for seconds in 0..5 {
        ids.extend(f.publish(organization_id, &endpoints, at(seconds)));
        f.publish(other, &[foreign], at(seconds));
    }
    ids.reverse();
    for filter in [
        DeliveryFilter::default(),
        DeliveryFilter { event_type: Some(String::from("call.completed")), ..Default::default() },
        DeliveryFilter { status: Some(DeliveryStatus::Pending), ..Default::default() },
    ] {
        let mut read: Vec<DeliveryId> = Vec::new();
        loop {
            let page = PageRequest { before_id: read.last().map(|id| id.0), limit: 3 };
            let rows = f.store.deliveries(organization_id, &filter, page).unwrap().rows;
            if rows.is_empty() {
                break;
            }
            read.extend(rows.iter().map(|row| row.id));
            assert!(read.len() <= ids.len(), "no row occurs twice: {read:?}");
        }
        assert_eq!(read, ids, "{filter:?}");
    }
    let by_endpoint = DeliveryFilter { endpoint_id: Some(endpoints[1]), ..Default::default() };
    let page = PageRequest { before_id: Some(ids[4].0), limit: 2 };
    let rows = f.store.deliveries(organization_id, &by_endpoint, page).unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[6], ids[8]]);
}

fn the_log_is_filtered_by_each_field_and_by_all_together(f: &Fixture) {
    let organization_id = f.organization();
    let (a, b) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let calls = f.publish_of("call.completed", organization_id, &[a, b], at(0));
    let users = f.publish_of("user.created", organization_id, &[a, b], at(1));
    f.record(vec![
        outcome(organization_id, a, calls[0], 1, 200, NextStep::Succeeded),
        outcome(organization_id, b, calls[1], 1, 503, NextStep::Failed),
        outcome(organization_id, a, users[0], 1, 599, NextStep::RetryAt(at(60))),
        unanswered(outcome(organization_id, b, users[1], 1, 0, NextStep::Failed), AttemptError::Timeout),
    ]);
    let all = DeliveryFilter::default();
    let log = |filter| f.log(organization_id, &filter);
    assert_eq!(log(all.clone()), [users[1], users[0], calls[1], calls[0]]);
    assert_eq!(log(DeliveryFilter { endpoint_id: Some(a), ..all.clone() }), [users[0], calls[0]]);
    let of_type = |event_type: &str| DeliveryFilter { event_type: Some(event_type.to_owned()), ..all.clone() };
    assert_eq!(log(of_type("call.completed")), [calls[1], calls[0]]);
    assert!(log(of_type("call")).is_empty());
    let in_status = |status| DeliveryFilter { status: Some(status), ..all.clone() };
    assert_eq!(log(in_status(DeliveryStatus::Success)), [calls[0]]);
    assert_eq!(log(in_status(DeliveryStatus::Failed)), [users[1], calls[1]]);
    assert_eq!(log(in_status(DeliveryStatus::Pending)), [users[0]]);
    assert!(log(in_status(DeliveryStatus::Cancelled)).is_empty());
    let answered = |low, high| DeliveryFilter { response_code: Some((low, high)), ..all.clone() };
    assert_eq!(log(answered(500, 599)), [users[0], calls[1]]);
    assert_eq!(log(answered(503, 503)), [calls[1]]);
    let everything = DeliveryFilter {
        event_id: None,
        tag: None,
        endpoint_id: Some(b),
        event_type: Some(String::from("call.completed")),
        status: Some(DeliveryStatus::Failed),
        response_code: Some((500, 599)),
        from: Some(at(0)),
        to: Some(at(1)),
    };
    assert_eq!(log(everything.clone()), [calls[1]]);
    assert_eq!(log(DeliveryFilter { endpoint_id: None, ..everything.clone() }), [calls[1]]);
    assert!(log(DeliveryFilter { endpoint_id: Some(a), ..everything }).is_empty());
}

fn a_period_includes_its_beginning_and_not_its_end(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids: Vec<DeliveryId> =
        (10..15).map(|seconds| f.publish(organization_id, &[endpoint_id], at(seconds))[0]).collect();
    for endpoint_id in [None, Some(endpoint_id)] {
        let log = |from: Option<i64>, to: Option<i64>| {
            let filter = DeliveryFilter { endpoint_id, from: from.map(at), to: to.map(at), ..Default::default() };
            f.log(organization_id, &filter)
        };
        assert_eq!(log(Some(11), Some(13)), [ids[2], ids[1]]);
        assert_eq!(log(Some(13), None), [ids[4], ids[3]]);
        assert_eq!(log(None, Some(11)), [ids[0]]);
        assert!(log(Some(15), None).is_empty());
        assert!(log(Some(13), Some(12)).is_empty());
        // from before the epoch of the ids to the year 9999
        assert_eq!(log(Some(-1_767_225_600), Some(251_635_075_200)).len(), 5);
        assert!(log(Some(251_635_075_200), None).is_empty());
    }
}

fn one_attempt_is_read_back_in_full(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    f.record(vec![outcome(organization_id, endpoint_id, id, 1, 204, NextStep::Succeeded)]);
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    assert_eq!(detail.record.status, DeliveryStatus::Success);
    assert_eq!(detail.record.finished_at.map(|finished_at| finished_at.0), Some(at(10).0 + 40));
    assert_eq!((detail.record.response_code, detail.record.next_attempt_at), (Some(204), None));
    let attempts = serde_json::to_value(&detail.attempts).unwrap();
    let expected = json!([{
        "number": 1, "started_at": at(10).to_string(), "duration_ms": 37, "response_code": 204, "error": null,
        "error_detail": null,
        "request_headers": {
            "content-type": "application/json", "user-agent": "Ringback/test",
            "x-callintel-signature": "0".repeat(64), "x-callintel-delivery": id.to_string(),
            "x-callintel-attempt": "1", "webhook-id": EventId(7).to_string(),
            "webhook-timestamp": at(10).as_seconds().to_string(), "webhook-signature": "", "X-Token": "********",
        },
        "response_headers": {"content-type": "text/plain", "via": "a, b"},
        "response_body": "café \u{fffd}",
    }]);
    assert_eq!(attempts, expected);
    assert!(detail.body.starts_with(b"{\"event_type\""));
}

fn the_detail_of_an_error_is_read_back_with_the_attempt(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let of = |number, next| outcome(organization_id, endpoint_id, id, number, 0, next);
    let expired = AttemptError::TlsFailure(TlsFault::Expired(at(0)));
    f.record(vec![unanswered(of(1, NextStep::RetryAt(at(20))), expired)]);
    f.record(vec![unanswered(of(2, NextStep::Failed), AttemptError::Timeout)]);
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    let told: Vec<_> = detail.attempts.iter().map(|attempt| attempt.error_detail.clone()).collect();
    assert_eq!(told, [expired.detail(), None]);
    assert_eq!(detail.attempts[0].error.as_deref(), Some("tls_failure"));
    assert_eq!(detail.attempts[0].response_headers, None);
}

fn three_attempts_are_read_back_in_their_order(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    for (number, status, next) in
        [(1, 500, NextStep::RetryAt(at(60))), (2, 502, NextStep::RetryAt(at(360))), (3, 200, NextStep::Succeeded)]
    {
        assert_eq!(f.record(vec![outcome(organization_id, endpoint_id, id, number, status, next)]), [true]);
    }
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    assert_eq!((detail.record.attempt_count, detail.record.response_code), (3, Some(200)));
    let codes: Vec<_> = detail.attempts.iter().map(|attempt| (attempt.number, attempt.response_code)).collect();
    assert_eq!(codes, [(1, Some(500)), (2, Some(502)), (3, Some(200))]);
    assert_eq!(detail.attempts[1].started_at, at(20));
    assert_eq!(detail.attempts[2].request_headers["x-callintel-attempt"], "3");
}

fn an_attempt_without_a_response_keeps_its_error(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids = [
        f.publish(organization_id, &[endpoint_id], at(0))[0],
        f.publish(organization_id, &[endpoint_id], at(0))[0],
    ];
    let failed =
        |id, next| unanswered(outcome(organization_id, endpoint_id, id, 1, 0, next), AttemptError::BlockedAddress);
    f.record(vec![failed(ids[0], NextStep::Failed), failed(ids[1], NextStep::RetryAt(at(60)))]);
    for id in ids {
        let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
        assert_eq!(detail.record.error.as_deref(), Some("blocked_address"));
        assert_eq!((detail.record.response_code, detail.attempts.len()), (None, 1));
        let attempt = &detail.attempts[0];
        assert_eq!((attempt.error.as_deref(), attempt.response_code), (Some("blocked_address"), None));
        assert_eq!((&attempt.response_headers, &attempt.response_body), (&None, &None));
        assert_eq!(attempt.duration_ms, 10_000);
    }
}
