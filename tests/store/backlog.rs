//! The kept counts of pending deliveries are those of the rows, whatever happens and also after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::{DeliveryFilter, DeliveryStatus};
use ringback::domain::health::PendingStats;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::round::Rounds;
use ringback::store::{PageRequest, ReplayTargets, RequeueRange, Store, StoreError, WriteBatch, open};
use test_support::engine::eventually;
use test_support::postgres as servers;

use crate::fixture::{Fixture, at, cipher, keyed, open_sqlite, outcome, sqlite_url};

const ENDPOINTS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Publish {
        mask: u8,
        copies: usize,
        key: Option<u8>,
    },
    /// A batch with an event that is stored already: all of it fails.
    Refused {
        mask: u8,
    },
    Attempt {
        delivery: prop::sample::Index,
        number: u32,
        next: u8,
    },
    Cancel {
        endpoint: usize,
    },
    DeleteWebhook {
        endpoint: usize,
    },
    Again {
        delivery: prop::sample::Index,
    },
    Recover {
        endpoint: usize,
        success: bool,
        limit: usize,
    },
    Replay {
        event: prop::sample::Index,
        mask: Option<u8>,
    },
    DeleteOrganization,
    Purge {
        limit: usize,
    },
    Prune {
        limit: usize,
    },
    Resume {
        endpoint: usize,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<prop::sample::Index>();
    prop_oneof![
        6 => (0..8u8, 1..4usize, prop::option::weighted(0.2, 0..2u8))
            .prop_map(|(mask, copies, key)| Step::Publish { mask, copies, key }),
        1 => (1..8u8).prop_map(|mask| Step::Refused { mask }),
        12 => (index(), 1..4u32, 0..4u8)
            .prop_map(|(delivery, number, next)| Step::Attempt { delivery, number, next }),
        1 => (0..ENDPOINTS).prop_map(|endpoint| Step::Cancel { endpoint }),
        1 => (0..ENDPOINTS).prop_map(|endpoint| Step::DeleteWebhook { endpoint }),
        4 => index().prop_map(|delivery| Step::Again { delivery }),
        3 => (0..ENDPOINTS, any::<bool>(), 1..4usize)
            .prop_map(|(endpoint, success, limit)| Step::Recover { endpoint, success, limit }),
        4 => (index(), prop::option::weighted(0.7, 0..8u8)).prop_map(|(event, mask)| Step::Replay { event, mask }),
        1 => Just(Step::DeleteOrganization),
        2 => (1..5usize).prop_map(|limit| Step::Purge { limit }),
        1 => (1..5usize).prop_map(|limit| Step::Prune { limit }),
        1 => (0..ENDPOINTS).prop_map(|endpoint| Step::Resume { endpoint }),
        1 => Just(Step::Reopen),
    ]
}

/// A store that can be opened again.
struct Reopened {
    f: Fixture,
    open: Option<Box<dyn Fn() -> Arc<dyn Store>>>,
}

impl Reopened {
    fn reopen(&mut self) {
        if let Some(open) = &self.open {
            let largest = self.f.store.largest_id().unwrap();
            // the database is locked until the old one is gone
            self.f = Fixture::memory();
            self.f = Fixture::over(open()).going_on_above(largest);
        }
    }
}

/// A tenant and what was done to it.
struct Tenant {
    id: OrganizationId,
    endpoints: Vec<EndpointId>,
    events: Vec<EventId>,
    deliveries: Vec<(DeliveryId, EndpointId)>,
}

impl Tenant {
    fn new(f: &Fixture) -> Self {
        let id = f.organization();
        let endpoints = (0..ENDPOINTS).map(|_| f.endpoint(id)).collect();
        Self { id, endpoints, events: Vec::new(), deliveries: Vec::new() }
    }

    fn chosen(&self, mask: u8) -> Vec<EndpointId> {
        let places = (0..ENDPOINTS).filter(|place| mask & (1 << place) != 0);
        places.map(|place| self.endpoints[place]).collect()
    }

