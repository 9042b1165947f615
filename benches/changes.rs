//! How long one step of each long change holds the writer, and how fast retention removes:
//! `cargo bench --bench changes [-- postgres://…]`.
//!
//! Not a criterion bench: each step works on rows that the one before left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringback::domain::attempt::{AttemptResult, NextStep, Outcome, Response};
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::Event;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator, OrganizationId};
use ringback::domain::organization::Organization;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::round::Rounds;
use ringback::domain::secret::Secret;
use ringback::domain::sent_request::SentRequest;
use ringback::domain::statistics::{PeriodCounts, StatisticsDelta};
use ringback::domain::time::UnixMillis;
use ringback::store::cipher::Cipher;
use ringback::store::{IdempotencyKey, NewEvent, ReplayTargets, RequeueRange, Store, WriteBatch, open};

/// Events with one delivery each, as many organizations publish them.
const EVENTS: usize = 100_000;
/// Deliveries of one endpoint, in events of its own.
const BACKLOG: usize = 20_000;
/// Endpoints of one organization; also the deliveries of its widest event.
const ENDPOINTS: usize = 10_000;
/// Each tenth delivery succeeded with its second attempt.
const RETRIED: usize = 10;
const EVENTS_A_COMMIT: usize = 200;
const BODY_BYTES: usize = 1_024;
/// The load beside retention: this many events with their outcomes in a commit, as often as this.
const LOAD_EVENTS: usize = 50;
const LOAD_EVERY: Duration = Duration::from_millis(10);
const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
const BEGIN: UnixMillis = UnixMillis(1_767_225_600_000);

struct World {
    store: Arc<dyn Store>,
    ids: IdGenerator,
    now: UnixMillis,
    organization_id: OrganizationId,
}

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = std::env::args().find(|argument| argument.contains("://"));
    let url = url.unwrap_or_else(|| format!("sqlite://{}", folder.path().join("bench.db").display()));
    let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
    let store = open(&url, Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default()))?)?;
    let ids = IdGenerator::new(0, store.largest_id()?);
    let mut world = World { store, ids, now: BEGIN, organization_id: OrganizationId(0) };
    world.organization_id = world.organization()?;
    println!("{:<44} {:>6} {:>9} {:>9} {:>9} {:>9}", "", "steps", "p50 ms", "p99 ms", "max ms", "rows/s");
    for step in [1_000, 500, 250] {
        world.resends(step)?;
    }
    world.cancellations()?;
    world.small_rows()?;
    world.wide_event()?;
    world.retention()?;
    world.deletion()
}

impl World {
    fn id(&mut self) -> i64 {
        self.ids.next(self.now)
    }

    fn organization(&mut self) -> anyhow::Result<OrganizationId> {
        let id = OrganizationId(self.id());
        self.store.create_organization(&Organization::named(id, "Acme", BEGIN))?;
        Ok(id)
    }

    fn endpoint(&mut self, organization_id: OrganizationId) -> anyhow::Result<EndpointId> {
        let id = EndpointId(self.id());
        let url = "https://example.com/hook";
        let endpoint = Endpoint::new(id, organization_id, url, Secret::new(String::from(SECRET)), BEGIN);
        self.store.create_endpoint(&endpoint)?;
        Ok(id)
    }

    fn event(&mut self, organization_id: OrganizationId, targets: &[EndpointId]) -> NewEvent {
        let event = Event {
            id: EventId(self.id()),
            organization_id,
            event_type: String::from("call.completed"),
            occurred_at: self.now,
            accepted_at: self.now,
            body: Bytes::from(vec![b'x'; BODY_BYTES]),
            trace: None,
        };
        let deliveries = targets.iter().map(|&endpoint_id| (DeliveryId(self.id()), endpoint_id)).collect();
        NewEvent { event: Arc::new(event), deliveries, labels: None, idempotency: None, batch: None }
    }

