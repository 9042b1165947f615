//! Work that waits for persistence to write it.
//!
//! A message for each event and outcome would wake persistence's thread each time, mostly to wait for the write in
//! flight. Persistence looks here after every write; a message is needed only while it is idle.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::mailbox::{Mailbox, post};
use super::messages::{CollectInbox, Ingest, Record, RecordOutcome};
use crate::store::SavedHealth;

/// How long an outcome waits for a commit to go with, when nobody waits for it and nothing else is to be written. Smaller: when
/// little happens, each delivery is a commit of its own beside that of its event. Larger: the log shows a delivery later, and
/// a crash repeats more of them.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);

/// Bounded by the permits of its events and the machines' limits on unrecorded outcomes.
pub(crate) struct Inbox {
    contents: Mutex<Contents>,
    /// When commits take as long as this, they are worth sparing.
    spare_from: Duration,
}

#[derive(Default)]
struct Contents {
    pending: PendingWrites,
    /// Something of it is to be written as soon as it can be.
    is_urgent: bool,
    next_look: NextLook,
    /// What a commit took of late.
    commit_takes: Duration,
    /// One timer at a time: when it ends it sees whether another time has come to be wanted.
    has_timer: bool,
}

/// When persistence looks here again.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum NextLook {
    /// When it is asked to.
    #[default]
    Unknown,
    /// At this time, for what can wait.
    At(Instant),
    /// After its write, or because it was asked.
    Soon,
}

/// Events, outcomes and health to be written.
#[derive(Default)]
pub(crate) struct PendingWrites {
    pub ingests: Vec<Ingest>,
    /// Outcomes and health in one line, so that the health of a later outcome is written later.
    pub records: Vec<Record>,
}

impl PendingWrites {
    pub(crate) fn record(&mut self, outcome: RecordOutcome) {
        self.records.push(Record::Outcome(Box::new(outcome)));
    }

