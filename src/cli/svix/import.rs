//! `ringback svix import`: brings over what Svix's server has, through the API of a running engine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ringback::config::{Flags, load};
use ringback::domain::secret::Secret;
use ringback::domain::svix::Environment;
use ringback::svix::token::TokenKey;

use super::super::serve::unusable;
use super::super::{address, now, print_error, print_line};
use super::bring::{ArchivedTypes, Bringer};
use super::keys::KeyReader;
use super::source::Source;
use super::tally::{Kind, Tally};
use super::target::Target;

#[derive(Args)]
pub(super) struct ImportArgs {
    /// PostgreSQL database of Svix's server, which is only read; a password may be in PGPASSWORD
    #[arg(long, env = "SVIX_DB_DSN", value_name = "postgres://…", hide_env_values = true)]
    from: String,
    /// Address of the engine
    #[arg(long, alias = "engine", env = "RINGBACK_ENGINE", value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = address::engine)]
    to: String,
    /// `main_secret` of Svix's server, when it has one: with it signing keys are encrypted
    #[arg(long, env = "SVIX_MAIN_SECRET", value_name = "SECRET", hide_env_values = true)]
    encryption_secret: Option<String>,
    /// Only this environment
    #[arg(long, value_name = "org_…")]
    environment: Option<String>,
    /// Print what would be brought over, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Configuration file to read instead of ./ringback.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let flags = Flags { config: args.config.clone(), ..Flags::default() };
    let settings = load(&flags).map_err(|error| unusable(&error.problems))?.settings;
    let secret = settings.svix.jwt_secret.as_ref();
    let key =
        TokenKey::new(secret.context("no secret: set RINGBACK_SVIX_JWT_SECRET to the one that the engine has")?);
    if !["postgres://", "postgresql://"].iter().any(|scheme| args.from.starts_with(scheme)) {
        bail!("--from must be the address of a PostgreSQL database, as postgres://user@host:5432/svix");
    }
    let mut source = Source::open(&args.from)?;
    let mut names = source.environments()?;
    if let Some(wanted) = &args.environment {
        names.retain(|name| name == wanted);
    }
    if let (true, Some(wanted)) = (names.is_empty(), &args.environment) {
        bail!("there is nothing to bring over: no environment {wanted} has an application or an event type");
    }
    if names.is_empty() {
        bail!("there is nothing to bring over: no environment has an application or an event type");
    }
    let main_secret = args.encryption_secret.clone().map(Secret::new);
    let keys = KeyReader::new(main_secret.as_ref());
    let bar = progress_bar()?;
    let mut tally = Tally::default();
    let outcome = actix_web::rt::System::new().block_on(async {
        for name in &names {
            let Ok(environment) = name.parse::<Environment>() else {
                tally.refuse(Kind::Environment, name, "its name is not of the form org_…");
                continue;
            };
            bar.inc_length(source.count(name)?);
            let target = Target::new(&args.to, key.environment_token(&environment, now()));
            let is_dry = args.dry_run;
            let mut bringer = Bringer {
                environment: name,
                source: &mut source,
                target,
                keys: &keys,
                is_dry,
                tally: &mut tally,
                bar: &bar,
                archived: ArchivedTypes::default(),
            };
            bringer.bring().await?;
        }
        anyhow::Ok(())
    });
    bar.finish_and_clear();
    report(&tally, args.dry_run);
    if outcome.is_ok() && tally.changes() == 0 && tally.refused.is_empty() {
        print_line("everything is here already; nothing was changed");
    }
    outcome.context("it stopped before its end; the same command goes on")?;
    match tally.refused.len() {
        0 => Ok(()),
        1 => bail!("1 was refused; it is above"),
        refused => bail!("{refused} were refused; they are above"),
    }
}

fn progress_bar() -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos} of {len}, {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
}

fn report(tally: &Tally, is_dry: bool) {
    for (kind, name, reason) in &tally.refused {
        print_error(&format!("refused: {} {name}: {reason}", kind.one()));
    }
    let would = if is_dry { "would be " } else { "" };
    for kind in [Kind::EventType, Kind::Application, Kind::Endpoint] {
        let [imported, changed, unchanged] = tally.of(kind);
        let refused = tally.refused.iter().filter(|(other, ..)| *other == kind).count();
        print_line(&format!(
            "{}: {imported} {would}imported, {changed} {would}changed, {unchanged} unchanged, {refused} refused",
            kind.many()
        ));
    }
    if is_dry {
        print_line("the engine was not asked: it can still refuse a URL, or a uid that another has");
    }
}
