//! Whose webhooks anyone is told about: known before an attempt is, so that a deployment without such an application pays nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::domain::ids::OrganizationId;
use crate::store::{Store, StoreResult};

/// Organizations that are remembered. Smaller: more of them are looked up again. Larger: costs memory, 16 bytes each.
const REMEMBERED: usize = 100_000;

/// What the store said since an organization was changed last. It decides itself when a notice is written.
#[derive(Default)]
pub(super) struct Listeners {
    are_there: AtomicBool,
    told: Mutex<HashMap<OrganizationId, bool>>,
}

impl Listeners {
    /// Asks again from now on.
    pub(super) fn read(&self, store: &dyn Store) -> StoreResult<()> {
        self.are_there.store(store.has_listeners()?, Ordering::Release);
        self.told.lock().clear();
        Ok(())
    }

    pub(super) fn are_there(&self) -> bool {
        self.are_there.load(Ordering::Acquire)
    }

    /// Whether anyone is told about an organization's webhooks. Blocks when it is not known.
    pub(super) fn listen_to(&self, store: &dyn Store, organization_id: OrganizationId) -> bool {
        if !self.are_there() {
            return false;
        }
        if let Some(known) = self.told.lock().get(&organization_id) {
            return *known;
        }
        // the store looks again when it writes
        let Ok(is_told) = store.is_told(organization_id) else { return true };
        let mut told = self.told.lock();
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(organization_id, is_told);
        is_told
    }
}
