//! `/v1/cluster`: the nodes that share the database, for the admin; and what nodes say to each other.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::Api;
use super::input::Errors;
use super::pagination::QueryString;
use super::problem::{ErrorCode, Problem};
use crate::actors::cluster::joining::NodeReport;
use crate::actors::cluster::push::PUSH_HEADER;
use crate::actors::cluster::rights::ClusterSeen;
use crate::domain::cluster::{Member, MemberState, Partition};
use crate::domain::time::UnixMillis;

/// The cluster as this node sees it.
#[derive(Serialize)]
pub(crate) struct ClusterView {
    /// By their numbers.
    pub nodes: Vec<NodeView>,
    pub partitions: PartitionsView,
}

/// One node.
#[derive(Serialize)]
pub(crate) struct NodeView {
    pub name: String,
    /// Its place, which is in the ids that it makes.
    pub node: u8,
    pub state: &'static str,
    pub version: String,
    pub advertise: Option<String>,
    pub started_at: UnixMillis,
    pub last_beat_ms_ago: u64,
    pub partitions: usize,
    pub attempts_in_flight: usize,
    pub pending: u64,
    pub clock_offset_ms: i64,
}

/// The 256 parts of the webhooks.
#[derive(Serialize)]
pub(crate) struct PartitionsView {
    pub owned: usize,
    /// On their way to another node.
    pub moving: usize,
    pub unowned: usize,
}

impl ClusterView {
    /// `looked_before`: how long ago this node looked.
    pub(crate) fn of(seen: &ClusterSeen, looked_before: Duration) -> Self {
        let shown = seen.members.iter().filter(|(member, _)| member.state != MemberState::Gone);
        let nodes = shown.map(|(member, silence)| NodeView::of(member, *silence + looked_before, seen)).collect();
        let count = |is: fn(&ClusterSeen, Partition) -> bool| Partition::all().filter(|it| is(seen, *it)).count();
        let partitions = PartitionsView {
            owned: count(|seen, it| seen.map.owner(it).is_some() && seen.map.wanted(it).is_none()),
            moving: count(|seen, it| seen.map.owner(it).is_some() && seen.map.wanted(it).is_some()),
            unowned: count(|seen, it| seen.map.owner(it).is_none()),
        };
        Self { nodes, partitions }
    }
}

impl NodeView {
    fn of(member: &Member, silence: Duration, seen: &ClusterSeen) -> Self {
        let NodeReport { attempts_in_flight, pending, clock_offset_ms, settings: _, events_taken: _ } =
            NodeReport::read(&member.report);
        // what it said last, others have now
        let (attempts_in_flight, pending, partitions) = match member.state.has_rights() {
            true => (attempts_in_flight, pending, seen.map.of(member.slot).count()),
            false => (0, 0, 0),
        };
        Self {
            name: member.name.clone(),
            node: member.slot.0,
            state: member.state.as_str(),
            version: member.version.clone(),
            advertise: member.advertise.clone(),
            started_at: member.started_at,
            last_beat_ms_ago: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
            partitions,
            attempts_in_flight,
            pending,
            clock_offset_ms,
        }
    }
}

/// `GET /v1/cluster`.
pub(crate) async fn read(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    QueryString::parse(request.query_string(), &mut errors).finish(&mut errors);
    errors.into_result()?;
    Ok(HttpResponse::Ok().json(ClusterView::of(&api.engine.cluster(), api.engine.looked_before())))
}

/// What another node says. Whatever else comes here is as unknown as any other path.
pub(crate) async fn push(api: web::Data<Api>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let header = request.headers().get(PUSH_HEADER).and_then(|value| value.to_str().ok());
    match header.and_then(|header| api.engine.pushed(header, &body)) {
        Some(answer) => HttpResponse::NoContent().insert_header((PUSH_HEADER, answer)).finish(),
        None => Problem::new(ErrorCode::NotFound, "there is no such route; GET /docs lists them").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cluster::tests::member;
    use crate::domain::cluster::{PartitionMap, Slot};

    #[test]
    fn a_node_without_rights_has_nothing_whatever_it_said_last() {
        let report = r#"{"attempts_in_flight": 3, "pending": 7}"#;
        let said = |slot, state| (Member { report: report.to_owned(), ..member(slot, state) }, Duration::ZERO);
        let members = vec![said(0, MemberState::Live), said(1, MemberState::Fenced)];
        let seen = ClusterSeen { members, map: PartitionMap::owned_by(Slot(0)), ..ClusterSeen::default() };
        let view = ClusterView::of(&seen, Duration::ZERO);
        let has: Vec<_> =
            view.nodes.iter().map(|node| (node.partitions, node.attempts_in_flight, node.pending)).collect();
        assert_eq!(has, [(256, 3, 7), (0, 0, 0)]);
    }
}
