//! Work that waits for its commit: how much one commit takes of whose, and what a failed commit puts back.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use super::super::inbox::PendingWrites;
use super::super::messages::{Ingest, Record, RecordOutcome};
use super::super::publication::PublishError;
use super::content::{CommitContent, Outdated};
use crate::domain::fair_queue::{FairQueue, Mark, RoundLimits};
use crate::domain::ids::OrganizationId;
use crate::domain::step_size::StepSize;

/// Rows of new events and deliveries in one commit. Smaller: more fsyncs under load. Larger: everyone waits longer for
/// the commit before their own (`docs/performance.md` has the measurement).
const ROWS_A_COMMIT: usize = 4_000;
/// Outcomes in one commit.
const OUTCOMES_A_COMMIT: usize = 8_000;
/// What one organization writes in one commit while others write too; within these bounds as much as makes commits that
/// take [`COMMIT_TIME`]. Smaller: organizations with much to write pay for more fsyncs. Larger: the others' events wait
/// longer, for the commit under way and in their own.
const ROWS_A_TURN: RangeInclusive<usize> = 16..=256;
/// How long a commit should take while several organizations write. As above.
const COMMIT_TIME: Duration = Duration::from_millis(4);
/// After this long without another organization's work, the one that is left has whole commits for itself. Smaller: a
/// publisher that comes once a second meets a whole commit of someone else each time.
const ALONE_AFTER: Duration = Duration::from_secs(10);

/// Waits for the write in flight. Bounded by the permits of its events and the in-flight limits.
pub(super) struct Gathering {
    pub(super) ingests: FairQueue<Ingest>,
    pub(super) records: FairQueue<Record>,
    /// Whose work came last, and when it was last another one's than before.
    last_organization: Option<OrganizationId>,
    last_change_at: Option<Instant>,
    turn: StepSize,
}

/// A moment in the life of the gathering.
#[derive(Clone, Copy)]
pub(super) struct GatheringMark {
    ingests: Mark,
    records: Mark,
}

/// How much the next commit takes.
pub(super) struct CommitLimits {
    pub(super) rows: RoundLimits,
    pub(super) outcomes: RoundLimits,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            ingests: FairQueue::default(),
            records: FairQueue::default(),
            last_organization: None,
            last_change_at: None,
            turn: StepSize::within(ROWS_A_TURN),
        }
    }
}

impl Gathering {
    /// Adds what came later.
    pub(super) fn add(&mut self, later: PendingWrites, now: Instant) {
        for ingest in later.ingests {
            let organization_id = ingest.publication.organization_id;
            self.note(organization_id, now);
            self.ingests.push_back(organization_id, ingest);
        }
        for record in later.records {
            let organization_id = record.organization_id();
            self.note(organization_id, now);
            self.records.push_back(organization_id, record);
        }
    }

    fn note(&mut self, organization_id: OrganizationId, now: Instant) {
        if self.last_organization.replace(organization_id).is_some_and(|last| last != organization_id) {
            self.last_change_at = Some(now);
        }
    }

    /// Leaves out what supervisors wanted to record.
    pub(super) fn drop_records(&mut self) {
        self.records.clear();
    }

    /// Tells what waits now from what comes later.
    pub(super) fn mark(&mut self) -> GatheringMark {
        GatheringMark { ingests: self.ingests.mark(), records: self.records.mark() }
    }

    /// Whether something waits that came before.
    pub(super) fn holds_older_than(&self, mark: GatheringMark) -> bool {
        self.ingests.holds_older_than(mark.ingests) || self.records.holds_older_than(mark.records)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ingests.is_empty() && self.records.is_empty()
    }

    fn is_alone(&self, now: Instant) -> bool {
        self.last_change_at.is_none_or(|at| now - at >= ALONE_AFTER)
    }

    /// Fits the next turns to how long this commit took. Not while one organization is alone: it has whole commits.
    pub(super) fn note_commit(&mut self, took: Duration, now: Instant) {
        if !self.is_alone(now) {
            self.turn.note(took, COMMIT_TIME);
        }
    }

    /// One that is alone has whole commits.
    pub(super) fn limits(&self, now: Instant) -> CommitLimits {
        let is_alone = self.is_alone(now);
        let limits = |in_all| RoundLimits { for_one: if is_alone { in_all } else { self.turn.rows() }, in_all };
        CommitLimits { rows: limits(ROWS_A_COMMIT), outcomes: limits(OUTCOMES_A_COMMIT) }
    }

