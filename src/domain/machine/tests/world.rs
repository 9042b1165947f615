//! A small world around the machine: a model of the database, responses and delays from a seed, and restarts.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::*;
use crate::domain::attempt::{AttemptError, NextStep, Response, RetryOn};
use crate::domain::breaker::BreakerConfig;
use crate::domain::delivery::QueuePosition;
use crate::domain::endpoint::DisabledReason;
use crate::domain::event::Event;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::retry::RetrySchedule;
use crate::domain::rotation::{SecretId, SecretTerms};
use crate::domain::round::{RoundPlace, Rounds};

pub(super) const START: UnixMillis = UnixMillis(1_750_000_000_000);
pub(super) const LIMITS: MachineLimits = MachineLimits {
    breaker: BreakerConfig {
        failure_threshold: 4,
        initial_pause: Duration::from_secs(5),
        max_pause: Duration::from_secs(300),
    },
    disable_after: Duration::from_secs(1_000 * 86_400),
};

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) queued_at: UnixMillis,
    pub(super) due_at: UnixMillis,
    pub(super) attempts: u32,
    pub(super) earlier: i32,
    pub(super) is_final: Option<NextStep>,
    pub(super) finals: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WorldEvent {
    Publish {
        count: usize,
        by_memory: bool,
    },
    Add {
        count: usize,
        behind_ms: i64,
        again: bool,
    },
    Announce {
        ids: Vec<DeliveryId>,
        at: UnixMillis,
        again: bool,
        generation: u32,
    },
    /// The supervisor gives its place back, and another one continues at once.
    Succession,
    Answer {
        id: DeliveryId,
        generation: u32,
    },
    Recorded {
        id: DeliveryId,
        next: RecordedStep,
        generation: u32,
    },
    Page {
        generation: u32,
    },
    Wake {
        generation: u32,
    },
    Crash,
    Toggle {
        max_in_flight: u32,
    },
}

/// `NextStep` with an order, for the agenda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordedStep {
    Succeeded,
    Failed,
    RetryAt(UnixMillis),
    UncountedRetryAt(UnixMillis),
}

/// The response of the receiver at an instant.
pub(super) type Receiver = Box<dyn Fn(UnixMillis, u32) -> Result<u16, AttemptError>>;

/// Whether this machine lacks what an attempt needs at an instant.
pub(super) type Starved = Box<dyn Fn(UnixMillis, &mut SmallRng) -> bool>;

/// A page that was read and is on its way: deliveries, whether there are more, the next due time, where it ended.
type Snapshot = (Vec<QueuedDelivery>, bool, Option<UnixMillis>, Option<QueuePosition>);

pub(super) struct World {
    pub(super) settings: MachineSettings,
    pub(super) machine: EndpointMachine,
    pub(super) health: EndpointHealth,
    pub(super) rows: BTreeMap<DeliveryId, Row>,
    pub(super) agenda: BinaryHeap<std::cmp::Reverse<(UnixMillis, u64, WorldEvent)>>,
    pub(super) sequence: u64,
    pub(super) generation: u32,
    pub(super) now: UnixMillis,
    pub(super) rng: SmallRng,
    pub(super) receiver: Receiver,
    /// (delivery, number, instant) of every attempt.
    pub(super) sent: Vec<(DeliveryId, u32, UnixMillis)>,
    pub(super) in_flight: BTreeMap<DeliveryId, QueuedDelivery>,
    /// How many that were, after each input.
    loads: Vec<(UnixMillis, usize)>,
    pub(super) recorded_at: BTreeMap<DeliveryId, UnixMillis>,
    /// What each attempt was signed with, and whether its connection was fresh.
    pub(super) signed: Vec<(SecretId, bool)>,
    pub(super) next_id: i64,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) max_latency_ms: i64,
    /// An attempt takes that much longer.
    pub(super) min_latency_ms: i64,
    /// The response of a receiver that checks the signature; replaces `receiver`.
    pub(super) answer: Option<Box<dyn Fn(SecretId) -> u16>>,
    pub(super) scheduled_wake: Option<UnixMillis>,
    /// Pending, and the machine has not heard of it.
    pub(super) unannounced: BTreeSet<DeliveryId>,
    pub(super) pages: usize,
    pub(super) pages_from_head: usize,
    pub(super) was_gone: bool,
    pub(super) announcements: Vec<(UnixMillis, Announcement)>,
    /// Whether this machine lacks what an attempt needs.
    pub(super) is_starved: Starved,
    /// Attempts that were not made.
    pub(super) not_made: Vec<UnixMillis>,
}

