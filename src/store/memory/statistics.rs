//! Counts of results in memory. Sums of organizations are computed when they are read.

use std::collections::BTreeMap;

use super::state::MemoryState;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::statistics::{PeriodCounts, PeriodStatistics, StatisticsDelta, period_start};
use crate::domain::time::UnixMillis;

impl MemoryState {
    pub(super) fn add_statistics(&mut self, delta: &StatisticsDelta) {
        let key = (delta.period_start, delta.organization_id, delta.endpoint_id);
        self.statistics.entry(key).or_default().merge(&delta.counts);
    }

    fn statistics_of(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> impl Iterator<Item = (UnixMillis, EndpointId, &PeriodCounts)> {
        let since = period_start(since);
        let found = self.statistics.iter();
        let own = found.filter(move |((period, owner, _), _)| *period >= since && *owner == organization_id);
        own.map(|(&(period, _, endpoint_id), counts)| (period, endpoint_id, counts))
    }

    pub(super) fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> Vec<PeriodStatistics> {
        let mut sums: BTreeMap<UnixMillis, PeriodCounts> = BTreeMap::new();
        for (period, _, counts) in self.statistics_of(organization_id, since) {
            sums.entry(period).or_default().merge(counts);
        }
        sums.into_iter().map(|(period_start, counts)| PeriodStatistics { period_start, counts }).collect()
    }

    pub(super) fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> Vec<(EndpointId, PeriodStatistics)> {
        let found = self.statistics_of(organization_id, since);
        let wanted = found.filter(|(_, endpoint_id, _)| endpoint_ids.contains(endpoint_id));
        let statistics = |(period_start, endpoint_id, counts): (_, _, &PeriodCounts)| {
            (endpoint_id, PeriodStatistics { period_start, counts: counts.clone() })
        };
        wanted.map(statistics).collect()
    }

    pub(super) fn prune_statistics(&mut self, before: UnixMillis, limit: usize) -> bool {
        let old = self.statistics.keys().take_while(|(period, ..)| *period < before);
        let old: Vec<_> = old.take(limit).copied().collect();
        for key in &old {
            self.statistics.remove(key);
        }
        old.len() == limit
    }
}
