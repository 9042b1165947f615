//! `ringback check`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use ringback::config::{Flags, load};
use ringback::domain::json_text::harmless;
use ringback::engine::{SystemEntropy, lower_priority};
use ringback::store::cipher::Cipher;
use ringback::store::{self, CheckEvent, CheckMode, CheckReport, CheckTerms, Checked};

use super::serve::unusable;
use super::table::{Column, NOTHING, Table};
use super::{now, print_error, print_json, print_line};

#[derive(Args)]
#[command(after_help = "\
Looks at the file itself, the schema, rows that point to nothing or are missing,
payloads, counts that are kept beside what they count, and states that can't be.
Beside a running engine it only reads.

With the master key (RINGBACK_MASTER_KEY, as for `serve`) it decrypts all
secrets; without it, it says that this was left out.

Exit codes:
  0  all is well, or everything that was wrong is repaired
  1  something is wrong: the output says what, and what to do
  2  something could not be checked

--repair needs the database for itself: stop the engine, and make a backup. It
repairs what loses nothing that could still be sent, and says each thing.

Examples:
  ringback check
  ringback check --json --database-url sqlite:///backup/ringback.db
  ringback check --repair")]
pub(crate) struct CheckArgs {
    /// Repair what safely can be; refused while an engine runs
    #[arg(long)]
    repair: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Database: sqlite://path or postgres://user@host/database [default: as for `serve`]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Configuration file to read instead of ./ringback.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Something is wrong.
const FINDINGS: i32 = 1;
/// Something could not be checked.
const NOT_CHECKED: i32 = 2;

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let code = match check(args) {
        Ok(report) => {
            match args.json {
                true => print_json(&json(&report)),
                false => print_report(&report),
            }
            exit_code(&report)
        }
        Err(error) => {
            print_error(&format!("error: {error:#}"));
            NOT_CHECKED
        }
    };
    if code == 0 { Ok(()) } else { std::process::exit(code) }
}

fn check(args: &CheckArgs) -> anyhow::Result<CheckReport> {
    let flags = Flags { config: args.config.clone(), database_url: args.database_url.clone(), ..Flags::default() };
    let settings = load(&flags).map_err(|error| unusable(&error.problems))?.settings;
    lower_priority();
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
    bar.set_message("the database itself");
    bar.enable_steady_tick(Duration::from_millis(100));
    let mode = if args.repair { CheckMode::Repair } else { CheckMode::Look };
    let key = settings.master_key.as_ref();
    let cipher = key.map(|key| Cipher::from_master_key(key, Arc::new(SystemEntropy))).transpose()?;
    let terms = CheckTerms { mode, now: now(), retention: settings.delivery.retention, cipher };
    let report = store::check(&settings.database_url, &terms, &mut |event| match event {
        CheckEvent::Looked { at, rows } => bar.set_message(format!("{at}: {} rows", HumanCount(rows))),
        CheckEvent::Repaired(what) => bar.suspend(|| print_error(&format!("repaired: {}", harmless(what)))),
    });
    bar.finish_and_clear();
    Ok(report?)
}

fn exit_code(report: &CheckReport) -> i32 {
    match report {
        _ if report.checks.iter().any(Checked::is_finding) => FINDINGS,
        _ if report.checks.iter().any(|checked| checked.skipped.is_some()) => NOT_CHECKED,
        _ => 0,
    }
}

fn result(checked: &Checked) -> &'static str {
    match checked {
        Checked { skipped: Some(_), .. } => "not checked",
        Checked { left_out: Some(_), .. } => "left out",
        checked if checked.is_finding() => "WRONG",
        Checked { wrong: 0, .. } => "ok",
        _ => "repaired",
    }
}

fn print_report(report: &CheckReport) {
    let mut table = Table::new([
        Column::text("table"),
        Column::text("what"),
        Column::number("looked at"),
        Column::number("wrong"),
        Column::text("result"),
    ]);
    for checked in &report.checks {
        let or_nothing = |text: String| if text.is_empty() { NOTHING.to_owned() } else { text };
        table.row([
            or_nothing(checked.table.clone()),
            checked.what.clone(),
            checked.rows.map_or_else(|| NOTHING.to_owned(), |rows| HumanCount(rows).to_string()),
            HumanCount(checked.wrong).to_string(),
            result(checked).to_owned(),
        ]);
    }
    print_line(&table.text());
    let used = match report.is_in_use {
        Some(true) => ", an engine uses it",
        _ => "",
    };
    print_line(&format!("\n{}, schema {}{used}", report.database, report.schema));
    report.checks.iter().for_each(print_details);
}

/// What can't be said in a line of the table.
fn print_details(checked: &Checked) {
    let table = if checked.table.is_empty() { String::new() } else { format!("{}: ", checked.table) };
    if let Some(reason) = &checked.skipped {
        print_line(&format!("\nnot checked: {table}{}\n  {}", checked.what, harmless(reason)));
    }
    if let Some(reason) = &checked.left_out {
        print_line(&format!("\nleft out: {table}{}\n  {}", checked.what, harmless(reason)));
    }
    if checked.is_finding() {
        print_line(&format!("\nwrong: {table}{}", checked.what));
        checked.examples.iter().for_each(|example| print_line(&format!("  {}", harmless(example))));
        let more = checked.wrong.saturating_sub(checked.examples.len() as u64);
        if more > 0 && !checked.examples.iter().any(|example| example.ends_with("rows")) {
            print_line(&format!("  and {} more", HumanCount(more)));
        }
        print_line(&format!("  what to do: {}", checked.advice));
    }
}

fn json(report: &CheckReport) -> String {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|checked| {
            serde_json::json!({
                "table": Some(&checked.table).filter(|table| !table.is_empty()),
                "what": checked.what,
                "looked_at": checked.rows,
                "wrong": checked.wrong,
                "repaired": checked.repaired,
                "result": result(checked).to_lowercase().replace(' ', "_"),
                "examples": checked.examples,
                "advice": Some(&checked.advice).filter(|_| checked.is_finding()),
                "reason": checked.skipped.as_ref().or(checked.left_out.as_ref()),
            })
        })
        .collect();
    let document = serde_json::json!({
        "database": report.database,
        "schema": report.schema,
        "engine_is_running": report.is_in_use,
        "result": match exit_code(report) {
            0 => "ok",
            FINDINGS => "wrong",
            _ => "not_checked",
        },
        "checks": checks,
    });
    document.to_string()
}
