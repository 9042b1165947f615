//! `ringback orgs`, `webhooks`, `events`, `logs`, `event-types` and `api-keys`: what an engine has, through its API.

mod api_keys;
mod event_types;
mod events;
mod list;
mod logs;
mod object;
mod organizations;
mod values;
mod webhook_settings;
mod webhooks;

use std::io::{IsTerminal, Write};

use anyhow::{Context, bail};
pub(super) use api_keys::ApiKeysArgs;
use clap::Args;
pub(super) use event_types::EventTypesArgs;
pub(super) use events::EventsArgs;
pub(super) use logs::LogsArgs;
pub(super) use organizations::OrganizationsArgs;

use ringback::domain::secret::Secret;
pub(super) use values::{organization as organization_name, read_json};
pub(super) use webhooks::WebhooksArgs;

use self::object::Object;
use super::client::{ApiResponse, Call, DEV_KEY_FILE, EngineArgs, EngineClient};
use super::{now, print_error, print_json, print_line};

/// A command for one kind of thing.
pub(super) trait Resource {
    async fn run(self) -> anyhow::Result<()>;
}

pub(super) fn run(resource: impl Resource) -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(resource.run())
}

/// Which engine, whose key, and how to answer. After any verb.
#[derive(Args)]
#[command(next_help_heading = "Engine")]
pub(super) struct SessionArgs {
    #[command(flatten)]
    engine: EngineArgs,
    /// Print the API's response as it is, for programs
    #[arg(long, global = true)]
    json: bool,
}

/// Whose a call's route is.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// The deployment's.
    Deployment,
    /// Of the organization that `--organization` names, or that the key belongs to.
    Organization,
    /// Of this one, which the path names as well.
    Of(&'a str),
}

impl SessionArgs {
    fn session(&self, scope: Scope<'_>) -> anyhow::Result<Session> {
        let Some(key) = self.key(scope)? else {
            bail!(
                "no key: set --key or RINGBACK_KEY (RINGBACK_ADMIN_KEY serves for organizations, the catalogue and \
                 with --organization), or run this in the directory of `ringback serve --dev`, which writes one to \
                 {DEV_KEY_FILE}"
            );
        };
        let client = EngineClient::new(&self.engine.engine, key);
        let client = match scope {
            Scope::Deployment => client,
            Scope::Organization => client.acting_in(self.engine.organization.as_deref()),
            Scope::Of(organization) => client.acting_in(Some(organization)),
        };
        Ok(Session { client, json: self.json })
    }

    fn key(&self, scope: Scope<'_>) -> anyhow::Result<Option<Secret>> {
        match scope {
            Scope::Organization => self.engine.key(),
            Scope::Deployment | Scope::Of(_) => self.engine.key_of_deployment(),
        }
    }

    /// The organization for a path.
    fn organization(&self) -> anyhow::Result<&str> {
        self.engine.organization.as_deref().context(
            "name the organization with --organization or RINGBACK_ORGANIZATION; `ringback orgs list` shows them",
        )
    }
}

/// Calls the API and prints what it answers.
struct Session {
    client: EngineClient,
    json: bool,
}

impl Session {
    /// The body of a 2xx response. For programs, a problem is printed too.
    async fn call(&self, call: Call) -> anyhow::Result<String> {
        let response = self.client.send(call).await?;
        self.body_of(response)
    }

    fn body_of(&self, response: ApiResponse) -> anyhow::Result<String> {
        if self.json && !(200..300).contains(&response.status) {
            print_json(&response.body);
        }
        if response.is_replay {
            print_error("this repeats the response to an earlier call with the same idempotency key");
        }
        response.ok()
    }

    /// Calls, and prints the object of the response with all its fields.
    async fn show(&self, call: Call) -> anyhow::Result<Shown> {
        let body = self.call(call).await?;
        let object = Object::parse(&body)?;
        self.print(&body, || object.details(now()));
        Ok(Shown { object, json: self.json })
    }

    fn print(&self, body: &str, text: impl FnOnce() -> String) {
        if self.json {
            print_json(body);
        } else {
            print_line(&text());
        }
    }

    /// Calls, and says what has been done.
    async fn tell(&self, call: Call, done: impl FnOnce(&Object) -> String) -> anyhow::Result<()> {
        let body = self.call(call).await?;
        let object = Object::parse(&body)?;
        self.print(&body, || done(&object));
        Ok(())
    }

    /// Deletes after having asked.
    async fn delete(&self, call: Call, what: &str, yes: bool) -> anyhow::Result<()> {
        confirm(what, yes)?;
        self.call(call).await?;
        if !self.json {
            print_line(&format!("deleted {what}"));
        }
        Ok(())
    }
}

/// An object that was printed.
struct Shown {
    object: Object,
    json: bool,
}

impl Shown {
    /// Adds a remark for people.
    fn remark(&self, remark: &str) {
        if !self.json {
            print_error(&format!("\n{remark}"));
        }
    }
}

#[derive(Args)]
struct YesArgs {
    /// Delete without asking; needed where nobody can be asked
    #[arg(long, short)]
    yes: bool,
}

fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("nothing was deleted: standard input is no terminal, so nobody can be asked; add --yes");
    }
    let mut terminal = std::io::stderr().lock();
    write!(terminal, "delete {what}? [y/N] ").and_then(|()| terminal.flush())?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was deleted"),
    }
}

/// The path of a call about an organization.
fn organization_path(organization: &str, rest: &str) -> String {
    format!("/v1/organizations/{}{rest}", values::path_segment(organization))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        session: SessionArgs,
    }

    fn key_for(args: &[&str], scope: Scope<'_>) -> Option<String> {
        let line = [&["x", "--admin-key", "admin"], args].concat();
        let session = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).session;
        session.key(scope).unwrap().map(|key| key.expose().to_owned())
    }

    #[test]
    fn the_admin_key_counts_only_where_it_can_be_used_and_after_a_key_that_was_given() {
        assert_eq!(key_for(&[], Scope::Deployment).as_deref(), Some("admin"));
        assert_eq!(key_for(&[], Scope::Of("customer-1")).as_deref(), Some("admin"));
        assert_eq!(key_for(&["--organization", "customer-1"], Scope::Organization).as_deref(), Some("admin"));
        // the one of `serve --dev`, if that was run in this folder
        assert_ne!(key_for(&[], Scope::Organization).as_deref(), Some("admin"));
        assert_eq!(key_for(&["--key", "mine"], Scope::Deployment).as_deref(), Some("mine"));
    }
}
