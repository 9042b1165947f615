//! `ringback cluster`: which nodes share the database.

use std::path::PathBuf;

use anyhow::{Context, bail};
use awc::http::Method;
use clap::Args;
use serde::Deserialize;

use super::client::{EngineClient, read_admin_key};
use super::table::{Column, NOTHING, Table};
use super::{print_json, print_line};

/// Every node beats twice a second. Smaller: a slow machine looks like an outage. Larger: an outage looks healthy.
const SILENT_MS: u64 = 3_000;

#[derive(Args)]
#[command(after_help = "\
Examples, with the admin key in RINGBACK_ADMIN_KEY:
  ringback cluster
  ringback cluster --engine http://10.0.0.7:8080 --json")]
pub(crate) struct ClusterArgs {
    /// Address of any node
    #[arg(
        long,
        env = "RINGBACK_ENGINE",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        value_parser = super::address::engine
    )]
    engine: String,
    /// Admin key of the deployment
    #[arg(long, env = "RINGBACK_ADMIN_KEY", value_name = "KEY", hide_env_values = true)]
    admin_key: Option<String>,
    /// File with the admin key
    #[arg(long, env = "RINGBACK_ADMIN_KEY_FILE", value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    /// Print the API's response
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Cluster {
    nodes: Vec<Node>,
    partitions: Partitions,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    node: u8,
    state: String,
    version: String,
    advertise: Option<String>,
    last_beat_ms_ago: u64,
    partitions: usize,
    attempts_in_flight: usize,
    pending: u64,
    clock_offset_ms: i64,
}

#[derive(Deserialize)]
struct Partitions {
    owned: usize,
    moving: usize,
    unowned: usize,
}

pub(crate) async fn run(args: ClusterArgs) -> anyhow::Result<()> {
    let Some(key) = read_admin_key(args.admin_key.as_deref(), args.admin_key_file.as_deref())? else {
        bail!(
            "no admin key: set --admin-key, RINGBACK_ADMIN_KEY or RINGBACK_ADMIN_KEY_FILE to the one that the nodes have"
        );
    };
    let engine = EngineClient::new(&args.engine, key);
    let response = engine.call(Method::GET, "/v1/cluster", None).await?.ok()?;
    if args.json {
        print_json(&response);
        return Ok(());
    }
    let cluster: Cluster = serde_json::from_str(&response).context("the response is not that of an engine")?;
    print_line(&text(&cluster));
    if let Some(seconds) = silent_for(&cluster) {
        bail!(
            "no node has been seen for {seconds} s: this is what the node saw before it lost the database, which it may have done since"
        );
    }
    Ok(())
}

/// For how many seconds no node was seen, if that is longer than a beat takes: of a database that is away, what is shown is old.
fn silent_for(cluster: &Cluster) -> Option<u64> {
    let latest = cluster.nodes.iter().map(|node| node.last_beat_ms_ago).min()?;
    (latest >= SILENT_MS).then_some(latest / 1_000)
}

fn text(cluster: &Cluster) -> String {
    let mut table = Table::new([
        Column::number("node"),
        Column::shrinking("name"),
        Column::text("state"),
        Column::number("partitions"),
        Column::number("in flight"),
        Column::number("pending"),
        Column::number("beat ms"),
        Column::number("clock ms"),
        Column::text("advertise"),
        Column::text("version"),
    ]);
    for node in &cluster.nodes {
        table.row([
            node.node.to_string(),
            node.name.clone(),
            node.state.clone(),
            node.partitions.to_string(),
            node.attempts_in_flight.to_string(),
            node.pending.to_string(),
            node.last_beat_ms_ago.to_string(),
            node.clock_offset_ms.to_string(),
            node.advertise.clone().unwrap_or_else(|| String::from(NOTHING)),
            node.version.clone(),
        ]);
    }
    let Partitions { owned, moving, unowned } = cluster.partitions;
    let table = table.text();
    format!("{table}\n\npartitions: {owned} owned, {moving} moving, {unowned} unowned")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_every_node_and_no_control_character() {
        let response = r#"{"nodes": [{"name": "a\u001b[31m", "node": 3, "state": "live", "version": "0.1.0", "advertise": null,
            "started_at": "2026-11-29T10:00:00Z", "last_beat_ms_ago": 420, "partitions": 256, "attempts_in_flight": 1,
            "pending": 2, "clock_offset_ms": -7}], "partitions": {"owned": 255, "moving": 1, "unowned": 0}}"#;
        let shown = text(&serde_json::from_str(response).unwrap());
        assert!(shown.contains(" 420 ") && shown.contains(" -7 ") && shown.contains("1 moving"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let cluster: Cluster = serde_json::from_str(response).unwrap();
        assert_eq!(silent_for(&cluster), None);
        let old = response.replace("420", "9215");
        assert_eq!(silent_for(&serde_json::from_str(&old).unwrap()), Some(9));
    }
}
