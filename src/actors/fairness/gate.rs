//! Bounds how much is done at the same time, and lets organizations take turns.
//!
//! A semaphore serves callers in the order in which they come: an organization with a thousand calls keeps everyone
//! else waiting for all of them. Here each organization has a line of its own, and the lines take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::domain::ids::OrganizationId;

/// The bounds of a [`FairGate`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateLimits {
    /// Callers of all organizations inside at once.
    pub at_once: usize,
    /// Callers of one organization inside at once.
    pub for_one: usize,
    /// Callers of one organization that may wait.
    pub waiting_for_one: usize,
}

/// The organization's line is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many calls of this organization wait already")]
pub(crate) struct TooManyWaiting;

/// Lets a bounded number of callers in at once.
#[derive(Debug)]
pub(crate) struct FairGate {
    limits: GateLimits,
    state: Mutex<GateState>,
}

#[derive(Debug)]
struct GateState {
    free: usize,
    lines: HashMap<OrganizationId, Line>,
    /// Organizations with someone waiting, the next one first.
    turns: VecDeque<OrganizationId>,
}

/// One organization at the gate.
#[derive(Debug, Default)]
struct Line {
    inside: usize,
    waiting: VecDeque<oneshot::Sender<GatePass>>,
}

/// A place inside; free again when this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again when the pass is dropped"]
pub(crate) struct GatePass {
    /// `None` in a pass that nobody took.
    gate: Option<Arc<FairGate>>,
    organization_id: OrganizationId,
}

impl FairGate {
    pub(crate) fn new(limits: GateLimits) -> Arc<Self> {
        let state = GateState { free: limits.at_once, lines: HashMap::new(), turns: VecDeque::new() };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// Waits until it is this caller's turn. A caller that drops the future leaves the line.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        organization_id: OrganizationId,
    ) -> Result<GatePass, TooManyWaiting> {
        let turn = match self.try_enter(organization_id)? {
            Entry::Inside(pass) => return Ok(pass),
            Entry::Waiting(turn) => turn,
        };
        // the sender is dropped only with the gate, which `self` holds
        turn.await.map_err(|_| TooManyWaiting)
    }

    fn try_enter(self: &Arc<Self>, organization_id: OrganizationId) -> Result<Entry, TooManyWaiting> {
        let mut state = self.state.lock();
        let GateState { free, lines, turns } = &mut *state;
        let line = lines.entry(organization_id).or_default();
        // whoever waits although there is a free place belongs to an organization that has all of its own
        if *free > 0 && line.inside < self.limits.for_one && line.waiting.is_empty() {
            *free -= 1;
            line.inside += 1;
            return Ok(Entry::Inside(self.pass(organization_id)));
        }
        if line.waiting.len() >= self.limits.waiting_for_one {
            line.waiting.retain(|caller| !caller.is_closed());
            if line.waiting.len() >= self.limits.waiting_for_one {
                if line.is_idle() {
                    lines.remove(&organization_id);
                }
                return Err(TooManyWaiting);
            }
        }
        let (sender, turn) = oneshot::channel();
        if line.waiting.is_empty() {
            turns.push_back(organization_id);
        }
        line.waiting.push_back(sender);
        Ok(Entry::Waiting(turn))
    }

    fn pass(self: &Arc<Self>, organization_id: OrganizationId) -> GatePass {
        GatePass { gate: Some(Arc::clone(self)), organization_id }
    }

    fn leave(self: &Arc<Self>, organization_id: OrganizationId) {
        let mut state = self.state.lock();
        state.free += 1;
        if let Some(line) = state.lines.get_mut(&organization_id) {
            line.inside -= 1;
        }
        self.admit(&mut state);
        if state.lines.get(&organization_id).is_some_and(Line::is_idle) {
            state.lines.remove(&organization_id);
        }
    }

