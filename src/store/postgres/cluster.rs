//! The rows of the cluster. Locks are taken in the order nodes, fences, partitions: nobody waits in a circle.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text};

use super::super::fence::{Fence, Timeline, move_fence};
use super::super::{Beat, ChangeNumber, ClusterView, Joining, Ownership, PROTOCOL, StoreError, StoreResult};
use super::server;
use crate::domain::cluster::{Member, MemberState, Partition, PartitionMap, Pin, Slot};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

/// One node joins at a time, so that no two take the same slot.
const JOIN_LOCK: &str = "SELECT pg_advisory_xact_lock(8246966992432685932)";
/// With each change of partitions or pins.
const MAP_CHANGED: &str = "UPDATE counters SET value = value + 1 WHERE name = 'cluster_map'";

#[derive(QueryableByName)]
struct MemberRow {
    #[diesel(sql_type = SmallInt)]
    slot: i16,
    #[diesel(sql_type = BigInt)]
    incarnation: i64,
    #[diesel(sql_type = BigInt)]
    beat: i64,
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    process: String,
    #[diesel(sql_type = Nullable<Text>)]
    advertise: Option<String>,
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = SmallInt)]
    protocol: i16,
    #[diesel(sql_type = BigInt)]
    started_at: i64,
    #[diesel(sql_type = BigInt)]
    lease_ms: i64,
    #[diesel(sql_type = BigInt)]
    looks: i64,
    #[diesel(sql_type = Text)]
    report: String,
}

#[derive(QueryableByName)]
struct ViewRow {
    #[diesel(embed)]
    member: MemberRow,
    #[diesel(sql_type = BigInt)]
    own_rows: i64,
    /// Of all nodes together.
    #[diesel(sql_type = BigInt)]
    all_writes: i64,
    #[diesel(sql_type = BigInt)]
    clock: i64,
    #[diesel(sql_type = BigInt)]
    last_change: i64,
    #[diesel(sql_type = BigInt)]
    map_version: i64,
    #[diesel(embed)]
    timeline: Timeline,
}

#[derive(QueryableByName)]
struct PartitionRow {
    #[diesel(sql_type = SmallInt)]
    partition: i16,
    #[diesel(sql_type = Nullable<SmallInt>)]
    slot: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    wanted: Option<i16>,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

#[derive(QueryableByName)]
struct PinRow {
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
    #[diesel(sql_type = SmallInt)]
    slot: i16,
}

fn state(code: i16) -> MemberState {
    match code {
        0 => MemberState::Joining,
        1 => MemberState::Live,
        2 => MemberState::Leaving,
        3 => MemberState::Fenced,
        _ => MemberState::Gone,
    }
}

fn code(state: MemberState) -> i16 {
    match state {
        MemberState::Joining => 0,
        MemberState::Live => 1,
        MemberState::Leaving => 2,
        MemberState::Fenced => 3,
        MemberState::Gone => 4,
    }
}

/// Slots are 0 to 255.
fn slot(number: i16) -> Slot {
    Slot(u8::try_from(number).unwrap_or(0))
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        Self {
            slot: slot(row.slot),
            incarnation: row.incarnation,
            beat: row.beat,
            state: state(row.state),
            name: row.name,
            process: row.process,
            advertise: row.advertise,
            version: row.version,
            protocol: row.protocol,
            started_at: UnixMillis(row.started_at),
            lease: Duration::from_millis(row.lease_ms.unsigned_abs()),
            looks: row.looks,
            report: row.report,
        }
    }
}

pub(in super::super) fn members(postgres: &mut PgConnection) -> StoreResult<Vec<Member>> {
    let rows: Vec<MemberRow> = diesel::sql_query("SELECT * FROM cluster_nodes ORDER BY slot").load(postgres)?;
    Ok(rows.into_iter().map(Member::from).collect())
}

