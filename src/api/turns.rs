//! Whose turn it is: what the API does for an organization waits in that organization's own line, and the lines take
//! turns. One organization can fill its line, not another's.
//!
//! Only calls that have reached a place inside hold a thread; those that wait hold a future.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{rt, web};
use tokio::time::Instant;

use super::line::Line;
use super::problem::{ErrorCode, Problem};
use super::{Api, blocking, finished, within};
use crate::actors::fairness::gate::{FairGate, GateLimits, GatePass};
use crate::domain::ids::OrganizationId;
use crate::domain::step_size::StepSize;
use crate::store::{RESENT_AT_ONCE, Store, StoreResult};

/// Calls of one organization that may wait in a line. Smaller: a page that asks for much at once is refused. Larger: what
/// waits is refused by its time-out instead.
const WAITING: usize = 64;
/// Beyond [`WAITING`], for the admin alone: an organization that fills its line must not keep the admin from deleting it.
const WAITING_FOR_ADMIN: usize = 64;
/// How long a call waits for its turn. Smaller: a slow disk makes refusals. Larger: clients give up first, and the work is
/// done for nobody.
const PATIENCE: Duration = Duration::from_secs(20);
/// Changes of all organizations at once. Each waits for the store's writer most of the time. Smaller: a slow change of a
/// few organizations keeps the others waiting. Larger: more threads wait.
const CHANGES_AT_ONCE: usize = 8;
/// Steps of long work, retries and replays of all organizations at once; as for [`CHANGES_AT_ONCE`].
const STEPS_AT_ONCE: usize = 4;
/// How soon a step of long work stands in line again that found it full, of retries of the same organization.
const STEP_PAUSE: Duration = Duration::from_millis(20);
/// Rows of one step of long work. Smaller: transactions cost more than what they change. Larger: the store does not do more.
const ROWS_A_STEP: RangeInclusive<usize> = 32..=RESENT_AT_ONCE;
/// How long such a step should take, with its wait for the writer. Smaller: a recovery of many deliveries takes longer.
/// Larger: so much later are the events accepted that come meanwhile.
const STEP_TIME: Duration = Duration::from_millis(4);
/// After a step, long work rests for as long as the step took, but not longer than this: half of the writer's time stays for
/// others. Smaller: it has more of the time on a slow disk. Larger: it hardly goes on there.
const MOST_REST: Duration = Duration::from_millis(20);
/// Long pieces of work of one organization that wait for the first one.
const LONG_WAITING: usize = 16;
/// Test events of one organization at once. Smaller: a person who tries several webhooks is refused. Larger: a loop of
/// tests to a receiver that hangs holds that many connections.
pub(super) const TESTS_FOR_ONE: usize = 8;
/// Bodies of one organization that arrive at once. Smaller: publishers with many connections are refused. Larger: slow
/// bodies of one organization hold more of the server's connections.
const BODIES_FOR_ONE: usize = 256;
/// Bodies and schemas that are parsed at once on threads of their own. Smaller: large events wait for each other. Larger:
/// those whose schemas are slow to check take the processors from everyone.
const PARSING_AT_ONCE: usize = 16;
const PARSING_FOR_ONE: usize = 4;
/// Each of them is in memory already, where [`BODIES_FOR_ONE`] and its share bound it.
const PARSING_WAITING: usize = 4_096;
/// Look-ups at once of keys that were valid a moment ago. There is one in a second for each key.
const KNOWN_KEYS_AT_ONCE: usize = 2;
/// Requests with a key that is looked up again: they all wait for the first one's answer.
const KNOWN_KEYS_WAITING: usize = 8_192;
/// Look-ups at once of keys that were never seen. One: those of known keys always find a connection.
const NEW_KEYS_AT_ONCE: usize = 1;
/// Requests with such keys that may wait, for each address that they come from.
const NEW_KEYS_WAITING: usize = 256;
/// Notes of the last use of keys that are written at once: one in a minute for each key.
const KEY_USES_AT_ONCE: usize = 2;

