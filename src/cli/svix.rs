//! `ringback svix token`.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use ringback::config::{Flags, load};
use ringback::domain::svix::Environment;
use ringback::svix::ids::ApplicationId;
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
}

pub(crate) fn run(args: &SvixArgs) -> anyhow::Result<()> {
    let SvixCommand::Token { environment, application, config } = &args.command;
    let flags = Flags { config: config.clone(), ..Flags::default() };
    let settings = load(&flags).map_err(|error| unusable(&error.problems))?.settings;
    let Some(secret) = &settings.svix.jwt_secret else {
        bail!(
            "no secret: set RINGBACK_SVIX_JWT_SECRET (or svix.jwt_secret in ringback.toml) to the one that the engine has"
        );
    };
    let key = TokenKey::new(secret);
    let environment = environment.as_deref().map_or_else(|| Ok(Environment::default()), environment_of)?;
    print_line(&match application {
        None => key.environment_token(&environment, now()),
        Some(id) => key.application_token(&environment, application_of(id)?, TokenWishes::default(), now()),
    });
    Ok(())
}

fn environment_of(text: &str) -> anyhow::Result<Environment> {
    text.parse().map_err(|()| {
        anyhow!("`{text}` is not the name of an environment: it is org_ and then letters, digits, - and _")
    })
}

/// By its name in this API, or in ours.
fn application_of(text: &str) -> anyhow::Result<ApplicationId> {
    let ours = text.parse().map(ApplicationId);
    text.parse().or(ours).map_err(|_| {
        anyhow!("`{text}` is not the id of an application: it is app_ and 13 characters, as the API shows it")
    })
}