    /// Stores events with one delivery each, to the endpoints in turns, and gives their outcomes to `outcomes`.
    fn publish(&mut self, number: usize, endpoints: &[EndpointId], status: DeliveryStatus) -> anyhow::Result<()> {
        for commit in 0..number.div_ceil(EVENTS_A_COMMIT) {
            self.now.0 += 10;
            let events: Vec<NewEvent> = (0..EVENTS_A_COMMIT.min(number - commit * EVENTS_A_COMMIT))
                .map(|n| {
                    self.event(
                        self.organization_id,
                        &[endpoints[(commit * EVENTS_A_COMMIT + n) % endpoints.len()]],
                    )
                })
                .collect();
            let outcomes = outcomes(&events, status);
            self.store.commit(&WriteBatch { events, ..WriteBatch::default() }, self.now)?;
            self.store.commit(&WriteBatch { outcomes, ..WriteBatch::default() }, self.now)?;
        }
        self.store.checkpoint()?;
        Ok(())
    }

    fn resends(&mut self, step: usize) -> anyhow::Result<()> {
        let endpoint_id = self.endpoint(self.organization_id)?;
        self.publish(BACKLOG, &[endpoint_id], DeliveryStatus::Failed)?;
        let range = RequeueRange {
            since: BEGIN,
            until: UnixMillis(self.now.0 + 1),
            status: DeliveryStatus::Failed,
            rounds: Rounds::Schedule,
        };
        let mut times = Times::default();
        let mut after = None;
        loop {
            let (store, owner, now) = (&self.store, self.organization_id, self.now);
            let page = times.step(|| store.requeue_range(owner, endpoint_id, &range, after, step, now))?;
            times.rows += page.deliveries;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        times.print(&format!("recover, {step} a step"));
        // as if all of them waited for a retry
        let mut times = Times::default();
        let mut after = None;
        let before = UnixMillis(self.now.0 - 1);
        loop {
            let (store, owner) = (&self.store, self.organization_id);
            let made = times.step(|| store.make_due(owner, endpoint_id, after, step, before))?;
            times.rows += made.deliveries;
            after = made.next;
            if after.is_none() {
                break;
            }
        }
        times.print(&format!("resume, {step} a step"));
        Ok(())
    }

    fn cancellations(&mut self) -> anyhow::Result<()> {
        let endpoint_id = self.endpoint(self.organization_id)?;
        self.publish(BACKLOG, &[endpoint_id], DeliveryStatus::Pending)?;
        let mut times = Times::default();
        let (store, owner, now) = (&self.store, self.organization_id, self.now);
        loop {
            let cancelled = times.step(|| store.cancel_pending(owner, endpoint_id, now))?;
            times.rows += cancelled;
            if cancelled == 0 {
                break;
            }
        }
        times.print("cancel");
        Ok(())
    }

    fn small_rows(&mut self) -> anyhow::Result<()> {
        for commit in 0..100 {
            self.now.0 += 10;
            let mut events: Vec<NewEvent> = (0..200).map(|_| self.event(self.organization_id, &[])).collect();
            for (place, new) in events.iter_mut().enumerate() {
                // as random as keys are
                let key = format!("{:016x}", (commit * 200 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                new.idempotency = Some(IdempotencyKey { key, request_hash: [1; 32] });
            }
            self.store.commit(&WriteBatch { events, ..WriteBatch::default() }, self.now)?;
            let statistics = (0..200).map(|n| StatisticsDelta {
                period_start: UnixMillis(BEGIN.0 + commit as i64 * 300_000),
                organization_id: OrganizationId(n % 20),
                endpoint_id: EndpointId(1_000 + n),
                counts: PeriodCounts { succeeded: 1, ..PeriodCounts::default() },
            });
            let statistics = statistics.collect();
            self.store.commit(&WriteBatch { statistics, ..WriteBatch::default() }, self.now)?;
        }
        let store = self.store.clone();
        let late = UnixMillis(self.now.0 + 100 * 300_000);
        for step in [2_000, 500] {
            let mut times = Times::default();
            while times.steps.len() < 4 {
                times.rows += times.step(|| store.prune_idempotency_keys(late, step))?;
            }
            times.print(&format!("prune keys, {step} a step"));
            let mut times = Times::default();
            while times.steps.len() < 4 {
                times.step(|| store.prune_statistics(late, step))?;
                times.rows += step;
            }
            times.print(&format!("prune counts, {step} a step"));
        }
        Ok(())
    }

    /// The widest event that an organization can have: replayed, then removed.
    fn wide_event(&mut self) -> anyhow::Result<()> {
        let organization_id = self.organization()?;
        let endpoints = (0..ENDPOINTS).map(|_| self.endpoint(organization_id)).collect::<Result<Vec<_>, _>>()?;
        let wide = self.event(organization_id, &endpoints);
        let event_id = wide.event.id;
        let events = vec![wide];
        let outcomes = outcomes(&events, DeliveryStatus::Success);
        self.store.commit(&WriteBatch { events, ..WriteBatch::default() }, self.now)?;
        self.store.commit(&WriteBatch { outcomes: outcomes.clone(), ..WriteBatch::default() }, self.now)?;
        let (store, now) = (self.store.clone(), self.now);
        let mut times = Times::default();
        times.step(|| {
            store.replay_event(
                organization_id,
                event_id,
                &ReplayTargets::Delivered,
                Rounds::Schedule,
                &mut || self.ids.next(now),
                now,
            )
        })?;
        times.rows = ENDPOINTS;
        times.print("replay to 10,000 (whole call)");
        let again = outcomes.into_iter().map(|outcome| Outcome { number: outcome.number + 1, ..outcome });
        self.store.commit(&WriteBatch { outcomes: again.collect(), ..WriteBatch::default() }, self.now)?;
        self.beside("others' commits while an organization is deleted", |store, times| {
            times.step(|| store.delete_organization(organization_id, now))?;
            times.rows = ENDPOINTS;
            Ok(())
        })?;
        self.beside("others' commits while it is purged", |store, times| {
            while times.step(|| store.purge_organizations(now, 500))? {}
            times.rows = 2 * ENDPOINTS;
            Ok(())
        })
    }

    fn retention(&mut self) -> anyhow::Result<()> {
        let endpoints = (0..1_000).map(|_| self.endpoint(self.organization_id)).collect::<Result<Vec<_>, _>>()?;
        // what the other parts left, first
        let mut position = None;
        let begin = self.now;
        loop {
            position = self.store.prune(begin, position, 500)?.next;
            if position.is_none() {
                break;
            }
        }
        self.publish(EVENTS, &endpoints, DeliveryStatus::Success)?;
        let half = UnixMillis(begin.0 + (self.now.0 - begin.0) / 2);
        let end = self.now;
        let sweep = move |store: &dyn Store, times: &mut Times, before, pauses: bool| -> anyhow::Result<()> {
            let mut position = None;
            loop {
                let report = times.step(|| store.prune(before, position, 500))?;
                times.rows += report.events;
                position = report.next;
                if position.is_none() {
                    return Ok(());
                }
                if pauses {
                    std::thread::sleep(*times.steps.last().unwrap_or(&Duration::ZERO));
                }
            }
        };
        let mut times = Times::default();
        sweep(self.store.as_ref(), &mut times, half, false)?;
        times.print("retention alone (rows: events)");
        self.beside("commits of 5,000 events/s beside retention", move |store, times| {
            sweep(store, times, end, true)
        })
    }

    /// Deletes an organization with 10,000 webhooks and nothing else.
    fn deletion(&mut self) -> anyhow::Result<()> {
        let organization_id = self.organization()?;
        for _ in 0..ENDPOINTS {
            self.endpoint(organization_id)?;
        }
        let now = self.now;
        self.beside("others' commits while 10,000 webhooks go", move |store, times| {
            times.step(|| store.delete_organization(organization_id, now))?;
            times.rows = ENDPOINTS;
            Ok(())
        })
    }

    /// Runs `work` beside commits of 5,000 events/s, and prints both.
    fn beside(
        &mut self,
        name: &str,
        work: impl FnOnce(&dyn Store, &mut Times) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<()> {
        let endpoint_id = self.endpoint(self.organization_id)?;
        let store = self.store.clone();
        let is_done = AtomicBool::new(false);
        let mut commits = Times::default();
        let worked = std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let mut times = Times::default();
                let began = begin();
                let result = work(store.as_ref(), &mut times);
                is_done.store(true, Ordering::Release);
                result.map(|()| (times, began.elapsed()))
            });
            while !is_done.load(Ordering::Acquire) {
                let next = begin() + LOAD_EVERY;
                self.now.0 += LOAD_EVERY.as_millis() as i64;
                let events: Vec<NewEvent> =
                    (0..LOAD_EVENTS).map(|_| self.event(self.organization_id, &[endpoint_id])).collect();
                let outcomes = outcomes(&events, DeliveryStatus::Success);
                let (now, store) = (self.now, &self.store);
                commits.step(|| store.commit(&WriteBatch { events, ..WriteBatch::default() }, now))?;
                commits.step(|| store.commit(&WriteBatch { outcomes, ..WriteBatch::default() }, now))?;
                commits.rows += LOAD_EVENTS;
                std::thread::sleep(next.saturating_duration_since(begin()));
            }
            working.join().map_err(|_| anyhow::anyhow!("the work panicked"))?
        });
        let (times, took) = worked?;
        times.print(&format!("  ({} rows in {:.2} s) its steps", times.rows, took.as_secs_f64()));
        println!("  = {:.0} rows/s with all pauses", times.rows as f64 / took.as_secs_f64());
        commits.print(name);
        Ok(())
    }
}

