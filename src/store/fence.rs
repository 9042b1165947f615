//! The right to write of a node, on a database that several share.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, SmallInt};

use super::{StoreError, StoreResult};

/// What every transaction of a node checks and holds: see [`super::cluster`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) slot: i16,
    pub(super) incarnation: i64,
    pub(super) generation: i64,
    /// Of the server when the node joined: another one lacks what had not reached it.
    pub(super) timeline: Timeline,
}

/// A history of the database. A standby that is promoted begins another one, and what its predecessor committed last may not be
/// in it: then what a node holds in memory is not what is in the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub(super) struct Timeline {
    #[diesel(sql_type = BigInt)]
    timeline: i64,
}

impl Timeline {
    /// As a column of that name. The name of a file of the log begins with it.
    pub(super) const COLUMN: &str =
        "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::BIT(32)::BIGINT AS timeline";

    pub(super) fn number(self) -> i64 {
        self.timeline
    }

    /// Of the server behind this connection.
    pub(super) fn of(postgres: &mut PgConnection) -> StoreResult<Self> {
        Ok(diesel::sql_query(format!("SELECT {}", Self::COLUMN)).get_result(postgres)?)
    }

    /// The rights that a node has in another history have ended.
    pub(super) fn require(self, now: Self) -> StoreResult<()> {
        if self == now {
            return Ok(());
        }
        tracing::warn!(
            was = self.timeline,
            is = now.timeline,
            "PostgreSQL has failed over to a standby, which may lack what was committed last; this node reads everything again"
        );
        Err(StoreError::Fenced)
    }
}

impl Fence {
    /// Locks the row until the transaction ends: whoever moves the fence waits for it.
    ///
    /// A row lock and not an advisory one: when it had to wait, the server looks at the row again, while an advisory
    /// lock would leave the statement with its old view.
    pub(super) fn hold(self, postgres: &mut PgConnection) -> StoreResult<()> {
        let held: Option<Generation> = diesel::sql_query(
            "SELECT generation FROM cluster_fences WHERE slot = $1 AND generation = $2 FOR SHARE",
        )
        .bind::<SmallInt, _>(self.slot)
        .bind::<BigInt, _>(self.generation)
        .get_result(postgres)
        .optional()?;
        held.map(|_| ()).ok_or(StoreError::Fenced)
    }

    /// The fence for a new connection. Waits for the end of what an earlier one has begun, and moves the fence, so that
    /// nothing of it can begin any more.
    pub(super) fn renew(self, postgres: &mut PgConnection) -> StoreResult<Self> {
        self.timeline.require(Timeline::of(postgres)?)?;
        let generation = postgres.transaction(|postgres| {
            let mine: Option<Generation> = diesel::sql_query(
                "SELECT incarnation AS generation FROM cluster_nodes \
                 WHERE slot = $1 AND incarnation = $2 AND state < 3 FOR UPDATE",
            )
            .bind::<SmallInt, _>(self.slot)
            .bind::<BigInt, _>(self.incarnation)
            .get_result(postgres)
            .optional()?;
            let Some(_) = mine else { return Err(StoreError::Fenced) };
            move_fence(postgres, self.slot)
        })?;
        Ok(Self { generation, ..self })
    }
}

#[derive(QueryableByName)]
struct Generation {
    #[diesel(sql_type = BigInt)]
    generation: i64,
}

/// Moves the fence of a slot: nothing that was begun under the old one is committed afterwards. Returns the new generation.
pub(super) fn move_fence(postgres: &mut PgConnection, slot: i16) -> StoreResult<i64> {
    let moved: Generation = diesel::sql_query(
        "INSERT INTO cluster_fences (slot, generation) VALUES ($1, 1) \
         ON CONFLICT (slot) DO UPDATE SET generation = cluster_fences.generation + 1 RETURNING generation",
    )
    .bind::<SmallInt, _>(slot)
    .get_result(postgres)?;
    Ok(moved.generation)
}
