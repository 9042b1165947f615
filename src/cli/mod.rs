//! What can be typed, one file for each command.

mod client;
mod completions;
mod config;
mod keys;
mod listen;
mod load;
mod serve;
mod trigger;
mod verify;

use clap::{Parser, Subcommand};
use ringback::domain::time::UnixMillis;

/// Webhook delivery engine: stores an event once, fans it out, signs, delivers, retries, and keeps a log.
#[derive(Parser)]
#[command(name = "ringback", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
A first delivery, from one directory:
  ringback serve --dev               # terminal 1: the engine
  ringback listen                    # terminal 2: a receiver, registers itself
  ringback trigger call.completed    # terminal 3: an event";

#[derive(Subcommand)]
enum Command {
    /// Run the engine
    Serve(serve::ServeArgs),
    /// Run a local receiver that verifies signatures and prints what arrives
    Listen(listen::ListenArgs),
    /// Publish a sample event
    Trigger(trigger::TriggerArgs),
    /// Measure an engine under load, beside what this machine can do without one
    Load(Box<load::LoadArgs>),
    /// Look at the settings
    Config(config::ConfigArgs),
    /// Make a master key, or change the one that a database is encrypted with
    Keys(keys::KeysArgs),
    /// Print what makes a shell complete commands and flags
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Does what was asked, to the end.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(args) => serve::run(&args),
            Command::Listen(args) => actix_web::rt::System::new().block_on(listen::run(args)),
            Command::Trigger(args) => actix_web::rt::System::new().block_on(trigger::run(args)),
            Command::Load(args) => load::run(*args),
            Command::Config(args) => config::run(&args),
            Command::Keys(args) => keys::run(&args),
            Command::Completions(args) => completions::run(&args),
        }
    }
}

/// The client commands live in the user's time.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the client commands")]
fn now() -> UnixMillis {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(0) + since_epoch
}

/// Prints a line; a closed pipe (`| head`) is no reason to fail.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn without_example(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if !help.contains("ringback ") {
            found.push(path.clone());
        }
        for subcommand in command.get_subcommands() {
            without_example(subcommand, &path, found);
        }
    }

    #[test]
    fn the_help_of_every_command_has_an_example() {
        let mut found = Vec::new();
        without_example(&Cli::command(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn the_contracts_flags_of_serve_are_understood() {
        let line = ["ringback", "serve", "--listen", "127.0.0.1:1", "--database-url", "sqlite://x.db", "--dev"];
        assert!(Cli::try_parse_from(line).is_ok());
        assert!(Cli::try_parse_from(["ringback", "serve", "--colour"]).is_err());
    }
}
