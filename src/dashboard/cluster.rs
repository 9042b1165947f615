//! The nodes that share the database, for the deployment's admin.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use maud::{Markup, html};

use super::components::{count, number};
use super::error::PageError;
use super::layout::{self, Section};
use super::time;
use super::viewer::Viewer;
use crate::actors::cluster::rights::ClusterSeen;
use crate::api::Api;
use crate::api::cluster::{ClusterView, NodeView, PartitionsView};
use crate::domain::cluster::{Partition, Slot};

const TITLE: &str = "Nodes";
/// Clocks that differ by more are worth a look: times in the log of one node don't fit those of another.
const LARGE_OFFSET_MS: u64 = 1_000;

/// `GET /cluster`.
pub(crate) async fn read(viewer: Viewer, api: web::Data<Api>) -> Result<HttpResponse, PageError> {
    let seen = api.engine().cluster();
    let view = ClusterView::of(&seen, api.engine().looked_before());
    let content = html! {
        div.head { h1 { (TITLE) } }
        p.dim {
            "The engines that share this database, as the one sees them that shows this page. Each delivers to its share of the webhooks, which are divided into 256 partitions."
        }
        div.stack-live #live data-live hx-get=(viewer.address) hx-trigger="refresh" hx-select="#live" hx-swap="morph:outerHTML" hx-target="this" {
            (partitions(&view.partitions, &seen))
            (nodes(&viewer, &view.nodes))
        }
    };
    Ok(layout::page(&viewer, Section::Cluster, TITLE, &content))
}

fn partitions(view: &PartitionsView, seen: &ClusterSeen) -> Markup {
    let PartitionsView { owned, moving, unowned } = view;
    html! {
        section.card {
            h2 { "Partitions" }
            dl.facts {
                dt { "Delivered to" } dd { (owned + moving) " of 256" }
                dt { "Moving" }
                dd {
                    @if *moving == 0 { "none" }
                    @for ((from, to), many) in moves(seen) {
                        div { (count(many, "partition", "partitions")) " from node " (from.0) " to node " (to.0) }
                    }
                }
                @if *unowned > 0 {
                    dt { "Without a node" }
                    dd { span.badge.warn { (unowned) } " Their deliveries wait for the next owner, a few seconds at most." }
                }
            }
        }
    }
}

/// How many partitions are on their way from which node to which.
fn moves(seen: &ClusterSeen) -> BTreeMap<(Slot, Slot), u64> {
    let mut moves = BTreeMap::new();
    for partition in Partition::all() {
        if let Some(move_) = seen.map.owner(partition).zip(seen.map.wanted(partition)) {
            *moves.entry(move_).or_default() += 1;
        }
    }
    moves
}

fn nodes(viewer: &Viewer, nodes: &[NodeView]) -> Markup {
    html! {
        section.card.flush {
            div.wide { table.stack {
                thead { tr {
                    th scope="col" { "Node" }
                    th scope="col" { "State" }
                    th scope="col" { "Partitions" }
                    th scope="col" { "Attempts" }
                    th scope="col" { "Pending" }
                    th scope="col" { "Last beat" }
                    th scope="col" { "Clock" }
                    th scope="col" { "Started" }
                    th scope="col" { "Version" }
                } }
                tbody { @for node in nodes { (row(viewer, node)) } }
            } }
        }
    }
}

fn row(viewer: &Viewer, node: &NodeView) -> Markup {
    let (class, meaning) = meaning(node.state);
    let reached_at = node.advertise.as_deref().unwrap_or("not reached by the others");
    html! {
        tr id={ "node-" (node.node) } {
            td data-label="Node" { (node.node) " · " span title=(reached_at) { (node.name) } }
            td data-label="State" { span.badge.(class) title=(meaning) { (node.state) } }
            td data-label="Partitions" { (number(node.partitions as u64)) }
            td data-label="Attempts" { (number(node.attempts_in_flight as u64)) }
            td data-label="Pending" { (number(node.pending)) }
            td data-label="Last beat" { (time::milliseconds(node.last_beat_ms_ago)) " ago" }
            td data-label="Clock" { (clock(node.clock_offset_ms)) }
            td data-label="Started" { (time::relative(node.started_at, viewer.now, &viewer.look.zone)) }
            td data-label="Version" { (node.version) }
        }
    }
}

/// Of a state: its colour, and what it means.
fn meaning(state: &str) -> (&'static str, &'static str) {
    match state {
        "live" => ("ok", "It delivers."),
        "joining" => ("info", "It has just started, and gets its share."),
        "leaving" => ("warn", "It was asked to stop, and hands over its webhooks."),
        "fenced" => (
            "bad",
            "It was silent for longer than a lease: its webhooks went to the others, and it can't write until it joins again.",
        ),
        _ => ("off", "It has stopped."),
    }
}

/// How far the database's clock is ahead of a node's, which goes by the database's.
fn clock(offset_ms: i64) -> Markup {
    let is_large = offset_ms.unsigned_abs() > LARGE_OFFSET_MS;
    let sign = if offset_ms > 0 { "−" } else { "+" };
    let text = match offset_ms {
        0 => "exact".to_owned(),
        _ => format!("{sign}{}", time::milliseconds(offset_ms.unsigned_abs())),
    };
    html! {
        @if is_large { span.badge.warn title="Far from the database's clock, which the node goes by. Check its time service." { (text) } }
        @else { (text) }
    }
}
