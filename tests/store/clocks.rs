//! Wrong clocks: ids continue from where they were, and periods go by the times of their rows.

use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::{DeliveryFilter, DeliveryStatus};
use ringback::domain::event::EventFilter;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::round::Rounds;
use ringback::domain::time::UnixMillis;
use ringback::store::{ReplayTargets, RequeueRange, open};

use crate::fixture::{Fixture, at, cipher, first_page, open_sqlite, outcome};

on_every_store!(
    after_a_clock_was_ahead_for_an_hour_the_log_and_the_events_are_found_by_their_times,
    after_a_clock_was_ahead_for_an_hour_failed_deliveries_are_resent_by_their_times,
    after_a_clock_was_ahead_for_years_events_are_pruned_when_they_are_old_and_none_sooner,
    a_clock_that_is_set_back_repeatedly_changes_nothing_about_periods,
    a_delivery_made_by_a_replay_is_found_by_its_time,
    a_delivery_made_by_a_replay_just_before_an_event_is_found_by_its_time,
);

const HOUR: i64 = 3_600;

/// The clock: an hour ahead at first, then right for two hours, in which it catches up with the ids and passes them.
const SECONDS: [i64; 9] = [HOUR, HOUR + 1, HOUR + 2, 60, 61, 62, HOUR + 1, HOUR + 90, 2 * HOUR];

/// A delivery with the time that it was created at.
type Stamped = (DeliveryId, i64);

fn publish_by(f: &Fixture, owner: OrganizationId, endpoint_id: EndpointId, seconds: &[i64]) -> Vec<Stamped> {
    seconds.iter().map(|&second| (f.publish(owner, &[endpoint_id], at(second))[0], second)).collect()
}

/// The deliveries of the period, newest first.
fn of_period(all: &[Stamped], from: i64, to: i64) -> Vec<DeliveryId> {
    all.iter().rev().filter(|(_, second)| (from..to).contains(second)).map(|(id, _)| *id).collect()
}

const PERIODS: [(i64, i64); 9] = [
    (0, 120),
    (61, 62),
    (62, HOUR),
    (62, HOUR + 1),
    (HOUR + 1, HOUR + 2),
    (HOUR + 2, 3 * HOUR),
    (HOUR + 80, 2 * HOUR),
    (0, 3 * HOUR),
    (3 * HOUR, 4 * HOUR),
];

fn after_a_clock_was_ahead_for_an_hour_the_log_and_the_events_are_found_by_their_times(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let all = publish_by(f, organization_id, endpoint_id, &SECONDS);
    for (from, to) in PERIODS {
        for endpoint_id in [None, Some(endpoint_id)] {
            for status in [None, Some(DeliveryStatus::Pending)] {
                let (from_at, to_at) = (Some(at(from)), Some(at(to)));
                let filter =
                    DeliveryFilter { endpoint_id, status, from: from_at, to: to_at, ..Default::default() };
                assert_eq!(f.log(organization_id, &filter), of_period(&all, from, to), "{from}..{to}");
            }
        }
        let filter = EventFilter { event_type: None, tag: None, from: Some(at(from)), to: Some(at(to)) };
        let events = f.store.events(organization_id, &filter, first_page(99)).unwrap();
        let times: Vec<UnixMillis> = events.iter().map(|event| event.accepted_at).collect();
        let expected =
            SECONDS.iter().rev().filter(|second| (from..to).contains(*second)).map(|second| at(*second));
        assert_eq!(times, expected.collect::<Vec<_>>(), "{from}..{to}");
    }
    let (from, to) = (Some(at(61)), Some(at(HOUR)));
    let open_ended = [(from, None, of_period(&all, 61, i64::MAX)), (None, to, of_period(&all, 0, HOUR))];
    for (from, to, expected) in open_ended {
        assert_eq!(f.log(organization_id, &DeliveryFilter { from, to, ..Default::default() }), expected);
    }
}

fn fail(f: &Fixture, owner: OrganizationId, endpoint_id: EndpointId, all: &[Stamped]) {
    let failed = all.iter().map(|(id, _)| outcome(owner, endpoint_id, *id, 1, 404, NextStep::Failed));
    assert!(f.record(failed.collect()).into_iter().all(|recorded| recorded));
}

