//! What organizations hold of the engine's bounded resources, and how much each may hold.
//!
//! An organization may hold a fixed part of what the others leave (dynamic thresholds: Choudhury and Hahne, "Dynamic
//! queue length thresholds for shared-memory packet switches", 1998). Alone it has nearly all; n that want everything
//! end with nearly equal parts; and something is always left for one that comes later. Whoever holds nothing gets
//! the first unit as long as there is any.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use thiserror::Error;

use super::meter::Meter;
use crate::domain::ids::OrganizationId;

/// Organizations are remembered up to this number without a check whether they still hold anything. One takes about 500
/// bytes.
const KEPT: usize = 1_024;

/// One in this many units is only for organizations that hold nothing yet. Larger: fewer of them find one at once, when
/// others have taken everything.
const FIRST_UNITS: usize = 16;

/// A bounded resource of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Endpoint supervisors in memory.
    Supervisors,
    /// Attempts in flight.
    Attempts,
    /// Bytes of event bodies held for delivery.
    PayloadBytes,
    /// Events accepted but not yet committed.
    UncommittedEvents,
    /// Their bytes, in units of 1 KiB.
    UncommittedKibibytes,
    /// The rows that they will be, an estimate.
    UncommittedRows,
    /// Bytes of request bodies that are arriving or being worked on.
    BodyBytes,
}

const RESOURCES: usize = 7;

impl Resource {
    /// The part of what others leave that one organization may hold, in sixteenths. Smaller: one that is alone can't use
    /// the machine. Larger: less is left for the next one, which then waits until something is returned.
    fn sixteenths(self) -> usize {
        match self {
            Self::Supervisors | Self::Attempts | Self::PayloadBytes => 15,
            Self::UncommittedEvents | Self::UncommittedKibibytes | Self::UncommittedRows | Self::BodyBytes => 12,
        }
    }
}

/// How much there is of each resource.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Capacities {
    pub supervisors: usize,
    pub attempts: usize,
    pub payload_bytes: usize,
    pub uncommitted_events: usize,
    pub uncommitted_kibibytes: usize,
    pub uncommitted_rows: usize,
    pub body_bytes: usize,
}

/// Why something can't be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// The organization holds its share.
    #[error("the organization holds its share already")]
    OverShare,
    /// All organizations together hold everything.
    #[error("nothing is free")]
    NothingFree,
}

/// The resources, and who holds how much of them.
#[derive(Debug)]
pub(crate) struct Shares {
    pools: Arc<[Pool; RESOURCES]>,
    organizations: Mutex<HashMap<OrganizationId, Arc<OrganizationShare>>>,
}

#[derive(Debug)]
struct Pool {
    capacity: usize,
    held: AtomicUsize,
}

/// What one organization holds.
#[derive(Debug)]
pub(crate) struct OrganizationShare {
    /// Whose it is.
    pub organization_id: OrganizationId,
    pools: Arc<[Pool; RESOURCES]>,
    held: [AtomicUsize; RESOURCES],
    /// Endpoints of it wait for a supervisor.
    waits_for_supervisors: AtomicBool,
    /// Rows written for it.
    pub rows: Meter,
    /// Reads of the API for it.
    pub reads: Meter,
    /// Requests of it that were refused because it was over its share.
    pub refused: Meter,
}

/// Something held; returned when this is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    share: Arc<OrganizationShare>,
    resource: Resource,
    amount: usize,
}

impl Shares {
    pub(crate) fn new(capacities: Capacities) -> Arc<Self> {
        let pool = |capacity| Pool { capacity, held: AtomicUsize::new(0) };
        // in the order of `Resource`
        let pools = Arc::new([
            pool(capacities.supervisors),
            pool(capacities.attempts),
            pool(capacities.payload_bytes),
            pool(capacities.uncommitted_events),
            pool(capacities.uncommitted_kibibytes),
            pool(capacities.uncommitted_rows),
            pool(capacities.body_bytes),
        ]);
        Arc::new(Self { pools, organizations: Mutex::default() })
    }

