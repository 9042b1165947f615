//! Publishing: takes an event's place in the bounds, hands it to persistence, and waits for the commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::fairness::shares::{Holding, OrganizationShare, Refusal, Resource};
use super::super::messages::Ingest;
use super::super::publication::{Publication, PublishError, Published};
use super::super::publish_reply::{BatchReply, PublishReply, PublishResult, WaitsForBatch};
use super::super::traces::PublishTrace;
use super::EngineHandle;
use crate::store::BatchKey;
use crate::telemetry;

/// How long a publisher waits for its commit; for a batch, from one commit with some of it to the next. Smaller: a disk
/// that is only slow is taken for a dead one. Larger: a database that accepts and never responds holds its publishers.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
/// Rows of one organization that wait for their commit, an event and each of its deliveries; the request that passes
/// the bound is still taken. Smaller: one batch for many webhooks keeps its organization from publishing more. Larger: an
/// organization's events wait longer behind its own batches.
const MAX_ROWS_OF_ONE: usize = 150_000;
/// Rows that a slow disk commits in a second, for telling a publisher when to come back. Larger: it comes back too early.
const SLOW_ROWS_A_SECOND: usize = 20_000;
/// The longest time after which a publisher is told to come back, in seconds.
const LONGEST_RETRY_AFTER: usize = 30;

/// What publications take of the bounds.
struct Demand {
    events: usize,
    kibibytes: usize,
    rows: usize,
}

impl EngineHandle {
    /// Accepts an event: returns after the commit that makes it durable.
    pub async fn publish(&self, publication: Publication) -> Result<Published, PublishError> {
        let trace = PublishTrace::begin(&self.0.context, &publication);
        let result = self.publish_one(publication).await;
        if let Some(trace) = trace {
            trace.end(&result);
        }
        result
    }

    async fn publish_one(&self, publication: Publication) -> PublishResult {
        let holdings = self.admit(std::slice::from_ref(&publication))?;
        let (reply, result) = oneshot::channel();
        self.enqueue([Ingest { publication, reply: PublishReply::Single(reply, holdings), is_again: false }]);
        match tokio::time::timeout(COMMIT_PATIENCE, result).await {
            Ok(result) => result.map_err(|_| PublishError::Stopping)?,
            // if its write has not begun, it is left out of every commit from now on; otherwise it may be stored, like
            // after a commit that failed
            Err(_) => Err(self.gave_up()),
        }
    }

    /// Accepts the events of one organization, in as many commits as it takes, and returns a result for each in order
    /// when all of them are durable. An outer error applies to all that have no result. With the key of the batch a
    /// repetition stores what is missing and nothing twice.
    pub async fn publish_all(
        &self,
        publications: Vec<Publication>,
        key: Option<BatchKey>,
    ) -> Result<Vec<PublishResult>, PublishError> {
        if publications.is_empty() {
            return Ok(Vec::new());
        }
        let begin = |publication| PublishTrace::begin(&self.0.context, publication);
        let traces: Vec<PublishTrace> = publications.iter().filter_map(begin).collect();
        let results = self.publish_batch(publications, key).await;
        for (place, trace) in traces.into_iter().enumerate() {
            match &results {
                Ok(results) => {
                    if let Some(result) = results.get(place) {
                        trace.end(result)
                    }
                }
                Err(error) => trace.end(&Err(error.clone())),
            }
        }
        results
    }

    async fn publish_batch(
        &self,
        mut publications: Vec<Publication>,
        key: Option<BatchKey>,
    ) -> Result<Vec<PublishResult>, PublishError> {
        if let Some(key) = key.map(Arc::new) {
            for publication in &mut publications {
                publication.batch = Some(Arc::clone(&key));
                let place = publication.place;
                publication.idempotency.get_or_insert_with(|| key.of_item(place));
            }
        }
        let batch = BatchReply::new(publications.len(), self.admit(&publications)?);
        let waits = WaitsForBatch(Arc::clone(&batch));
        let ingests = publications.into_iter().enumerate().map(|(index, publication)| Ingest {
            publication,
            reply: PublishReply::Item(Arc::clone(&batch), index),
            is_again: false,
        });
        self.enqueue(ingests);
        let mut done = 0;
        loop {
            match tokio::time::timeout(COMMIT_PATIENCE, batch.progress()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if batch.done() > done => {}
                Err(_) => return Err(self.gave_up()),
            }
            done = batch.done();
        }
        drop(waits);
        Ok(batch.take())
    }

