//! `ringback orgs`.

use std::collections::BTreeMap;
use std::time::Duration;

use awc::http::Method;
use clap::{Args, Subcommand};

use super::list::{Listing, PageArgs, Show};
use super::object::Object;
use super::values;
use super::webhook_settings::{object_of, refuse_empty};
use super::{Resource, Scope, SessionArgs, YesArgs, organization_path};
use crate::cli::client::Call;
use crate::cli::print_error;
use crate::cli::table::Column;

const LISTING: Listing = Listing {
    columns: &[
        (Column::text("organization"), Show::Text(&["id"])),
        (Column::shrinking("uid"), Show::Text(&["uid"])),
        (Column::shrinking("name"), Show::Text(&["name"])),
        (Column::text("created"), Show::Time("created_at")),
    ],
    when_empty: "no organizations; `ringback orgs create --name 'A customer' --uid customer-1` makes one",
};

#[derive(Args)]
#[command(after_help = "\
With the admin key in RINGBACK_ADMIN_KEY, or a key of the deployment with the
role admin in RINGBACK_KEY. An organization is named by its id or its uid.

Examples:
  ringback orgs list
  ringback orgs create --name 'A customer' --uid customer-1")]
pub(crate) struct OrganizationsArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Args)]
struct FieldsArgs {
    /// Name for people
    #[arg(long)]
    name: Option<String>,
    /// Your own id of it
    #[arg(long)]
    uid: Option<String>,
    /// What you keep with it, like plan=pro; all of them together replace what is there
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    metadata: Vec<(String, String)>,
    /// What receivers get of its events: envelope, or verbatim (what was published, and nothing around it)
    #[arg(long, value_name = "SHAPE")]
    body: Option<String>,
    /// All fields as JSON; `@file` reads a file, `-` standard input. A flag wins over a field
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

impl FieldsArgs {
    fn body(&self) -> anyhow::Result<Object> {
        let mut body = object_of(self.data.as_deref())?;
        body.set_given("name", self.name.as_ref())?;
        body.set_given("uid", self.uid.as_ref())?;
        body.set_given("body", self.body.as_ref())?;
        if !self.metadata.is_empty() {
            body.set("metadata", &self.metadata.iter().cloned().collect::<BTreeMap<_, _>>())?;
        }
        Ok(body)
    }
}

#[derive(Subcommand)]
enum Verb {
    /// List organizations, the newest first
    #[command(after_help = "Examples:\n  ringback orgs list --all\n  ringback orgs list --failing")]
    List {
        /// Only those with a webhook that fails
        #[arg(long)]
        failing: bool,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an organization
    #[command(after_help = "Examples:\n  ringback orgs get customer-1")]
    Get {
        /// Its id or uid
        #[arg(value_name = "ORGANIZATION", value_parser = values::organization)]
        id: String,
    },
    /// Create an organization
    #[command(after_help = "\
Examples:
  ringback orgs create --name 'A customer' --uid customer-1 --metadata plan=pro
  ringback orgs create --uid customer-1 --get    # also when it is there")]
    Create {
        #[command(flatten)]
        fields: FieldsArgs,
        /// If there is one with this uid, show that one
        #[arg(long, requires = "uid")]
        get: bool,
        /// Repeated with the same key, the command creates nothing again
        #[arg(long, value_name = "KEY", value_parser = values::idempotency_key, conflicts_with = "get")]
        idempotency_key: Option<String>,
    },
    /// Change the fields that are given
    #[command(after_help = "\
Examples:
  ringback orgs update customer-1 --name 'A better customer'
  ringback orgs update customer-1 --data '{\"metadata\": null}'")]
    Update {
        /// Its id or uid
        #[arg(value_name = "ORGANIZATION", value_parser = values::organization)]
        id: String,
        #[command(flatten)]
        fields: FieldsArgs,
    },
    /// Delete an organization with its webhooks, events, logs and keys
    #[command(after_help = "Examples:\n  ringback orgs delete customer-1 --yes")]
    Delete {
        /// Its id or uid
        #[arg(value_name = "ORGANIZATION", value_parser = values::organization)]
        id: String,
        #[command(flatten)]
        asking: YesArgs,
    },
    /// Make a link that opens the dashboard of an organization once
    #[command(after_help = "\
Examples:
  ringback orgs sign-in-link customer-1
  ringback orgs sign-in-link customer-1 --role viewer --expires-in 1h \\
    --name Ada --return-url https://example.com/settings")]
    SignInLink {
        /// Its id or uid
        #[arg(value_name = "ORGANIZATION", value_parser = values::organization)]
        id: String,
        /// What the visitor may do: viewer, manager or owner [default: manager]
        #[arg(long)]
        role: Option<String>,
        /// How long the link can be opened, like 45s, 10m or 7d [default: 5m]
        #[arg(long, value_name = "TIME", value_parser = values::duration)]
        expires_in: Option<Duration>,
        /// Where the link back of the dashboard leads
        #[arg(long, value_name = "URL")]
        return_url: Option<String>,
        /// Name of the visitor
        #[arg(long)]
        name: Option<String>,
    },
}

impl Resource for OrganizationsArgs {
    async fn run(self) -> anyhow::Result<()> {
        if let Verb::SignInLink { id, role, expires_in, return_url, name } = &self.verb {
            let mut body = Object::default();
            body.set_given("role", role.as_ref())?;
            body.set_given("expires_in_seconds", expires_in.map(|time| time.as_secs()))?;
            body.set_given("return_url", return_url.as_ref())?;
            body.set_given("name", name.as_ref())?;
            return sign_in_link(&self.session, id, &body).await;
        }
        let session = self.session.session(Scope::Deployment)?;
        let of = |id: &str| organization_path(id, "");
        match self.verb {
            Verb::List { failing, page } => {
                let path = if failing { "/v1/organizations?state=failing" } else { "/v1/organizations" };
                session.list(path, &page, &LISTING).await
            }
            Verb::Get { id } => session.show(Call::get(of(&id))).await.map(drop),
            Verb::Create { fields, get: true, .. } => {
                let body = fields.body()?.without(&["uid"]).to_json()?;
                let uid = fields.uid.unwrap_or_default();
                let uid = values::organization(&uid).map_err(|error| anyhow::anyhow!("--uid {error}"))?;
                session.show(Call::new(Method::PUT, of(&uid)).body(body)).await.map(drop)
            }
            Verb::Create { fields, idempotency_key, .. } => {
                let call = Call::post("/v1/organizations").body(fields.body()?.to_json()?);
                session.show(Call { idempotency_key, ..call }).await.map(drop)
            }
            Verb::Update { id, fields } => {
                let body = fields.body()?;
                refuse_empty(&body)?;
                let call = Call::new(Method::PATCH, of(&id)).body(body.to_json()?);
                session.show(call).await.map(drop)
            }
            Verb::Delete { id, asking } => {
                let what = format!("organization {id} with its webhooks, events, logs and keys");
                session.delete(Call::new(Method::DELETE, of(&id)).long(), &what, asking.yes).await
            }
            // made above
            Verb::SignInLink { .. } => Ok(()),
        }
    }
}

/// Alone on its line, so that it can be used as it is printed.
async fn sign_in_link(session: &SessionArgs, organization: &str, body: &Object) -> anyhow::Result<()> {
    let session = session.session(Scope::Of(organization))?;
    let call = Call::post(organization_path(organization, "/sign-in-links")).body(body.to_json()?);
    let answer = session.call(call).await?;
    let link = Object::parse(&answer)?;
    session.print(&answer, || link.text("url"));
    if !session.json {
        print_error(&format!("\nIt opens the dashboard once, until {}.", link.text("expires_at")));
    }
    Ok(())
}