    /// Gives free places to organizations in turn.
    fn admit(self: &Arc<Self>, state: &mut GateState) {
        let mut refused = 0;
        while state.free > 0 && refused < state.turns.len() {
            let Some(organization_id) = state.turns.pop_front() else { return };
            let Some(line) = state.lines.get_mut(&organization_id) else { continue };
            if line.inside >= self.limits.for_one {
                state.turns.push_back(organization_id);
                refused += 1;
                continue;
            }
            let is_taken = line.admit_first(|| self.pass(organization_id));
            if is_taken {
                line.inside += 1;
                state.free -= 1;
                refused = 0;
            }
            match line.waiting.is_empty() {
                true if line.inside == 0 => drop(state.lines.remove(&organization_id)),
                true => {}
                false => state.turns.push_back(organization_id),
            }
        }
    }

    /// Callers of an organization that wait.
    pub(crate) fn waiting(&self, organization_id: OrganizationId) -> usize {
        self.state.lock().lines.get(&organization_id).map_or(0, |line| line.waiting.len())
    }

    /// Callers of an organization that are inside.
    #[cfg(test)]
    pub(crate) fn inside(&self, organization_id: OrganizationId) -> usize {
        self.state.lock().lines.get(&organization_id).map_or(0, |line| line.inside)
    }
}

enum Entry {
    Inside(GatePass),
    Waiting(oneshot::Receiver<GatePass>),
}

impl Line {
    /// Gives a pass to the first caller that still waits; `false` if there is none.
    fn admit_first(&mut self, pass: impl Fn() -> GatePass) -> bool {
        while let Some(caller) = self.waiting.pop_front() {
            match caller.send(pass()) {
                Ok(()) => return true,
                // it no longer waits; the pass must not come back to the gate, which is locked
                Err(mut pass) => pass.gate = None,
            }
        }
        false
    }

    fn is_idle(&self) -> bool {
        self.inside == 0 && self.waiting.is_empty()
    }
}

impl Drop for GatePass {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.leave(self.organization_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const A: OrganizationId = OrganizationId(1);
    const B: OrganizationId = OrganizationId(2);

    fn gate(at_once: usize, for_one: usize, waiting_for_one: usize) -> Arc<FairGate> {
        FairGate::new(GateLimits { at_once, for_one, waiting_for_one })
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn an_organization_with_many_callers_does_not_keep_another_waiting_for_all_of_them() {
        let gate = gate(1, 1, 100);
        let inside = gate.enter(A).await.unwrap();
        let mut many: Vec<_> = (0..50).map(|_| Box::pin(gate.enter(A))).collect();
        assert!(many.iter_mut().all(|caller| poll(caller.as_mut()).is_pending()));
        let mut other = pin!(gate.enter(B));
        assert!(poll(other.as_mut()).is_pending());
        drop(inside);
        let Poll::Ready(Ok(first)) = poll(many[0].as_mut()) else { panic!("the first of A was there before B") };
        drop(first);
        assert!(poll(other.as_mut()).is_ready(), "then it is B's turn");
    }

    #[tokio::test]
    async fn one_organization_never_has_more_than_its_number_inside_and_leaves_the_rest_to_others() {
        let gate = gate(3, 2, 1);
        let held = (gate.enter(A).await.unwrap(), gate.enter(A).await.unwrap());
        let mut third = pin!(gate.enter(A));
        assert!(poll(third.as_mut()).is_pending());
        assert_eq!(gate.enter(A).await.unwrap_err(), TooManyWaiting);
        assert_eq!((gate.inside(A), gate.waiting(A)), (2, 1));
        let other = gate.enter(B).await.unwrap();
        drop(other);
        assert!(poll(third.as_mut()).is_pending(), "a free place is not its own");
        drop(held);
        assert!(poll(third.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn callers_that_gave_up_take_no_place_and_nothing_is_remembered_of_them() {
        let gate = gate(1, 1, 2);
        let inside = gate.enter(A).await.unwrap();
        {
            let mut gone = pin!(gate.enter(B));
            assert!(poll(gone.as_mut()).is_pending());
        }
        let mut admitted_and_gone = Box::pin(gate.enter(A));
        assert!(poll(admitted_and_gone.as_mut()).is_pending());
        drop(inside);
        // it got a pass and never looked
        drop(admitted_and_gone);
        drop(gate.enter(B).await.unwrap());
        let state = gate.state.lock();
        assert_eq!((state.free, state.lines.len(), state.turns.len()), (1, 0, 0));
    }
}
