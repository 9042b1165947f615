//! `ringback keys`: the master key, which encrypts signing secrets and custom headers at rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use data_encoding::BASE64;
use indicatif::{ProgressBar, ProgressStyle};
use ringback::config::{Flags, load};
use ringback::domain::random::RandomSource;
use ringback::domain::secret::Secret;
use ringback::engine::SystemEntropy;
use ringback::store;
use ringback::store::cipher::Cipher;
use zeroize::Zeroizing;

use super::serve::unusable;
use super::{complain, say};

const EXAMPLES: &str = "\
Examples:
  ringback keys generate
  ringback keys rotate --new-file new.key";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Print a new master key
    Generate(GenerateArgs),
    /// Encrypt all secrets of a database anew, from the old master key to a new one
    Rotate(RotateArgs),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  ringback keys generate
  (umask 077; ringback keys generate --quiet > master.key)
  RINGBACK_MASTER_KEY=$(cat master.key) ringback serve")]
struct GenerateArgs {
    /// Print the key and nothing else
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Args)]
#[command(after_help = "\
Stop the engine first: with one running on the database this is refused. Back
up the database. An interrupted change is finished by running the same command
again; the old key is needed until it has ended well. Give keys in files or in
the variables RINGBACK_MASTER_KEY and RINGBACK_NEW_MASTER_KEY: what is given by
--old and --new can be seen in the list of processes.

Examples:
  (umask 077; ringback keys generate --quiet > new.key)
  ringback keys rotate --old-file master.key --new-file new.key

A database of `serve --dev`:
  ringback keys rotate --old-file ringback.db.master-key --new-file new.key")]
struct RotateArgs {
    /// The master key that the database is encrypted with [default: RINGBACK_MASTER_KEY, or master_key of the file]
    #[arg(long, value_name = "BASE64", conflicts_with = "old_file")]
    old: Option<String>,
    /// Read the old key from this file
    #[arg(long, value_name = "FILE")]
    old_file: Option<PathBuf>,
    /// The new master key. Others see it in the list of processes: better a file, or the variable
    #[arg(long, value_name = "BASE64", env = "RINGBACK_NEW_MASTER_KEY", hide_env_values = true)]
    new: Option<String>,
    /// Read the new key from this file; wins over RINGBACK_NEW_MASTER_KEY
    #[arg(long, value_name = "FILE")]
    new_file: Option<PathBuf>,
    /// sqlite://path or postgres://user@host/database [default: as `serve`]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Read this file instead of ./ringback.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: &KeysArgs) -> anyhow::Result<()> {
    match &args.command {
        KeysCommand::Generate(args) => generate(args),
        KeysCommand::Rotate(args) => rotate(args),
    }
}

fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    let seed = Zeroizing::new(SystemEntropy.seed());
    let key = Secret::new(BASE64.encode(seed.as_ref()));
    say(key.expose());
    if !args.quiet {
        complain(
            "\nThis is a master key. It encrypts signing secrets and custom headers in the database: without it they can't be\n\
             read again, and with it and the database they can be read by anyone. Keep it apart from the database and its\n\
             backups, and give it to the engine as RINGBACK_MASTER_KEY. It is not kept anywhere by this command.",
        );
    }
    Ok(())
}

fn rotate(args: &RotateArgs) -> anyhow::Result<()> {
    let flags = Flags { config: args.config.clone(), database_url: args.database_url.clone(), ..Flags::default() };
    let settings = load(&flags).map_err(|error| unusable(&error.problems))?.settings;
    let old = given(args.old.as_deref(), args.old_file.as_deref())?.or(settings.master_key);
    // a file that was asked for wins over a variable that happens to be set
    let by_value = args.new.as_deref().filter(|_| args.new_file.is_none());
    let new = given(by_value, args.new_file.as_deref())?;
    let (Some(old), Some(new)) = (&old, &new) else { bail!(missing(old.is_some(), new.is_some())) };
    if old == new {
        bail!("the new key is the old one; make another with `ringback keys generate`");
    }
    let cipher = |key: &Secret| Cipher::from_master_key(key, Arc::new(SystemEntropy));
    let old = cipher(old).context("the old key can't be used")?;
    let new = cipher(new).context("the new key can't be used")?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} webhooks encrypted anew, {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let result =
        store::reencrypt(&settings.database_url, old, &new, &mut |changed| bar.set_position(changed as u64));
    bar.finish_and_clear();
    let changed = result.context("the master key was not changed everywhere; the old key is still needed")?;
    say(&format!(
        "{changed} webhooks are encrypted with the new key; start the engine with it as RINGBACK_MASTER_KEY"
    ));
    Ok(())
}

/// Says where the keys come from that are not there: files and variables, which no list of processes shows.
fn missing(has_old: bool, has_new: bool) -> String {
    let mut lines = Vec::new();
    if !has_old {
        lines.push(
            "no old key: name its file with --old-file, or set RINGBACK_MASTER_KEY or RINGBACK_MASTER_KEY_FILE \
             (a database of `serve --dev` has it beside it, in ringback.db.master-key)",
        );
    }
    if !has_new {
        lines.push(
            "no new key: make one with `(umask 077; ringback keys generate --quiet > new.key)` and name its file \
             with --new-file new.key, or set RINGBACK_NEW_MASTER_KEY",
        );
    }
    lines.join("\n")
}

/// A key by value or in a file.
fn given(value: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    let text = match (value, file) {
        (Some(value), _) => value.to_owned(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Secret::new(text.trim_start_matches('\u{feff}').trim().to_owned())))
}
