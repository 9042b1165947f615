//! Payloads whose publisher said how long they are kept: retention forgets them, and whoever has them hears of it.

use std::collections::BTreeMap;

use super::handle::EngineHandle;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::{ExpiryStep, Store, StoreResult};

/// One step; returns whether there is more to do, and whether something was done. Blocks.
pub(super) fn forget_expired(
    store: &dyn Store,
    engine: &EngineHandle,
    now: UnixMillis,
    limit: usize,
) -> StoreResult<(bool, bool)> {
    let ExpiryStep { erased, cancelled, has_more } = store.erase_expired_payloads(now, limit)?;
    let has_done = erased > 0 || !cancelled.is_empty();
    if !cancelled.is_empty() {
        // supervisors forget them, here and on other nodes
        engine.settings_changed();
        engine.deliveries_cancelled(cancelled.len());
        let mut by_organization: BTreeMap<OrganizationId, Vec<EndpointId>> = BTreeMap::new();
        for (organization_id, endpoint_id) in cancelled {
            by_organization.entry(organization_id).or_default().push(endpoint_id);
        }
        for (organization_id, endpoints) in by_organization {
            // what waited behind them in an ordered queue is due
            engine.work_added(organization_id, endpoints);
        }
    }
    Ok((has_more, has_done))
}
