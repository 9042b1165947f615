//! Calls of a store that wait until a test lets them go on.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Longer than a test waits for anything.
const HELD_AT_MOST: Duration = Duration::from_secs(60);

/// Holds up calls of one method, as a slow database does.
#[derive(Default)]
pub(crate) struct HeldCalls {
    state: Mutex<HeldState>,
    changed: Condvar,
}

#[derive(Default)]
struct HeldState {
    method: &'static str,
    to_hold: usize,
    inside: usize,
}

impl HeldCalls {
    /// The next calls of this method wait.
    pub(crate) fn hold(&self, method: &'static str, calls: usize) {
        *self.state.lock().unwrap() = HeldState { method, to_hold: calls, inside: 0 };
    }

    /// How many wait now.
    pub(crate) fn inside(&self) -> usize {
        self.state.lock().unwrap().inside
    }

    /// Lets all of them go on.
    pub(crate) fn release(&self) {
        *self.state.lock().unwrap() = HeldState::default();
        self.changed.notify_all();
    }

    /// Lets all of them go on; the next call waits.
    pub(crate) fn release_all_but_the_next(&self) {
        let mut state = self.state.lock().unwrap();
        (state.to_hold, state.inside) = (1, 0);
        self.changed.notify_all();
    }

    pub(crate) fn pass(&self, method: &str) {
        let mut state = self.state.lock().unwrap();
        if state.method != method || state.to_hold == 0 {
            return;
        }
        state.to_hold -= 1;
        state.inside += 1;
        // a test that fails does not release what it holds
        drop(self.changed.wait_timeout_while(state, HELD_AT_MOST, |state| state.inside > 0).unwrap());
    }
}
