//! The machine in a small world: a model of the database, answers and delays from a seed, restarts.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::attempt::RetryOn;
use crate::domain::event::Event;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::retry::{RetryPolicy, RetrySchedule};

const START: UnixMillis = UnixMillis(1_750_000_000_000);
const BREAKER: BreakerConfig = BreakerConfig {
    failure_threshold: 4,
    initial_pause: Duration::from_secs(5),
    max_pause: Duration::from_secs(300),
};

#[derive(Debug, Clone)]
struct Row {
    queued_at: UnixMillis,
    due_at: UnixMillis,
    attempts: u32,
    earlier: u32,
    is_final: Option<NextStep>,
    finals: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Publish { count: usize, by_memory: bool },
    Answer { id: DeliveryId, generation: u32 },
    Recorded { id: DeliveryId, next: RecordedNext, generation: u32 },
    Page { generation: u32 },
    Wake { generation: u32 },
    Crash,
    Toggle { max_in_flight: u32 },
}

/// `NextStep` with an order, for the agenda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RecordedNext {
    Succeeded,
    Failed,
    RetryAt(UnixMillis),
}

/// How the receiver answers at an instant.
type Receiver = Box<dyn Fn(UnixMillis, u32) -> Result<u16, AttemptError>>;

struct World {
    settings: MachineSettings,
    machine: EndpointMachine,
    health: EndpointHealth,
    rows: BTreeMap<DeliveryId, Row>,
    agenda: BinaryHeap<std::cmp::Reverse<(UnixMillis, u64, Happening)>>,
    sequence: u64,
    generation: u32,
    now: UnixMillis,
    rng: SmallRng,
    receiver: Receiver,
    /// (delivery, number, instant) of every attempt.
    sent: Vec<(DeliveryId, u32, UnixMillis)>,
    in_flight: BTreeMap<DeliveryId, bool>,
    next_id: i64,
    snapshot: Option<(Vec<QueuedDelivery>, bool, Option<UnixMillis>)>,
    max_latency_ms: i64,
    scheduled_wake: Option<UnixMillis>,
    was_gone: bool,
}

fn settings() -> MachineSettings {
    MachineSettings {
        active: true,
        url: "https://receiver.example/hook".to_owned(),
        retry: RetrySchedule::default(),
        retry_on: RetryOn::default(),
        rate_limit: None,
        max_in_flight: 8,
        ordered: false,
    }
}

impl World {
    fn new(settings: MachineSettings, seed: u64, receiver: Receiver) -> Self {
        let health = EndpointHealth::healthy(OrganizationId(1), EndpointId(2));
        let mut world = Self {
            machine: EndpointMachine::new(settings.clone(), BREAKER, health),
            settings,
            health,
            rows: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            sequence: 0,
            generation: 0,
            now: START,
            rng: SmallRng::seed_from_u64(seed),
            receiver,
            sent: Vec::new(),
            in_flight: BTreeMap::new(),
            next_id: 1,
            snapshot: None,
            max_latency_ms: 50,
            scheduled_wake: None,
            was_gone: false,
        };
        world.feed(Input::Wake);
        world
    }

    fn at(&mut self, at: UnixMillis, happening: Happening) {
        self.sequence += 1;
        self.agenda.push(std::cmp::Reverse((at, self.sequence, happening)));
    }

    fn soon(&mut self) -> UnixMillis {
        UnixMillis(self.now.0 + self.rng.random_range(0..=self.max_latency_ms))
    }

    fn queued(&self, id: DeliveryId, row: &Row) -> QueuedDelivery {
        let event = Event {
            id: EventId(id.0),
            organization_id: OrganizationId(1),
            event_type: "call.completed".to_owned(),
            occurred_at: START,
            accepted_at: START,
            body: Bytes::from_static(b"{}"),
        };
        QueuedDelivery {
            id,
            attempts_made: row.attempts,
            attempts_in_earlier_rounds: row.earlier,
            due_at: row.due_at,
            event: Arc::new(event),
        }
    }

