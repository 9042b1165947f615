use super::*;
use crate::domain::attempt::{AttemptError, AttemptResult};
use crate::domain::ids::DeliveryId;

fn outcome(endpoint_id: i64, finished_at: i64, milliseconds: u64, next: NextStep) -> Outcome {
    Outcome {
        organization_id: OrganizationId(1),
        endpoint_id: EndpointId(endpoint_id),
        delivery_id: DeliveryId(3),
        number: 1,
        started_at: UnixMillis(0),
        finished_at: UnixMillis(finished_at),
        ordered: false,
        request: crate::domain::sent_request::SentRequest::default(),
        result: AttemptResult {
            response: Err(AttemptError::Timeout),
            duration: Duration::from_millis(milliseconds),
        },
        next,
    }
}

#[test]
fn a_period_begins_at_a_round_five_minutes_also_before_1970() {
    for (at, start) in [(0, 0), (299_999, 0), (300_000, 300_000), (899_999, 600_000), (-1, -300_000)] {
        assert_eq!(period_start(UnixMillis(at)), UnixMillis(start), "{at}");
    }
}

#[test]
fn each_attempt_counts_once_and_in_the_period_in_which_it_ended() {
    let mut tally = Tally::default();
    let retry = NextStep::RetryAt(UnixMillis(900_000));
    for (endpoint_id, finished_at, milliseconds, next) in [
        (8, 299_999, 5, NextStep::Succeeded),
        (7, 300_000, 3, retry),
        (7, 300_000, 4, retry),
        (7, 599_999, 5, NextStep::Failed),
        (7, 299_000, 6, NextStep::Succeeded),
    ] {
        tally.count(&outcome(endpoint_id, finished_at, milliseconds, next));
    }
    let taken = tally.take();
    assert!(tally.is_empty());
    let seen: Vec<_> = taken
        .iter()
        .map(|delta| {
            let PeriodCounts { succeeded, failed, retried, latency } = &delta.counts;
            let latency = (latency.total(), latency.percentile(100));
            (delta.period_start.0, delta.endpoint_id.0, [*succeeded, *failed, *retried], latency)
        })
        .collect();
    let expected =
        [(0, 7, [1, 0, 0], (1, Some(6))), (0, 8, [1, 0, 0], (1, Some(5))), (300_000, 7, [0, 1, 2], (3, Some(5)))];
    assert_eq!(seen, expected, "in the order of periods and endpoints");
}

#[test]
fn a_tally_is_full_with_so_many_entries_and_not_with_so_many_attempts() {
    let mut tally = Tally::default();
    // one entry is the organization's sum
    for endpoint_id in 1..FULL as i64 - 1 {
        tally.count(&outcome(endpoint_id, 0, 1, NextStep::Succeeded));
        tally.count(&outcome(endpoint_id, 1, 1, NextStep::Succeeded));
    }
    assert!(!tally.is_full());
    tally.count(&outcome(1, 300_000, 1, NextStep::Succeeded));
    assert!(tally.is_full());
    assert_eq!(tally.take().len(), FULL - 1, "what is stored makes its own sums");
    assert!(!tally.is_full());
}

#[test]
fn one_attempt_is_what_a_tally_makes_of_it() {
    let mut tally = Tally::default();
    let ended = outcome(7, 301_000, 12, NextStep::Failed);
    tally.count(&ended);
    assert_eq!(tally.take(), [StatisticsDelta::of(&ended)]);
}

#[test]
fn an_endpoint_and_an_organization_are_read_without_the_others() {
    let mut tally = Tally::default();
    for (endpoint_id, at) in [(7, 1_000), (7, 301_000), (8, 302_000)] {
        tally.count(&outcome(endpoint_id, at, 3, NextStep::RetryAt(UnixMillis(900_000))));
    }
    let of = |organization_id, endpoint_id| {
        let found = tally.of(OrganizationId(organization_id), EndpointId(endpoint_id));
        found.map(|it| (it.period_start.0, it.counts.retried)).collect::<Vec<_>>()
    };
    let organization_id = outcome(7, 0, 1, NextStep::Failed).organization_id.0;
    assert_eq!(of(organization_id, 7), [(0, 1), (300_000, 1)]);
    assert_eq!(of(organization_id, 8), [(300_000, 1)]);
    assert_eq!(of(organization_id, ALL_ENDPOINTS.0), [(0, 1), (300_000, 2)]);
    assert_eq!((of(organization_id, 9), of(organization_id + 1, 7)), (vec![], vec![]));
    tally.take();
    assert!(tally.of(OrganizationId(organization_id), EndpointId(7)).next().is_none());
}
