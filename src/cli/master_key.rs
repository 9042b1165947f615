//! `ringback master-key`: the master key, which encrypts signing secrets and custom headers at rest.

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
use ringback::store::cipher::Cipher;
use ringback::store::{self, StoreError};
use zeroize::Zeroizing;

use super::serve::unusable;
use super::{print_error, print_line};

const EXAMPLES: &str = "\
Examples:
  ringback master-key generate
  ringback master-key rotate --new-file new.key";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MasterKeyArgs {
    #[command(subcommand)]
    command: MasterKeyCommand,
}

#[derive(Subcommand)]
enum MasterKeyCommand {
    /// Generate a master key and print it
    Generate(GenerateArgs),
    /// Re-encrypt the secrets in a database with a new master key
    Rotate(RotateArgs),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  ringback master-key generate
  (umask 077; ringback master-key generate --quiet > master.key)
  RINGBACK_MASTER_KEY=$(cat master.key) ringback serve")]
struct GenerateArgs {
    /// Print the key and nothing else
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Args)]
#[command(after_help = "\
Stop the engine first: the command refuses a database that is in use. Back up
the database. If the command is interrupted, run it again to finish; keep the
old key until it has succeeded. Give keys in files or in the variables
RINGBACK_MASTER_KEY and RINGBACK_NEW_MASTER_KEY: the values of --old and --new
are visible in the list of processes.

Examples:
  (umask 077; ringback master-key generate --quiet > new.key)
  ringback master-key rotate --old-file master.key --new-file new.key

For a database of `serve --dev`:
  ringback master-key rotate --new-file new.key \\
    --old-file ringback.db.master-key")]
struct RotateArgs {
    /// Current master key of the database [default: RINGBACK_MASTER_KEY, or master_key in the configuration file]
    #[arg(long, value_name = "BASE64", conflicts_with = "old_file")]
    old: Option<String>,
    /// File that contains the old key
    #[arg(long, value_name = "FILE")]
    old_file: Option<PathBuf>,
    /// New master key. Visible in the list of processes, so prefer the file or the variable
    #[arg(long, value_name = "BASE64", env = "RINGBACK_NEW_MASTER_KEY", hide_env_values = true)]
    new: Option<String>,
    /// File that contains the new key; takes precedence over RINGBACK_NEW_MASTER_KEY
    #[arg(long, value_name = "FILE")]
    new_file: Option<PathBuf>,
    /// Database: sqlite://path or postgres://user@host/database [default: as for `serve`]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Configuration file to read instead of ./ringback.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: &MasterKeyArgs) -> anyhow::Result<()> {
    match &args.command {
        MasterKeyCommand::Generate(args) => generate(args),
        MasterKeyCommand::Rotate(args) => rotate(args),
    }
}

fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    let seed = Zeroizing::new(SystemEntropy.seed());
    let key = Secret::new(BASE64.encode(seed.as_ref()));
    print_line(key.expose());
    if !args.quiet {
        print_error(
            "\nThis master key encrypts signing secrets and custom headers in the database. Without it they are lost; anyone\n\
             with the key and the database can read them. Keep it apart from the database and its backups, and give it to\n\
             the engine as RINGBACK_MASTER_KEY. This command stores it nowhere.",
        );
    }
    Ok(())
}

fn rotate(args: &RotateArgs) -> anyhow::Result<()> {
    let flags = Flags { config: args.config.clone(), database_url: args.database_url.clone(), ..Flags::default() };
    let settings = load(&flags).map_err(|error| unusable(&error.problems))?.settings;
    let old = read_key(args.old.as_deref(), args.old_file.as_deref())?.or(settings.master_key);
    // a file that is named explicitly takes precedence over a variable that happens to be set
    let by_value = args.new.as_deref().filter(|_| args.new_file.is_none());
    let new = read_key(by_value, args.new_file.as_deref())?;
    let (Some(old), Some(new)) = (&old, &new) else { bail!(missing_keys(old.is_some(), new.is_some())) };
    if old == new {
        bail!("the new key equals the old one; generate another with `ringback master-key generate`");
    }
    let cipher = |key: &Secret| Cipher::from_master_key(key, Arc::new(SystemEntropy));
    let old = cipher(old).context("the old key can't be used")?;
    let new = cipher(new).context("the new key can't be used")?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} webhooks re-encrypted, {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let result =
        store::reencrypt(&settings.database_url, old, &new, &mut |changed| bar.set_position(changed as u64));
    bar.finish_and_clear();
    let changed = match result {
        Err(StoreError::Refused(reason)) => bail!("nothing was changed: {reason}"),
        result => result.context("the re-encryption is incomplete; the old key is still needed")?,
    };
    print_line(&format!(
        "{changed} webhooks are encrypted with the new key; start the engine with the new key in RINGBACK_MASTER_KEY"
    ));
    Ok(())
}

/// Suggests how to supply the missing keys: by files and variables, which are not visible in the list of processes.
fn missing_keys(has_old: bool, has_new: bool) -> String {
    let mut lines = Vec::new();
    if !has_old {
        lines.push(
            "no old key: name its file with --old-file, or set RINGBACK_MASTER_KEY or RINGBACK_MASTER_KEY_FILE \
             (`serve --dev` keeps it next to its database, in ringback.db.master-key)",
        );
    }
    if !has_new {
        lines.push(
            "no new key: generate one with `(umask 077; ringback master-key generate --quiet > new.key)` and name its file \
             with --new-file new.key, or set RINGBACK_NEW_MASTER_KEY",
        );
    }
    lines.join("\n")
}

/// A key by value or in a file.
fn read_key(value: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    let text = match (value, file) {
        (Some(value), _) => value.to_owned(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Secret::new(text.trim_start_matches('\u{feff}').trim().to_owned())))
}