/// How long steps took.
#[derive(Default)]
struct Times {
    steps: Vec<Duration>,
    rows: usize,
}

impl Times {
    fn step<T, E>(&mut self, step: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let began = begin();
        let result = step();
        self.steps.push(began.elapsed());
        result
    }

    fn print(&self, name: &str) {
        let mut sorted = self.steps.clone();
        sorted.sort_unstable();
        let at = |part: f64| sorted.get((sorted.len() as f64 * part) as usize).or(sorted.last());
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let total: Duration = self.steps.iter().sum();
        println!(
            "{name:<44} {:>6} {:>9.1} {:>9.1} {:>9.1} {:>9.0}",
            self.steps.len(),
            ms(at(0.5)),
            ms(at(0.99)),
            ms(sorted.last()),
            self.rows as f64 / total.as_secs_f64()
        );
    }
}

/// The outcomes that end deliveries with this status: none for pending ones.
fn outcomes(events: &[NewEvent], status: DeliveryStatus) -> Vec<Outcome> {
    let (code, next) = match status {
        DeliveryStatus::Success => (200, NextStep::Succeeded),
        DeliveryStatus::Failed => (500, NextStep::Failed),
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    let mut numbers: BTreeMap<DeliveryId, u32> = BTreeMap::new();
    for new in events {
        for &(delivery_id, endpoint_id) in &new.deliveries {
            let mut add = |code, next| {
                let number = numbers.entry(delivery_id).or_default();
                *number += 1;
                let response = Response::new(code, vec![], Bytes::from_static(b"{\"ok\":true}"));
                found.push(Outcome {
                    organization_id: new.event.organization_id,
                    endpoint_id,
                    delivery_id,
                    number: *number,
                    started_at: new.event.accepted_at,
                    finished_at: new.event.accepted_at,
                    ordered: false,
                    request: SentRequest { event_id: new.event.id, ..SentRequest::default() },
                    result: AttemptResult { response: Ok(response), duration: Duration::from_millis(3) },
                    next,
                });
            };
            if (delivery_id.0 as usize).is_multiple_of(RETRIED) {
                add(503, NextStep::RetryAt(new.event.accepted_at));
            }
            add(code, next);
        }
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's time")]
fn begin() -> std::time::Instant {
    std::time::Instant::now()
}