    fn take(&mut self, store: &mut Reopened, step: &Step, second: i64) {
        let (f, now) = (&store.f, at(second));
        match *step {
            Step::Publish { mask, copies, key } => {
                let events = (0..copies).map(|_| f.new_event(self.id, &self.chosen(mask), now));
                let events: Vec<_> =
                    events.map(|new| key.map_or(new.clone(), |key| keyed(new, &key.to_string(), key))).collect();
                for new in &events {
                    self.events.push(new.event.id);
                    self.deliveries.extend(&new.deliveries);
                }
                f.commit_events(events, now);
            }
            Step::Refused { mask } => {
                let new = f.new_event(self.id, &self.chosen(mask), now);
                f.commit_events(vec![new.clone()], now);
                self.deliveries.extend(&new.deliveries);
                let batch = WriteBatch { events: vec![new], ..WriteBatch::default() };
                assert!(matches!(f.store.commit(&batch, now), Err(StoreError::Conflict)));
            }
            Step::Attempt { delivery, number, next } if !self.deliveries.is_empty() => {
                let &(id, endpoint_id) = delivery.get(&self.deliveries);
                let next = match next {
                    0 => NextStep::RetryAt(at(second + 60)),
                    1 => NextStep::Failed,
                    _ => NextStep::Succeeded,
                };
                let one = outcome(self.id, endpoint_id, id, number, 200, next);
                // the second one finds nothing pending
                f.record(vec![one.clone(), one]);
            }
            Step::Cancel { endpoint } => {
                f.store.cancel_pending(self.id, self.endpoints[endpoint], now).unwrap();
            }
            Step::DeleteWebhook { endpoint } => {
                f.store.delete_endpoint(self.id, self.endpoints[endpoint], now).unwrap();
            }
            Step::Again { delivery } if !self.deliveries.is_empty() => {
                f.store.requeue_delivery(self.id, delivery.get(&self.deliveries).0, Rounds::Once, now).unwrap();
            }
            Step::Recover { endpoint, success, limit } => {
                let status = if success { DeliveryStatus::Success } else { DeliveryStatus::Failed };
                let range = RequeueRange {
                    since: at(-1),
                    until: at(i64::from(u16::MAX)),
                    status,
                    rounds: Rounds::Schedule,
                };
                f.store.requeue_range(self.id, self.endpoints[endpoint], &range, None, limit, now).unwrap();
            }
            Step::Replay { event, mask } if !self.events.is_empty() => {
                let targets = mask.map(|mask| ReplayTargets::Endpoints(self.chosen(mask)));
                let targets = targets.unwrap_or(ReplayTargets::Delivered);
                let mut next_id = || f.id_at(now);
                f.store
                    .replay_event(self.id, *event.get(&self.events), &targets, Rounds::Once, &mut next_id, now)
                    .unwrap();
            }
            Step::DeleteOrganization => {
                f.store.delete_organization(self.id, now).unwrap();
                *self = Self::new(f);
            }
            Step::Purge { limit } => drop(f.store.purge_organizations(now, limit).unwrap()),
            Step::Prune { limit } => drop(f.store.prune(now, None, limit).unwrap()),
            Step::Resume { endpoint } => {
                f.store.make_due(self.id, self.endpoints[endpoint], None, 10, now).unwrap();
                if let Some(&(id, _)) = self.deliveries.last() {
                    f.store.make_delivery_due(self.id, id, now).unwrap();
                }
            }
            Step::Reopen => store.reopen(),
            Step::Attempt { .. } | Step::Again { .. } | Step::Replay { .. } => {}
        }
    }

    /// Counts the rows of the log.
    fn rows(&self, f: &Fixture) -> BTreeMap<Option<EndpointId>, PendingStats> {
        let filter = DeliveryFilter { status: Some(DeliveryStatus::Pending), ..DeliveryFilter::default() };
        let page = PageRequest { before_id: None, limit: 10_000 };
        let mut rows = BTreeMap::new();
        for record in f.store.deliveries(self.id, &filter, page).unwrap().rows {
            for of in [None, Some(record.endpoint_id)] {
                let stats: &mut PendingStats = rows.entry(of).or_default();
                stats.pending += 1;
                // newest first: the last one is the oldest
                stats.oldest_pending_at = Some(record.created_at);
            }
        }
        rows
    }

    fn is_counted_right(&self, f: &Fixture) -> Result<(), TestCaseError> {
        let rows = self.rows(f);
        for of in self.endpoints.iter().copied().map(Some).chain([None]) {
            let kept = f.store.pending(self.id, of).unwrap();
            prop_assert_eq!(kept, rows.get(&of).copied().unwrap_or_default(), "{:?}", of);
        }
        Ok(())
    }
}