/// Takes the slot that a node of this name had last, or the lowest that is free. A process that joins again takes its own.
pub(in super::super) fn join(postgres: &mut PgConnection, joining: &Joining) -> StoreResult<Fence> {
    postgres.transaction(|postgres| {
        diesel::sql_query(JOIN_LOCK).execute(postgres)?;
        let members = members(postgres)?;
        let is_own = |member: &Member| !joining.process.is_empty() && member.process == joining.process;
        let may_take = |member: &Member| !member.state.has_rights() || is_own(member);
        let of_same_name = members.iter().find(|member| member.name == joining.name && may_take(member));
        let is_free = |slot: &Slot| !members.iter().any(|member| member.slot == *slot && member.state.has_rights());
        let free = of_same_name.map(|member| member.slot).or_else(|| (0..=u8::MAX).map(Slot).find(is_free));
        let Some(Slot(slot)) = free else {
            return Err(StoreError::Refused(String::from(
                "256 nodes share this PostgreSQL database, which is as many as can; stop one first",
            )));
        };
        let slot = i16::from(slot);
        diesel::sql_query(
            "INSERT INTO cluster_nodes (slot, incarnation, beat, state, name, process, advertise, version, protocol, \
             started_at, lease_ms, report) VALUES ($1, $2, 0, 0, $3, $4, $5, $6, $7, $8, $9, '') ON CONFLICT (slot) DO UPDATE SET \
             incarnation = excluded.incarnation, beat = 0, state = 0, name = excluded.name, process = excluded.process, \
             advertise = excluded.advertise, version = excluded.version, protocol = excluded.protocol, \
             started_at = excluded.started_at, lease_ms = excluded.lease_ms, report = ''",
        )
        .bind::<SmallInt, _>(slot)
        .bind::<BigInt, _>(joining.incarnation)
        .bind::<Text, _>(&joining.name)
        .bind::<Text, _>(&joining.process)
        .bind::<Nullable<Text>, _>(&joining.advertise)
        .bind::<Text, _>(&joining.version)
        .bind::<SmallInt, _>(PROTOCOL)
        .bind::<BigInt, _>(joining.started_at.0)
        .bind::<BigInt, _>(i64::try_from(joining.lease.as_millis()).unwrap_or(i64::MAX))
        .execute(postgres)?;
        let generation = move_fence(postgres, slot)?;
        // of a predecessor that left without handing over
        disown(postgres, slot)?;
        server::note_standbys(postgres)?;
        let timeline = Timeline::of(postgres)?;
        Ok(Fence { slot, incarnation: joining.incarnation, generation, timeline })
    })
}

/// Leaves the partitions and pins of a slot to nobody.
fn disown(postgres: &mut PgConnection, slot: i16) -> StoreResult<()> {
    let pins = diesel::sql_query("DELETE FROM cluster_pins WHERE slot = $1").bind::<SmallInt, _>(slot);
    let pins = pins.execute(postgres)?;
    let unwanted = diesel::sql_query("UPDATE cluster_partitions SET wanted = NULL WHERE wanted = $1");
    let unwanted = unwanted.bind::<SmallInt, _>(slot).execute(postgres)?;
    let owned = diesel::sql_query(
        "UPDATE cluster_partitions SET slot = NULL, wanted = NULL, epoch = epoch + 1 WHERE slot = $1",
    );
    let owned = owned.bind::<SmallInt, _>(slot).execute(postgres)?;
    if pins + unwanted + owned > 0 {
        diesel::sql_query(MAP_CHANGED).execute(postgres)?;
    }
    Ok(())
}

