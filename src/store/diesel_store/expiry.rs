//! Payloads that are forgotten at a time that their publisher gave. Only events that have one have a row for it.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::super::backlog::BacklogChange;
use super::super::connection::AnyConnection;
use super::super::label_rows::{ERASE_AT, instant_label};
use super::super::schema::{event_labels, events};
use super::super::{CANCELLED_AT_ONCE, Changed, ExpiryStep, StoreResult};
use super::due::octet_length;
use super::forgetting::{cancel, forget_body, pending};
use super::{changes, sql_limit};
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// An event whose time has come, and which can't be sent again until the transaction ends.
#[derive(Queryable)]
struct Expired {
    id: i64,
    organization_id: i64,
    last_delivery_id: i64,
    length: i32,
}

/// One step; returns the events that are done, too.
pub(super) fn step(
    connection: &mut AnyConnection,
    now: UnixMillis,
    limit: usize,
    change: &mut BacklogChange,
) -> StoreResult<(ExpiryStep, Vec<EventId>)> {
    let page = due(connection, now, limit)?;
    let mut step = ExpiryStep { has_more: page.len() == limit, ..ExpiryStep::default() };
    let mut left = page.clone();
    let mut heard = Vec::new();
    let mut room = CANCELLED_AT_ONCE;
    for event in lock(connection, &page)? {
        let (id, owner) = (EventId(event.id), OrganizationId(event.organization_id));
        // a person may have erased it already
        if event.length > 0 {
            let found = pending(connection, owner, id, event.last_delivery_id, room)?;
            room -= found.len();
            let cancelled = cancel(connection, &found, now)?;
            cancelled.iter().for_each(|endpoint_id| change.ends(owner, *endpoint_id, 1));
            heard.extend((!cancelled.is_empty()).then_some((owner, id)));
            step.cancelled.extend(cancelled.into_iter().map(|endpoint_id| (owner, endpoint_id)));
            if room == 0 {
                // perhaps it has more of them: the next step begins with it
                step.has_more = true;
                left.retain(|id| *id < event.id);
                break;
            }
            forget_body(connection, owner, id)?;
            step.erased += 1;
        }
    }
    let of_done =
        event_labels::table.filter(event_labels::event_id.eq_any(&left)).filter(event_labels::kind.eq(ERASE_AT));
    diesel::delete(of_done).execute(connection)?;
    // without a pending delivery nobody has the payload in memory
    for (owner, id) in heard {
        changes::add(connection, owner, Changed::PayloadErased(id))?;
    }
    Ok((step, left.into_iter().map(EventId).collect()))
}

/// Events of all organizations whose time has come, the longest ago first.
fn due(connection: &mut AnyConnection, now: UnixMillis, limit: usize) -> StoreResult<Vec<i64>> {
    #[derive(QueryableByName)]
    struct Due {
        #[diesel(sql_type = BigInt)]
        event_id: i64,
    }
    let due = diesel::sql_query(DUE).bind::<Text, _>(instant_label(now)).bind::<BigInt, _>(sql_limit(limit));
    Ok(due.load::<Due>(connection)?.into_iter().map(|due| due.event_id).collect())
}

/// The kind is in the text: only so an index of these rows alone can serve.
pub(super) const DUE: &str = "
    SELECT l.event_id FROM event_labels l WHERE l.kind = 4 AND l.label <= $1 ORDER BY l.label, l.event_id LIMIT $2";

fn lock(connection: &mut AnyConnection, ids: &[i64]) -> StoreResult<Vec<Expired>> {
    let events = events::table.filter(events::id.eq_any(ids)).order(events::id).select((
        events::id,
        events::organization_id,
        events::last_delivery_id,
        octet_length(events::body),
    ));
    Ok(match connection {
        AnyConnection::Sqlite(sqlite) => events.load(sqlite)?,
        AnyConnection::Postgres(postgres) => events.for_update().load(postgres)?,
    })
}