    fn publish(&mut self, count: usize, by_memory: bool) {
        let mut committed = Vec::new();
        for _ in 0..count {
            let id = DeliveryId(self.next_id);
            self.next_id += 1;
            let row =
                Row { queued_at: self.now, due_at: self.now, attempts: 0, earlier: 0, is_final: None, finals: 0 };
            committed.push(self.queued(id, &row));
            self.rows.insert(id, row);
        }
        match by_memory {
            true => self.feed(Input::Committed(committed)),
            false => self.feed(Input::MoreInStore),
        }
    }

    fn read_page(&mut self, max_deliveries: usize) {
        let known = self.machine.known();
        let now = self.now;
        let mut pending: Vec<_> = self.rows.iter().filter(|(_, row)| row.is_final.is_none()).collect();
        pending.sort_by_key(|(id, row)| (row.queued_at, **id));
        let next_due_at = pending.iter().map(|(_, row)| row.queued_at).find(|at| *at > now);
        let due: Vec<_> =
            pending.into_iter().filter(|(id, row)| row.queued_at <= now && !known.contains(id)).collect();
        let more = due.len() > max_deliveries;
        let deliveries = due.into_iter().take(max_deliveries).map(|(id, row)| self.queued(*id, row)).collect();
        self.snapshot = Some((deliveries, more, next_due_at));
    }

    fn feed(&mut self, input: Input<'_>) {
        let effects = self.machine.step(input, self.now, &mut self.rng);
        for effect in effects {
            self.perform(effect);
        }
        self.check_in_flight();
        let wake = self.machine.wake_at(self.now);
        if let Some(at) =
            wake.filter(|at| self.scheduled_wake.is_none_or(|known| *at < known || known <= self.now))
        {
            assert!(at > self.now, "a wake-up in the past would spin");
            self.scheduled_wake = Some(at);
            let generation = self.generation;
            self.at(at, Happening::Wake { generation });
        }
    }

    fn perform(&mut self, effect: Effect) {
        let generation = self.generation;
        match effect {
            Effect::Attempt { delivery, number } => {
                let row = &self.rows[&delivery.id];
                assert!(row.is_final.is_none(), "{} was attempted after its end", delivery.id);
                assert!(row.due_at <= self.now, "{} was attempted before it was due", delivery.id);
                assert!(number - row.earlier <= self.settings.retry.max_attempts());
                if self.settings.ordered {
                    let earlier = self.rows.range(..delivery.id).find(|(_, row)| row.is_final.is_none());
                    let overtaken = earlier.filter(|(id, _)| !self.machine.unrecorded.contains_key(*id));
                    assert!(overtaken.is_none(), "{} overtook {overtaken:?}", delivery.id);
                }
                self.sent.push((delivery.id, number, self.now));
                let doubled = self.in_flight.insert(delivery.id, self.machine.is_breaker_open());
                assert!(doubled.is_none(), "{} was in flight twice", delivery.id);
                let at = self.soon();
                self.at(at, Happening::Answer { id: delivery.id, generation });
            }
            Effect::Record { delivery_id, number: _, next } => {
                let at = self.soon();
                let next = match next {
                    NextStep::Succeeded => RecordedNext::Succeeded,
                    NextStep::Failed => RecordedNext::Failed,
                    NextStep::RetryAt(at) => RecordedNext::RetryAt(at),
                };
                self.at(at, Happening::Recorded { id: delivery_id, next, generation });
            }
            Effect::Load { max_deliveries, .. } => {
                self.read_page(max_deliveries);
                let at = self.soon();
                self.at(at, Happening::Page { generation });
            }
            Effect::SaveHealth(health) => self.health = health,
            Effect::DisableGone => self.was_gone = true,
        }
    }