fn counts_are_right(store: Reopened, cases: u32) {
    let store = std::cell::RefCell::new(store);
    let second = std::cell::Cell::new(0);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    let result = TestRunner::new(config).run(&prop::collection::vec((any::<bool>(), step()), 1..40), |steps| {
        let mut store = store.borrow_mut();
        let mut tenants = [Tenant::new(&store.f), Tenant::new(&store.f)];
        for (which, step) in &steps {
            second.set(second.get() + 1);
            tenants[usize::from(*which)].take(&mut store, step, second.get());
            tenants.iter().try_for_each(|tenant| tenant.is_counted_right(&store.f))?;
        }
        let total = store.f.store.count_pending().unwrap();
        store.reopen();
        prop_assert_eq!(store.f.store.count_pending().unwrap(), total, "counted again after a restart");
        tenants.iter().try_for_each(|tenant| tenant.is_counted_right(&store.f))?;
        // nothing of this history stays for the next one
        for tenant in tenants {
            store.f.store.delete_organization(tenant.id, at(second.get())).unwrap();
        }
        store.f.purge(at(second.get()), 100);
        prop_assert_eq!(store.f.store.count_pending().unwrap(), 0);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn memory_counts_pending_deliveries_right_after_any_history() {
    counts_are_right(Reopened { f: Fixture::memory(), open: None }, 40);
}

#[test]
fn sqlite_counts_pending_deliveries_right_after_any_history_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    counts_are_right(Reopened { f, open: Some(Box::new(move || open_sqlite(&path))) }, 40);
}

#[test]
fn postgres_counts_pending_deliveries_right_after_any_history_and_restart() {
    let Some(server) = servers::shared() else { return };
    let url = server.create_database();
    let open = move || open(&url, cipher()).unwrap();
    counts_are_right(Reopened { f: Fixture::over(open()), open: Some(Box::new(open)) }, 12);
}

#[test]
fn after_a_commit_in_doubt_the_rows_are_counted_again() {
    let Some(server) = servers::shared() else { return };
    let url = server.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap());
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids = f.publish(organization_id, &[endpoint_id, endpoint_id], at(1));
    // one more transaction: before the next but one, a statement is sent ahead, which fails instead of the commit
    f.publish(organization_id, &[endpoint_id], at(1));
    assert_eq!(f.store.count_pending().unwrap(), 3);
    // as if an earlier commit had been written although it was reported as failed
    servers::execute_in(&url, &format!("UPDATE deliveries SET status = 1 WHERE id = {}", ids[0].0));
    let end_sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    servers::execute_in(&url, end_sessions);
    let new = f.new_event(organization_id, &[endpoint_id], at(2));
    let batch = WriteBatch { events: vec![new], ..WriteBatch::default() };
    assert!(matches!(f.store.commit(&batch, at(2)), Err(StoreError::Unavailable(_))));
    let stats = eventually("the counts are those of the rows", || {
        let stats = f.store.pending(organization_id, Some(endpoint_id)).ok()?;
        (stats.pending == 2).then_some(stats)
    });
    assert_eq!(stats.oldest_pending_at, Some(at(1)));
    f.store.commit(&batch, at(2)).unwrap();
    assert_eq!(f.store.pending(organization_id, None).unwrap().pending, 3);
}

on_every_store!(the_oldest_is_found_behind_many_that_have_ended);

fn the_oldest_is_found_behind_many_that_have_ended(f: &Fixture) {
    let organization_id = f.organization();
    let endpoints = [f.endpoint(organization_id), f.endpoint(organization_id)];
    let oldest = f.publish(organization_id, &endpoints, at(1));
    let end = |ids: &[DeliveryId], endpoint_id| {
        let ended = ids.iter().map(|id| outcome(organization_id, endpoint_id, *id, 1, 200, NextStep::Succeeded));
        f.record(ended.collect());
    };
    let many = f.publish(organization_id, &[endpoints[0]; 3_000], at(2));
    end(&many, endpoints[0]);
    f.publish(organization_id, &[endpoints[0]], at(3));
    let stats = |pending, seconds| PendingStats { pending, oldest_pending_at: Some(at(seconds)) };
    assert_eq!(f.store.pending(organization_id, Some(endpoints[0])).unwrap(), stats(2, 1));
    end(&oldest[..1], endpoints[0]);
    eventually("the oldest of the webhook", || {
        (f.store.pending(organization_id, Some(endpoints[0])).unwrap() == stats(1, 3)).then_some(())
    });
    assert_eq!(f.store.pending(organization_id, None).unwrap(), stats(2, 1));
    end(&oldest[1..], endpoints[1]);
    assert_eq!(f.store.pending(organization_id, None).unwrap(), stats(1, 3));
    // sent again: older than all others
    f.store.requeue_delivery(organization_id, oldest[1], Rounds::Schedule, at(4)).unwrap();
    assert_eq!(f.store.pending(organization_id, None).unwrap(), stats(2, 1));
}

#[test]
fn a_database_is_given_up_at_once_although_its_rows_are_still_being_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    for _ in 0..20 {
        drop(open_sqlite(&path));
    }
    open(&sqlite_url(&path), cipher()).unwrap();
}
