//! `ringback svix`: tokens, and the way from Svix's server.

mod bring;
mod import;
mod keys;
mod same;
mod source;
mod tally;
mod target;

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use ringback::config::{Flags, load};
use ringback::domain::svix::Environment;
use ringback::svix::ids::ApplicationName;
use ringback::svix::token::{TokenKey, TokenWishes};

use super::serve::unusable;
use super::{now, print_line};

const EXAMPLES: &str = "\
The token is signed with svix.jwt_secret, and the engine need not run. An
environment's is valid for 10 years, an application's for 28 days.

Examples, with the secret in RINGBACK_SVIX_JWT_SECRET:
  ringback svix token
  ringback svix token --environment org_staging
  ringback svix token --application app_0n4b8q2v6x1c3";

const IMPORT_EXAMPLES: &str = "\
Brings over event types, applications and endpoints with their signing keys,
through the API of the running engine. Applications and endpoints keep their
ids. Messages and attempts stay where they are. What is here already and the
same is left alone: run it again before you switch, and it brings over what has
changed since. It ends with 1 when something was refused.

Examples, with the engine's secret in RINGBACK_SVIX_JWT_SECRET:
  ringback svix import --from postgres://svix@10.0.0.5/svix --dry-run
  ringback svix import --from postgres://svix@10.0.0.5/svix
  ringback svix import --from postgres://svix@10.0.0.5/svix \\
      --to https://hooks.example.com --environment org_staging";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SvixArgs {
    #[command(subcommand)]
    command: SvixCommand,
}

#[derive(Subcommand)]
enum SvixCommand {
    /// Print a token for Svix's client libraries
    #[command(after_help = EXAMPLES)]
    Token {
        /// Environment [default: the one with the organizations of this deployment]
        #[arg(long, value_name = "org_…")]
        environment: Option<String>,
        /// Only this application of it, by its id
        #[arg(long, value_name = "app_…")]
        application: Option<String>,
        /// Configuration file to read instead of ./ringback.toml
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Bring over what Svix's open-source server has
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Box<import::ImportArgs>),
}

pub(crate) fn run(args: &SvixArgs) -> anyhow::Result<()> {
    match &args.command {
        SvixCommand::Token { environment, application, config } => {
            token(environment.as_deref(), application.as_deref(), config.as_ref())
        }
        SvixCommand::Import(args) => import::run(args),
    }
}

fn token(environment: Option<&str>, application: Option<&str>, config: Option<&PathBuf>) -> anyhow::Result<()> {
    let flags = Flags { config: config.cloned(), ..Flags::default() };
    let settings = load(&flags).map_err(|error| unusable(&error.problems))?.settings;
    let Some(secret) = &settings.svix.jwt_secret else {
        bail!(
            "no secret: set RINGBACK_SVIX_JWT_SECRET (or svix.jwt_secret in ringback.toml) to the one that the engine has"
        );
    };
    let key = TokenKey::new(secret);
    let environment = environment.map_or_else(|| Ok(Environment::default()), environment_of)?;
    print_line(&match application {
        None => key.environment_token(&environment, now()),
        Some(id) => key.application_token(&environment, &application_of(id)?, TokenWishes::default(), now()),
    });
    Ok(())
}

fn environment_of(text: &str) -> anyhow::Result<Environment> {
    text.parse().map_err(|()| {
        anyhow!("`{text}` is not the name of an environment: it is org_ and then letters, digits, - and _")
    })
}

/// By its name in this API, or in ours.
fn application_of(text: &str) -> anyhow::Result<ApplicationName> {
    ApplicationName::parse_id(text).ok_or_else(|| {
        anyhow!(
            "`{text}` is not the id of an application: that begins with app_, as the API shows it (a uid can't be in a token)"
        )
    })
}
