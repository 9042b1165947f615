//! Attempts of an endpoint or an event as one list.
//!
//! An attempt that was the first and last of its delivery lives in the delivery's row, all others in rows of their own. The list
//! is in the order of deliveries, so it needs no index of its own: a page walks through deliveries and reads the attempts of each.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};

use super::super::StoreResult;
use super::super::attempts::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, EdgePage, ListFilter, ListedAttempt, Message,
    MessagePageRequest, PageEdge, is_manual, is_success,
};
use super::super::connection::AnyConnection;
use super::super::models::response_code;
use super::super::schema::{attempts, endpoints, events};
use super::delivery_scan::{DeliveryScan, Reads, Scanned};
use super::id_leads::IdLead;
use super::log_queries::record;
use super::query::{BoundValue, DynamicQuery};
use super::resend::IDS_A_STATEMENT;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Attempts whose details one query reads: each is two parameters.
const DETAILS_A_QUERY: usize = 100;
/// Events whose bodies one query reads; each can be 10 MiB.
const BODIES_A_QUERY: usize = 10;
/// A page with this many bytes of bodies ends. Smaller: pages of large events have few rows. Larger: a page holds more memory.
const BODY_BYTES: usize = 4 * 1024 * 1024;

/// A page of attempts.
pub(super) fn list(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    organization_id: OrganizationId,
    filter: &AttemptFilter,
    page: AttemptPageRequest,
    bound: usize,
) -> StoreResult<EdgePage<ListedAttempt, AttemptPosition>> {
    // a delivery that an edge has behind it is not read again: its attempts alone can be as many as a page may look at
    let edge = match page.edge {
        PageEdge::Newest => PageEdge::Newest,
        PageEdge::OlderThan(at) if at.number <= 1 => PageEdge::OlderThan(next_older(at.delivery_id)),
        PageEdge::NewerThan(at) if at.number == u32::MAX => PageEdge::NewerThan(next_newer(at.delivery_id)),
        PageEdge::OlderThan(at) => PageEdge::OlderThan(at.delivery_id),
        PageEdge::NewerThan(at) => PageEdge::NewerThan(at.delivery_id),
    };
    let mut scan =
        DeliveryScan::begin(connection, runs, organization_id, &filter.deliveries, edge, Reads::Attempts, bound)?;
    let is_listed = |attempt: &ListedAttempt| {
        let is_behind = match page.edge {
            PageEdge::Newest => true,
            PageEdge::OlderThan(at) => attempt.at < at,
            PageEdge::NewerThan(at) => attempt.at > at,
        };
        is_behind && filter.has_code(attempt.response_code)
    };
    let mut found: Vec<ListedAttempt> = Vec::new();
    // one more than the page has: it shows whether there are more
    while found.len() <= page.limit && !scan.is_over() && !scan.is_spent() {
        let read = scan.next(connection, page.limit + 1 - found.len())?;
        let mut some = of_deliveries(connection, organization_id, read)?;
        some.retain(is_listed);
        some.sort_by_key(|attempt| attempt.at);
        if page.edge.is_backwards() {
            some.reverse();
        }
        found.append(&mut some);
    }
    let has_more = found.len() > page.limit;
    found.truncate(page.limit);
    // all attempts of the deliveries that were looked at
    let edge_number = if page.edge.is_backwards() { 0 } else { u32::MAX };
    let looked_at = scan.looked_at.map(|delivery_id| AttemptPosition { delivery_id, number: edge_number });
    let next = match has_more {
        true => found.last().map(|last| last.at),
        false => looked_at.filter(|_| !scan.is_over()),
    };
    if !page.edge.is_backwards() {
        found.reverse();
    }
    add_urls(connection, organization_id, &mut found)?;
    if page.with_response {
        add_responses(connection, organization_id, &mut found)?;
    }
    Ok(EdgePage { rows: found, next })
}

fn next_older(id: DeliveryId) -> DeliveryId {
    DeliveryId(id.0.saturating_sub(1))
}

fn next_newer(id: DeliveryId) -> DeliveryId {
    DeliveryId(id.0.saturating_add(1))
}

/// Number, start, duration, code, error.
type AttemptHead = (i32, i64, i64, Option<i32>, Option<String>);

