//! Random histories: after every step a database returns the same as the store in memory.

mod lists;
mod sending_again;

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringback::domain::attempt::{AttemptError, NextStep, Outcome};
use ringback::domain::delivery::{DeliveryFilter, DeliveryStatus};
use ringback::domain::endpoint::DisabledReason;
use ringback::domain::event::{Event, EventFilter};
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator, OrganizationId};
use ringback::domain::labels::EventLabels;
use ringback::domain::last_failure::LastFailure;
use ringback::domain::organization::Organization;
use ringback::domain::rotation::SecretId;
use ringback::domain::round::Rounds;
use ringback::domain::statistics::StatisticsDelta;
use ringback::domain::time::UnixMillis;
use ringback::store::memory::MemoryStore;
use ringback::store::{
    CommitReport, DisableEndpoint, DueRequest, IdempotencyKey, NewEvent, PageRequest, QueuePosition, SavedHealth,
    Store, WriteBatch,
};

use crate::fixture::{Fixture, START, URL, first_page, outcome, plain_endpoint, unanswered};

/// The endpoints of a history: the first two belong to one organization, the others to another.
const ENDPOINTS: usize = 4;
const TYPES: [&str; 2] = ["call.completed", "user.created"];
const LONGER_THAN_A_HISTORY: std::time::Duration = std::time::Duration::from_secs(60 * 24 * 3_600);
/// Filters by response code: codes and classes, with an index and without one.
const CODES: [(u16, u16); 5] = [(500, 599), (400, 499), (503, 503), (200, 200), (200, 299)];