    /// What an organization holds.
    pub(crate) fn of(&self, organization_id: OrganizationId) -> Arc<OrganizationShare> {
        let mut organizations = self.organizations.lock();
        if let Some(share) = organizations.get(&organization_id) {
            return Arc::clone(share);
        }
        // only before the map would grow: the walk costs as much as the growth
        if organizations.len() > KEPT && organizations.len() == organizations.capacity() {
            organizations.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = Arc::new(OrganizationShare {
            organization_id,
            pools: Arc::clone(&self.pools),
            held: Default::default(),
            waits_for_supervisors: AtomicBool::new(false),
            rows: Meter::default(),
            reads: Meter::default(),
            refused: Meter::default(),
        });
        organizations.insert(organization_id, Arc::clone(&share));
        share
    }

    /// Takes this much of a resource for an organization.
    pub(crate) fn try_take(
        &self,
        resource: Resource,
        organization_id: OrganizationId,
        amount: usize,
    ) -> Result<Holding, Refusal> {
        self.of(organization_id).try_take(resource, amount)
    }

    /// All organizations that are known, for the figures of who uses how much.
    pub(crate) fn all(&self) -> Vec<Arc<OrganizationShare>> {
        self.organizations.lock().values().cloned().collect()
    }

    /// How much all organizations together hold.
    pub(crate) fn held(&self, resource: Resource) -> usize {
        self.pools[resource as usize].held.load(Ordering::Relaxed)
    }

    /// How much there is.
    pub(crate) fn capacity(&self, resource: Resource) -> usize {
        self.pools[resource as usize].capacity
    }
}

impl OrganizationShare {
    /// Takes this much of a resource.
    pub(crate) fn try_take(self: &Arc<Self>, resource: Resource, amount: usize) -> Result<Holding, Refusal> {
        self.try_take_below(resource, amount, usize::MAX)
    }

    /// The same as if there were at most `capacity` of it.
    pub(crate) fn try_take_below(
        self: &Arc<Self>,
        resource: Resource,
        amount: usize,
        capacity: usize,
    ) -> Result<Holding, Refusal> {
        let pool = &self.pools[resource as usize];
        let own = &self.held[resource as usize];
        let capacity = pool.capacity.min(capacity);
        let take = |held: usize| {
            let mine = own.load(Ordering::Relaxed);
            let with_mine = mine.saturating_add(amount);
            let with_all = held.saturating_add(amount);
            let is_share = mine == 0
                || with_mine <= allowance(resource, capacity, held, mine)
                    && with_all <= capacity - capacity / FIRST_UNITS;
            (is_share && with_all <= capacity).then_some(with_all)
        };
        match pool.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                own.fetch_add(amount, Ordering::Relaxed);
                Ok(Holding { share: Arc::clone(self), resource, amount })
            }
            Err(held) if own.load(Ordering::Relaxed) == 0 && held.saturating_add(amount) > capacity => {
                Err(Refusal::NothingFree)
            }
            Err(_) => Err(Refusal::OverShare),
        }
    }

    /// Takes it whether there is any or not.
    pub(crate) fn take_anyway(self: &Arc<Self>, resource: Resource, amount: usize) -> Holding {
        self.pools[resource as usize].held.fetch_add(amount, Ordering::Relaxed);
        self.held[resource as usize].fetch_add(amount, Ordering::Relaxed);
        Holding { share: Arc::clone(self), resource, amount }
    }

    /// How much this organization holds.
    pub(crate) fn held(&self, resource: Resource) -> usize {
        self.held[resource as usize].load(Ordering::Relaxed)
    }

    /// The most that one request may ask for: what an organization gets that holds nothing while the others hold nothing.
    pub(crate) fn largest(&self, resource: Resource) -> usize {
        allowance(resource, self.pools[resource as usize].capacity, 0, 0)
    }

    /// Whether it holds as much as it may, or more: others have asked since.
    pub(crate) fn is_used_up(&self, resource: Resource) -> bool {
        self.is_used_up_below(resource, usize::MAX)
    }

    /// The same as if there were at most `capacity` of it.
    pub(crate) fn is_used_up_below(&self, resource: Resource, capacity: usize) -> bool {
        let pool = &self.pools[resource as usize];
        let mine = self.held(resource);
        mine > 0
            && mine >= allowance(resource, pool.capacity.min(capacity), pool.held.load(Ordering::Relaxed), mine)
    }

    /// Whether endpoints of it wait for a supervisor.
    pub(crate) fn waits_for_supervisors(&self) -> bool {
        self.waits_for_supervisors.load(Ordering::Relaxed)
    }

    /// Set by the scheduler.
    pub(crate) fn set_waits_for_supervisors(&self, waits: bool) {
        self.waits_for_supervisors.store(waits, Ordering::Relaxed);
    }
}

/// How much an organization may hold that holds `mine` of the `held`.
fn allowance(resource: Resource, capacity: usize, held: usize, mine: usize) -> usize {
    let usable = capacity - capacity / FIRST_UNITS;
    let left_by_others = usable.saturating_sub(held.saturating_sub(mine));
    let whole = left_by_others as u128 * resource.sixteenths() as u128;
    usize::try_from(whole.div_ceil(16)).unwrap_or(usize::MAX)
}