/// The gates of the API, one for each kind of work.
pub(super) struct Turns {
    pub(super) reads: Arc<FairGate>,
    pub(super) changes: Arc<FairGate>,
    /// One long piece of work for each organization.
    pub(super) long_work: Arc<FairGate>,
    /// Its steps, and retries and replays, which are one step.
    pub(super) steps: Arc<FairGate>,
    pub(super) tests: Arc<FairGate>,
    pub(super) bodies: Arc<FairGate>,
    pub(super) parsing: Arc<FairGate>,
    pub(super) known_keys: Arc<FairGate>,
    pub(super) new_keys: Arc<FairGate>,
    pub(super) key_uses: Arc<FairGate>,
}

impl Turns {
    /// Gates for an API whose reads have this many connections of the store.
    pub(super) fn new(reads_at_once: usize) -> Self {
        let gate =
            |at_once, for_one, waiting_for_one| FairGate::new(GateLimits { at_once, for_one, waiting_for_one });
        Self {
            reads: gate(reads_at_once.max(1), (reads_at_once / 2).max(1), WAITING),
            changes: gate(CHANGES_AT_ONCE, 1, WAITING + WAITING_FOR_ADMIN),
            long_work: gate(usize::MAX, 1, LONG_WAITING),
            steps: gate(STEPS_AT_ONCE, 1, WAITING),
            tests: gate(usize::MAX, TESTS_FOR_ONE, 0),
            bodies: gate(usize::MAX, BODIES_FOR_ONE, 0),
            parsing: gate(PARSING_AT_ONCE, PARSING_FOR_ONE, PARSING_WAITING),
            known_keys: gate(KNOWN_KEYS_AT_ONCE, 1, KNOWN_KEYS_WAITING),
            new_keys: gate(NEW_KEYS_AT_ONCE, 1, NEW_KEYS_WAITING),
            key_uses: gate(KEY_USES_AT_ONCE, 1, WAITING),
        }
    }
}

/// Long work begins small: how long its rows take is not known yet.
pub(crate) const fn first_step() -> StepSize {
    StepSize::within(ROWS_A_STEP)
}

impl Api {
    /// Waits for a turn at a gate; 429 when the line is full, or too slow.
    pub(super) async fn turn(&self, gate: &Arc<FairGate>, line: Line) -> Result<GatePass, Problem> {
        match tokio::time::timeout(PATIENCE, gate.enter(line.id())).await {
            Ok(Ok(pass)) => Ok(pass),
            Ok(Err(_)) | Err(_) => {
                let detail = "too many calls of this organization wait for their turn; nothing was done, try again \
                              after Retry-After";
                Err(self.over_share(line, detail))
            }
        }
    }

    /// The response to a call that is over its organization's share, which is counted.
    pub(super) fn over_share(&self, line: Line, detail: &str) -> Problem {
        self.engine.shares().of(line.owner()).refused.add(1, self.engine.now());
        Problem::too_many(detail, Duration::from_secs(1))
    }