#[derive(Debug, Clone)]
enum Step {
    /// To those endpoints of the mask that belong to the organization.
    Publish {
        second: bool,
        mask: u8,
        event_type: usize,
        key: Option<u8>,
        request: u8,
        bytes: usize,
    },
    /// For one of the deliveries so far.
    Attempt {
        delivery: prop::sample::Index,
        number: u32,
        answer: u8,
        delay: i64,
        ordered: bool,
    },
    Cancel {
        endpoint: usize,
    },
    Delete {
        endpoint: usize,
    },
    Gone {
        endpoint: usize,
    },
    Again {
        delivery: prop::sample::Index,
        once: bool,
    },
    /// One that waits for a retry is made due.
    Hurry {
        delivery: prop::sample::Index,
    },
    Recover {
        endpoint: usize,
        success: bool,
        since: prop::sample::Index,
        until: prop::sample::Index,
        after: Option<prop::sample::Index>,
        limit: usize,
        once: bool,
    },
    /// To the endpoints of the mask, or to those that it was delivered to.
    Replay {
        event: prop::sample::Index,
        mask: Option<u8>,
        by_owner: bool,
        once: bool,
    },
    /// The payload of an event, or the response to an attempt.
    Erase {
        at: prop::sample::Index,
        attempt: Option<u32>,
    },
    Prune {
        before: prop::sample::Index,
        after: Option<prop::sample::Index>,
        limit: usize,
    },
    PruneKeys {
        age: i64,
    },
    /// Payloads whose time has come are forgotten.
    Expire {
        limit: usize,
    },
    Health {
        endpoint: usize,
        failing: bool,
        open: bool,
    },
    Wait {
        seconds: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let publish =
        (any::<bool>(), 0..16u8, 0..TYPES.len(), prop::option::weighted(0.4, 0..3u8), 0..2u8, 1..500usize);
    let attempt = (any::<prop::sample::Index>(), 1..7u32, 0..6u8, 0..200i64, any::<bool>());
    let endpoint = 0..ENDPOINTS;
    let index = || any::<prop::sample::Index>();
    let after = prop::option::weighted(0.3, index());
    let recover = (0..ENDPOINTS, any::<bool>(), index(), index(), after, 1..4usize, any::<bool>());
    let replay = (index(), prop::option::weighted(0.7, 0..16u8), prop::bool::weighted(0.9), any::<bool>());
    let prune = (index(), prop::option::weighted(0.5, index()), 1..4usize);
    prop_oneof![
        8 => publish.prop_map(|(second, mask, event_type, key, request, bytes)| {
            Step::Publish { second, mask, event_type, key, request, bytes }
        }),
        12 => attempt.prop_map(|(delivery, number, answer, delay, ordered)| {
            Step::Attempt { delivery, number, answer, delay, ordered }
        }),
        1 => endpoint.clone().prop_map(|endpoint| Step::Cancel { endpoint }),
        1 => endpoint.clone().prop_map(|endpoint| Step::Delete { endpoint }),
        1 => endpoint.clone().prop_map(|endpoint| Step::Gone { endpoint }),
        4 => (index(), any::<bool>()).prop_map(|(delivery, once)| Step::Again { delivery, once }),
        4 => index().prop_map(|delivery| Step::Hurry { delivery }),
        2 => (1..4usize).prop_map(|limit| Step::Expire { limit }),
        3 => recover.prop_map(|(endpoint, success, since, until, after, limit, once)| {
            Step::Recover { endpoint, success, since, until, after, limit, once }
        }),
        4 => replay.prop_map(|(event, mask, by_owner, once)| Step::Replay { event, mask, by_owner, once }),
        1 => (index(), prop::option::of(1..4u32)).prop_map(|(at, attempt)| Step::Erase { at, attempt }),
        2 => prune.prop_map(|(before, after, limit)| Step::Prune { before, after, limit }),
        1 => (0..200i64).prop_map(|age| Step::PruneKeys { age }),
        2 => (endpoint, any::<bool>(), any::<bool>())
            .prop_map(|(endpoint, failing, open)| Step::Health { endpoint, failing, open }),
        4 => prop_oneof![4 => 0..100i64, 1 => Just(24 * 3600), 2 => -4_000..0i64].prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn rounds(once: bool) -> Rounds {
    if once { Rounds::Once } else { Rounds::Schedule }
}

/// The queries after every step.
#[derive(Debug, Clone)]
struct Question {
    max_deliveries: usize,
    max_bytes: usize,
    known: usize,
    limit: usize,
    page: usize,
    filter: DeliveryFilter,
    /// Seconds after the beginning of the history.
    from: Option<i64>,
    to: Option<i64>,
    by_endpoint: Option<usize>,
    since: prop::sample::Index,
}

fn question() -> impl Strategy<Value = Question> {
    let filter = (
        (prop::option::weighted(0.3, 0..TYPES.len()), prop::option::weighted(0.3, 0..4usize)),
        prop::option::weighted(0.4, prop::sample::select(&DeliveryStatus::ALL[..])),
        prop::option::weighted(0.3, prop::sample::select(&CODES[..])),
        prop::option::weighted(0.3, 0..300i64),
        prop::option::weighted(0.3, 0..300i64),
    );
    let numbers = (0..6usize, 0..1_500usize, 0..4usize, 1..6usize, 0..4usize);
    let since = any::<prop::sample::Index>();
    (numbers, filter, prop::option::weighted(0.4, 0..ENDPOINTS), since).prop_map(
        |(numbers, filter, by_endpoint, since)| {
            let (max_deliveries, max_bytes, known, limit, page) = numbers;
            let ((event_type, tag), status, response_code, from, to) = filter;
            let filter = DeliveryFilter {
                endpoint_id: None,
                event_id: None,
                event_type: event_type.map(|index| TYPES[index].to_owned()),
                tag: tag.map(|number| if number == 3 { String::from("every") } else { format!("t{number}") }),
                status,
                response_code,
                from: None,
                to: None,
            };
            Question { max_deliveries, max_bytes, known, limit, page, filter, from, to, by_endpoint, since }
        },
    )
}

/// One history on both stores.
struct History<'a> {
    stores: [&'a dyn Store; 2],
    /// Whether the second one keeps a key for each own id, as where several nodes write.
    keeps_keys_of_ids: bool,
    ids: &'a mut IdGenerator,
    begin: UnixMillis,
    now: UnixMillis,
    organizations: [OrganizationId; 2],
    endpoints: Vec<EndpointId>,
    /// With their organization and endpoint.
    deliveries: Vec<(DeliveryId, OrganizationId, EndpointId)>,
    /// With their organization.
    events: Vec<(EventId, OrganizationId)>,
    /// Instants at which something was stored, and shortly after. Ids can be ahead of them: clocks are set
    /// back.
    instants: Vec<UnixMillis>,
}

impl<'a> History<'a> {
    fn begin(stores: [&'a dyn Store; 2], ids: &'a mut IdGenerator, now: UnixMillis) -> Self {
        let organizations = [OrganizationId(ids.next(now)), OrganizationId(ids.next(now))];
        let endpoints: Vec<EndpointId> = (0..ENDPOINTS).map(|_| EndpointId(ids.next(now))).collect();
        let history = Self {
            stores,
            keeps_keys_of_ids: false,
            ids,
            begin: now,
            now,
            organizations,
            endpoints,
            deliveries: Vec::new(),
            events: Vec::new(),
            instants: vec![now],
        };
        for store in stores {
            for id in organizations {
                let organization = Organization::named(id, "Acme", now);
                store.create_organization(&organization).unwrap();
            }
            for (index, &id) in history.endpoints.iter().enumerate() {
                store.create_endpoint(&plain_endpoint(id, history.owner(index))).unwrap();
            }
        }
        history
    }

    fn owner(&self, endpoint: usize) -> OrganizationId {
        self.organizations[usize::from(endpoint >= 2)]
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let mut batch = WriteBatch::default();
        match *step {
            Step::Wait { seconds } => self.now.0 += seconds * 1_000,
            Step::Again { ref delivery, once } => self.again(delivery, rounds(once))?,
            Step::Hurry { ref delivery } => self.hurry(delivery)?,
            Step::Erase { ref at, attempt } => self.erase(at, attempt)?,
            Step::Expire { limit } => {
                let [one, other] = self.stores.map(|store| store.erase_expired_payloads(self.now, limit).unwrap());
                prop_assert_eq!(one, other);
            }
            Step::Recover { .. } => self.recover(step)?,
            Step::Replay { ref event, mask, by_owner, once } => {
                self.replay(event, mask, by_owner, rounds(once))?
            }
            Step::Prune { .. } | Step::PruneKeys { .. } => self.prune(step)?,
            Step::Publish { second, mask, event_type, key, request, bytes } => {
                batch.events.push(self.event(second, mask, event_type, key, request, bytes));
            }
            Step::Attempt { ref delivery, number, answer, delay, ordered } => {
                if !self.deliveries.is_empty() {
                    let outcome = self.attempt(delivery, number, answer, delay, ordered);
                    batch.statistics.push(StatisticsDelta::of(&outcome));
                    batch.failures.extend(LastFailure::of(&outcome));
                    batch.outcomes.push(outcome);
                }
            }
            Step::Cancel { endpoint } => {
                let owner = self.owner(endpoint);
                let [one, other] = self
                    .stores
                    .map(|store| store.cancel_pending(owner, self.endpoints[endpoint], self.now).unwrap());
                prop_assert_eq!(one, other);
            }
            Step::Delete { endpoint } => {
                let owner = self.owner(endpoint);
                let [one, other] = self
                    .stores
                    .map(|store| store.delete_endpoint(owner, self.endpoints[endpoint], self.now).unwrap());
                prop_assert_eq!(one, other);
            }
            Step::Gone { endpoint } => batch.disable.push(DisableEndpoint {
                organization_id: self.owner(endpoint),
                endpoint_id: self.endpoints[endpoint],
                reason: DisabledReason::Gone,
                url: URL.into(),
                announced_by: None,
            }),
            Step::Health { endpoint, failing, open } => batch.health.push(SavedHealth {
                health: EndpointHealth {
                    endpoint_id: self.endpoints[endpoint],
                    organization_id: self.owner(endpoint),
                    failing_since: failing.then_some(self.now),
                    probe_at: open.then_some(self.now),
                    pauses: 1,
                    notified: failing,
                    streak_ends_at: failing.then_some(self.now),
                    accepted_secret: open.then_some(SecretId(7)),
                },
                url: URL.into(),
            }),
        }
        let [one, other] = self.stores.map(|store| {
            let report = store.commit(&batch, self.now).unwrap();
            let disabled: Vec<_> =
                report.disabled.iter().map(|endpoint| (endpoint.id, endpoint.version)).collect();
            let CommitReport { events, outcomes_recorded, after_cancellation, .. } = report;
            format!("{events:?} {outcomes_recorded:?} {after_cancellation:?} {disabled:?}")
        });
        prop_assert_eq!(one, other);
        Ok(())
    }

    fn erase(&self, at: &prop::sample::Index, attempt: Option<u32>) -> Result<(), TestCaseError> {
        if self.deliveries.is_empty() || self.events.is_empty() {
            return Ok(());
        }
        let (&(id, owner), &(delivery, of, _)) = (at.get(&self.events), at.get(&self.deliveries));
        let [one, other] = self.stores.map(|store| match attempt {
            Some(number) => (store.erase_response(of, delivery, number).unwrap(), None),
            None => (true, store.erase_payload(owner, id, self.now).unwrap()),
        });
        prop_assert_eq!(one, other);
        Ok(())
    }

    fn prune(&self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Prune { before, after, limit } if !self.events.is_empty() => {
                let before = *before.get(&self.instants);
                let after = after.map(|index| index.get(&self.events).0);
                let [one, other] = self.stores.map(|store| store.prune(before, after, *limit).unwrap());
                prop_assert_eq!(one, other);
            }
            Step::PruneKeys { age } => {
                let before = UnixMillis(self.now.0 - age * 1_000);
                // all of them at once: keys used at the same instant have no order. Three times: a round goes on where the last
                // one ended, and begins anew when it finds nothing, so that keys from before a clock was set back go with the third
                let prune = |store: &dyn Store| -> usize {
                    (0..3).map(|_| store.prune_idempotency_keys(before, usize::MAX).unwrap()).sum()
                };
                let [one, other] = self.stores.map(prune);
                match self.keeps_keys_of_ids {
                    true => prop_assert!(one <= other),
                    false => prop_assert_eq!(one, other),
                }
                let [one, other] = self.stores.map(|store| store.prune_statistics(before, usize::MAX).unwrap());
                prop_assert_eq!(one, other);
            }
            _ => {}
        }
        Ok(())
    }

    fn event(
        &mut self,
        second: bool,
        mask: u8,
        event_type: usize,
        key: Option<u8>,
        request: u8,
        bytes: usize,
    ) -> NewEvent {
        let organization_id = self.organizations[usize::from(second)];
        let event = Event {
            id: EventId(self.ids.next(self.now)),
            organization_id,
            event_type: TYPES[event_type].to_owned(),
            occurred_at: self.now,
            accepted_at: self.now,
            body: Bytes::from(vec![b'x'; bytes]),
            trace: None,
        };
        self.events.push((event.id, organization_id));
        self.instants.extend([self.now, UnixMillis(self.now.0 + 1)]);
        let mut deliveries = Vec::new();
        for endpoint in 0..ENDPOINTS {
            if mask & (1 << endpoint) != 0 && self.owner(endpoint) == organization_id {
                let id = DeliveryId(self.ids.next(self.now));
                deliveries.push((id, self.endpoints[endpoint]));
                self.deliveries.push((id, organization_id, self.endpoints[endpoint]));
            }
        }
        let idempotency = key.map(|key| IdempotencyKey { key: key.to_string(), request_hash: [request; 32] });
        let labels = EventLabels {
            channels: vec![String::from("t1")],
            tags: vec![format!("t{}", bytes % 3), String::from("every")],
            uid: bytes.is_multiple_of(4).then(|| format!("u{}", bytes % 5)),
            deliver_at: bytes.is_multiple_of(6).then(|| UnixMillis(self.now.0 + 40_000)),
            erase_at: bytes.is_multiple_of(8).then(|| UnixMillis(self.now.0 + 90_000)),
        };
        let labels = bytes.is_multiple_of(2).then(|| Arc::new(labels));
        NewEvent { event: Arc::new(event), deliveries, labels, idempotency, batch: None }
    }

    fn attempt(
        &self,
        delivery: &prop::sample::Index,
        number: u32,
        answer: u8,
        delay: i64,
        ordered: bool,
    ) -> Outcome {
        let &(id, organization_id, endpoint_id) = delivery.get(&self.deliveries);
        let later = UnixMillis(self.now.0 + delay * 1_000);
        let later = if delay % 2 == 0 { NextStep::RetryAt(later) } else { NextStep::UncountedRetryAt(later) };
        let of = |status, next| outcome(organization_id, endpoint_id, id, number, status, next);
        let outcome = match answer {
            0 => of(200, NextStep::Succeeded),
            1 => of(503, NextStep::Failed),
            5 => of(404, NextStep::Failed),
            2 => unanswered(of(0, NextStep::Failed), AttemptError::Timeout),
            3 => unanswered(of(0, later), AttemptError::DnsFailure(ringback::domain::attempt::DnsFault::Silence)),
            _ => of(500, later),
        };
        Outcome { ordered, finished_at: self.now, ..outcome }
    }

    fn ask(&self, question: &Question) -> Result<(), TestCaseError> {
        let [one, other] = self.stores.map(|store| self.answer(store, question));
        // one by one: a message that shows all of them is too long to be read
        for (one, other) in one.iter().zip(&other) {
            prop_assert_eq!(one, other, "{:?}", question);
        }
        prop_assert_eq!(one.len(), other.len());
        Ok(())
    }

    fn answer(&self, store: &dyn Store, question: &Question) -> Vec<String> {
        let mut answers = Vec::new();
        for (index, &endpoint_id) in self.endpoints.iter().enumerate() {
            let known = self.deliveries.iter().filter(|(_, _, endpoint)| *endpoint == endpoint_id);
            let request = DueRequest {
                now: self.now,
                max_deliveries: question.max_deliveries,
                max_bytes: question.max_bytes,
                max_first_bytes: question.max_bytes.saturating_mul(question.known),
                after: (question.known % 2 == 1).then(|| QueuePosition {
                    queued_at: *question.since.get(&self.instants),
                    id: DeliveryId(self.begin.0),
                }),
                known: known.map(|(id, ..)| *id).take(question.known).collect(),
            };
            let page = store.due_deliveries(self.owner(index), endpoint_id, &request).unwrap();
            let start = store.endpoint(self.owner(index), endpoint_id).unwrap();
            let start = start.map(|start| (start.endpoint.active, start.endpoint.version, start.health));
            answers.push(format!("{page:?} {start:?}"));
        }
        let before = self.deliveries.iter().rev().nth(question.page * question.limit);
        let page = PageRequest { before_id: before.map(|(id, ..)| id.0), limit: question.limit };
        let endpoint_id = question.by_endpoint.map(|index| self.endpoints[index]);
        let instant = |seconds: i64| UnixMillis(self.begin.0 + seconds * 1_000);
        let (from, to) = (question.from.map(instant), question.to.map(instant));
        let event_id = (question.known == 3).then(|| self.events.get(question.page)).flatten().map(|(id, _)| *id);
        let filter = DeliveryFilter { endpoint_id, event_id, from, to, ..question.filter.clone() };
        for organization_id in self.organizations {
            let rows = store.deliveries(organization_id, &filter, page).unwrap();
            answers.push(format!("{rows:?}"));
            let endpoints = store.endpoints(organization_id, first_page(question.limit)).unwrap();
            answers.push(format!("{:?}", endpoints.iter().map(|start| start.endpoint.id).collect::<Vec<_>>()));
            let DeliveryFilter { event_type, tag, from, to, .. } = filter.clone();
            let filter = EventFilter { event_type, tag, from, to };
            answers.push(format!("{:?}", store.events(organization_id, &filter, page).unwrap()));
            answers.push(format!("{:?}", store.event_by_uid(organization_id, "u3").unwrap()));
            let pending = store.pending(organization_id, endpoint_id).unwrap();
            answers.push(format!("{pending:?} {:?}", store.endpoint_states(organization_id).unwrap()));
            let since = *question.since.get(&self.instants);
            let counted = store.organization_statistics(organization_id, since).unwrap();
            answers.push(format!("{counted:?}"));
            let some = &self.endpoints[..question.page];
            let failures = self.endpoints.iter().map(|id| store.last_failure(organization_id, *id).unwrap());
            answers.push(format!("{:?}", failures.collect::<Vec<_>>()));
            answers.push(format!("{:?}", store.endpoint_statistics(organization_id, some, since).unwrap()));
        }
        if !self.events.is_empty() {
            let &(id, owner) = question.since.get(&self.events);
            answers.push(format!("{:?}", store.event(owner, id).unwrap()));
        }
        answers.extend(self.lists(store, question, &filter));
        let detail = before.map(|&(id, organization_id, _)| store.delivery(organization_id, id).unwrap());
        answers.push(format!("{detail:?}"));
        answers.push(format!("{:?}", store.scan_agenda(Some(EndpointId(self.organizations[0].0)), 9).unwrap()));
        answers.push(format!("{:?} {:?}", store.open_breakers().unwrap(), store.count_pending().unwrap()));
        answers
    }
}

fn answers_alike(tested: &Fixture, keeps_keys_of_ids: bool, cases: u32) {
    let reference = MemoryStore::new();
    // one generator for all histories: they share the two stores
    let ids = std::cell::RefCell::new(IdGenerator::new(0, 0));
    // each history begins when the previous one has ended: otherwise all would lie in one period
    let begin = std::cell::Cell::new(START);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let steps = prop::collection::vec((step(), question()), 1..40);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let mut ids = ids.borrow_mut();
        let mut history = History::begin([&reference, tested.store.as_ref()], &mut ids, begin.get());
        begin.set(begin.get() + LONGER_THAN_A_HISTORY);
        for (step, question) in &steps {
            history.keeps_keys_of_ids = keeps_keys_of_ids;
            history.take(step)?;
            history.ask(question)?;
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn sqlite_returns_the_same_as_memory_after_any_history() {
    answers_alike(&Fixture::sqlite(), false, 40);
}

#[test]
fn postgres_returns_the_same_as_memory_after_any_history() {
    if let Some(fixture) = Fixture::postgres() {
        answers_alike(&fixture, true, 20);
    }
}
