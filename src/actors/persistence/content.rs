//! The content of a commit with those who wait for it, and what of it has to be matched again.

use super::super::messages::{Change, Ingest};
use super::super::operational::OperationalEvent;
use crate::domain::ids::EndpointId;
use crate::store::{CommitReport, EventCommit, WriteBatch};

/// What a commit writes, and who waits for it.
pub(super) struct CommitContent {
    /// In the order of the batch's first events.
    pub(super) ingests: Vec<Ingest>,
    /// The webhooks that the batch's other events, the operational ones, are about.
    pub(super) operational: Vec<EndpointId>,
    /// Those of them that were not made of an outcome of this commit.
    pub(super) again: Vec<OperationalEvent>,
    /// In the order of the batch's outcomes.
    pub(super) changes: Vec<Change>,
    pub(super) batch: WriteBatch,
}

/// Events that were not stored because settings of their organization were changed after they were matched.
#[derive(Default)]
pub(super) struct Outdated {
    pub(super) ingests: Vec<Ingest>,
    pub(super) operational: Vec<OperationalEvent>,
}

impl CommitContent {
    /// Leaves out what supervisors wanted to record.
    pub(super) fn drop_records(&mut self) {
        self.changes.clear();
        self.batch.outcomes.clear();
        self.batch.health.clear();
    }

    /// Takes out what has to be matched again. Whoever published it goes on waiting.
    pub(super) fn take_outdated(&mut self, report: &mut CommitReport) -> Outdated {
        let mut outdated = Outdated::default();
        if !report.events.contains(&EventCommit::Outdated) {
            return outdated;
        }
        let mut ingests = std::mem::take(&mut self.ingests).into_iter();
        let mut operational = std::mem::take(&mut self.operational).into_iter();
        let (events, commits) = (std::mem::take(&mut self.batch.events), std::mem::take(&mut report.events));
        for (new, commit) in events.into_iter().zip(commits) {
            let is_outdated = commit == EventCommit::Outdated;
            let data = is_outdated.then(|| new.event.data());
            match (ingests.next(), data) {
                (Some(mut ingest), Some(data)) => {
                    ingest.publication.data = data;
                    ingest.is_again = true;
                    outdated.ingests.push(ingest);
                }
                (Some(ingest), None) => self.ingests.push(ingest),
                (None, data) => {
                    let about = operational.next();
                    let again = about.zip(data).map(|(about, data)| OperationalEvent::again(&new, about, data));
                    outdated.operational.extend(again);
                    self.operational.extend(about.filter(|_| !is_outdated));
                }
            }
            if !is_outdated {
                self.batch.events.push(new);
                report.events.push(commit);
            }
        }
        outdated
    }
}
