//! Deliveries that are first due later: they wait in the database, and their endpoints are told when.

use super::super::mailbox::post;
use super::super::messages::{Announcement, MoreInStore};
use super::{NotHandedOn, Router};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::AgendaRow;

impl Router {
    /// Tells whoever works for the endpoint that a delivery of it is due at an instant. No supervisor is started for that.
    pub(super) fn leave_until(
        &mut self,
        due_at: UnixMillis,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> Result<(), NotHandedOn> {
        if !self.context.rights.owns(endpoint_id) {
            let announcement = Announcement { organization_id, endpoint_id, since: Some(due_at), reset: None };
            return Err(NotHandedOn::Elsewhere(announcement));
        }
        match self.supervised.get_mut(&endpoint_id).filter(|supervised| supervised.addr.connected()) {
            Some(supervised) => {
                // it reads its queue, and so the time
                if supervised.credits.overflow(Some(due_at)) {
                    supervised.sent += 1;
                    post(&supervised.addr, MoreInStore);
                }
                Ok(())
            }
            None => {
                self.context.queue_cursors.lower(endpoint_id, due_at);
                Err(NotHandedOn::Postponed(AgendaRow { endpoint_id, organization_id, due_at }))
            }
        }
    }
}
