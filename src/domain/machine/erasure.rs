//! Events whose payload is erased while the machine has deliveries of them.

use super::EndpointMachine;
use crate::domain::ids::EventId;

impl EndpointMachine {
    /// Its pending deliveries are cancelled in the database. An attempt in flight ends, and none follows it.
    pub(super) fn payload_erased(&mut self, event_id: EventId) {
        self.window.remove_event(event_id);
        for attempt in self.in_flight.values_mut().filter(|attempt| attempt.event_id == event_id) {
            attempt.is_erased = true;
        }
        if self.loading {
            self.erased_while_loading.push(event_id);
        }
        if self.settings.ordered {
            // it may be the one that all others wait behind
            self.blocked_until = None;
            self.leave_in_store();
        }
    }
}
