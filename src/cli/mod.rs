//! What can be typed, one file for each command.

mod address;
mod client;
mod completions;
mod config;
mod ending;
mod keys;
mod listen;
mod load;
mod registration;
mod serve;
mod trigger;
mod verify;

use clap::builder::Resettable;
use clap::{Arg, Command as Grammar, CommandFactory, FromArgMatches, Parser, Subcommand};
use ringback::domain::time::UnixMillis;

/// Webhook delivery engine: stores an event once, fans it out, signs, delivers, retries, and keeps a log.
#[derive(Parser)]
#[command(name = "ringback", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
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
    /// Reads the process's arguments and variables; ends the process when they are wrong, or ask for help.
    pub(crate) fn read() -> Self {
        let mut grammar = without_empty_variables(Self::command());
        let matches = grammar.get_matches_mut();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut grammar).exit())
    }

    /// Does what was asked, to the end.
    pub(crate) fn run(self) -> anyhow::Result<()> {
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

/// An empty variable is as if it were not set, here as in the settings.
fn without_empty_variables(grammar: Grammar) -> Grammar {
    let is_empty = |name: &std::ffi::OsStr| {
        std::env::var_os(name).is_some_and(|value| value.to_string_lossy().trim().is_empty())
    };
    let reset = |arg: Arg| if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg };
    grammar.mut_args(reset).mut_subcommands(without_empty_variables)
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

/// Prints a line beside the output; a terminal that was closed is no reason to fail.
pub(crate) fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Of a narrow terminal: what is wider is broken over two lines, and an example then can't be pasted.
    const NARROW: usize = 80;

    fn wide_lines(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.extend(help.lines().filter(|line| line.chars().count() > NARROW).map(str::to_owned));
        command.get_subcommands().for_each(|subcommand| wide_lines(subcommand, found));
    }

    #[test]
    fn no_example_is_broken_on_a_narrow_terminal() {
        let mut found = Vec::new();
        wide_lines(&Cli::command(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        for (line, meant) in [
            (vec!["ringback", "serv"], "serve"),
            (vec!["ringback", "triger"], "trigger"),
            (vec!["ringback", "keys", "rotat"], "rotate"),
            (vec!["ringback", "serve", "--databse-url", "x"], "--database-url"),
            (vec!["ringback", "listen", "--failfirst", "1"], "--fail-first"),
        ] {
            let error = Cli::try_parse_from(&line).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("similar") && error.contains(meant), "{line:?}: {error}");
        }
    }

    #[test]
    fn the_contracts_flags_of_serve_are_understood() {
        let line = ["ringback", "serve", "--listen", "127.0.0.1:1", "--database-url", "sqlite://x.db", "--dev"];
        assert!(Cli::try_parse_from(line).is_ok());
        assert!(Cli::try_parse_from(["ringback", "serve", "--colour"]).is_err());
    }
}