    pub(crate) fn save(&mut self, saved: SavedHealth) {
        self.records.push(Record::Health(Box::new(saved)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ingests.is_empty() && self.records.is_empty()
    }
}

/// What persistence needs to look into the inbox.
#[must_use = "the inbox is not written until persistence looks"]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    /// Nothing: it looks after its current write, or was asked already, or a timer will end.
    WillHappen,
    /// A message: it is idle.
    MustBeRequested,
    /// A timer, for what can wait until then: [`Inbox::is_due`].
    MustBeTimed(Instant),
}

/// What follows when the timer has ended.
#[derive(Debug, PartialEq, Eq)]
enum TimerEnd {
    /// Nothing: what waited was taken along.
    Over,
    /// Something waits since later: the timer runs until then.
    GoesOn(Instant),
    /// Persistence must look.
    Look,
}

impl Inbox {
    pub(crate) fn new(spare_from: Duration) -> Self {
        Self { contents: Mutex::default(), spare_from }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something.
    pub(crate) fn put(&self, add: impl FnOnce(&mut PendingWrites)) -> Collection {
        let mut contents = self.lock();
        add(&mut contents.pending);
        contents.is_urgent = true;
        contents.ask()
    }

    /// Adds something that nobody waits for. Where commits are worth sparing, it is written with whatever is written next, at the
    /// latest after [`PATIENCE`]: a commit of its own costs as much as that of an event.
    pub(crate) fn put_patiently(
        &self,
        now: impl FnOnce() -> Instant,
        add: impl FnOnce(&mut PendingWrites),
    ) -> Collection {
        let mut contents = self.lock();
        add(&mut contents.pending);
        if contents.commit_takes < self.spare_from {
            contents.is_urgent = true;
            return contents.ask();
        }
        match contents.next_look {
            NextLook::Unknown => {
                contents.wait_since(now()).map_or(Collection::WillHappen, Collection::MustBeTimed)
            }
            NextLook::At(_) | NextLook::Soon => Collection::WillHappen,
        }
    }

    /// A commit has ended.
    pub(crate) fn note_commit(&self, took: Duration) {
        let mut contents = self.lock();
        // the last few decide
        contents.commit_takes = (contents.commit_takes * 7 + took) / 8;
    }

    /// Runs the timer: whether persistence must look then, because nothing has taken along what waits.
    pub(crate) async fn is_due(&self, mut at: Instant) -> bool {
        loop {
            tokio::time::sleep_until(at).await;
            match self.end_timer(Instant::now()) {
                TimerEnd::Over => return false,
                TimerEnd::GoesOn(until) => at = until,
                TimerEnd::Look => return true,
            }
        }
    }

    fn end_timer(&self, now: Instant) -> TimerEnd {
        let mut contents = self.lock();
        match contents.next_look {
            NextLook::At(at) if at > now => TimerEnd::GoesOn(at),
            NextLook::At(_) => {
                contents.is_urgent = true;
                contents.has_timer = false;
                _ = contents.ask();
                TimerEnd::Look
            }
            NextLook::Unknown | NextLook::Soon => {
                contents.has_timer = false;
                TimerEnd::Over
            }
        }
    }

    /// Takes what is to be written now: nothing, when there is only what can wait, unless persistence `will_write` anyway; then
    /// also the end of a timer may be returned, which persistence starts. It promises to call this again after a write when it
    /// `will_write` or when anything is returned; otherwise it is idle, and needs a message.
    pub(crate) fn collect(&self, will_write: bool, now: Instant) -> (PendingWrites, Option<Instant>) {
        let mut contents = self.lock();
        let is_patient = !contents.pending.is_empty() && !contents.is_urgent;
        if is_patient && !will_write {
            return (PendingWrites::default(), contents.wait_since(now));
        }
        (contents.take(will_write), None)
    }

    /// Takes everything, for a write that follows.
    pub(crate) fn collect_all(&self) -> PendingWrites {
        self.lock().take(true)
    }
}

impl Contents {
    fn ask(&mut self) -> Collection {
        match std::mem::replace(&mut self.next_look, NextLook::Soon) {
            NextLook::Soon => Collection::WillHappen,
            NextLook::Unknown | NextLook::At(_) => Collection::MustBeRequested,
        }
    }

    fn wait_since(&mut self, now: Instant) -> Option<Instant> {
        let at = now + PATIENCE;
        self.next_look = NextLook::At(at);
        let has_one = std::mem::replace(&mut self.has_timer, true);
        (!has_one).then_some(at)
    }

