//! The nodes that share the database: on PostgreSQL in rows; a SQLite file has one, which owns everything.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use diesel::prelude::*;
use parking_lot::Mutex;

use super::super::cluster::OnlyNode;
use super::super::connection::{AnyConnection, Readers};
use super::super::fence::Fence;
use super::super::{
    Beat, ChangeStore, ClusterStore, ClusterView, Joining, Ownership, StoreError, StoreResult, postgres,
};
use super::{DieselStore, Shared, id_leads};
use crate::domain::cluster::{Member, Partition, Slot};
use crate::domain::ids::{EndpointId, OrganizationId};

/// How often runs of ids that others have recorded are read, in beats: they are as rare as clocks that are set back.
const LEADS_EVERY: u32 = 20;

/// The part of a store that belongs to its place in the cluster.
#[derive(Default)]
pub(super) struct Membership {
    /// Of beats: opened with the first, and again after a failure.
    beats: Mutex<Option<AnyConnection>>,
    beats_made: AtomicU32,
    has_joined: AtomicBool,
    /// Of a file.
    alone: OnlyNode,
}

impl Shared {
    fn is_shared(&self) -> bool {
        matches!(self.database, super::Database::Postgres)
    }

    /// Over a connection of its own, which is closed afterwards: for what is rare, and may have to wait.
    fn rarely<T>(&self, work: impl FnOnce(&mut PgConnection) -> StoreResult<T>) -> StoreResult<Option<T>> {
        if !self.is_shared() {
            return Ok(None);
        }
        match self.opener.open_unlocked()? {
            AnyConnection::Postgres(mut postgres) => work(&mut postgres).map(Some),
            AnyConnection::Sqlite(_) => Ok(None),
        }
    }

    /// In a transaction of the writer, under its fence.
    fn fenced(&self, work: impl FnOnce(&mut PgConnection, Fence) -> StoreResult<()>) -> StoreResult<()> {
        self.writer.write(|connection| match (connection, self.writer.fence()) {
            (AnyConnection::Postgres(postgres), Some(fence)) => work(postgres, fence),
            _ => Ok(()),
        })
    }

    fn leave_cluster(&self) -> StoreResult<()> {
        if self.writer.fence().is_some() {
            self.fenced(postgres::cluster::leave)?;
            self.writer.end_right();
        }
        self.membership.alone.leave();
        Ok(())
    }
}

/// Whoever has the slot next need not wait for a lease to end.
impl Drop for Shared {
    fn drop(&mut self) {
        // otherwise its lease ends by itself
        let _ = self.leave_cluster();
    }
}

impl ClusterStore for DieselStore {
    fn members(&self) -> StoreResult<Vec<Member>> {
        Ok(self.rarely(postgres::cluster::members)?.unwrap_or_default())
    }

    fn join(&self, joining: &Joining) -> StoreResult<Slot> {
        let Some(fence) = self.rarely(|postgres| postgres::cluster::join(postgres, joining))? else {
            return Ok(self.membership.alone.join(joining));
        };
        let is_again = self.membership.has_joined.swap(true, Ordering::Relaxed);
        if is_again {
            // others may have written meanwhile, or another server has taken the place of the last one, which may lack something
            [&self.readers, &self.engine_readers, &self.key_readers].into_iter().for_each(Readers::renew);
            *self.membership.beats.lock() = None;
            self.leads.replace(self.engine_readers.read(id_leads::read)?);
            self.removal.begin_anew();
            self.event_cache.clear();
        }
        self.writer.take_fence(fence);
        if is_again {
            self.backlog.doubt();
        }
        // 0 to 255
        Ok(Slot(fence.slot as u8))
    }

    fn beat(&self, beat: &Beat) -> StoreResult<ClusterView> {
        if !self.is_shared() {
            return self.membership.alone.beat(beat, self.last_change()?);
        }
        let fence = self.writer.fence().ok_or(StoreError::Fenced)?;
        let mut beats = self.membership.beats.lock();
        let mut connection = beats.take().map_or_else(|| self.opener.open_beats(), Ok)?;
        let AnyConnection::Postgres(postgres) = &mut connection else { return Err(StoreError::Fenced) };
        let view = postgres::cluster::beat(postgres, fence, beat, self.writer.writes());
        if let Ok((view, all_writes)) = &view {
            let is_other = |member: &Member| i16::from(member.slot.0) != fence.slot && member.state.has_rights();
            let is_shared = view.members.iter().any(is_other);
            self.backlog.note_writes(*all_writes);
            self.backlog.set_shared(is_shared);
            if is_shared && self.membership.beats_made.fetch_add(1, Ordering::Relaxed).is_multiple_of(LEADS_EVERY)
            {
                // over this connection: a beat waits for no other work
                id_leads::read(&mut connection)?.into_iter().for_each(|lead| self.leads.add(lead));
            }
        }
        match view {
            Err(StoreError::Unavailable(_)) => self.opener.lost(),
            _ => *beats = Some(connection),
        }
        view.map(|(view, _)| view)
    }

    fn ownership(&self) -> StoreResult<Ownership> {
        if !self.is_shared() {
            return Ok(OnlyNode::ownership());
        }
        match self.membership.beats.lock().as_mut() {
            Some(AnyConnection::Postgres(postgres)) => postgres::cluster::ownership(postgres),
            _ => Ok(self.rarely(postgres::cluster::ownership)?.unwrap_or_default()),
        }
    }

    fn fence(&self, dead: &Member, moves: &[(Partition, Slot)]) -> StoreResult<bool> {
        Ok(self.rarely(|postgres| postgres::cluster::fence(postgres, dead, moves))?.unwrap_or(false))
    }

    fn claim(&self, moves: &[(Partition, Slot)]) -> StoreResult<()> {
        self.rarely(|postgres| postgres::cluster::claim(postgres, moves)).map(drop)
    }

    fn order_moves(&self, moves: &[(Partition, Slot)]) -> StoreResult<()> {
        self.rarely(|postgres| postgres::cluster::order_moves(postgres, moves)).map(drop)
    }

    fn hand_over(
        &self,
        moves: &[(Partition, Option<Slot>)],
        busy: &[(EndpointId, OrganizationId)],
    ) -> StoreResult<()> {
        self.fenced(|postgres, fence| postgres::cluster::hand_over(postgres, fence.slot, moves, busy))
    }

    fn unpin(&self, endpoints: &[EndpointId]) -> StoreResult<()> {
        self.fenced(|postgres, fence| postgres::cluster::unpin(postgres, fence.slot, endpoints))
    }

    fn ask_to_look(&self, slots: &[Slot]) -> StoreResult<()> {
        self.rarely(|postgres| postgres::cluster::ask_to_look(postgres, slots)).map(drop)
    }

    fn leave(&self) -> StoreResult<()> {
        self.leave_cluster()
    }
}
