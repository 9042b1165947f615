//! The command line, one file for each command.

mod address;
mod backup;
mod check;
mod client;
mod cluster;
mod completions;
mod config;
#[cfg(test)]
mod examples;
mod health;
mod listen;
mod load;
#[cfg(test)]
mod manual;
mod master_key;
mod registration;
mod resources;
mod serve;
mod shutdown;
mod signature_check;
mod svix;
mod table;
mod trigger;

use clap::builder::Resettable;
use clap::{Arg, Command as CommandLine, CommandFactory, FromArgMatches, Parser, Subcommand};
use ringback::domain::json_text;
use ringback::domain::time::UnixMillis;

/// Webhook delivery engine: stores an event once, fans it out, signs, delivers, retries, and keeps a delivery log
#[derive(Parser)]
#[command(name = "ringback", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
A first delivery, with all three commands in one directory:
  ringback serve --dev               # terminal 1: the engine
  ringback listen                    # terminal 2: a receiver
  ringback trigger call.completed    # terminal 3: an event";

#[derive(Subcommand)]
enum Command {
    /// Run the engine
    Serve(serve::ServeArgs),
    /// Run a local receiver that verifies signatures and prints what arrives
    Listen(listen::ListenArgs),
    /// Publish a sample event
    Trigger(trigger::TriggerArgs),
    /// Organizations: the customers of a product
    Orgs(resources::OrganizationsArgs),
    /// Webhooks: where events are sent
    Webhooks(Box<resources::WebhooksArgs>),
    /// Events: publish, find, send again
    Events(resources::EventsArgs),
    /// The delivery log: what was sent and what came back
    Logs(resources::LogsArgs),
    /// Event types of an organization, or of the catalogue
    EventTypes(resources::EventTypesArgs),
    /// API keys of an organization, or of the deployment
    ApiKeys(resources::ApiKeysArgs),
    /// Measure an engine under load, compared with what this machine can do without one
    Load(Box<load::LoadArgs>),
    /// Show which nodes share the database
    Cluster(cluster::ClusterArgs),
    /// Copy a SQLite database while an engine uses it
    Backup(backup::BackupArgs),
    /// Check a database: its file, what points to nothing, counts against rows
    Check(check::CheckArgs),
    /// Ask a running engine whether it is well
    Health(health::HealthArgs),
    /// Check the settings
    Config(config::ConfigArgs),
    /// Generate a master key, or change the one that a database uses
    #[command(alias = "keys")]
    MasterKey(master_key::MasterKeyArgs),
    /// Tokens of the Svix-compatible API, and what comes over from Svix's server
    Svix(svix::SvixArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Parses the arguments and variables of the process; exits when they are wrong or ask for help.
    pub(crate) fn read() -> Self {
        let mut command_line = without_empty_variables(Self::command());
        let matches = command_line.get_matches_mut();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command_line).exit())
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(args) => serve::run(&args),
            Command::Listen(args) => actix_web::rt::System::new().block_on(listen::run(args)),
            Command::Trigger(args) => actix_web::rt::System::new().block_on(trigger::run(args)),
            Command::Orgs(args) => resources::run(args),
            Command::Webhooks(args) => resources::run(*args),
            Command::Events(args) => resources::run(args),
            Command::Logs(args) => resources::run(args),
            Command::EventTypes(args) => resources::run(args),
            Command::ApiKeys(args) => resources::run(args),
            Command::Load(args) => load::run(*args),
            Command::Cluster(args) => actix_web::rt::System::new().block_on(cluster::run(args)),
            Command::Backup(args) => backup::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Health(args) => actix_web::rt::System::new().block_on(health::run(args)),
            Command::Config(args) => config::run(&args),
            Command::MasterKey(args) => master_key::run(&args),
            Command::Svix(args) => svix::run(&args),
            Command::Completions(args) => completions::run(&args),
        }
    }
}