    fn take(&mut self, will_write: bool) -> PendingWrites {
        let looks_again = will_write || !self.pending.is_empty();
        self.next_look = if looks_again { NextLook::Soon } else { NextLook::Unknown };
        self.is_urgent = false;
        std::mem::take(&mut self.pending)
    }
}

impl Collection {
    /// Sends persistence a message if it needs one.
    pub(crate) fn request(self, persistence: &impl Mailbox<CollectInbox>) {
        if self == Self::MustBeRequested {
            post(persistence, CollectInbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::EndpointHealth;
    use crate::domain::ids::{EndpointId, OrganizationId};
    use crate::domain::time::UnixMillis;

    fn health(endpoint_id: i64, failing_since: i64) -> SavedHealth {
        let healthy = EndpointHealth::healthy(OrganizationId(1), EndpointId(endpoint_id));
        let health = EndpointHealth { failing_since: Some(UnixMillis(failing_since)), ..healthy };
        SavedHealth { health, url: "https://a.example".into() }
    }

    /// How many there are to be written now.
    fn found(inbox: &Inbox, will_write: bool) -> usize {
        let (writes, timer) = inbox.collect(will_write, Instant::now());
        assert_eq!(timer, None);
        writes.records.len()
    }

    #[test]
    fn persistence_gets_one_message_while_it_is_idle_and_none_while_it_writes() {
        let inbox = Inbox::new(Duration::ZERO);
        let put = |health| inbox.put(|pending| pending.save(health));
        assert_eq!(put(health(1, 1)), Collection::MustBeRequested);
        assert_eq!(put(health(2, 1)), Collection::WillHappen, "it was asked already");
        assert_eq!(put(health(2, 2)), Collection::WillHappen);
        assert_eq!(found(&inbox, false), 3);
        assert_eq!(put(health(2, 2)), Collection::WillHappen, "it writes what it took, and looks again");
        assert_eq!(found(&inbox, false), 1);
        assert_eq!(found(&inbox, true), 0);
        assert_eq!(put(health(3, 1)), Collection::WillHappen, "it writes something else");
        assert_eq!(found(&inbox, false), 1);
        assert_eq!(found(&inbox, false), 0);
        assert_eq!(put(health(3, 2)), Collection::MustBeRequested, "it found nothing, and is idle");
    }

    #[test]
    fn what_nobody_waits_for_is_written_with_the_next_event_or_when_its_time_is_over() {
        let inbox = Inbox::new(Duration::ZERO);
        let put_patiently = |now| inbox.put_patiently(|| now, |pending| pending.save(health(1, 1)));
        let begin = Instant::now();
        let later = begin + PATIENCE / 2;
        assert_eq!(put_patiently(begin), Collection::MustBeTimed(begin + PATIENCE));
        assert_eq!(put_patiently(later), Collection::WillHappen, "that timer counts for both");
        assert_eq!(inbox.put(|pending| pending.save(health(2, 1))), Collection::MustBeRequested);
        assert_eq!(found(&inbox, false), 3);
        // while the write is under way
        assert_eq!(put_patiently(later), Collection::WillHappen);
        let (writes, timer) = inbox.collect(false, later);
        assert!(writes.is_empty() && timer.is_none(), "the timer that runs will see to it");
        assert_eq!(inbox.end_timer(begin + PATIENCE), TimerEnd::GoesOn(later + PATIENCE));
        assert_eq!(inbox.end_timer(later + PATIENCE), TimerEnd::Look);
        assert_eq!(put_patiently(later + PATIENCE), Collection::WillHappen, "it is asked to look now");
        assert_eq!(found(&inbox, false), 2);
        assert_eq!(put_patiently(later + PATIENCE), Collection::WillHappen);
        assert_eq!(found(&inbox, true), 1, "a write takes along what could wait");
    }

    #[test]
    fn a_timer_that_ends_for_nothing_is_followed_by_another_for_what_waits_next() {
        let inbox = Inbox::new(Duration::ZERO);
        let put_patiently = |now| inbox.put_patiently(|| now, |pending| pending.save(health(1, 1)));
        let begin = Instant::now();
        assert_eq!(put_patiently(begin), Collection::MustBeTimed(begin + PATIENCE));
        assert_eq!(inbox.collect_all().records.len(), 1);
        assert_eq!(found(&inbox, false), 0);
        assert_eq!(inbox.end_timer(begin + PATIENCE), TimerEnd::Over);
        assert_eq!(put_patiently(begin + PATIENCE), Collection::MustBeTimed(begin + 2 * PATIENCE));
    }

    #[test]
    fn where_a_commit_costs_little_nothing_waits_for_another() {
        let inbox = Inbox::new(Duration::from_millis(1));
        let put_patiently = || inbox.put_patiently(Instant::now, |pending| pending.save(health(1, 1)));
        assert_eq!(put_patiently(), Collection::MustBeRequested);
        assert_eq!(found(&inbox, false), 1);
        assert_eq!(found(&inbox, false), 0);
        (0..20).for_each(|_| inbox.note_commit(Duration::from_millis(3)));
        assert!(matches!(put_patiently(), Collection::MustBeTimed(_)));
        assert_eq!(inbox.collect_all().records.len(), 1);
        (0..20).for_each(|_| inbox.note_commit(Duration::from_micros(100)));
        assert_eq!(put_patiently(), Collection::WillHappen);
    }
}
