//! The thread that counts pending deliveries: at the start, and again after a commit in doubt; and that finishes long
//! searches for the oldest one. It has connections of its own, and only while it works.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::backlog::{Backlog, BacklogChange, CountedEndpoint};
use super::connection::{AnyConnection, Opener, Writer};
use super::{StoreError, StoreResult};
use crate::domain::ids::{EndpointId, OrganizationId};

/// Pause after a count, and after a search. Smaller: when a database fails every other commit, it counts more than it
/// commits. Larger: the age of a backlog is out of date for longer.
const PAUSE: Duration = Duration::from_secs(1);
/// Further pause for each row that a search has looked at: ten times as long as the search took, at about 2 µs a row.
const PAUSE_A_ROW: Duration = Duration::from_micros(20);
/// Pause between two counts while other nodes write too: so many times as long as a count takes, within bounds. Smaller: counts
/// cost more than a twentieth of a processor. Larger: a backlog is shown as it was so long ago.
const COUNT_PAUSE_FACTOR: u32 = 20;
const COUNT_PAUSE: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(120);
/// Searches that wait. More are refused: the next call asks again.
const MAX_WANTED: usize = 1_000;

/// Whose oldest pending delivery is searched: an endpoint's, or an organization's.
pub(super) type Wanted = (OrganizationId, Option<EndpointId>);

/// The queries, which depend on the schema.
pub(super) trait BacklogQueries: Send + Sync + 'static {
    /// Begins a transaction whose reads all see the rows as they are now.
    fn open_snapshot(&self, connection: &mut AnyConnection) -> StoreResult<()>;
    /// Counts the pending deliveries of all endpoints.
    fn count(&self, connection: &mut AnyConnection) -> StoreResult<Vec<CountedEndpoint>>;
    /// Finishes a search; returns how many rows it has looked at.
    fn search(&self, connection: &mut AnyConnection, backlog: &Backlog, wanted: Wanted) -> StoreResult<usize>;
}

/// The kept counts, and the thread that keeps them right.
pub(super) struct BacklogKeeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    backlog: Backlog,
    opener: Arc<dyn Opener>,
    writer: Arc<Writer>,
    queries: Box<dyn BacklogQueries>,
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Default)]
struct Work {
    /// A connection with the snapshot of a count.
    snapshot: Option<AnyConnection>,
    wanted: BTreeSet<Wanted>,
    /// How much all nodes have written, as far as is known.
    writes: i64,
    is_ending: bool,
}

