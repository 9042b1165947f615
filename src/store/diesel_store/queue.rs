//! The path of an event: committed, read for its endpoint, finished.

use diesel::prelude::*;

use super::super::schema::{deliveries, endpoint_health};
use super::super::{
    Checkpoint, CommitReport, DuePage, DueRequest, EndpointStart, MadeDue, QueuePosition, QueueStore,
    RESENT_AT_ONCE, StoreResult, WriteBatch, sqlite,
};
use super::commit::Commit;
use super::due::DuePageReader;
use super::endpoints::IsPending;
use super::resend::IDS_A_STATEMENT;
use super::{Database, DieselStore, commit, endpoints, sql_limit};
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

impl QueueStore for DieselStore {
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        if batch.is_empty() {
            return Ok(CommitReport::default());
        }
        let lead = self.leads.of_events(&batch.events);
        let report = self.writer.run(|connection| {
            let commit = Commit { cipher: &self.cipher, lead, fence: self.writer.fence(), now };
            let result = commit::commit(connection, batch, commit);
            self.writer.note_write();
            self.settle_commit(batch, &result);
            result
        })?;
        lead.into_iter().for_each(|lead| self.leads.add(lead));
        Ok(report)
    }

    fn checkpoint(&self) -> StoreResult<Checkpoint> {
        let Database::Sqlite { checkpointing, lock } = &self.database else { return Ok(Checkpoint::Done) };
        // another checkpoint is under way
        let Some(_alone) = checkpointing.try_lock() else { return Ok(Checkpoint::Done) };
        sqlite::checkpoint::run(&self.engine_readers, &self.writer, lock)
    }

    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>> {
        self.engine_readers.read(|connection| endpoints::read(connection, &self.cipher, organization_id, id))
    }

    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage> {
        let page = DuePageReader { organization_id, endpoint_id, request, recent: &self.event_cache };
        self.engine_readers.read(|connection| page.read(connection))
    }

    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        self.write_counted(|connection, change| {
            let cancelled = endpoints::cancel_pending(connection, organization_id, endpoint_id, now)?;
            change.ends(organization_id, endpoint_id, cancelled);
            Ok(cancelled)
        })
    }

    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()> {
        self.writer.write(|connection| {
            let row = endpoint_health::table
                .filter(endpoint_health::endpoint_id.eq(endpoint_id.0))
                .filter(endpoint_health::organization_id.eq(organization_id.0));
            diesel::update(row)
                .set((endpoint_health::probe_at.eq(None::<i64>), endpoint_health::pauses.eq(0)))
                .execute(connection)?;
            self.record(connection)
        })
    }

    fn make_due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<MadeDue> {
        let limit = limit.min(RESENT_AT_ONCE);
        // the head of the queue first, where a retry of an ordered endpoint keeps its place; then those whose turn is
        // still to come
        self.writer.write(|connection| {
            let queue = deliveries::table
                .filter(deliveries::endpoint_id.eq(endpoint_id.0))
                .filter(deliveries::organization_id.eq(organization_id.0))
                .filter(IsPending)
                .order((deliveries::queued_at, deliveries::id))
                .limit(sql_limit(limit));
            let columns = (deliveries::id, deliveries::queued_at, deliveries::due_at);
            let Some(QueuePosition { queued_at, id }) = after else {
                let head: Vec<(i64, i64, i64)> =
                    queue.filter(deliveries::queued_at.le(now.0)).select(columns).load(connection)?;
                let waiting =
                    head.iter().filter(|(.., due_at)| *due_at > now.0).map(|(id, ..)| *id).collect::<Vec<_>>();
                for ids in waiting.chunks(IDS_A_STATEMENT) {
                    // one that ended meanwhile stays as it is
                    let rows = deliveries::table.filter(deliveries::id.eq_any(ids)).filter(IsPending);
                    diesel::update(rows).set(deliveries::due_at.eq(now.0)).execute(connection)?;
                }
                let next = QueuePosition { queued_at: now, id: DeliveryId(i64::MAX) };
                return Ok(MadeDue { deliveries: waiting.len(), next: Some(next) });
            };
            let behind = deliveries::queued_at.gt(queued_at.0).or(deliveries::id.gt(id.0));
            let rows: Vec<(i64, i64, i64)> = queue
                .filter(deliveries::queued_at.ge(queued_at.0))
                .filter(behind)
                // not those that were published for a later time
                .filter(deliveries::attempt_count.gt(0))
                .select(columns)
                .load(connection)?;
            let ids: Vec<i64> = rows.iter().map(|(id, ..)| *id).collect();
            for ids in ids.chunks(IDS_A_STATEMENT) {
                let rows = deliveries::table.filter(deliveries::id.eq_any(ids)).filter(IsPending);
                let due = (deliveries::queued_at.eq(now.0), deliveries::due_at.eq(now.0));
                diesel::update(rows).set(due).execute(connection)?;
            }
            let last = rows.last().filter(|_| rows.len() == limit);
            let next = last.map(|(id, queued_at, _)| QueuePosition {
                queued_at: UnixMillis(*queued_at),
                id: DeliveryId(*id),
            });
            Ok(MadeDue { deliveries: rows.len(), next })
        })
    }
}