/// One round trip. [`Timeline::COLUMN`] goes with it.
const BEAT: &str = "
    WITH me AS (UPDATE cluster_nodes SET beat = beat + 1, state = $3, report = $4, writes = $5
                WHERE slot = $1 AND incarnation = $2 AND state < 3 RETURNING slot)
    SELECT n.*, (SELECT count(*) FROM me) AS own_rows,
           (SELECT sum(writes) FROM cluster_nodes)::BIGINT AS all_writes,
           (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT AS clock,
           (SELECT value FROM counters WHERE name = 'setting_changes') AS last_change,
           (SELECT value FROM counters WHERE name = 'cluster_map') AS map_version,
           {timeline}
    FROM cluster_nodes n ORDER BY n.slot";

/// Returns how much was written by all nodes together, too, as they have said with their last beats.
pub(in super::super) fn beat(
    postgres: &mut PgConnection,
    fence: Fence,
    beat: &Beat,
    writes: i64,
) -> StoreResult<(ClusterView, i64)> {
    let rows: Vec<ViewRow> = diesel::sql_query(BEAT.replace("{timeline}", Timeline::COLUMN))
        .bind::<SmallInt, _>(fence.slot)
        .bind::<BigInt, _>(fence.incarnation)
        .bind::<SmallInt, _>(code(beat.state))
        .bind::<Text, _>(&beat.report)
        .bind::<BigInt, _>(writes)
        .load(postgres)?;
    let Some(first) = rows.first().filter(|row| row.own_rows == 1) else { return Err(StoreError::Fenced) };
    fence.timeline.require(first.timeline)?;
    let (clock, last_change, map_version) = (first.clock, first.last_change, first.map_version);
    let all_writes = first.all_writes;
    let view = ClusterView {
        members: rows.into_iter().map(|row| row.member.into()).collect(),
        clock: Some(UnixMillis(clock)),
        last_change: ChangeNumber(last_change),
        map_version,
    };
    Ok((view, all_writes))
}

pub(in super::super) fn ownership(postgres: &mut PgConnection) -> StoreResult<Ownership> {
    // the version first: a change behind it is read again
    let partitions: Vec<PartitionRow> = diesel::sql_query(
        "SELECT p.partition, p.slot, p.wanted, c.value AS version FROM cluster_partitions p, counters c \
         WHERE c.name = 'cluster_map'",
    )
    .load(postgres)?;
    let pins: Vec<PinRow> =
        diesel::sql_query("SELECT endpoint_id, organization_id, slot FROM cluster_pins").load(postgres)?;
    let mut map = PartitionMap::default();
    let version = partitions.first().map_or(0, |row| row.version);
    for row in partitions {
        let Ok(number) = u8::try_from(row.partition) else { continue };
        map.set(Partition(number), row.slot.map(slot), row.wanted.map(slot));
    }
    let pins = pins.into_iter().map(|row| Pin {
        endpoint_id: EndpointId(row.endpoint_id),
        organization_id: OrganizationId(row.organization_id),
        slot: slot(row.slot),
    });
    Ok(Ownership { version, map, pins: pins.collect() })
}

/// Two columns of partitions and slots.
fn columns<T>(moves: &[(Partition, T)], slot: impl Fn(&T) -> Option<Slot>) -> (Vec<i16>, Vec<Option<i16>>) {
    moves.iter().map(|(partition, to)| (i16::from(partition.0), slot(to).map(|slot| i16::from(slot.0)))).unzip()
}

pub(in super::super) fn fence(
    postgres: &mut PgConnection,
    dead: &Member,
    moves: &[(Partition, Slot)],
) -> StoreResult<bool> {
    let slot = i16::from(dead.slot.0);
    postgres.transaction(|postgres| {
        let still: Vec<MemberRow> = diesel::sql_query(
            "SELECT * FROM cluster_nodes WHERE slot = $1 AND incarnation = $2 AND beat = $3 AND state < 3 FOR UPDATE",
        )
        .bind::<SmallInt, _>(slot)
        .bind::<BigInt, _>(dead.incarnation)
        .bind::<BigInt, _>(dead.beat)
        .load(postgres)?;
        if still.is_empty() {
            return Ok(false);
        }
        // waits for the one commit under way
        move_fence(postgres, slot)?;
        diesel::sql_query("UPDATE cluster_nodes SET state = 3 WHERE slot = $1")
            .bind::<SmallInt, _>(slot)
            .execute(postgres)?;
        let (partitions, to) = columns(moves, |slot| Some(*slot));
        diesel::sql_query(
            "UPDATE cluster_partitions p SET slot = new.slot, wanted = NULL, epoch = epoch + 1 \
             FROM UNNEST($2, $3) AS new (partition, slot) WHERE p.partition = new.partition AND p.slot = $1",
        )
        .bind::<SmallInt, _>(slot)
        .bind::<Array<SmallInt>, _>(&partitions)
        .bind::<Array<Nullable<SmallInt>>, _>(&to)
        .execute(postgres)?;
        disown(postgres, slot)?;
        diesel::sql_query(MAP_CHANGED).execute(postgres)?;
        Ok(true)
    })
}

pub(in super::super) fn claim(postgres: &mut PgConnection, moves: &[(Partition, Slot)]) -> StoreResult<()> {
    let (partitions, to) = columns(moves, |slot| Some(*slot));
    postgres.transaction(|postgres| {
        let claimed = diesel::sql_query(
            "UPDATE cluster_partitions p SET slot = new.slot, wanted = NULL, epoch = epoch + 1 \
             FROM UNNEST($1, $2) AS new (partition, slot) WHERE p.partition = new.partition \
             AND NOT EXISTS (SELECT 1 FROM cluster_nodes n WHERE n.slot = p.slot AND n.state < 3)",
        )
        .bind::<Array<SmallInt>, _>(&partitions)
        .bind::<Array<Nullable<SmallInt>>, _>(&to)
        .execute(postgres)?;
        if claimed > 0 {
            diesel::sql_query(MAP_CHANGED).execute(postgres)?;
        }
        Ok(())
    })
}

pub(in super::super) fn order_moves(postgres: &mut PgConnection, moves: &[(Partition, Slot)]) -> StoreResult<()> {
    let (partitions, to) = columns(moves, |slot| Some(*slot));
    postgres.transaction(|postgres| {
        diesel::sql_query(
            "UPDATE cluster_partitions p SET wanted = NULLIF(new.slot, p.slot) \
             FROM UNNEST($1, $2) AS new (partition, slot) WHERE p.partition = new.partition",
        )
        .bind::<Array<SmallInt>, _>(&partitions)
        .bind::<Array<Nullable<SmallInt>>, _>(&to)
        .execute(postgres)?;
        diesel::sql_query(MAP_CHANGED).execute(postgres)?;
        Ok(())
    })
}

/// In a transaction under the fence of `slot`.
pub(in super::super) fn hand_over(
    postgres: &mut PgConnection,
    slot: i16,
    moves: &[(Partition, Option<Slot>)],
    busy: &[(EndpointId, OrganizationId)],
) -> StoreResult<()> {
    let endpoints: Vec<i64> = busy.iter().map(|(id, _)| id.0).collect();
    let organizations: Vec<i64> = busy.iter().map(|(_, id)| id.0).collect();
    let of_endpoints: Vec<i16> = busy.iter().map(|(id, _)| id.partition()).collect();
    diesel::sql_query(
        "INSERT INTO cluster_pins (endpoint_id, organization_id, partition, slot) \
         SELECT *, $4 FROM UNNEST($1, $2, $3) ON CONFLICT (endpoint_id) DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(&endpoints)
    .bind::<Array<BigInt>, _>(&organizations)
    .bind::<Array<SmallInt>, _>(&of_endpoints)
    .bind::<SmallInt, _>(slot)
    .execute(postgres)?;
    let (partitions, to) = columns(moves, |slot| *slot);
    diesel::sql_query(
        "UPDATE cluster_partitions p SET slot = new.slot, wanted = NULL, epoch = epoch + 1 \
         FROM UNNEST($2, $3) AS new (partition, slot) WHERE p.partition = new.partition AND p.slot = $1",
    )
    .bind::<SmallInt, _>(slot)
    .bind::<Array<SmallInt>, _>(&partitions)
    .bind::<Array<Nullable<SmallInt>>, _>(&to)
    .execute(postgres)?;
    diesel::sql_query(MAP_CHANGED).execute(postgres)?;
    Ok(())
}

/// In a transaction under the fence of `slot`.
pub(in super::super) fn unpin(
    postgres: &mut PgConnection,
    slot: i16,
    endpoints: &[EndpointId],
) -> StoreResult<()> {
    let endpoints: Vec<i64> = endpoints.iter().map(|id| id.0).collect();
    diesel::sql_query("DELETE FROM cluster_pins WHERE endpoint_id = ANY ($1) AND slot = $2")
        .bind::<Array<BigInt>, _>(&endpoints)
        .bind::<SmallInt, _>(slot)
        .execute(postgres)?;
    diesel::sql_query(MAP_CHANGED).execute(postgres)?;
    Ok(())
}

pub(in super::super) fn ask_to_look(postgres: &mut PgConnection, slots: &[Slot]) -> StoreResult<()> {
    let slots: Vec<i16> = slots.iter().map(|slot| i16::from(slot.0)).collect();
    diesel::sql_query("UPDATE cluster_nodes SET looks = looks + 1 WHERE slot = ANY ($1)")
        .bind::<Array<SmallInt>, _>(&slots)
        .execute(postgres)?;
    Ok(())
}

/// In a transaction under the fence.
pub(in super::super) fn leave(postgres: &mut PgConnection, fence: Fence) -> StoreResult<()> {
    diesel::sql_query("UPDATE cluster_nodes SET state = 4 WHERE slot = $1 AND incarnation = $2")
        .bind::<SmallInt, _>(fence.slot)
        .bind::<BigInt, _>(fence.incarnation)
        .execute(postgres)?;
    disown(postgres, fence.slot)?;
    move_fence(postgres, fence.slot)?;
    Ok(())
}
