//! `ringback health`: asks a running engine whether it is well, for the health checks of containers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{anyhow, bail};
use awc::http::Method;
use clap::Args;
use ringback::config::{Flags, inspect};
use ringback::domain::secret::Secret;

use super::client::{Call, EngineClient};
use super::print_line;

#[derive(Args)]
#[command(after_help = "\
Exits with 0 if the engine takes requests and its database takes commits, and
else with 1 and the reason. Needs no key. Without --url it asks the engine of
this machine, at the address that `serve` would listen on with these settings.

Examples:
  ringback health
  ringback health --live
  ringback health --url http://10.0.0.7:8080 --timeout 2")]
pub(crate) struct HealthArgs {
    /// Address of the engine [default: RINGBACK_ENGINE, or the port of this machine that `serve` listens on]
    #[arg(long, alias = "engine", env = "RINGBACK_ENGINE", value_name = "URL", value_parser = super::address::engine)]
    url: Option<String>,
    /// Ask only whether the process runs, not whether it can work
    #[arg(long)]
    live: bool,
    /// Seconds to wait for the response
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

pub(crate) async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let url = match args.url {
        Some(url) => url,
        None => own_address()?,
    };
    let path = if args.live { "/health/live" } else { "/health/ready" };
    let engine = EngineClient::new(&url, Secret::new(String::new()));
    let limit = Duration::from_secs(args.timeout);
    let asked = tokio::time::timeout(limit, engine.send(Call::new(Method::GET, path))).await;
    let response = asked.map_err(|_| anyhow!("{url} did not answer within {} s", args.timeout))??;
    if response.status == 503 {
        let problem: serde_json::Value = serde_json::from_str(&response.body).unwrap_or_default();
        bail!("{url} is not ready: {}", problem["detail"].as_str().unwrap_or("it does not say why"));
    }
    response.ok()?;
    print_line("ok");
    Ok(())
}

/// Mistakes in other settings are no reason to call a running engine ill.
fn own_address() -> anyhow::Result<String> {
    let (loaded, _) = inspect(&Flags::default());
    let listen: SocketAddr = loaded.settings.listen;
    if listen.port() == 0 {
        bail!("`listen` names no port: give the engine's address with --url");
    }
    Ok(format!("http://{}", ringback::engine::reachable(listen)))
}
