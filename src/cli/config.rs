//! `ringback config check`.

use clap::{Args, Subcommand};
use ringback::config::keys::KEYS;

use super::say;
use super::serve::{SettingsArgs, read};

#[derive(Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the settings that `serve` would use and where each came from, or every mistake in them
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let ConfigCommand::Check { settings } = &args.command;
    let loaded = read(settings)?;
    for key in KEYS {
        let value = key.show(&loaded.settings);
        let line = match &value {
            Some(value) => format!("{} = {value}", key.name),
            None => format!("# {} is not set", key.name),
        };
        match loaded.origins.get(key.name) {
            Some(origin) => say(&format!("{line:<58} # {origin}")),
            None if value.is_some() => say(&format!("{line:<58} # default")),
            None => say(&line),
        }
    }
    loaded.settings.check_complete()?;
    Ok(())
}