    fn check_in_flight(&self) {
        let limit = if self.settings.ordered { 1 } else { self.settings.max_in_flight as usize };
        assert!(self.machine.in_flight() <= limit.max(8));
        let probes = self.machine.in_flight.values().filter(|attempt| attempt.is_probe).count();
        assert!(probes <= 1, "two probes at once");
        assert!(self.machine.unrecorded.len() <= 2 * 8);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Publish { count, by_memory } => self.publish(count, by_memory),
            Happening::Answer { id, generation } if generation == self.generation => {
                self.in_flight.remove(&id);
                let number = self.sent.iter().filter(|(sent, ..)| *sent == id).count() as u32;
                let answer = (self.receiver)(self.now, number).map(|status| Response {
                    status,
                    headers: Vec::new(),
                    body: Bytes::new(),
                });
                self.feed(Input::AttemptFinished { delivery_id: id, answer: &answer });
            }
            Happening::Recorded { id, next, generation } if generation == self.generation => {
                self.record(id, next);
                self.feed(Input::OutcomeRecorded(id));
            }
            Happening::Page { generation } if generation == self.generation => {
                let (deliveries, more, next_due_at) = self.snapshot.take().expect("a page was read");
                if self.rng.random_ratio(1, 10) {
                    self.feed(Input::LoadFailed);
                } else {
                    self.feed(Input::Loaded { deliveries, more, next_due_at });
                }
            }
            Happening::Wake { generation } if generation == self.generation => {
                if self.scheduled_wake == Some(self.now) {
                    self.scheduled_wake = None;
                }
                self.feed(Input::Wake);
            }
            Happening::Crash => self.crash(),
            Happening::Toggle { max_in_flight } => {
                self.settings.max_in_flight = max_in_flight;
                self.feed(Input::Reconfigured(self.settings.clone()));
            }
            _ => {}
        }
    }

    fn record(&mut self, id: DeliveryId, next: RecordedNext) {
        let ordered = self.settings.ordered;
        let row = self.rows.get_mut(&id).expect("only known deliveries are recorded");
        row.attempts += 1;
        match next {
            RecordedNext::Succeeded => row.is_final = Some(NextStep::Succeeded),
            RecordedNext::Failed => row.is_final = Some(NextStep::Failed),
            RecordedNext::RetryAt(at) => {
                row.due_at = at;
                if !ordered {
                    row.queued_at = at;
                }
            }
        }
        row.finals += u32::from(row.is_final.is_some());
    }

    fn crash(&mut self) {
        self.generation += 1;
        self.in_flight.clear();
        self.snapshot = None;
        self.scheduled_wake = None;
        self.machine = EndpointMachine::new(self.settings.clone(), BREAKER, self.health);
        self.feed(Input::Wake);
    }

    /// Runs until nothing is left to happen, or the instant is reached.
    fn run_until(&mut self, end: UnixMillis) {
        while let Some(std::cmp::Reverse((at, _, _))) = self.agenda.peek() {
            if *at > end {
                break;
            }
            let Some(std::cmp::Reverse((at, _, happening))) = self.agenda.pop() else { break };
            self.now = at;
            self.happen(happening);
        }
        self.now = self.now.max(end);
    }

    fn pending(&self) -> usize {
        self.rows.values().filter(|row| row.is_final.is_none()).count()
    }

    fn times_of(&self, id: i64) -> Vec<u64> {
        self.sent.iter().filter(|(sent, ..)| sent.0 == id).map(|(_, _, at)| at.since(START).as_secs()).collect()
    }
}

fn always(status: u16) -> Receiver {
    Box::new(move |_, _| Ok(status))
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_delivery_is_attempted_on_the_documents_schedule_and_then_fails() {
    let mut world = World::new(settings(), 1, always(503));
    world.max_latency_ms = 0;
    world.publish(1, true);
    world.run_until(START + DAY);
    let times = world.times_of(1);
    assert_eq!(times.len(), 4);
    for (pair, base) in times.windows(2).zip([60, 300, 900]) {
        let delay = pair[1] - pair[0];
        assert!((base..=base + base / 10 + 1).contains(&delay), "{delay} for {base}");
    }
    assert_eq!(world.rows[&DeliveryId(1)].is_final, Some(NextStep::Failed));
    assert_eq!(world.machine.rest(world.now), Rest::Idle);
}

#[test]
fn a_dead_endpoint_with_a_thousand_queued_gets_few_requests_before_the_breaker_opens() {
    let mut world = World::new(settings(), 2, Box::new(|_, _| Err(AttemptError::ConnectionRefused)));
    world.publish(1000, true);
    world.run_until(START + Duration::from_secs(4));
    assert!(world.sent.len() <= 8, "{} requests", world.sent.len());
    let before = world.sent.len();
    world.run_until(START + Duration::from_secs(100));
    let probes = world.sent.len() - before;
    assert!((3..=5).contains(&probes), "{probes} probes for pauses of 5, 10, 20, 40 s");
}

#[test]
fn an_open_breaker_keeps_deliveries_pending_and_drains_them_after_recovery() {
    let back_at = START + Duration::from_secs(600);
    let receiver: Receiver = Box::new(move |now, _| Ok(if now < back_at { 500 } else { 200 }));
    let mut world = World::new(settings(), 3, receiver);
    world.publish(1000, false);
    world.run_until(back_at);
    assert!(world.pending() > 990);
    world.run_until(back_at + DAY);
    let succeeded = world.rows.values().filter(|row| row.is_final == Some(NextStep::Succeeded)).count();
    assert!(succeeded > 990, "{succeeded}");
    assert_eq!(world.pending(), 0);
}

#[test]
fn gone_fails_the_delivery_and_stops_everything_behind_it() {
    let mut config = settings();
    config.max_in_flight = 1;
    let mut world = World::new(config, 4, always(410));
    world.publish(5, true);
    world.run_until(START + DAY);
    assert!(world.was_gone);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.pending(), 4);
    assert_eq!(world.machine.rest(world.now), Rest::Idle);
}