    /// Reads from the store on a blocking thread, when it is this organization's turn.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        line: impl Into<Line>,
        call: impl FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let line = line.into();
        let pass = self.turn(&self.turns.reads, line).await?;
        self.engine.shares().of(line.owner()).reads.add(1, self.engine.now());
        let work = self.options.read_threads.spawn_blocking(self.inside(pass, call));
        within(super::READ_PATIENCE, finished(work)).await??.map_err(Problem::from)
    }

    /// Calls the store on a blocking thread. The pass is held until the call returns, also when nobody waits any more.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        pass: GatePass,
        call: impl FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, Problem> {
        within(patience, blocking(self.inside(pass, call))).await??.map_err(Problem::from)
    }

    /// A call of the store that gives its place back when it has ended.
    fn inside<T>(
        &self,
        pass: GatePass,
        call: impl FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    ) -> impl FnOnce() -> StoreResult<T> + Send + 'static {
        let store = Arc::clone(self.engine.store());
        move || {
            let _inside = pass;
            call(store.as_ref())
        }
    }

    /// Parses something that may take long on a blocking thread, when it is this organization's turn.
    pub(crate) async fn parse<T: Send + 'static>(
        &self,
        line: impl Into<Line>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let pass = self.turn(&self.turns.parsing, line.into()).await?;
        let parsed = blocking(move || {
            let _inside = pass;
            work()
        });
        parsed.await
    }

    /// Writes to the store and does what must follow (forget a key), on a blocking thread.
    ///
    /// Both happen even if the client disconnects meanwhile: then the handler's future is dropped, but the thread
    /// continues. Changes of an organization run one after the other, so that none of them passes a limit together with
    /// another; those of several organizations run at once. The engine has read what was changed before this returns.
    pub(super) async fn change<T: Send + 'static>(
        this: &web::Data<Self>,
        organization_id: OrganizationId,
        change: impl FnOnce(&Self, &dyn Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        Self::change_by(this, organization_id.into(), organization_id, change).await
    }

    /// The same for a caller who need not belong to the organization.
    pub(super) async fn change_by<T: Send + 'static>(
        this: &web::Data<Self>,
        by: Line,
        organization_id: OrganizationId,
        change: impl FnOnce(&Self, &dyn Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let line = Line::Organization(organization_id);
        if by != Line::Admin && this.turns.changes.waiting(organization_id) >= WAITING {
            let detail = "too many changes of this organization wait for their turn; nothing was changed, try again \
                          after Retry-After";
            return Err(this.over_share(line, detail));
        }
        let pass = this.turn(&this.turns.changes, line).await?;
        let api = web::Data::clone(this).into_inner();
        let work = move || {
            let _in_order = pass;
            let changed = change(&api, api.engine.store().as_ref());
            match &changed {
                Ok(_) => api.engine.settings_changed(),
                Err(problem) => api.doubt_if_unavailable(problem),
            }
            changed
        };
        within(super::CHANGE_PATIENCE, blocking(work)).await??
    }

    /// A change in one short step whose order does not matter: a retry or a replay.
    pub(crate) async fn step<T: Send + 'static>(
        &self,
        organization_id: OrganizationId,
        step: impl FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let pass = self.turn(&self.turns.steps, organization_id.into()).await?;
        let done = self.ask(super::CHANGE_PATIENCE, pass, step).await;
        done.inspect_err(|problem| self.doubt_if_unavailable(problem))
    }

    /// A change that failed may have been committed: the engine has to look.
    fn doubt_if_unavailable(&self, problem: &Problem) {
        if problem.code() == ErrorCode::Unavailable {
            self.engine.change_in_doubt();
        }
    }

    /// One step of long work, and a rest. It is not refused when the line is full: half of the work is done already.
    pub(crate) async fn next_step<T: Send + 'static>(
        &self,
        organization_id: OrganizationId,
        size: &mut StepSize,
        step: impl FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let pass = loop {
            match self.turns.steps.enter(organization_id).await {
                Ok(pass) => break pass,
                Err(_) => tokio::time::sleep(STEP_PAUSE).await,
            }
        };
        let begin = Instant::now();
        let done = self.ask(super::CHANGE_PATIENCE, pass, step).await;
        let took = begin.elapsed();
        size.note(took, STEP_TIME);
        tokio::time::sleep(took.min(MOST_REST)).await;
        done.inspect_err(|problem| self.doubt_if_unavailable(problem))
    }

    /// Does long work for an organization, one piece after the other; it waits for its turn before each of its steps
    /// ([`Self::next_step`]). It is finished even if the client disconnects: half a recovery is worse than a whole one.
    pub(crate) async fn do_long_work<T: 'static>(
        &self,
        organization_id: OrganizationId,
        work: impl Future<Output = Result<T, Problem>> + 'static,
    ) -> Result<T, Problem> {
        let pass = self.turn(&self.turns.long_work, organization_id.into()).await?;
        let work = rt::spawn(async move {
            let _inside = pass;
            work.await
        });
        work.await.map_err(|error| {
            tracing::error!(%error, "long work of the API ended without a result");
            Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_stranger_is_that_of_an_organization_or_of_the_admin() {
        let addresses =
            ["0.0.0.0", "255.255.255.255", "127.0.0.1", "::", "::1", "2001:db8::1", "ffff::1", "8000::"];
        for address in addresses {
            let id = Line::Address(address.parse().unwrap()).id();
            assert!(id.0 < -2, "{address}: {id:?}");
        }
        let line = |address: &str| Line::Address(address.parse().unwrap()).id();
        assert_eq!(line("2001:db8:1:2:3::1"), line("2001:db8:1:2:4::1"), "whoever has one has both");
        assert_ne!(line("2001:db8:1:2::1"), line("2001:db8:1:3::1"));
    }
}