    /// Puts back the content of a failed commit except its events, whose publishers get the error.
    pub(super) fn put_back(&mut self, content: CommitContent, error: &PublishError) {
        let CommitContent { ingests, operational: _, again, changes, batch } = content;
        for ingest in ingests {
            ingest.reply.answer(Err(error.clone()));
        }
        self.put_back_outdated(Outdated { ingests: Vec::new(), operational: again });
        // behind the outcomes, whose health it includes
        for saved in batch.health {
            self.records.push_front(saved.health.organization_id, Record::Health(Box::new(saved)));
        }
        for (outcome, change) in batch.outcomes.into_iter().zip(changes).rev() {
            let organization_id = outcome.organization_id;
            let record = RecordOutcome { outcome, change };
            self.records.push_front(organization_id, Record::Outcome(Box::new(record)));
        }
    }
}

impl Gathering {
    /// Puts back events that have to be matched again: they are first.
    pub(super) fn put_back_outdated(&mut self, outdated: Outdated) {
        for ingest in outdated.ingests.into_iter().rev() {
            self.ingests.push_front(ingest.publication.organization_id, ingest);
        }
        for operational in outdated.operational.into_iter().rev() {
            let organization_id = operational.publication.organization_id;
            self.records.push_front(organization_id, Record::Operational(Box::new(operational)));
        }
    }
}

impl Record {
    fn organization_id(&self) -> OrganizationId {
        match self {
            Self::Outcome(record) => record.outcome.organization_id,
            Self::Health(saved) => saved.health.organization_id,
            Self::Operational(operational) => operational.publication.organization_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::operational::OperationalEvent;
    use crate::actors::publication::Publication;
    use crate::domain::health::EndpointHealth;
    use crate::domain::ids::EndpointId;
    use crate::domain::time::UnixMillis;
    use crate::store::{SavedHealth, WriteBatch};
    use serde_json::value::RawValue;

    fn health(organization: i64) -> Record {
        let health = EndpointHealth::healthy(OrganizationId(organization), EndpointId(organization));
        Record::Health(Box::new(SavedHealth { health, url: "https://a.example".into() }))
    }

    fn add(gathering: &mut Gathering, organizations: &[i64], now: Instant) {
        let records = organizations.iter().map(|&organization| health(organization)).collect();
        gathering.add(PendingWrites { ingests: Vec::new(), records }, now);
    }

    #[test]
    fn an_announcement_whose_outcome_is_stored_survives_commits_that_fail() {
        let data = RawValue::from_string("{}".to_owned()).unwrap();
        let time = (String::new(), UnixMillis(0));
        let publication = Publication::new(OrganizationId(1), "webhook.failing".to_owned(), time, data);
        let about = EndpointId(7);
        let again = vec![OperationalEvent { publication, about, reports_disabling: false }];
        let content = CommitContent {
            ingests: Vec::new(),
            operational: vec![about],
            again,
            changes: Vec::new(),
            batch: WriteBatch::default(),
        };
        let mut gathering = Gathering::default();
        gathering.put_back(content, &PublishError::Stopping);
        let mut records = Vec::new();
        let limits = gathering.limits(Instant::now()).outcomes;
        gathering.records.serve_round(limits, |record| {
            records.push(record);
            1
        });
        let is_it = |record: &Record| matches!(record, Record::Operational(again) if again.about == about);
        assert!(records.len() == 1 && is_it(&records[0]));
    }

    #[test]
    fn an_organization_has_whole_commits_only_while_no_other_one_writes() {
        let mut gathering = Gathering::default();
        let begin = Instant::now();
        add(&mut gathering, &[1, 1, 1], begin);
        assert_eq!(gathering.limits(begin).rows.for_one, ROWS_A_COMMIT);
        add(&mut gathering, &[2], begin);
        assert_eq!(gathering.limits(begin).rows.for_one, *ROWS_A_TURN.start());
        for (milliseconds, rows) in [(0, 32), (2, 64), (8, 32), (100, 16)] {
            gathering.note_commit(Duration::from_millis(milliseconds), begin);
            assert_eq!(gathering.limits(begin).rows.for_one, rows);
        }
        add(&mut gathering, &[2, 2], begin + ALONE_AFTER);
        assert_eq!(gathering.limits(begin + ALONE_AFTER).outcomes.for_one, OUTCOMES_A_COMMIT);
    }
}
