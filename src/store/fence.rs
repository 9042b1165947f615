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
