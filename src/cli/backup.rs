//! `ringback backup`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use ringback::config::{Flags, load};
use ringback::engine::lower_priority;
use ringback::store::{self, BackupReport, BackupStep, StoreError};
use tokio::time::Instant;

use super::serve::unusable;
use super::shutdown::Shutdown;
use super::{print_error, print_json, print_line};

/// How many times as long as the step before it a pause beside a running engine is. Smaller: publishers notice the backup
/// (`docs/backup.md` has figures). Larger: it takes longer, and the write-ahead log grows meanwhile.
const PAUSE: u32 = 2;
/// No pause is longer. Smaller: a slow disk belongs to the backup. Larger: one slow step holds the backup up.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Args)]
#[command(after_help = "\
The engine may run: the copy is the database of the moment at which it began.
It is checked, synced, and gets its name when it is complete. Beside a running
engine it works a third of the time; --fast leaves the pauses out.

The master key is not in it. Keep it too, and elsewhere.

For SQLite. PostgreSQL has pg_dump and pg_basebackup.

Examples:
  ringback backup /backup/ringback.db
  ringback backup \"/backup/ringback-$(date +%F).db\" --json
  ringback backup copy.db --database-url sqlite:///var/lib/ringback/ringback.db")]
pub(crate) struct BackupArgs {
    /// The new file; what exists is not overwritten
    file: PathBuf,
    /// Database: sqlite://path [default: as for `serve`]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Configuration file to read instead of ./ringback.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As fast as the disk can, also beside a running engine
    #[arg(long)]
    fast: bool,
    /// Print what is in the backup as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let flags = Flags { config: args.config.clone(), database_url: args.database_url.clone(), ..Flags::default() };
    let settings = load(&flags).map_err(|error| unusable(&error.problems))?.settings;
    let (url, target) = (settings.database_url, args.file.clone());
    let mut pace = Pace::new(args.fast)?;
    let began = Instant::now();
    let result = actix_web::rt::System::new().block_on(async {
        let mut shutdown = Shutdown::new()?;
        let copying = tokio::task::spawn_blocking(move || {
            lower_priority();
            let bar = pace.bar.clone();
            let result = store::backup(&url, &target, Box::new(move |step| pace.after(step)));
            bar.finish_and_clear();
            result
        });
        let mut copying = std::pin::pin!(copying);
        tokio::select! {
            result = &mut copying => return Ok(result),
            () = shutdown.signal() => IS_STOPPED.store(true, Ordering::Relaxed),
        }
        anyhow::Ok(copying.await)
    })?;
    match result.context("the backup panicked")? {
        Ok(report) => tell(&args.file, &report, began.elapsed(), args.json),
        Err(StoreError::Refused(reason)) => bail!(reason),
        Err(error) => bail!("there is no backup: {error}"),
    }
    Ok(())
}

/// Ctrl-C ends a backup between two steps, and leaves nothing of it.
static IS_STOPPED: AtomicBool = AtomicBool::new(false);

/// Shows how far it is, and leaves the disk to the engine between two steps.
struct Pace {
    bar: ProgressBar,
    is_fast: bool,
    last: Instant,
}

impl Pace {
    fn new(is_fast: bool) -> anyhow::Result<Self> {
        let bar = ProgressBar::new(0);
        let template = "{bar:30} {bytes} of {total_bytes}, {elapsed} {msg}";
        bar.set_style(ProgressStyle::with_template(template)?);
        Ok(Self { bar, is_fast, last: Instant::now() })
    }

    fn after(&mut self, step: BackupStep) -> ControlFlow<()> {
        self.bar.set_length(step.total);
        self.bar.set_position(step.copied);
        if IS_STOPPED.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if step.is_checking {
            self.bar.set_message("checking the copy");
        }
        if step.is_in_use && !self.is_fast {
            std::thread::sleep((self.last.elapsed() * PAUSE).min(LONGEST_PAUSE));
        }
        self.last = Instant::now();
        ControlFlow::Continue(())
    }
}

fn tell(file: &Path, report: &BackupReport, took: Duration, as_json: bool) {
    let BackupReport { bytes, schema, master_key_id, is_in_use } = report;
    if as_json {
        let document = serde_json::json!({
            "file": file.display().to_string(),
            "bytes": bytes,
            "schema": schema,
            "master_key_id": master_key_id,
            "engine_was_running": is_in_use,
            "seconds": took.as_secs_f64(),
        });
        print_json(&document.to_string());
        return;
    }
    print_line(&format!(
        "{}: {}, schema {schema}, complete and checked, in {:.1} s",
        file.display(),
        HumanBytes(*bytes),
        took.as_secs_f64()
    ));
    let which = master_key_id.as_ref().map(|id| format!(" (its id is {id})")).unwrap_or_default();
    print_error(&format!("The master key{which} is not in it: keep that too, apart from the backup."));
}
