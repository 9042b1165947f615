//! `ringback serve`.

use std::path::PathBuf;

use clap::Args;
use ringback::config::{Flags, Loaded, SettingsProblem, load};

#[derive(Args)]
#[command(after_help = "\
Settings: built-in defaults < ringback.toml < RINGBACK_* variables < flags; see
`ringback config check`. An empty variable counts as not set.

Examples:
  ringback serve --dev
  export RINGBACK_MASTER_KEY=$(openssl rand -base64 32)    # keep this safe
  ringback serve --database-url postgres://ringback@db/ringback
  RINGBACK_MASTER_KEY_FILE=/run/secrets/master-key ringback serve")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Flags that override settings.
#[derive(Args)]
pub(crate) struct SettingsArgs {
    /// Address of the API and the dashboard [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Database: sqlite://path or postgres://user@host/database [default: sqlite://ringback.db]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Configuration file to read instead of ./ringback.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Development mode: allow http and local targets, create the organization `dev` and its key
    #[arg(long)]
    dev: bool,
}

impl SettingsArgs {
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            listen: self.listen.clone(),
            database_url: self.database_url.clone(),
            dev: self.dev,
        }
    }
}

/// Reads the settings; the error lists every mistake.
pub(crate) fn read(args: &SettingsArgs) -> anyhow::Result<Loaded> {
    load(&args.flags()).map_err(|error| unusable(&error.problems))
}

/// One error that lists every mistake in the settings.
pub(crate) fn unusable(problems: &[SettingsProblem]) -> anyhow::Error {
    let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    anyhow::anyhow!("the settings can't be used:{lines}")
}

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let settings = read(&args.settings)?.settings;
    settings.check_complete()?;
    ringback::engine::run(settings)?;
    Ok(())
}