impl BacklogKeeper {
    /// Begins to count. Nothing may have been written through `writer` yet.
    pub(super) fn start(
        opener: Arc<dyn Opener>,
        writer: Arc<Writer>,
        queries: Box<dyn BacklogQueries>,
    ) -> StoreResult<Self> {
        let mut snapshot = opener.open_reader()?;
        queries.open_snapshot(&mut snapshot)?;
        let backlog = Backlog::default();
        backlog.snapshot_opened();
        let work = Mutex::new(Work { snapshot: Some(snapshot), ..Work::default() });
        let shared = Arc::new(Shared { backlog, opener, writer, queries, work, wake: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(String::from("backlog"))
            .spawn(move || of_thread.run())
            .map_err(|error| StoreError::Unavailable(format!("a thread can't be started: {error}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.shared.backlog
    }

    /// Adds what a transaction has changed, before the next one begins. If it failed so that it may have been written,
    /// everything is counted again.
    pub(super) fn settle<T>(&self, result: &StoreResult<T>, change: &BacklogChange) {
        match result {
            Ok(_) => self.shared.backlog.add(change),
            Err(StoreError::Unavailable(_)) if !change.is_empty() => self.doubt(),
            // rolled back
            Err(_) => {}
        }
    }

    /// How much all nodes have written: while that stands still, so do the counts.
    pub(super) fn note_writes(&self, writes: i64) {
        let mut work = self.shared.work.lock();
        if work.writes != writes {
            work.writes = writes;
            self.shared.wake.notify_all();
        }
    }

    /// Other nodes write too, or no longer.
    pub(super) fn set_shared(&self, is_shared: bool) {
        if self.shared.backlog.set_shared(is_shared) {
            self.doubt();
        }
    }

    /// A transaction failed and may have been committed.
    pub(super) fn doubt(&self) {
        self.shared.backlog.doubt();
        // under the lock: the thread is either not yet waiting, and will look, or hears this
        let _work = self.shared.work.lock();
        self.shared.wake.notify_all();
    }

    /// Asks for a search that takes too long for a request.
    pub(super) fn want(&self, wanted: Wanted) {
        let mut work = self.shared.work.lock();
        if work.wanted.len() < MAX_WANTED {
            work.wanted.insert(wanted);
            self.shared.wake.notify_all();
        }
    }
}

impl Drop for BacklogKeeper {
    fn drop(&mut self) {
        self.shared.work.lock().is_ending = true;
        self.shared.wake.notify_all();
        // its connections must be closed before the database is given up
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut next_count = now();
        let mut counted_writes = -1;
        loop {
            let mut work = self.work.lock();
            let may_differ = |work: &Work| self.backlog.is_shared() && work.writes != counted_writes;
            let has_nothing =
                |work: &Work| work.snapshot.is_none() && work.wanted.is_empty() && !self.backlog.is_in_doubt();
            while has_nothing(&work) && !work.is_ending && !(may_differ(&work) && now() >= next_count) {
                match may_differ(&work) {
                    true => _ = self.wake.wait_for(&mut work, next_count.saturating_duration_since(now())),
                    false => self.wake.wait(&mut work),
                }
            }
            if work.is_ending {
                return;
            }
            let is_due = may_differ(&work) && now() >= next_count;
            // a write that ends during the count is one more with the next beat
            let writes = work.writes;
            let snapshot = work.snapshot.take();
            let wanted = if snapshot.is_some() { BTreeSet::new() } else { std::mem::take(&mut work.wanted) };
            drop(work);
            if snapshot.is_some() || self.backlog.is_in_doubt() || is_due {
                let begin = now();
                self.count(snapshot);
                counted_writes = writes;
                let pause = begin.elapsed() * COUNT_PAUSE_FACTOR;
                next_count = now() + pause.clamp(*COUNT_PAUSE.start(), *COUNT_PAUSE.end());
            }
            // without a connection they are asked for again
            let rows = if wanted.is_empty() { 0 } else { self.search(wanted).unwrap_or(0) };
            self.rest(PAUSE + PAUSE_A_ROW * u32::try_from(rows).unwrap_or(u32::MAX));
        }
    }

    fn count(&self, snapshot: Option<AnyConnection>) {
        let snapshot = snapshot.map_or_else(|| self.open_snapshot(), Ok);
        let rows = snapshot.and_then(|mut snapshot| self.queries.count(&mut snapshot));
        self.backlog.count_ended(rows.ok());
    }

    /// Between two transactions of the writer: each is either in the snapshot or added to the count.
    fn open_snapshot(&self) -> StoreResult<AnyConnection> {
        let mut snapshot = self.opener.open_reader()?;
        // the writer's connection exists now, so a transaction that an earlier one left in doubt is decided
        self.writer.run(|_| {
            self.queries.open_snapshot(&mut snapshot)?;
            self.backlog.snapshot_opened();
            Ok(())
        })?;
        Ok(snapshot)
    }

    fn search(&self, wanted: BTreeSet<Wanted>) -> StoreResult<usize> {
        let mut connection = self.opener.open_reader()?;
        let mut rows = 0;
        for one in wanted {
            if self.work.lock().is_ending {
                break;
            }
            rows += self.queries.search(&mut connection, &self.backlog, one)?;
        }
        Ok(rows)
    }

    fn rest(&self, pause: Duration) {
        let mut work = self.work.lock();
        self.wake.wait_while_for(&mut work, |work| !work.is_ending, pause);
    }
}

#[expect(clippy::disallowed_methods, reason = "the pace of a thread, which no simulated time runs")]
fn now() -> Instant {
    Instant::now()
}