#[test]
fn a_retry_blocks_the_next_on_an_ordered_endpoint() {
    let config = MachineSettings { ordered: true, ..settings() };
    let receiver: Receiver = Box::new(|_, number| Ok(if number < 3 { 500 } else { 200 }));
    let mut world = World::new(config, 5, receiver);
    world.publish(3, true);
    world.run_until(START + DAY);
    let order: Vec<i64> = world.sent.iter().map(|(id, ..)| id.0).collect();
    assert_eq!(order, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    assert_eq!(world.pending(), 0);
}

#[test]
fn a_drained_machine_starts_nothing_and_rests() {
    let mut world = World::new(settings(), 6, always(200));
    world.publish(3, true);
    world.feed(Input::Drain);
    let sent = world.sent.len();
    world.publish(10, true);
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.machine.rest(world.now), Rest::Idle);
}

#[test]
fn an_endpoint_held_to_one_attempt_still_has_that_one_and_its_own_limit_again_afterwards() {
    let mut world = World::new(settings(), 1, always(200));
    world.machine.hold_to_one(true);
    world.publish(6, true);
    assert_eq!(world.machine.in_flight(), 1);
    world.machine.hold_to_one(false);
    world.feed(Input::Wake);
    assert_eq!(world.machine.in_flight(), 4);
}

#[test]
fn a_stale_page_brings_no_delivery_a_second_time() {
    let mut world = World::new(settings(), 7, always(200));
    world.run_until(START + Duration::from_secs(1));
    world.publish(1, true);
    // read while the delivery is still pending, shown after it is recorded
    let stale = world.queued(DeliveryId(1), &world.rows[&DeliveryId(1)].clone());
    world.machine.loading = true;
    world.run_until(world.now + Duration::from_secs(1));
    world.feed(Input::Loaded { deliveries: vec![stale], more: false, next_due_at: None });
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), 1);
}

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    ordered: bool,
    policy: RetryPolicy,
    max_in_flight: u32,
    outages: Vec<(u64, u64)>,
    flakiness: u32,
    publishes: Vec<(u64, usize, bool)>,
    crashes: Vec<u64>,
    toggles: Vec<(u64, u32)>,
    max_latency_ms: i64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let policy = (1u32..=6, 1.0f64..=4.0, 1u64..=120, 1u64..=900).prop_map(
        |(max_attempts, backoff_multiplier, initial_delay_seconds, max_delay_seconds)| RetryPolicy {
            max_attempts,
            backoff_multiplier,
            initial_delay_seconds,
            max_delay_seconds,
        },
    );
    let hours = 3600u64;
    (
        (any::<u64>(), any::<bool>(), policy, 1u32..=8, 0u32..=6),
        prop::collection::vec((0..4 * hours, 1..hours), 0..3),
        prop::collection::vec((0..4 * hours, 1usize..400, any::<bool>()), 1..8),
        prop::collection::vec(0..6 * hours, 0..4),
        prop::collection::vec((0..6 * hours, 1u32..=8), 0..3),
        prop_oneof![Just(0i64), 1..200i64, Just(5_000)],
    )
        .prop_map(
            |(
                (seed, ordered, policy, max_in_flight, flakiness),
                outages,
                publishes,
                crashes,
                toggles,
                latency,
            )| {
                Plan {
                    seed,
                    ordered,
                    policy,
                    max_in_flight,
                    outages,
                    flakiness,
                    publishes,
                    crashes,
                    toggles,
                    max_latency_ms: latency,
                }
            },
        )
}

