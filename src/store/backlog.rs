//! How many deliveries are pending, by endpoint and organization, kept in memory: no request counts a backlog row by
//! row.
//!
//! Every transaction notes in a [`BacklogChange`] which deliveries it begins and ends, and the change is added once it
//! is on disk. At the start the rows are counted on a snapshot from before the first of these transactions, so that
//! count and changes add up exactly.
//!
//! While other nodes write too, this node's changes are not all of them: the counts are then right as of the last count, which
//! is made again and again.
//!
//! The oldest pending delivery is not kept. Kept is an id below which there is none: a bound, which a search raises.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{StoreError, StoreResult};
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};

/// How long a call waits for the first count. Smaller: health is unavailable just after a start with millions of pending
/// deliveries. Larger: callers hold threads that others need.
const COUNT_PATIENCE: Duration = Duration::from_secs(5);

/// Which deliveries one transaction makes pending, and which it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BacklogChange {
    by_endpoint: HashMap<(OrganizationId, EndpointId), Difference>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Difference {
    count: i64,
    /// The lowest id of those that became pending.
    lowest: Option<DeliveryId>,
}

impl Difference {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.lowest = [self.lowest, other.lowest].into_iter().flatten().min();
    }
}

impl BacklogChange {
    /// Notes that a delivery becomes pending.
    pub(super) fn begins(&mut self, organization_id: OrganizationId, endpoint_id: EndpointId, id: DeliveryId) {
        let began = Difference { count: 1, lowest: Some(id) };
        self.by_endpoint.entry((organization_id, endpoint_id)).or_default().add(began);
    }

    /// Notes that deliveries are no longer pending.
    pub(super) fn ends(&mut self, organization_id: OrganizationId, endpoint_id: EndpointId, count: usize) {
        if count > 0 {
            self.by_endpoint.entry((organization_id, endpoint_id)).or_default().count -= count as i64;
        }
    }

    /// Whether nothing was noted.
    pub(super) fn is_empty(&self) -> bool {
        self.by_endpoint.is_empty()
    }

    fn add(&mut self, other: &Self) {
        for (key, difference) in &other.by_endpoint {
            self.by_endpoint.entry(*key).or_default().add(*difference);
        }
    }
}

/// A row of a count.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedEndpoint {
    pub(super) organization_id: OrganizationId,
    pub(super) endpoint_id: EndpointId,
    pub(super) pending: u64,
    /// The lowest id of them.
    pub(super) oldest: DeliveryId,
}

/// The kept counts.
#[derive(Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    counted: Condvar,
}

#[derive(Default)]
struct State {
    /// `None` until the first count.
    kept: Option<Kept>,
    /// What was added since the snapshot of the count that is under way.
    since_snapshot: Option<BacklogChange>,
    /// A commit that failed may have been written.
    is_in_doubt: bool,
    /// Other nodes write too.
    is_shared: bool,
}

#[derive(Default)]
struct Kept {
    organizations: HashMap<OrganizationId, OrganizationBacklog>,
    next_entry: u64,
    /// Others have changed what was counted.
    is_shared: bool,
}

#[derive(Default)]
struct OrganizationBacklog {
    pending: u64,
    /// Only those with pending deliveries.
    endpoints: HashMap<EndpointId, EndpointBacklog>,
    by_bound: BTreeSet<(DeliveryId, EndpointId)>,
}

struct EndpointBacklog {
    pending: u64,
    /// No pending delivery has a lower id.
    bound: DeliveryId,
    /// Tells it from an earlier one of the same endpoint.
    entry: u64,
    searches: u32,
    /// The lowest id that became pending since the first of the searches that are under way: they may not have seen it.
    lowest_since_search: DeliveryId,
}

/// An endpoint's bound, and what a search needs to raise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) endpoint_id: EndpointId,
    pub(super) pending: u64,
    pub(super) bound: DeliveryId,
    entry: u64,
}

impl Kept {
    fn add(&mut self, change: &BacklogChange) {
        for ((organization_id, endpoint_id), difference) in &change.by_endpoint {
            self.add_one(*organization_id, *endpoint_id, *difference);
        }
    }