    fn enqueue(&self, ingests: impl IntoIterator<Item = Ingest>) {
        let collection = self.0.context.inbox.put(|pending| pending.ingests.extend(ingests));
        collection.request(&self.0.ports.persistence);
    }

    /// Takes what the publications need of the bounds on uncommitted events, bytes and rows.
    fn admit(&self, publications: &[Publication]) -> Result<[Holding; 3], PublishError> {
        if !self.is_accepting() {
            return Err(PublishError::Stopping);
        }
        let Some(first) = publications.first() else { return Err(PublishError::Stopping) };
        let share = self.shares().of(first.organization_id);
        let demand = self.demand(publications);
        let take = |resource, amount: usize, overload| {
            // one that asks for more than there is gets all that it could have
            let amount = amount.min(self.shares().capacity(resource)).min(share.largest(resource).max(1));
            share.try_take(resource, amount).map_err(|refusal| self.refuse(&share, refusal, overload))
        };
        Ok([
            take(Resource::UncommittedEvents, demand.events, telemetry::Overload::UncommittedEvents)?,
            take(Resource::UncommittedKibibytes, demand.kibibytes, telemetry::Overload::UncommittedBytes)?,
            // bounded for each organization, not in all: they are time and not memory
            match share.held(Resource::UncommittedRows) < MAX_ROWS_OF_ONE {
                true => share.take_anyway(Resource::UncommittedRows, demand.rows),
                false => {
                    return Err(self.refuse(&share, Refusal::OverShare, telemetry::Overload::UncommittedEvents));
                }
            },
        ])
    }

    fn demand(&self, publications: &[Publication]) -> Demand {
        let subscriptions = self.0.settings.subscriptions();
        let mut demand = Demand { events: publications.len(), kibibytes: 0, rows: 0 };
        let mut last: Option<(&str, usize)> = None;
        for publication in publications {
            demand.kibibytes += publication.data.get().len() / 1024 + 1;
            let event_type = publication.event_type.as_str();
            let deliveries = match last {
                Some((known, deliveries)) if known == event_type => deliveries,
                _ => subscriptions.count_candidates(publication.organization_id, event_type),
            };
            last = Some((event_type, deliveries));
            let labels = publication.labels.as_ref().map_or(0, |labels| labels.len());
            demand.rows += 1 + deliveries + labels;
        }
        demand
    }

    fn refuse(&self, share: &OrganizationShare, refusal: Refusal, overload: telemetry::Overload) -> PublishError {
        share.refused.add(1, self.now());
        match refusal {
            Refusal::NothingFree => {
                self.report_overload(overload);
                PublishError::Overloaded
            }
            Refusal::OverShare => {
                let seconds = share.held(Resource::UncommittedRows).div_ceil(SLOW_ROWS_A_SECOND);
                let seconds = seconds.clamp(1, LONGEST_RETRY_AFTER) as u64;
                PublishError::OverShare { retry_after: Duration::from_secs(seconds) }
            }
        }
    }

    fn gave_up(&self) -> PublishError {
        self.report_overload(telemetry::Overload::SlowCommit);
        PublishError::Unavailable(format!("no commit within {COMMIT_PATIENCE:?}"))
    }

    /// Logs, at most every 10 s, that publishers are refused.
    pub(crate) fn report_overload(&self, cause: telemetry::Overload) {
        let uncommitted_events = match cause {
            telemetry::Overload::ArrivingBytes => None,
            _ => Some(self.shares().held(Resource::UncommittedEvents)),
        };
        telemetry::IngestOverloaded { cause, now: self.now(), uncommitted_events }.emit();
    }
}