/// The attempts of these deliveries, without responses and URLs.
fn of_deliveries(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    read: Vec<Scanned>,
) -> StoreResult<Vec<ListedAttempt>> {
    let has_rows = |delivery: &&Scanned| delivery.record.attempt_count > 0 && delivery.own_attempt.is_none();
    let ids: Vec<i64> = read.iter().filter(has_rows).map(|delivery| delivery.record.id.0).collect();
    let mut heads: HashMap<i64, Vec<AttemptHead>> = HashMap::new();
    for ids in ids.chunks(IDS_A_STATEMENT) {
        let rows: Vec<(i64, AttemptHead)> = attempts::table
            .filter(attempts::delivery_id.eq_any(ids))
            .filter(attempts::organization_id.eq(organization_id.0))
            .select((
                attempts::delivery_id,
                (
                    attempts::number,
                    attempts::started_at,
                    attempts::duration_ms,
                    attempts::response_code,
                    attempts::error,
                ),
            ))
            .load(connection)?;
        for (id, head) in rows {
            heads.entry(id).or_default().push(head);
        }
    }
    let mut all = Vec::new();
    for delivery in read {
        let mut own = heads.remove(&delivery.record.id.0).unwrap_or_default();
        if let Some((started_at, duration_ms)) = delivery.own_attempt {
            let code = delivery.record.response_code.map(i32::from);
            own.push((1, started_at, duration_ms, code, delivery.record.error.clone()));
        }
        for head in own {
            all.push(listed(&delivery, head)?);
        }
    }
    Ok(all)
}

fn listed(delivery: &Scanned, head: AttemptHead) -> StoreResult<ListedAttempt> {
    let (number, started_at, duration_ms, code, error) = head;
    let number = number.max(0) as u32;
    Ok(ListedAttempt {
        at: AttemptPosition { delivery_id: delivery.record.id, number },
        event_id: delivery.record.event_id,
        endpoint_id: delivery.record.endpoint_id,
        url: None,
        event_type: delivery.record.event_type.clone(),
        is_manual: is_manual(number, delivery.attempts_before_round),
        started_at: UnixMillis(started_at),
        duration_ms: duration_ms.max(0) as u64,
        response_code: code.map(response_code).transpose()?,
        error,
        response_body: None,
    })
}

fn add_urls(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    found: &mut [ListedAttempt],
) -> StoreResult<()> {
    let mut ids: Vec<i64> = found.iter().map(|attempt| attempt.endpoint_id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut urls: HashMap<EndpointId, String> = HashMap::new();
    for ids in ids.chunks(IDS_A_STATEMENT) {
        let rows: Vec<(i64, String)> = endpoints::table
            .filter(endpoints::id.eq_any(ids))
            .filter(endpoints::organization_id.eq(organization_id.0))
            .filter(endpoints::deleted_at.is_null())
            .select((endpoints::id, endpoints::url))
            .load(connection)?;
        urls.extend(rows.into_iter().map(|(id, url)| (EndpointId(id), url)));
    }
    for attempt in found {
        attempt.url = urls.get(&attempt.endpoint_id).cloned();
    }
    Ok(())
}

#[derive(QueryableByName)]
struct DetailRow {
    #[diesel(sql_type = BigInt)]
    delivery_id: i64,
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = BigInt)]
    started_at: i64,
    #[diesel(sql_type = BigInt)]
    duration_ms: i64,
    #[diesel(sql_type = Nullable<Integer>)]
    response_code: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
    #[diesel(sql_type = Binary)]
    detail: Vec<u8>,
}

fn add_responses(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    found: &mut [ListedAttempt],
) -> StoreResult<()> {
    for some in found.chunks_mut(DETAILS_A_QUERY) {
        let keys: Vec<AttemptPosition> = some.iter().map(|attempt| attempt.at).collect();
        let mut bodies: HashMap<AttemptPosition, Option<String>> = HashMap::new();
        for query in details(organization_id, &keys) {
            for row in query.load::<DetailRow>(connection)? {
                let delivery_id = DeliveryId(row.delivery_id);
                let DetailRow { number, started_at, duration_ms, response_code, error, detail, .. } = row;
                let attempt =
                    record(delivery_id, (number, started_at, duration_ms, response_code, error, detail))?;
                bodies.insert(AttemptPosition { delivery_id, number: attempt.number }, attempt.response_body);
            }
        }
        for attempt in some {
            attempt.response_body = bodies.remove(&attempt.at).flatten();
        }
    }
    Ok(())
}

/// The queries for the details of these attempts: those in rows of their own, and first attempts in their deliveries' rows.
pub(super) fn details(organization_id: OrganizationId, keys: &[AttemptPosition]) -> Vec<DynamicQuery> {
    let mut rows = DynamicQuery::new(
        "SELECT a.delivery_id, a.number, a.started_at, a.duration_ms, a.response_code, a.error, a.detail FROM (VALUES ",
    );
    for (place, key) in keys.iter().enumerate() {
        let before = if place == 0 { "({}" } else { ", ({}" };
        rows.push(before, BoundValue::Number(key.delivery_id.0));
        rows.push(", {})", BoundValue::Number(i64::from(key.number)));
    }
    // the databases agree on the names of these columns
    rows.sql.push_str(") k CROSS JOIN attempts a WHERE a.delivery_id = k.column1 AND a.number = k.column2");
    rows.and("+a.organization_id = {}", BoundValue::Number(organization_id.0));
    let mut own = DynamicQuery::new(
        "SELECT d.id AS delivery_id, 1 AS number, d.attempt_started_at AS started_at, \
         d.attempt_duration_ms AS duration_ms, d.response_code, d.error, d.attempt_detail AS detail \
         FROM deliveries d WHERE d.attempt_started_at IS NOT NULL",
    );
    let ids: Vec<i64> = keys.iter().filter(|key| key.number == 1).map(|key| key.delivery_id.0).collect();
    own.and_one_of("d.id", &ids);
    own.and("+d.organization_id = {}", BoundValue::Number(organization_id.0));
    if ids.is_empty() { vec![rows] } else { vec![rows, own] }
}