    fn add_one(&mut self, organization_id: OrganizationId, endpoint_id: EndpointId, difference: Difference) {
        let organization = self.organizations.entry(organization_id).or_default();
        let endpoint = organization.endpoints.entry(endpoint_id).or_insert_with(|| {
            self.next_entry += 1;
            EndpointBacklog {
                pending: 0,
                bound: DeliveryId(i64::MAX),
                entry: self.next_entry,
                searches: 0,
                lowest_since_search: DeliveryId(i64::MAX),
            }
        });
        let before = endpoint.pending;
        let after = before.saturating_add_signed(difference.count);
        debug_assert!(
            self.is_shared || after as i64 == before as i64 + difference.count,
            "more deliveries ended than were pending"
        );
        endpoint.pending = after;
        organization.pending = organization.pending - before + after;
        let lowest = difference.lowest.unwrap_or(DeliveryId(i64::MAX));
        endpoint.lowest_since_search = endpoint.lowest_since_search.min(lowest);
        let (old, new) = (endpoint.bound, endpoint.bound.min(lowest));
        endpoint.bound = new;
        if after == 0 {
            organization.by_bound.remove(&(old, endpoint_id));
            organization.endpoints.remove(&endpoint_id);
            if organization.endpoints.is_empty() {
                self.organizations.remove(&organization_id);
            }
        } else if old != new || before == 0 {
            organization.by_bound.remove(&(old, endpoint_id));
            organization.by_bound.insert((new, endpoint_id));
        }
    }
}

impl OrganizationBacklog {
    fn bound_of(&self, endpoint_id: EndpointId) -> Option<Bound> {
        let found = self.endpoints.get(&endpoint_id)?;
        Some(Bound { endpoint_id, pending: found.pending, bound: found.bound, entry: found.entry })
    }
}

impl Backlog {
    /// Adds what a transaction changed. Call it after the transaction is on disk and before the next one begins.
    pub(super) fn add(&self, change: &BacklogChange) {
        if change.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if let Some(since) = &mut state.since_snapshot {
            since.add(change);
        }
        if let Some(kept) = &mut state.kept {
            kept.add(change);
        }
    }

    /// A transaction failed and may have been committed: the counts may be wrong until the next count, whose
    /// snapshot must be from after this.
    pub(super) fn doubt(&self) {
        let mut state = self.state.lock();
        state.is_in_doubt = true;
        state.since_snapshot = None;
    }

    /// From now on other nodes write too, or no longer. Returns whether that is new: then another count is necessary.
    pub(super) fn set_shared(&self, is_shared: bool) -> bool {
        let mut state = self.state.lock();
        let is_new = std::mem::replace(&mut state.is_shared, is_shared) != is_shared;
        if let Some(kept) = state.kept.as_mut().filter(|_| is_new && is_shared) {
            kept.is_shared = true;
        }
        is_new
    }

    pub(super) fn is_shared(&self) -> bool {
        self.state.lock().is_shared
    }

