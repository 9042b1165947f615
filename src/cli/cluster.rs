//! `ringback cluster`: which nodes share the database.

use std::path::PathBuf;

use anyhow::{Context, bail};
use awc::http::Method;
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use ringback::domain::json_text;
use ringback::domain::secret::Secret;
use serde::Deserialize;

use super::client::EngineClient;
use super::print_line;

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
    let engine = EngineClient::new(&args.engine, admin_key(&args)?);
    let response = engine.call(Method::GET, "/v1/cluster", None).await?.ok()?;
    if args.json {
        print_line(&json_text::pretty(&response).unwrap_or_else(|| json_text::harmless(&response)));
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

fn admin_key(args: &ClusterArgs) -> anyhow::Result<Secret> {
    let key = match (&args.admin_key, &args.admin_key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?
        }
        (None, None) => {
            bail!(
                "no admin key: set --admin-key, RINGBACK_ADMIN_KEY or RINGBACK_ADMIN_KEY_FILE to the one that the nodes have"
            )
        }
    };
    Ok(Secret::new(key.trim().to_owned()))
}

/// For how many seconds no node was seen, if that is longer than a beat takes: of a database that is away, what is shown is old.
fn silent_for(cluster: &Cluster) -> Option<u64> {
    let latest = cluster.nodes.iter().map(|node| node.last_beat_ms_ago).min()?;
    (latest >= SILENT_MS).then_some(latest / 1_000)
}

fn text(cluster: &Cluster) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "node",
        "name",
        "state",
        "partitions",
        "in flight",
        "pending",
        "last beat",
        "clock offset",
        "advertise",
        "version",
    ]);
    for node in &cluster.nodes {
        table.add_row([
            node.node.to_string(),
            json_text::harmless(&node.name),
            json_text::harmless(&node.state),
            node.partitions.to_string(),
            node.attempts_in_flight.to_string(),
            node.pending.to_string(),
            format!("{} ms ago", node.last_beat_ms_ago),
            format!("{} ms", node.clock_offset_ms),
            node.advertise.as_deref().map_or_else(|| String::from("–"), json_text::harmless),
            json_text::harmless(&node.version),
        ]);
    }
    let Partitions { owned, moving, unowned } = cluster.partitions;
    format!("{table}\npartitions: {owned} owned, {moving} moving, {unowned} unowned")
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
        assert!(shown.contains("420 ms ago") && shown.contains("-7 ms") && shown.contains("1 moving"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let cluster: Cluster = serde_json::from_str(response).unwrap();
        assert_eq!(silent_for(&cluster), None);
        let old = response.replace("420", "9215");
        assert_eq!(silent_for(&serde_json::from_str(&old).unwrap()), Some(9));
    }
}
