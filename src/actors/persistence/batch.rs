//! How much of the pending work one commit takes, and what a failed commit puts back.

use super::super::inbox::PendingWrites;
use super::super::messages::{Change, Ingest, RecordOutcome};
use super::super::publication::PublishError;
use crate::store::WriteBatch;

/// Events in one commit. Smaller: more fsyncs under load. Larger: a publisher waits longer for its own.
const MAX_EVENTS: usize = 2_000;
/// Outcomes in one commit.
const MAX_OUTCOMES: usize = 8_000;

impl PendingWrites {
    /// Adds what came later.
    pub(super) fn add(&mut self, later: Self) {
        self.ingests.extend(later.ingests);
        self.outcomes.extend(later.outcomes);
        self.health.extend(later.health);
    }

    /// Takes the content of the next commit.
    pub(super) fn take(&mut self) -> Self {
        // these publishers hung up, or got an error after 10 s: nothing was promised to them
        self.ingests.retain(|ingest| !ingest.reply.is_closed());
        Self {
            ingests: take_ingests(&mut self.ingests),
            outcomes: take_first(&mut self.outcomes, MAX_OUTCOMES),
            health: std::mem::take(&mut self.health),
        }
    }

    /// Puts back the content of a failed commit except its events, whose publishers get the error.
    pub(super) fn put_back(
        &mut self,
        ingests: Vec<Ingest>,
        batch: WriteBatch,
        changes: Vec<Change>,
        error: &PublishError,
    ) {
        for ingest in ingests {
            let results = ingest.publications.iter().map(|_| Err(error.clone())).collect();
            drop(ingest.reply.send(results));
        }
        let outcomes = batch.outcomes.into_iter().zip(changes);
        let retried = outcomes.map(|(outcome, change)| RecordOutcome { outcome, change });
        self.outcomes.splice(0..0, retried);
        for saved in batch.health {
            // health that arrived during the commit is newer
            self.health.entry(saved.health.endpoint_id).or_insert(saved);
        }
    }
}

/// Fills a commit; the events of one request are never split.
fn take_ingests(ingests: &mut Vec<Ingest>) -> Vec<Ingest> {
    let mut events = 0;
    let count = ingests.iter().take_while(|ingest| {
        let fits = events < MAX_EVENTS;
        events += ingest.publications.len();
        fits
    });
    let count = count.count();
    take_first(ingests, count)
}

fn take_first<T>(items: &mut Vec<T>, count: usize) -> Vec<T> {
    if items.len() <= count {
        return std::mem::take(items);
    }
    let remaining = items.split_off(count);
    std::mem::replace(items, remaining)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    #[test]
    fn events_whose_publisher_no_longer_waits_are_left_out_of_the_commit() {
        let permits = Arc::new(Semaphore::new(4));
        let mut gathering = PendingWrites::default();
        let mut publish = || {
            let permit = || permits.clone().try_acquire_owned().unwrap();
            let (reply, results) = oneshot::channel();
            gathering.ingests.push(Ingest { publications: Vec::new(), reply, permits: [permit(), permit()] });
            results
        };
        let (gave_up, waits) = (publish(), publish());
        drop(gave_up);
        let taken = gathering.take();
        assert_eq!(taken.ingests.len(), 1);
        assert_eq!(permits.available_permits(), 2, "its permits are free again");
        drop(waits);
    }
}