    /// Whether the next count is necessary.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.state.lock().is_in_doubt
    }

    /// A snapshot for a count was opened. Call it while no transaction is under way.
    pub(super) fn snapshot_opened(&self) {
        let mut state = self.state.lock();
        state.is_in_doubt = false;
        state.since_snapshot = Some(BacklogChange::default());
    }

    /// The count of the last snapshot has ended; without its rows it has failed, and another one is necessary.
    pub(super) fn count_ended(&self, rows: Option<Vec<CountedEndpoint>>) {
        let mut state = self.state.lock();
        // none: a transaction came into doubt meanwhile, which this snapshot may have missed
        let since = state.since_snapshot.take();
        let (Some(rows), Some(since)) = (rows, since) else {
            state.is_in_doubt = true;
            return;
        };
        let mut sum = since;
        for CountedEndpoint { organization_id, endpoint_id, pending, oldest } in rows {
            let counted = Difference { count: pending as i64, lowest: Some(oldest) };
            sum.by_endpoint.entry((organization_id, endpoint_id)).or_default().add(counted);
        }
        // entries of the old counts are never taken for new ones
        let next_entry = state.kept.as_ref().map_or(0, |kept| kept.next_entry);
        let mut kept = Kept { next_entry, is_shared: state.is_shared, ..Kept::default() };
        kept.add(&sum);
        state.kept = Some(kept);
        self.counted.notify_all();
    }

    /// Reads the kept counts; waits for the first count.
    fn read<T>(&self, read: impl FnOnce(&mut Kept) -> T) -> StoreResult<T> {
        let mut state = self.state.lock();
        if state.kept.is_none() {
            self.counted.wait_while_for(&mut state, |state| state.kept.is_none(), COUNT_PATIENCE);
        }
        let counting = || StoreError::Unavailable(String::from("pending deliveries are still being counted"));
        state.kept.as_mut().map(read).ok_or_else(counting)
    }

    /// How many of some endpoints.
    pub(super) fn total_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<u64> {
        self.read(|kept| {
            let endpoints = kept.organizations.values().flat_map(|organization| &organization.endpoints);
            endpoints.filter(|(id, _)| is_counted(**id)).map(|(_, endpoint)| endpoint.pending).sum()
        })
    }

    /// How many of an endpoint, or of an organization.
    pub(super) fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<u64> {
        self.read(|kept| {
            let organization = kept.organizations.get(&organization_id)?;
            match endpoint_id {
                None => Some(organization.pending),
                Some(id) => organization.endpoints.get(&id).map(|endpoint| endpoint.pending),
            }
        })
        .map(Option::unwrap_or_default)
    }

    /// The bound of an endpoint, or the lowest one of an organization; `None` when nothing is pending.
    pub(super) fn bound(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<Option<Bound>> {
        self.read(|kept| {
            let organization = kept.organizations.get(&organization_id)?;
            let lowest = || organization.by_bound.first().map(|(_, endpoint_id)| *endpoint_id);
            organization.bound_of(endpoint_id.or_else(lowest)?)
        })
    }

    /// The lowest bound of every organization with pending deliveries.
    pub(super) fn bounds(&self) -> StoreResult<Vec<(OrganizationId, DeliveryId)>> {
        self.read(|kept| {
            let lowest = |(id, own): (&OrganizationId, &OrganizationBacklog)| Some((*id, own.by_bound.first()?.0));
            kept.organizations.iter().filter_map(lowest).collect()
        })
    }

    /// The bounds of some endpoints of all organizations.
    pub(super) fn bounds_of(
        &self,
        is_counted: &dyn Fn(EndpointId) -> bool,
    ) -> StoreResult<Vec<(DeliveryId, OrganizationId, EndpointId)>> {
        self.read(|kept| {
            let of = |(id, own): (&OrganizationId, &OrganizationBacklog)| {
                let endpoints = own.by_bound.iter().filter(|(_, endpoint_id)| is_counted(*endpoint_id));
                endpoints.map(|(bound, endpoint_id)| (*bound, *id, *endpoint_id)).collect::<Vec<_>>()
            };
            kept.organizations.iter().flat_map(of).collect()
        })
    }

    /// A search for the endpoint's oldest pending delivery begins to read. Call [`Backlog::search_ended`] afterwards.
    pub(super) fn search_began(&self, organization_id: OrganizationId, from: &Bound) -> StoreResult<()> {
        self.read(|kept| {
            let endpoint = kept.searched(organization_id, from)?;
            if endpoint.searches == 0 {
                endpoint.lowest_since_search = DeliveryId(i64::MAX);
            }
            endpoint.searches += 1;
            Some(())
        })
        .map(drop)
    }

    /// The search has found nothing pending below `to`, if anything.
    pub(super) fn search_ended(
        &self,
        organization_id: OrganizationId,
        from: &Bound,
        to: Option<DeliveryId>,
    ) -> StoreResult<()> {
        self.read(|kept| {
            let endpoint = kept.searched(organization_id, from)?;
            endpoint.searches = endpoint.searches.saturating_sub(1);
            let old = endpoint.bound;
            let new = to?.min(endpoint.lowest_since_search);
            if old != from.bound || new <= old {
                return None;
            }
            endpoint.bound = new;
            let by_bound = &mut kept.organizations.get_mut(&organization_id)?.by_bound;
            by_bound.remove(&(old, from.endpoint_id));
            by_bound.insert((new, from.endpoint_id));
            Some(())
        })
        .map(drop)
    }
}

