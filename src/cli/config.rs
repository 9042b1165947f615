//! `ringback config check`.

use clap::{Args, Subcommand};
use ringback::config::inspect;
use ringback::config::keys::KEYS;

use super::print_line;
use super::serve::{SettingsArgs, unusable};

const EXAMPLES: &str = "\
Secrets are not shown. Exits with an error if `serve` could not start with these
settings.

Examples:
  ringback config check
  ringback config check --config /etc/ringback.toml
  RINGBACK_LISTEN=0.0.0.0:80 ringback config check";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the settings that `serve` would use, where each comes from, and every mistake in them
    #[command(after_help = EXAMPLES)]
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let ConfigCommand::Check { settings } = &args.command;
    let (loaded, mut problems) = inspect(&settings.flags());
    for key in KEYS {
        let of_key = || problems.iter().filter(|problem| problem.setting == Some(key.name));
        let value = key.show(&loaded.settings);
        let line = match &value {
            Some(value) => format!("{} = {value}", key.name),
            None if of_key().next().is_some() => format!("# {} is set, and wrong", key.name),
            None => format!("# {} is not set", key.name),
        };
        match loaded.origins.get(key.name) {
            Some(origin) => print_line(&format!("{line:<58} # {origin}")),
            None if value.is_some() => print_line(&format!("{line:<58} # default")),
            None => print_line(&line),
        }
        // what is in effect instead is above
        of_key().for_each(|problem| print_line(&format!("#   refused: {problem}")));
    }
    if let Err(error) = loaded.settings.check_complete() {
        // a master key that can't be read is already a problem; it is not missing as well
        let is_given = problems.iter().any(|problem| problem.setting == Some("master_key"));
        problems.extend(error.problems.into_iter().filter(|_| !is_given));
    }
    if problems.is_empty() { Ok(()) } else { Err(unusable(&problems)) }
}
