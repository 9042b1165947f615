//! Who uses how much, for the deployment's admin.

use super::shares::{OrganizationShare, Resource, Shares};
use crate::domain::ids::OrganizationId;
use crate::domain::time::UnixMillis;

/// Of which an organization's part counts for how large a user it is.
const RESOURCES: [Resource; 5] = [
    Resource::Supervisors,
    Resource::Attempts,
    Resource::PayloadBytes,
    Resource::UncommittedEvents,
    Resource::BodyBytes,
];

/// What an organization uses now, or a moment ago.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OrganizationUsage {
    pub organization_id: OrganizationId,
    /// Of its endpoints, in memory.
    pub supervisors: usize,
    pub attempts_in_flight: usize,
    /// Event bodies held for delivery.
    pub payload_bytes: usize,
    pub uncommitted_events: usize,
    /// Bodies of requests.
    pub body_bytes: usize,
    /// Rows written for it.
    pub rows_per_second: f64,
    /// Reads of the API and the dashboard.
    pub reads_per_second: f64,
    /// Requests that were over its share.
    pub refused_per_minute: f64,
    /// The largest part that it holds of any resource, from 0 to 1.
    pub largest_part: f64,
}

impl OrganizationUsage {
    fn is_nothing(&self) -> bool {
        let rates = [self.rows_per_second, self.reads_per_second, self.refused_per_minute, self.largest_part];
        // the smallest rate that is shown
        rates.iter().all(|rate| *rate < 0.05)
    }
}

impl Shares {
    /// All organizations that use anything, the largest user first.
    pub(crate) fn usage(&self, now: UnixMillis) -> Vec<OrganizationUsage> {
        // ids of organizations are positive; the others stand for callers without one
        let organizations = self.all().into_iter().filter(|share| share.organization_id.0 > 0);
        let mut usage: Vec<OrganizationUsage> =
            organizations.map(|share| self.usage_of(&share, now)).filter(|usage| !usage.is_nothing()).collect();
        usage.sort_by(|a, b| {
            let by_rows = || b.rows_per_second.total_cmp(&a.rows_per_second);
            let by_reads = || b.reads_per_second.total_cmp(&a.reads_per_second);
            b.largest_part.total_cmp(&a.largest_part).then_with(by_rows).then_with(by_reads)
        });
        usage
    }

    fn usage_of(&self, share: &OrganizationShare, now: UnixMillis) -> OrganizationUsage {
        let part = |resource: Resource| share.held(resource) as f64 / self.capacity(resource).max(1) as f64;
        OrganizationUsage {
            organization_id: share.organization_id,
            supervisors: share.held(Resource::Supervisors),
            attempts_in_flight: share.held(Resource::Attempts),
            payload_bytes: share.held(Resource::PayloadBytes),
            uncommitted_events: share.held(Resource::UncommittedEvents),
            body_bytes: share.held(Resource::BodyBytes),
            rows_per_second: share.rows.per_second(now),
            reads_per_second: share.reads.per_second(now),
            refused_per_minute: share.refused.per_second(now) * 60.0,
            largest_part: RESOURCES.into_iter().map(part).fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shares::Capacities;
    use super::*;

    #[test]
    fn the_largest_user_of_anything_comes_first_and_who_uses_nothing_is_left_out() {
        let shares = Shares::new(Capacities {
            supervisors: 1_000,
            attempts: 100,
            payload_bytes: 1_000,
            uncommitted_events: 1_000,
            uncommitted_kibibytes: 1_000,
            uncommitted_rows: 1_000,
            body_bytes: 1_000,
        });
        let now = UnixMillis(1_700_000_000_000);
        let take = |resource, organization, amount| {
            shares.try_take(resource, OrganizationId(organization), amount).unwrap()
        };
        let held = [
            take(Resource::Supervisors, 1, 200),
            take(Resource::Attempts, 2, 50),
            take(Resource::BodyBytes, -1, 500),
        ];
        shares.of(OrganizationId(3)).reads.add(100, now);
        shares.of(OrganizationId(4)).rows.add(100, now);
        shares.of(OrganizationId(4)).refused.add(10, now);
        drop(take(Resource::Attempts, 5, 1));
        let usage = shares.usage(now);
        let ids: Vec<i64> = usage.iter().map(|usage| usage.organization_id.0).collect();
        assert_eq!(ids, [2, 1, 4, 3]);
        assert_eq!((usage[0].attempts_in_flight, usage[0].largest_part), (50, 0.5));
        assert!(usage[2].refused_per_minute > 1.0);
        drop(held);
    }
}
