//! Counts of results by period.

use std::time::Duration;

use ringback::domain::attempt::NextStep;
use ringback::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use ringback::domain::statistics::{PeriodCounts, PeriodStatistics, StatisticsDelta};
use ringback::domain::time::UnixMillis;
use ringback::store::WriteBatch;

use crate::fixture::{Fixture, at, outcome};

on_every_store!(
    counts_are_added_to_the_stored_ones,
    the_counts_of_a_period_are_the_sum_of_its_endpoints,
    counts_are_read_from_the_period_of_the_instant_on_oldest_first,
    no_organization_sees_the_counts_of_another,
    counts_of_deleted_endpoints_stay_and_those_of_a_deleted_organization_are_removed,
    old_counts_of_all_organizations_are_removed_and_recent_ones_stay,
    a_commit_that_fails_adds_nothing,
);

const PERIOD_SECONDS: i64 = 300;

/// Attempts that ended in a period, with these results and durations in milliseconds.
fn delta(
    (organization_id, endpoint_id): (OrganizationId, EndpointId),
    period: i64,
    attempts: &[(NextStep, u64)],
) -> StatisticsDelta {
    let period_start = at(period * PERIOD_SECONDS);
    let mut counts = PeriodCounts::default();
    for &(next, milliseconds) in attempts {
        let mut ended = outcome(organization_id, endpoint_id, DeliveryId(1), 1, 200, next);
        ended.result.duration = Duration::from_millis(milliseconds);
        counts.count(&ended);
    }
    StatisticsDelta { period_start, organization_id, endpoint_id, counts }
}

/// One delivery that succeeded.
fn success(of: (OrganizationId, EndpointId), period: i64) -> StatisticsDelta {
    delta(of, period, &[(NextStep::Succeeded, 3)])
}

fn add(f: &Fixture, statistics: Vec<StatisticsDelta>) {
    f.store.commit(&WriteBatch { statistics, ..WriteBatch::default() }, at(0)).unwrap();
}

/// An organization and an endpoint.
fn owner(f: &Fixture) -> (OrganizationId, EndpointId) {
    let organization_id = f.organization();
    (organization_id, f.endpoint(organization_id))
}

/// Period, succeeded, failed, retried, attempts, the longest of them.
type Seen = (i64, u64, u64, u64, u64, Option<u64>);

fn seen(statistics: &PeriodStatistics) -> Seen {
    let PeriodCounts { succeeded, failed, retried, latency } = &statistics.counts;
    let period = (statistics.period_start.0 - at(0).0) / 1_000 / PERIOD_SECONDS;
    (period, *succeeded, *failed, *retried, latency.total(), latency.percentile(100))
}

fn of_organization(f: &Fixture, organization_id: OrganizationId, since: UnixMillis) -> Vec<Seen> {
    f.store.organization_statistics(organization_id, since).unwrap().iter().map(seen).collect()
}

fn of_endpoints(f: &Fixture, organization_id: OrganizationId, ids: &[EndpointId]) -> Vec<(EndpointId, Seen)> {
    let found = f.store.endpoint_statistics(organization_id, ids, at(0)).unwrap();
    found.iter().map(|(endpoint_id, statistics)| (*endpoint_id, seen(statistics))).collect()
}

fn counts_are_added_to_the_stored_ones(f: &Fixture) {
    let mine @ (organization_id, endpoint_id) = owner(f);
    let retry = NextStep::RetryAt(at(900));
    add(f, vec![delta(mine, 0, &[(NextStep::Succeeded, 3), (retry, 5)])]);
    // twice in one commit too
    let more = delta(mine, 0, &[(NextStep::Failed, 7), (retry, 2)]);
    add(f, vec![more.clone(), success(mine, 1), more]);
    let expected = [(0, 1, 2, 3, 6, Some(7)), (1, 1, 0, 0, 1, Some(3))];
    assert_eq!(of_organization(f, organization_id, at(0)), expected);
    assert_eq!(of_endpoints(f, organization_id, &[endpoint_id]), expected.map(|seen| (endpoint_id, seen)));
    let counts = &f.store.organization_statistics(organization_id, at(0)).unwrap()[0].counts;
    let percentiles = [1, 30, 50, 66, 100].map(|percent| counts.latency.percentile(percent));
    assert_eq!(percentiles, [2, 2, 3, 5, 7].map(Some));
}