/// A page of an endpoint's deliveries with their events.
pub(super) fn messages(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    organization_id: OrganizationId,
    filter: &ListFilter,
    page: &MessagePageRequest,
    bound: usize,
) -> StoreResult<EdgePage<Message, DeliveryId>> {
    let edge = match page.edge {
        PageEdge::Newest => PageEdge::Newest,
        PageEdge::OlderThan(id) => PageEdge::OlderThan(next_older(id)),
        PageEdge::NewerThan(id) => PageEdge::NewerThan(next_newer(id)),
    };
    let reads = if page.succeeded.is_some() { Reads::Both } else { Reads::Labels };
    let mut scan = DeliveryScan::begin(connection, runs, organization_id, filter, edge, reads, bound)?;
    let is_listed =
        |delivery: &Scanned| page.statuses.is_empty() || page.statuses.contains(&delivery.record.status);
    let mut found: Vec<Scanned> = Vec::new();
    while found.len() <= page.limit && !scan.is_over() && !scan.is_spent() {
        let mut read = scan.next(connection, page.limit + 1 - found.len())?;
        read.retain(is_listed);
        if let Some(wanted) = page.succeeded {
            let succeeded = succeeded(connection, organization_id, &read)?;
            read.retain(|delivery| succeeded.contains(&delivery.record.id.0) == wanted);
        }
        found.append(&mut read);
    }
    let mut has_more = found.len() > page.limit;
    found.truncate(page.limit);
    let mut bodies = HashMap::new();
    if page.with_body {
        let shown = found.len();
        bodies = read_bodies(connection, organization_id, &mut found)?;
        has_more |= found.len() < shown;
    }
    let next = match has_more {
        true => found.last().map(|last| last.record.id),
        false => scan.looked_at.filter(|_| !scan.is_over()),
    };
    if !page.edge.is_backwards() {
        found.reverse();
    }
    let message = |delivery: Scanned| Message {
        body: bodies.get(&delivery.record.event_id.0).cloned(),
        delivery: delivery.record,
        occurred_at: UnixMillis(delivery.occurred_at),
        accepted_at: UnixMillis(delivery.accepted_at),
        labels: delivery.labels,
    };
    Ok(EdgePage { rows: found.into_iter().map(message).collect(), next })
}

/// Those of some deliveries with an attempt that succeeded.
fn succeeded(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    read: &[Scanned],
) -> StoreResult<HashSet<i64>> {
    let is_known = |delivery: &Scanned| {
        delivery.record.status == DeliveryStatus::Success || is_success(delivery.record.response_code)
    };
    // after a success only a resend makes another attempt, and it begins another round
    let was_resent = |delivery: &Scanned| delivery.record.attempt_count > 1 && delivery.attempts_before_round != 0;
    let id = |delivery: &Scanned| delivery.record.id.0;
    let mut found: HashSet<i64> = read.iter().filter(|delivery| is_known(delivery)).map(id).collect();
    let open: Vec<i64> =
        read.iter().filter(|delivery| !is_known(delivery) && was_resent(delivery)).map(id).collect();
    for ids in open.chunks(IDS_A_STATEMENT) {
        let rows: Vec<i64> = attempts::table
            .filter(attempts::delivery_id.eq_any(ids))
            .filter(attempts::organization_id.eq(organization_id.0))
            .filter(attempts::response_code.between(200, 299))
            .select(attempts::delivery_id)
            .distinct()
            .load(connection)?;
        found.extend(rows);
    }
    Ok(found)
}

/// The bodies of the first of these deliveries; drops those whose bodies would be too many bytes.
fn read_bodies(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    found: &mut Vec<Scanned>,
) -> StoreResult<HashMap<i64, Bytes>> {
    let mut bodies: HashMap<i64, Bytes> = HashMap::new();
    let (mut bytes, mut kept) = (0, 0);
    for some in found.chunks(BODIES_A_QUERY) {
        if bytes > BODY_BYTES {
            break;
        }
        let ids: Vec<i64> = some.iter().map(|delivery| delivery.record.event_id.0).collect();
        let rows: Vec<(i64, Vec<u8>)> = events::table
            .filter(events::id.eq_any(ids))
            .filter(events::organization_id.eq(organization_id.0))
            .select((events::id, events::body))
            .load(connection)?;
        for (id, body) in rows {
            bytes += body.len();
            bodies.insert(id, Bytes::from(body));
        }
        kept += some.len();
    }
    found.truncate(kept);
    Ok(bodies)
}