impl Holding {
    /// Takes this much more.
    pub(crate) fn grow(&mut self, amount: usize) -> Result<(), Refusal> {
        let mut more = self.share.try_take(self.resource, amount)?;
        self.amount += std::mem::take(&mut more.amount);
        Ok(())
    }

    /// Holds this much from now on, whether there is any or not.
    pub(crate) fn resize(&mut self, amount: usize) {
        let (pool, own) = (&self.share.pools[self.resource as usize], &self.share.held[self.resource as usize]);
        if amount >= self.amount {
            pool.held.fetch_add(amount - self.amount, Ordering::Relaxed);
            own.fetch_add(amount - self.amount, Ordering::Relaxed);
        } else {
            pool.held.fetch_sub(self.amount - amount, Ordering::Relaxed);
            own.fetch_sub(self.amount - amount, Ordering::Relaxed);
        }
        self.amount = amount;
    }

    /// How much it is.
    #[cfg(test)]
    pub(crate) fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection;
    use proptest::prelude::*;

    fn shares(capacity: usize) -> Arc<Shares> {
        Shares::new(Capacities {
            supervisors: capacity,
            attempts: capacity,
            payload_bytes: capacity,
            uncommitted_events: capacity,
            uncommitted_kibibytes: capacity,
            uncommitted_rows: capacity,
            body_bytes: capacity,
        })
    }

    /// Takes units until it is refused.
    fn take_all(shares: &Shares, organization: i64) -> Vec<Holding> {
        let take = || shares.try_take(Resource::Supervisors, OrganizationId(organization), 1).ok();
        std::iter::repeat_with(take).map_while(|holding| holding).collect()
    }

    #[test]
    fn one_organization_alone_gets_nearly_everything_and_the_next_ones_still_get_something() {
        let shares = shares(1_000);
        let first = take_all(&shares, 1);
        assert_eq!(first.len(), 880);
        let others: Vec<_> = (2..40).map(|organization| take_all(&shares, organization)).collect();
        assert!(others[0].len() > 50, "{}", others[0].len());
        assert!(others.iter().all(|holdings| !holdings.is_empty()));
        assert_eq!(shares.try_take(Resource::Supervisors, OrganizationId(1), 1).unwrap_err(), Refusal::OverShare);
        drop((first, others));
        assert_eq!(shares.held(Resource::Supervisors), 0);
    }

    #[test]
    fn organizations_that_return_and_take_again_end_with_equal_parts() {
        let shares = shares(1_000);
        let mut held: Vec<Vec<Holding>> = (1..=4).map(|organization| take_all(&shares, organization)).collect();
        for _ in 0..400 {
            for (holdings, organization) in held.iter_mut().zip(1..) {
                // each attempt ends some day; who is over its share gets none in return
                holdings.truncate(holdings.len().saturating_sub(5));
                holdings.extend(take_all(&shares, organization));
            }
        }
        let counts: Vec<usize> = held.iter().map(Vec::len).collect();
        assert!(counts.iter().all(|count| (200..=250).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_request_larger_than_a_share_is_let_through_when_the_organization_holds_nothing() {
        let shares = shares(100);
        let all = shares.try_take(Resource::UncommittedEvents, OrganizationId(1), 100).unwrap();
        let refused = shares.try_take(Resource::UncommittedEvents, OrganizationId(2), 1).unwrap_err();
        assert_eq!(refused, Refusal::NothingFree);
        drop(all);
        assert!(shares.try_take(Resource::UncommittedEvents, OrganizationId(2), 1).is_ok());
    }

    proptest! {
        #[test]
        fn never_more_is_held_than_there_is_and_all_of_it_comes_back(
            steps in collection::vec((1_i64..5, 0_usize..40, any::<bool>()), 1..200),
        ) {
            let shares = shares(100);
            let mut held = Vec::new();
            for (organization, amount, gives_back) in steps {
                if gives_back && !held.is_empty() {
                    held.swap_remove(amount % held.len());
                } else if let Ok(taken) = shares.try_take(Resource::Attempts, OrganizationId(organization), amount) {
                    held.push(taken);
                }
                prop_assert!(shares.held(Resource::Attempts) <= 100);
                let sum: usize = held.iter().map(Holding::amount).sum();
                prop_assert_eq!(shares.held(Resource::Attempts), sum);
            }
            drop(held);
            prop_assert_eq!(shares.held(Resource::Attempts), 0);
        }
    }
}