fn the_counts_of_a_period_are_the_sum_of_its_endpoints(f: &Fixture) {
    let mine @ (organization_id, first) = owner(f);
    let second = f.endpoint(organization_id);
    add(f, vec![success(mine, 0), delta((organization_id, second), 0, &[(NextStep::Failed, 6)])]);
    add(f, vec![success((organization_id, second), 0)]);
    assert_eq!(of_organization(f, organization_id, at(0)), [(0, 2, 1, 0, 3, Some(6))]);
    let each = [(first, (0, 1, 0, 0, 1, Some(3))), (second, (0, 1, 1, 0, 2, Some(6)))];
    assert_eq!(of_endpoints(f, organization_id, &[second, first]), each);
    assert_eq!(of_endpoints(f, organization_id, &[second]), each[1..]);
    assert_eq!(of_endpoints(f, organization_id, &[]), []);
}

fn counts_are_read_from_the_period_of_the_instant_on_oldest_first(f: &Fixture) {
    let mine @ (organization_id, endpoint_id) = owner(f);
    for period in [5, 2, 9] {
        add(f, vec![success(mine, period)]);
    }
    for (since, expected) in
        [(0, &[2, 5, 9][..]), (2 * 300, &[2, 5, 9]), (3 * 300 - 1, &[2, 5, 9]), (3 * 300, &[5, 9]), (3_000, &[])]
    {
        let found = of_organization(f, organization_id, at(since));
        assert_eq!(found.iter().map(|seen| seen.0).collect::<Vec<_>>(), expected, "since {since}");
        let found = f.store.endpoint_statistics(organization_id, &[endpoint_id], at(since)).unwrap();
        assert_eq!(found.iter().map(|(_, found)| seen(found).0).collect::<Vec<_>>(), expected);
    }
}

fn no_organization_sees_the_counts_of_another(f: &Fixture) {
    let (mine, theirs) = (owner(f), owner(f));
    add(f, vec![success(mine, 0), success(theirs, 0), success(theirs, 1)]);
    assert_eq!(of_organization(f, mine.0, at(0)), [(0, 1, 0, 0, 1, Some(3))]);
    assert_eq!(of_endpoints(f, mine.0, &[mine.1, theirs.1]), [(mine.1, (0, 1, 0, 0, 1, Some(3)))]);
    assert_eq!(of_organization(f, OrganizationId(1), at(0)), []);
}

fn counts_of_deleted_endpoints_stay_and_those_of_a_deleted_organization_are_removed(f: &Fixture) {
    let (mine, theirs) = (owner(f), owner(f));
    for period in 0..3 {
        add(f, vec![success(mine, period), success(theirs, period)]);
    }
    f.store.delete_endpoint(mine.0, mine.1, at(9)).unwrap().unwrap();
    assert_eq!(of_organization(f, mine.0, at(0)).len(), 3);
    assert!(f.store.delete_organization(mine.0, at(9)).unwrap());
    f.purge(at(9), 2);
    assert_eq!(of_organization(f, mine.0, at(0)), []);
    assert_eq!(of_endpoints(f, mine.0, &[mine.1]), []);
    assert_eq!(of_organization(f, theirs.0, at(0)).len(), 3);
    assert_eq!(of_endpoints(f, theirs.0, &[theirs.1]).len(), 3);
}

fn old_counts_of_all_organizations_are_removed_and_recent_ones_stay(f: &Fixture) {
    let (mine, theirs) = (owner(f), owner(f));
    for period in 0..4 {
        add(f, vec![success(mine, period), success(theirs, period)]);
    }
    assert!(!f.store.prune_statistics(at(0), 2).unwrap());
    assert!(f.store.prune_statistics(at(2 * 300), 1).unwrap(), "there is more");
    let mut steps = 0;
    while f.store.prune_statistics(at(2 * 300), 2).unwrap() {
        steps += 1;
        assert!(steps < 9);
    }
    for (organization_id, endpoint_id) in [mine, theirs] {
        let periods = |found: Vec<Seen>| found.iter().map(|seen| seen.0).collect::<Vec<_>>();
        assert_eq!(periods(of_organization(f, organization_id, at(0))), [2, 3]);
        assert_eq!(of_endpoints(f, organization_id, &[endpoint_id]).len(), 2);
    }
}

fn a_commit_that_fails_adds_nothing(f: &Fixture) {
    let mine @ (organization_id, endpoint_id) = owner(f);
    let event = f.new_event(organization_id, &[endpoint_id], at(0));
    f.commit_events(vec![event.clone()], at(0));
    let batch = WriteBatch { events: vec![event], statistics: vec![success(mine, 0)], ..WriteBatch::default() };
    assert!(f.store.commit(&batch, at(0)).is_err());
    assert_eq!(of_organization(f, organization_id, at(0)), []);
}
