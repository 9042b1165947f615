//! Counts of results by period, beside the log that they have to agree with.

use std::collections::BTreeMap;
use std::time::Duration;

use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::ids::EndpointId;
use ringback::domain::retry::RetrySchedule;
use ringback::domain::statistics::{PERIOD, PeriodCounts, PeriodStatistics, period_start};
use ringback::domain::time::UnixMillis;

use super::world::{BEGIN, ORGANIZATION, World, always, down_until, endpoint};
use super::{DATA, DAY, deliveries};

/// Succeeded, failed, retried, attempts.
type Seen = [u64; 4];

fn seen(counts: &PeriodCounts) -> Seen {
    [counts.succeeded, counts.failed, counts.retried, counts.latency.total()]
}

/// What is stored of an endpoint, by period.
fn counted(world: &World, id: i64) -> BTreeMap<UnixMillis, Seen> {
    let found = world.store.endpoint_statistics(ORGANIZATION, &[EndpointId(id)], UnixMillis(0)).unwrap();
    found.iter().map(|(_, found)| (found.period_start, seen(&found.counts))).collect()
}

/// What is stored of the organization.
fn counted_in_all(world: &World) -> Vec<PeriodStatistics> {
    world.store.organization_statistics(ORGANIZATION, UnixMillis(0)).unwrap()
}

fn add(sum: &mut Seen, more: Seen) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// The same, made from the attempts in the log: the receivers answer after 3 ms.
fn logged(world: &World, id: i64) -> BTreeMap<UnixMillis, Seen> {
    let mut periods: BTreeMap<UnixMillis, Seen> = BTreeMap::new();
    for record in deliveries(world, id) {
        let attempts = world.store.delivery(ORGANIZATION, record.id).unwrap().unwrap().attempts;
        let last = match record.status {
            DeliveryStatus::Success => [1, 0, 0, 1],
            DeliveryStatus::Failed => [0, 1, 0, 1],
            DeliveryStatus::Pending | DeliveryStatus::Cancelled => [0, 0, 1, 1],
        };
        for attempt in &attempts {
            let ended_at = attempt.started_at + Duration::from_millis(attempt.duration_ms);
            let is_last = attempt.number as usize == attempts.len();
            add(periods.entry(period_start(ended_at)).or_default(), if is_last { last } else { [0, 0, 1, 1] });
        }
    }
    periods
}

#[test]
fn a_day_of_results_is_counted_exactly_as_the_log_has_them_across_restarts() {
    let world = World::new();
    world.endpoint(1, always(200));
    world.endpoint(2, down_until(BEGIN + DAY / 4));
    let mut hopeless = endpoint(3);
    hopeless.retry = RetrySchedule::Retries(1);
    world.store.create_endpoint(&hopeless).unwrap();
    world.script(3, always(400));
    let mut shaky = endpoint(4);
    shaky.retry = RetrySchedule::Retries(5);
    world.store.create_endpoint(&shaky).unwrap();
    world.script(4, |now| always(if now.0 / 1_000 % 3 == 0 { 200 } else { 503 })(now));
    for part in 1..=6u32 {
        world.live(async |life| {
            for minute in (0..240).step_by(3) {
                life.publish("call.completed", DATA).await;
                life.until(BEGIN + (part - 1) * (DAY / 6) + Duration::from_secs(60 * minute)).await;
            }
            life.until(BEGIN + part * (DAY / 6)).await;
            life.actors.stop().await;
        });
    }
    let mut in_all: BTreeMap<UnixMillis, Seen> = BTreeMap::new();
    let mut day = Seen::default();
    for id in 1..=4 {
        let expected = logged(&world, id);
        assert_eq!(counted(&world, id), expected, "endpoint {id}");
        for (period, seen) in expected {
            add(in_all.entry(period).or_default(), seen);
            add(&mut day, seen);
        }
    }
    let sums = counted_in_all(&world);
    assert_eq!(
        sums.iter().map(|found| (found.period_start, seen(&found.counts))).collect::<BTreeMap<_, _>>(),
        in_all
    );
    assert!(sums.iter().all(|found| found.counts.latency.percentile(99) == Some(3)));
    assert!(day.iter().all(|count| *count > 400), "{day:?}");
}

#[test]
fn a_restart_goes_on_with_the_period_that_it_is_in() {
    let world = World::new();
    world.endpoint(1, always(200));
    for life in 1..=3u64 {
        world.live(async |running| {
            running.publish("call.completed", DATA).await;
            running.until(running.now() + Duration::from_secs(1)).await;
            running.actors.stop().await;
        });
        assert_eq!(counted(&world, 1), BTreeMap::from([(period_start(BEGIN), [life, 0, 0, life])]));
    }
}

#[test]
fn counts_are_written_after_a_moment_also_when_nothing_else_is_and_a_kill_loses_no_more_than_that() {
    let world = World::new();
    world.endpoint(1, always(200));
    let total = || counted(&world, 1).values().map(|[succeeded, ..]| *succeeded).sum::<u64>();
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + Duration::from_secs(9)).await;
        assert_eq!((deliveries(&world, 1)[0].status, total()), (DeliveryStatus::Success, 0), "it waits for more");
        life.until(BEGIN + Duration::from_secs(11)).await;
        assert_eq!(total(), 1);
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + Duration::from_secs(20)).await;
    });
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + Duration::from_secs(40)).await;
    });
    assert_eq!((deliveries(&world, 1).len(), total()), (3, 2), "the log has what was lost");
}

#[test]
fn a_test_is_counted_as_it_is_in_the_log() {
    let world = World::new();
    let target = world.endpoint(1, always(503));
    world.live(async |life| {
        let sample = life.publication("call.completed", DATA);
        life.engine()
            .send_test(&world.store.endpoint(ORGANIZATION, target.id).unwrap().unwrap(), &sample)
            .await
            .unwrap();
    });
    assert_eq!(counted(&world, 1), BTreeMap::from([(period_start(BEGIN), [0, 1, 0, 1])]));
    assert_eq!(counted(&world, 1), logged(&world, 1));
}

#[test]
fn counts_are_kept_for_eight_days_or_as_long_as_the_log_when_that_is_less() {
    for (retention, kept) in [(30 * DAY, 8 * DAY), (2 * DAY, 2 * DAY)] {
        let mut world = World::new();
        world.settings.retention = retention;
        world.endpoint(1, always(200));
        world.live(async |life| {
            for hour in 0..10 * 24u32 {
                life.publish("call.completed", DATA).await;
                life.until(BEGIN + (hour + 1) * (DAY / 24)).await;
            }
        });
        let oldest = counted_in_all(&world)[0].period_start;
        let end = BEGIN + 10 * DAY;
        // retention runs once an hour
        let (least, most) = (end - kept, end - kept + 2 * (DAY / 24) + PERIOD);
        assert!(oldest >= least - PERIOD && oldest <= most, "{oldest} is not between {least} and {most}");
    }
}