pub(super) fn settings() -> MachineSettings {
    MachineSettings {
        active: true,
        url: "https://receiver.example/hook".to_owned(),
        retry: RetrySchedule::default(),
        retry_on: RetryOn::default(),
        rate_limit: None,
        max_in_flight: 8,
        ordered: false,
        secrets: SecretTerms::for_tests(&[(0, None)]),
    }
}

impl World {
    pub(super) fn new(settings: MachineSettings, seed: u64, receiver: Receiver) -> Self {
        let health = EndpointHealth::healthy(OrganizationId(1), EndpointId(2));
        let mut world = Self {
            machine: EndpointMachine::new(settings.clone(), LIMITS, health, RateLimitHistory::UnknownUntil(START)),
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
            loads: Vec::new(),
            recorded_at: BTreeMap::new(),
            signed: Vec::new(),
            next_id: 1,
            snapshot: None,
            max_latency_ms: 50,
            min_latency_ms: 0,
            answer: None,
            scheduled_wake: None,
            unannounced: BTreeSet::new(),
            pages: 0,
            pages_from_head: 0,
            was_gone: false,
            announcements: Vec::new(),
            is_starved: Box::new(|_, _| false),
            not_made: Vec::new(),
        };
        world.feed(Input::Wake);
        world
    }

    pub(super) fn at(&mut self, at: UnixMillis, event: WorldEvent) {
        self.sequence += 1;
        self.agenda.push(std::cmp::Reverse((at, self.sequence, event)));
    }

    pub(super) fn soon(&mut self) -> UnixMillis {
        UnixMillis(self.now.0 + self.rng.random_range(0..=self.max_latency_ms))
    }

    pub(super) fn queued(&self, id: DeliveryId, row: &Row) -> QueuedDelivery {
        let event = Event {
            id: EventId(id.0),
            organization_id: OrganizationId(1),
            event_type: "call.completed".to_owned(),
            occurred_at: START,
            accepted_at: START,
            body: Bytes::from_static(b"{}"),
            trace: None,
        };
        QueuedDelivery {
            id,
            attempts_made: row.attempts,
            attempts_not_counted: row.earlier,
            queued_at: row.queued_at,
            due_at: row.due_at,
            event: Arc::new(event),
            follow_up: None,
        }
    }