fn after_a_clock_was_ahead_for_an_hour_failed_deliveries_are_resent_by_their_times(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let all = publish_by(f, organization_id, endpoint_id, &SECONDS);
    fail(f, organization_id, endpoint_id, &all);
    for ((since, until), number) in PERIODS.into_iter().zip(2..) {
        let range = RequeueRange {
            since: at(since),
            until: at(until),
            status: DeliveryStatus::Failed,
            rounds: Rounds::Schedule,
        };
        let expected = of_period(&all, since, until);
        assert_eq!(f.store.count_range(organization_id, endpoint_id, &range, 99).unwrap(), expected.len());
        let (mut after, mut requeued) = (None, 0);
        loop {
            let now = at(2 * HOUR);
            let page = f.store.requeue_range(organization_id, endpoint_id, &range, after, 2, now).unwrap();
            requeued += page.deliveries;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(requeued, expected.len(), "{since}..{until}");
        let mut pending = f.due(organization_id, endpoint_id, at(9 * HOUR));
        pending.reverse();
        assert_eq!(pending, expected);
        let again =
            expected.iter().map(|id| outcome(organization_id, endpoint_id, *id, number, 404, NextStep::Failed));
        f.record(again.collect());
    }
}

fn events(f: &Fixture, owner: OrganizationId) -> Vec<UnixMillis> {
    let listed = f.store.events(owner, &EventFilter::default(), first_page(99)).unwrap();
    listed.iter().map(|event| event.accepted_at).collect()
}

fn after_a_clock_was_ahead_for_years_events_are_pruned_when_they_are_old_and_none_sooner(f: &Fixture) {
    const YEARS: i64 = 5 * 365 * 24 * HOUR;
    let organization_id = f.organization();
    for second in [0, YEARS, 10, 20, 30, 40] {
        f.publish(organization_id, &[], at(second));
    }
    let step = |before: i64, after: Option<EventId>| f.store.prune(at(before), after, 2).unwrap();
    assert_eq!(step(0, None).events, 0);
    let first = step(30, None);
    assert_eq!(first.events, 2);
    let second = step(30, first.next);
    assert_eq!((second.events, second.next), (1, None));
    assert_eq!(events(f, organization_id), [at(40), at(30), at(YEARS)]);
    // once no row of the run is left, a period is a range of ids again
    f.store.prune(at(YEARS + 1), None, 99).unwrap();
    assert_eq!(events(f, organization_id), []);
    f.publish(organization_id, &[], at(50));
    f.publish(organization_id, &[], at(60));
    let filter = EventFilter { event_type: None, tag: None, from: Some(at(45)), to: Some(at(55)) };
    assert_eq!(f.store.events(organization_id, &filter, first_page(9)).unwrap().len(), 1);
}

fn a_clock_that_is_set_back_repeatedly_changes_nothing_about_periods(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    // set back by a quarter of an hour each time, after running for five minutes
    let seconds: Vec<i64> = (0..40).map(|step| 40_000 - (step / 5) * 900 + (step % 5) * 60).collect();
    let all = publish_by(f, organization_id, endpoint_id, &seconds);
    for from in (33_000..41_000).step_by(450) {
        let filter = DeliveryFilter { from: Some(at(from)), to: Some(at(from + 1_000)), ..Default::default() };
        assert_eq!(f.log(organization_id, &filter), of_period(&all, from, from + 1_000), "from {from}");
        // in pages too, each from the last row of the one before
        let mut read = Vec::new();
        loop {
            let before_id = read.last().map(|id: &DeliveryId| id.0);
            let page = ringback::store::PageRequest { before_id, limit: 3 };
            let rows = f.store.deliveries(organization_id, &filter, page).unwrap().rows;
            read.extend(rows.iter().map(|row| row.id));
            if rows.len() < 3 {
                break;
            }
        }
        assert_eq!(read, of_period(&all, from, from + 1_000), "from {from}, in pages");
    }
}

fn a_delivery_made_by_a_replay_is_found_by_its_time(f: &Fixture) {
    let organization_id = f.organization();
    let (first, second) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let new = f.new_event(organization_id, &[first], at(HOUR));
    f.commit_events(vec![new.clone()], at(HOUR));
    let targets = ReplayTargets::Endpoints(vec![second]);
    // the clock is right again, and nothing else was stored since
    f.store
        .replay_event(organization_id, new.event.id, &targets, Rounds::Schedule, &mut || f.id_at(at(60)), at(60))
        .unwrap();
    let replayed = f.due(organization_id, second, at(60));
    let filter = DeliveryFilter { from: Some(at(30)), to: Some(at(90)), ..Default::default() };
    assert_eq!(f.log(organization_id, &filter), replayed);
}

fn a_delivery_made_by_a_replay_just_before_an_event_is_found_by_its_time(f: &Fixture) {
    for (replayed_at, next_at) in [(40, 60), (98, 98)] {
        let (owner, other) = (f.organization(), f.organization());
        let (first, second) = (f.endpoint(owner), f.endpoint(owner));
        let new = f.new_event(owner, &[first], at(100));
        f.commit_events(vec![new.clone()], at(100));
        // another organization's event begins the run, and its next one comes behind the replay
        f.publish(other, &[f.endpoint(other)], at(20));
        let targets = ReplayTargets::Endpoints(vec![second]);
        let mut next_id = || f.id_at(at(replayed_at));
        f.store
            .replay_event(owner, new.event.id, &targets, Rounds::Schedule, &mut next_id, at(replayed_at))
            .unwrap();
        let replayed = f.due(owner, second, at(100));
        f.publish(other, &[f.endpoint(other)], at(next_at));
        for since in [0, 25, replayed_at] {
            let filter = DeliveryFilter { from: Some(at(since)), to: Some(at(99)), ..Default::default() };
            assert_eq!(f.log(owner, &filter), replayed, "since {since}");
        }
    }
}

#[test]
fn runs_of_ids_that_are_ahead_are_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let sqlite: Box<dyn Fn() -> Fixture> = Box::new(move || Fixture::over(open_sqlite(&path)));
    let mut reopens = vec![sqlite];
    if let Some(server) = test_support::postgres::shared() {
        let url = server.create_database();
        reopens
            .push(Box::new(move || Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")))));
    }
    for reopen in reopens {
        let mut f = reopen();
        let organization_id = f.organization();
        let endpoint_id = f.endpoint(organization_id);
        let mut all = Vec::new();
        for second in [HOUR, 60, 61, 30, 31, HOUR + 10] {
            all.extend(publish_by(&f, organization_id, endpoint_id, &[second]));
            let largest = f.store.largest_id().unwrap();
            drop(f);
            f = reopen().going_on_above(largest);
        }
        for (from, to) in [(0, 45), (31, 61), (60, HOUR), (HOUR, HOUR + 1), (HOUR + 1, 2 * HOUR)] {
            let filter = DeliveryFilter { from: Some(at(from)), to: Some(at(to)), ..Default::default() };
            assert_eq!(f.log(organization_id, &filter), of_period(&all, from, to), "{from}..{to}");
        }
    }
}