/// An empty variable counts as not set, as in the settings.
fn without_empty_variables(command_line: CommandLine) -> CommandLine {
    let is_empty = |name: &std::ffi::OsStr| {
        std::env::var_os(name).is_some_and(|value| value.to_string_lossy().trim().is_empty())
    };
    let reset = |arg: Arg| if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg };
    command_line.mut_args(reset).mut_subcommands(without_empty_variables)
}

#[expect(clippy::disallowed_methods, reason = "the client commands use the machine's clock")]
fn now() -> UnixMillis {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(0) + since_epoch
}

/// Prints a line; a closed pipe (`| head`) is not an error. A full disk is: what is printed may be shown once only.
fn print_line(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            print_error(&format!("error: the output can't be written: {error}"));
            std::process::exit(1);
        }
        Ok(()) | Err(_) => {}
    }
}

/// Prints a document: to a terminal readable and harmless, to a program as it is.
fn print_json(document: &str) {
    use std::io::IsTerminal;
    match std::io::stdout().is_terminal() {
        true => print_line(&json_text::pretty(document).unwrap_or_else(|| json_text::harmless(document))),
        // a response without a body has no document
        false if document.is_empty() => {}
        false => print_line(document),
    }
}

/// Prints a line to standard error; a closed terminal is not an error.
pub(crate) fn print_error(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Two arguments of one id in one line have one value, of the type of one of them.
    fn hidden_by_own<'a>(command: &'a clap::Command, above: &[&'a str], found: &mut Vec<String>) {
        let ids = |is_global| {
            command
                .get_arguments()
                .filter(move |arg| arg.is_global_set() == is_global)
                .map(|arg| arg.get_id().as_str())
        };
        found.extend(ids(false).filter(|id| above.contains(id)).map(|id| format!("{}: {id}", command.get_name())));
        let globals: Vec<&str> = above.iter().copied().chain(ids(true)).collect();
        command.get_subcommands().for_each(|subcommand| hidden_by_own(subcommand, &globals, found));
    }

    #[test]
    fn no_verb_has_an_argument_of_the_same_name_as_one_that_every_verb_has() {
        let mut found = Vec::new();
        hidden_by_own(&Cli::command(), &[], &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    fn collect_without_example(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if !help.contains("ringback ") {
            found.push(path.clone());
        }
        for subcommand in command.get_subcommands() {
            collect_without_example(subcommand, &path, found);
        }
    }

    #[test]
    fn the_help_of_every_command_has_an_example() {
        let mut found = Vec::new();
        collect_without_example(&Cli::command(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    /// Columns of a narrow terminal. A wider line wraps, and then an example cannot be pasted.
    const NARROW: usize = 80;

    fn wide_lines(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.extend(help.lines().filter(|line| line.chars().count() > NARROW).map(str::to_owned));
        command.get_subcommands().for_each(|subcommand| wide_lines(subcommand, found));
    }

    #[test]
    fn no_example_wraps_on_a_narrow_terminal() {
        let mut found = Vec::new();
        wide_lines(&Cli::command(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_typing_mistake_is_answered_with_a_suggestion() {
        for (line, meant) in [
            (vec!["ringback", "serv"], "serve"),
            (vec!["ringback", "triger"], "trigger"),
            (vec!["ringback", "master-key", "rotat"], "rotate"),
            (vec!["ringback", "keys", "rotat"], "rotate"),
            (vec!["ringback", "serve", "--databse-url", "x"], "--database-url"),
            (vec!["ringback", "listen", "--failfirst", "1"], "--fail-first"),
        ] {
            let error = Cli::try_parse_from(&line).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("similar") && error.contains(meant), "{line:?}: {error}");
        }
    }

    #[test]
    fn serve_accepts_the_flags_of_the_contract() {
        let line = ["ringback", "serve", "--listen", "127.0.0.1:1", "--database-url", "sqlite://x.db", "--dev"];
        assert!(Cli::try_parse_from(line).is_ok());
        assert!(Cli::try_parse_from(["ringback", "serve", "--colour"]).is_err());
    }
}