impl Kept {
    fn searched(&mut self, organization_id: OrganizationId, from: &Bound) -> Option<&mut EndpointBacklog> {
        let endpoints = &mut self.organizations.get_mut(&organization_id)?.endpoints;
        endpoints.get_mut(&from.endpoint_id).filter(|endpoint| endpoint.entry == from.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: OrganizationId = OrganizationId(1);
    const FIRST: EndpointId = EndpointId(10);
    const SECOND: EndpointId = EndpointId(11);

    fn began(endpoint_id: EndpointId, ids: impl IntoIterator<Item = i64>) -> BacklogChange {
        let mut change = BacklogChange::default();
        ids.into_iter().for_each(|id| change.begins(ACME, endpoint_id, DeliveryId(id)));
        change
    }

    fn ended(endpoint_id: EndpointId, count: usize) -> BacklogChange {
        let mut change = BacklogChange::default();
        change.ends(ACME, endpoint_id, count);
        change
    }

    fn counted(rows: &[(EndpointId, u64, i64)]) -> Option<Vec<CountedEndpoint>> {
        let row = |&(endpoint_id, pending, oldest): &(EndpointId, u64, i64)| CountedEndpoint {
            organization_id: ACME,
            endpoint_id,
            pending,
            oldest: DeliveryId(oldest),
        };
        Some(rows.iter().map(row).collect())
    }

    fn kept(rows: &[(EndpointId, u64, i64)]) -> Backlog {
        let backlog = Backlog::default();
        backlog.snapshot_opened();
        backlog.count_ended(counted(rows));
        backlog
    }

    fn bound(backlog: &Backlog, endpoint_id: Option<EndpointId>) -> Option<i64> {
        backlog.bound(ACME, endpoint_id).unwrap().map(|found| found.bound.0)
    }

    #[test]
    fn what_is_committed_during_a_count_is_added_to_it_exactly_once() {
        let backlog = Backlog::default();
        backlog.snapshot_opened();
        backlog.add(&began(FIRST, [100, 101]));
        backlog.add(&ended(SECOND, 2));
        backlog.count_ended(counted(&[(FIRST, 3, 5), (SECOND, 2, 6)]));
        backlog.add(&ended(FIRST, 1));
        assert_eq!(backlog.pending(ACME, Some(FIRST)).unwrap(), 4);
        assert_eq!(backlog.pending(ACME, Some(SECOND)).unwrap(), 0);
        assert_eq!((backlog.pending(ACME, None).unwrap(), backlog.total_of(&|_| true).unwrap()), (4, 4));
        assert_eq!(bound(&backlog, None), Some(5));
    }

    #[test]
    fn a_count_during_which_a_commit_came_into_doubt_is_made_again() {
        let backlog = kept(&[(FIRST, 1, 1)]);
        backlog.snapshot_opened();
        backlog.doubt();
        backlog.count_ended(counted(&[(FIRST, 7, 1)]));
        assert!(backlog.is_in_doubt());
        assert_eq!(backlog.total_of(&|_| true).unwrap(), 1, "the last known ones until then");
        backlog.snapshot_opened();
        backlog.count_ended(counted(&[(FIRST, 2, 1)]));
        assert!(!backlog.is_in_doubt());
        assert_eq!(backlog.total_of(&|_| true).unwrap(), 2);
    }

    #[test]
    fn a_failed_count_is_made_again() {
        let backlog = Backlog::default();
        backlog.snapshot_opened();
        backlog.count_ended(None);
        assert!(backlog.is_in_doubt());
    }

    #[test]
    fn a_delivery_that_becomes_pending_during_a_search_is_not_searched_past() {
        let backlog = kept(&[(FIRST, 2, 10)]);
        let from = backlog.bound(ACME, Some(FIRST)).unwrap().unwrap();
        backlog.search_began(ACME, &from).unwrap();
        // sent again: the search has read it as ended
        backlog.add(&began(FIRST, [15]));
        backlog.search_ended(ACME, &from, Some(DeliveryId(20))).unwrap();
        assert_eq!(bound(&backlog, Some(FIRST)), Some(15));
    }

    #[test]
    fn a_search_that_began_before_all_deliveries_ended_says_nothing_about_later_ones() {
        let backlog = kept(&[(FIRST, 1, 10)]);
        let from = backlog.bound(ACME, Some(FIRST)).unwrap().unwrap();
        backlog.search_began(ACME, &from).unwrap();
        backlog.add(&ended(FIRST, 1));
        backlog.add(&began(FIRST, [10]));
        backlog.search_ended(ACME, &from, Some(DeliveryId(20))).unwrap();
        assert_eq!(bound(&backlog, Some(FIRST)), Some(10));
    }

    #[test]
    fn the_lowest_bound_of_an_organization_follows_those_of_its_endpoints() {
        let backlog = kept(&[(FIRST, 2, 10), (SECOND, 1, 12)]);
        let from = backlog.bound(ACME, None).unwrap().unwrap();
        assert_eq!((from.endpoint_id, from.bound.0), (FIRST, 10));
        backlog.search_began(ACME, &from).unwrap();
        backlog.search_ended(ACME, &from, Some(DeliveryId(13))).unwrap();
        assert_eq!(bound(&backlog, None), Some(12));
        backlog.add(&ended(SECOND, 1));
        assert_eq!(bound(&backlog, None), Some(13));
        backlog.add(&began(SECOND, [3]));
        assert_eq!(bound(&backlog, None), Some(3));
        backlog.add(&ended(SECOND, 1));
        backlog.add(&ended(FIRST, 2));
        assert_eq!((bound(&backlog, None), backlog.total_of(&|_| true).unwrap()), (None, 0));
    }
}