    pub(super) fn publish(&mut self, count: usize, by_memory: bool) {
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
            false => self.feed(Input::MoreInStore { since: Some(self.now) }),
        }
    }

    /// Deliveries become pending, and the machine hears of it later: of events that were accepted a while ago, or by a
    /// clock that is behind, or of one that is sent again.
    fn add_unannounced(&mut self, count: usize, behind_ms: i64, again: bool) {
        let at = UnixMillis(self.now.0 - behind_ms);
        let ended = |(_, row): &(&DeliveryId, &Row)| row.is_final.is_some();
        let ids: Vec<DeliveryId> = match again {
            true => self.rows.iter().filter(ended).map(|(id, _)| *id).take(count).collect(),
            false => {
                self.next_id += count as i64;
                (self.next_id - count as i64..self.next_id).map(DeliveryId).collect()
            }
        };
        for id in &ids {
            let old = self.rows.get(id).map_or((0, 0), |row| (row.attempts, row.finals));
            let (attempts, finals) = old;
            let rounds = if again && self.rng.random_bool(0.3) { Rounds::Once } else { Rounds::Schedule };
            let earlier = attempts as i32 - rounds.begins_at();
            let row = Row { queued_at: at, due_at: at, attempts, earlier, is_final: None, finals };
            self.rows.insert(*id, row);
        }
        self.unannounced.extend(&ids);
        let announced_at = self.soon();
        let generation = self.generation;
        self.at(announced_at, WorldEvent::Announce { ids, at, again, generation });
    }

    fn announce(&mut self, ids: &[DeliveryId], at: UnixMillis, again: bool) {
        ids.iter().for_each(|id| _ = self.unannounced.remove(id));
        if again || self.rng.random_bool(0.3) {
            return self.feed(Input::MoreInStore { since: Some(at).filter(|_| !again) });
        }
        let unread = Row { queued_at: at, due_at: at, attempts: 0, earlier: 0, is_final: None, finals: 0 };
        let committed = ids.iter().map(|id| self.queued(*id, &unread)).collect();
        self.feed(Input::Committed(committed));
    }

    /// Whatever a page that begins here does not see is in the machine's memory, or not announced yet.
    fn check_passed(&self, after: Option<QueuePosition>) {
        if after.is_none() {
            return;
        }
        let known = self.machine.held_ids();
        for (id, row) in self.rows.iter().filter(|(_, row)| row.is_final.is_none()) {
            let is_passed = Some(QueuePosition { queued_at: row.queued_at, id: *id }) <= after;
            let is_missed = is_passed && !known.contains(id) && !self.unannounced.contains(id);
            assert!(!is_missed, "{id} at {:?} is in front of {after:?}", row.queued_at);
        }
    }

    pub(super) fn read_page(&mut self, max_deliveries: usize, after: Option<QueuePosition>) {
        self.check_passed(after);
        self.pages += 1;
        self.pages_from_head += usize::from(after.is_none());
        let is_behind =
            |id: &DeliveryId, row: &Row| after < Some(QueuePosition { queued_at: row.queued_at, id: *id });
        let known = self.machine.held_ids();
        let now = self.now;
        let mut pending: Vec<_> = self.rows.iter().filter(|(_, row)| row.is_final.is_none()).collect();
        pending.sort_by_key(|(id, row)| (row.queued_at, **id));
        let next_due_at = pending.iter().map(|(_, row)| row.queued_at).find(|at| *at > now);
        let due: Vec<_> = pending
            .into_iter()
            .filter(|(id, row)| row.queued_at <= now && is_behind(id, row) && !known.contains(id))
            .collect();
        let more = due.len() > max_deliveries;
        let deliveries: Vec<QueuedDelivery> =
            due.into_iter().take(max_deliveries).map(|(id, row)| self.queued(*id, row)).collect();
        let last = deliveries.last().map(|last| QueuePosition { queued_at: last.queued_at, id: last.id });
        let all = QueuePosition { queued_at: now, id: DeliveryId(i64::MAX) };
        let end = if more { last.or(after) } else { Some(all) };
        self.snapshot = Some((deliveries, more, next_due_at, end));
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
        let effects = self.machine.step(input, self.now, &mut self.rng);
        for effect in effects {
            self.perform(effect);
        }
        self.check_in_flight();
        self.loads.push((self.now, self.machine.in_flight()));
        let wake = self.machine.wake_at(self.now);
        if let Some(at) =
            wake.filter(|at| self.scheduled_wake.is_none_or(|known| *at < known || known <= self.now))
        {
            assert!(at > self.now, "a wake-up in the past would spin");
            self.scheduled_wake = Some(at);
            let generation = self.generation;
            self.at(at, WorldEvent::Wake { generation });
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        let generation = self.generation;
        match effect {
            Effect::Attempt { delivery, number, secret } => {
                let row = &self.rows[&delivery.id];
                assert!(row.is_final.is_none(), "{} was attempted after its end", delivery.id);
                assert!(row.due_at <= self.now, "{} was attempted before it was due", delivery.id);
                let place = RoundPlace::of(number, delivery.attempts_not_counted);
                let is_on_schedule = place.among_all() <= self.settings.retry.max_attempts();
                assert!(is_on_schedule || place.is_manual() && place.in_its_round() == 1);
                let is_fresh = delivery.follow_up.as_ref().is_some_and(|known| known.on_fresh_connection);
                self.signed.push((secret, is_fresh));
                if self.settings.ordered {
                    let earlier = self.rows.range(..delivery.id).find(|(_, row)| row.is_final.is_none());
                    let overtaken = earlier.filter(|(id, _)| !self.machine.unrecorded.contains_key(*id));
                    assert!(overtaken.is_none(), "{} overtook {overtaken:?}", delivery.id);
                }
                self.sent.push((delivery.id, number, self.now));
                let id = delivery.id;
                let doubled = self.in_flight.insert(id, delivery);
                assert!(doubled.is_none(), "{id} was in flight twice");
                let at = UnixMillis(self.soon().0 + self.min_latency_ms);
                self.at(at, WorldEvent::Answer { id, generation });
            }
            Effect::Record { delivery_id, next, health, disable, announcements, .. } => {
                self.health = health.unwrap_or(self.health);
                self.was_gone |= disable == Some(DisabledReason::Gone);
                self.announcements.extend(announcements.into_iter().map(|announcement| (self.now, announcement)));
                // those of one delivery keep their order
                let last = self.recorded_at.get(&delivery_id).copied();
                let at = self.soon().max(last.unwrap_or_default());
                self.recorded_at.insert(delivery_id, at);
                let next = match next {
                    NextStep::Succeeded => RecordedStep::Succeeded,
                    NextStep::Failed => RecordedStep::Failed,
                    NextStep::RetryAt(at) => RecordedStep::RetryAt(at),
                    NextStep::UncountedRetryAt(at) => RecordedStep::UncountedRetryAt(at),
                };
                self.at(at, WorldEvent::Recorded { id: delivery_id, next, generation });
            }
            Effect::Load { max_deliveries, after, .. } => {
                self.read_page(max_deliveries, after);
                let at = self.soon();
                self.at(at, WorldEvent::Page { generation });
            }
            Effect::SaveHealth(health) => self.health = health,
        }
    }

    /// The most attempts that were in flight at once.
    pub(super) fn most_in_flight_since(&self, since: UnixMillis) -> usize {
        self.loads.iter().filter(|(at, _)| *at >= since).map(|(_, load)| *load).max().unwrap_or(0)
    }

    pub(super) fn check_in_flight(&self) {
        let limit = if self.settings.ordered { 1 } else { self.settings.max_in_flight as usize };
        assert!(self.machine.in_flight() <= limit.max(8));
        let probes = self.machine.in_flight.values().filter(|attempt| attempt.is_probe).count();
        assert!(probes <= 1, "two probes at once");
        assert!(self.machine.unrecorded.len() <= 2 * 8);
    }

    pub(super) fn happen(&mut self, event: WorldEvent) {
        match event {
            WorldEvent::Publish { count, by_memory } => self.publish(count, by_memory),
            WorldEvent::Add { count, behind_ms, again } => self.add_unannounced(count, behind_ms, again),
            WorldEvent::Announce { ids, at, again, generation } if generation == self.generation => {
                self.announce(&ids, at, again);
            }
            WorldEvent::Succession => self.succeed(),
            WorldEvent::Answer { id, generation } if generation == self.generation => {
                // a test may have finished it already
                let Some(delivery) = self.in_flight.remove(&id) else { return };
                if (self.is_starved)(self.now, &mut self.rng) {
                    self.not_make(delivery);
                    return;
                }
                let number = self.sent.iter().filter(|(sent, ..)| *sent == id).count() as u32;
                let last = self.sent.iter().rposition(|(sent, ..)| *sent == id).expect("it was sent");
                let status = match &self.answer {
                    Some(answer) => Ok(answer(self.signed[last].0)),
                    None => (self.receiver)(self.now, number),
                };
                let answer = status.map(|status| Response::new(status, Vec::new(), Bytes::new()));
                self.feed(Input::AttemptFinished { delivery: &delivery, response: &answer });
            }
            WorldEvent::Recorded { id, next, generation } if generation == self.generation => {
                self.record(id, next);
                self.feed(Input::OutcomesRecorded(&[id]));
            }
            WorldEvent::Page { generation } if generation == self.generation => {
                let (deliveries, more, next_due_at, end) = self.snapshot.take().expect("a page was read");
                if self.rng.random_ratio(1, 10) {
                    self.feed(Input::LoadFailed);
                } else {
                    self.feed(Input::Loaded { deliveries, more, next_due_at, end });
                }
            }
            WorldEvent::Wake { generation } if generation == self.generation => {
                if self.scheduled_wake == Some(self.now) {
                    self.scheduled_wake = None;
                }
                self.feed(Input::Wake);
            }
            WorldEvent::Crash => self.crash(),
            WorldEvent::Toggle { max_in_flight } => {
                self.settings.max_in_flight = max_in_flight;
                self.feed(Input::Reconfigured(self.settings.clone()));
            }
            _ => {}
        }
    }

    fn not_make(&mut self, delivery: QueuedDelivery) {
        let id = delivery.id;
        let place = self.sent.iter().rposition(|(sent, ..)| *sent == id).expect("it was about to be sent");
        self.sent.remove(place);
        self.signed.remove(place);
        self.not_made.push(self.now);
        self.feed(Input::AttemptNotMade(delivery));
    }

    pub(super) fn record(&mut self, id: DeliveryId, next: RecordedStep) {
        let ordered = self.settings.ordered;
        let row = self.rows.get_mut(&id).expect("only known deliveries are recorded");
        row.attempts += 1;
        match next {
            RecordedStep::Succeeded => row.is_final = Some(NextStep::Succeeded),
            RecordedStep::Failed => row.is_final = Some(NextStep::Failed),
            RecordedStep::RetryAt(at) | RecordedStep::UncountedRetryAt(at) => {
                row.earlier += i32::from(matches!(next, RecordedStep::UncountedRetryAt(_)));
                row.due_at = at;
                if !ordered {
                    row.queued_at = at;
                }
            }
        }
        row.finals += u32::from(row.is_final.is_some());
    }

    /// Only when nothing is in flight, recorded or read, as for a real supervisor.
    fn succeed(&mut self) {
        if self.machine.pending_work(self.now) != PendingWork::Busy && self.unannounced.is_empty() {
            let cursor = self.machine.cursor_for_successor();
            self.crash_before(|machine| machine.read_on(cursor));
        }
    }

    pub(super) fn crash(&mut self) {
        self.unannounced.clear();
        self.crash_before(|_| {});
    }

    fn crash_before(&mut self, prepare: impl FnOnce(&mut EndpointMachine)) {
        self.generation += 1;
        self.in_flight.clear();
        self.snapshot = None;
        self.scheduled_wake = None;
        self.machine = EndpointMachine::new(
            self.settings.clone(),
            LIMITS,
            self.health,
            RateLimitHistory::UnknownUntil(self.now),
        );
        prepare(&mut self.machine);
        self.feed(Input::Wake);
    }

    /// Runs until nothing is left to happen, or the instant is reached.
    pub(super) fn run_until(&mut self, end: UnixMillis) {
        while let Some(std::cmp::Reverse((at, _, _))) = self.agenda.peek() {
            if *at > end {
                break;
            }
            let Some(std::cmp::Reverse((at, _, event))) = self.agenda.pop() else { break };
            self.now = at;
            self.happen(event);
        }
        self.now = self.now.max(end);
    }

    pub(super) fn pending(&self) -> usize {
        self.rows.values().filter(|row| row.is_final.is_none()).count()
    }

    pub(super) fn times_of(&self, id: i64) -> Vec<u64> {
        self.sent.iter().filter(|(sent, ..)| sent.0 == id).map(|(_, _, at)| at.since(START).as_secs()).collect()
    }
}