fn play(plan: &Plan) -> World {
    let config = MachineSettings {
        ordered: plan.ordered,
        retry: RetrySchedule::Policy(plan.policy),
        max_in_flight: plan.max_in_flight,
        ..settings()
    };
    let (outages, flakiness, seed) = (plan.outages.clone(), plan.flakiness, plan.seed);
    let receiver: Receiver = Box::new(move |now, number| {
        let second = now.since(START).as_secs();
        let down = outages.iter().any(|(from, length)| (*from..from + length).contains(&second));
        let dice = SmallRng::seed_from_u64(seed ^ now.0 as u64 ^ u64::from(number)).random_range(0..10);
        match dice {
            _ if down && dice < 5 => Err(AttemptError::Timeout),
            _ if down => Ok(503),
            _ if dice < flakiness / 2 => Ok(400),
            _ if dice < flakiness => Ok(500),
            _ => Ok(200),
        }
    });
    let mut world = World::new(config, plan.seed, receiver);
    world.max_latency_ms = plan.max_latency_ms;
    let at = |second: u64| START + Duration::from_secs(second);
    for &(second, count, by_memory) in &plan.publishes {
        world.at(at(second), Happening::Publish { count, by_memory });
    }
    for &second in &plan.crashes {
        world.at(at(second), Happening::Crash);
    }
    for &(second, max_in_flight) in &plan.toggles {
        world.at(at(second), Happening::Toggle { max_in_flight });
    }
    world.run_until(START + 365 * DAY);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The world itself asserts on the way: one probe at a time, no attempt before its time, after its end or
    /// above the policy, nothing in flight twice, bounded in flight and unrecorded, no overtaking when ordered.
    #[test]
    fn every_delivery_ends_in_exactly_one_final_state_whatever_happens(plan in plans()) {
        let world = play(&plan);
        prop_assert_eq!(world.pending(), 0, "at the end {:?}", world.machine.rest(world.now));
        for (id, row) in &world.rows {
            prop_assert_eq!(row.finals, 1, "{}", id);
            prop_assert!(row.attempts >= 1 && row.attempts <= plan.policy.max_attempts);
        }
        prop_assert_eq!(world.machine.rest(world.now), Rest::Idle);
        prop_assert_eq!(world.machine.payload_bytes(), 0);
    }

    #[test]
    fn the_delay_before_a_retry_is_never_shorter_than_the_policy(plan in plans()) {
        let world = play(&Plan { crashes: Vec::new(), ..plan.clone() });
        let schedule = RetrySchedule::Policy(plan.policy);
        let mut last: BTreeMap<DeliveryId, UnixMillis> = BTreeMap::new();
        for &(id, number, at) in &world.sent {
            if let Some(before) = last.insert(id, at) {
                prop_assert!(at.since(before) >= schedule.base_delay(number - 1));
            }
        }
    }
}

#[test]
fn a_delivery_that_is_sent_again_gets_its_whole_schedule_anew_while_its_numbers_go_on() {
    let mut world = World::new(settings(), 7, Box::new(|_, _| Ok(503)));
    let id = DeliveryId(1);
    let (queued_at, due_at) = (START, START);
    world.rows.insert(id, Row { queued_at, due_at, attempts: 4, earlier: 4, is_final: None, finals: 0 });
    world.feed(Input::MoreInStore);
    world.run_until(START + Duration::from_secs(2 * 3600));
    let numbers: Vec<u32> = world.sent.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, [5, 6, 7, 8]);
    assert_eq!(world.rows[&id].is_final, Some(NextStep::Failed));
    for (pair, seconds) in world.sent.windows(2).zip([60, 300, 900]) {
        let waited = pair[1].2.since(pair[0].2);
        assert!(waited >= Duration::from_secs(seconds), "{waited:?}");
        assert!(waited <= Duration::from_secs(seconds + seconds / 10 + 1), "{waited:?}");
    }
}
