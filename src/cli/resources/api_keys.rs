//! `ringback api-keys`: of an organization, or of the deployment.

use std::time::Duration;

use awc::http::Method;
use clap::{Args, Subcommand};
use ringback::domain::ids::KeyId;

use super::list::{Listing, PageArgs, Show};
use super::object::Object;
use super::values;
use super::{Resource, Scope, SessionArgs, YesArgs, organization_path};
use crate::cli::client::Call;
use crate::cli::now;
use crate::cli::table::Column;

const LISTING: Listing = Listing {
    columns: &[
        (Column::text("key"), Show::Text(&["id"])),
        (Column::shrinking("name"), Show::Text(&["name"])),
        (Column::text("role"), Show::Text(&["role"])),
        (Column::text("begins with"), Show::Text(&["prefix"])),
        (Column::text("created"), Show::Time("created_at")),
        (Column::text("used"), Show::Time("last_used_at")),
        (Column::text("expires"), Show::Time("expires_at")),
    ],
    when_empty: "no keys; `ringback api-keys create --name … --role …` makes one",
};

#[derive(Args)]
#[command(after_help = "\
Keys of an organization, which --organization names; with --deployment those
that act in every organization, with the admin key or a deployment key of role
admin.

Examples:
  ringback api-keys list --organization customer-1
  ringback api-keys create --deployment --name backend --role admin")]
pub(crate) struct ApiKeysArgs {
    #[command(subcommand)]
    verb: Verb,
    /// Those of the deployment, which belong to no organization
    #[arg(long, global = true)]
    deployment: bool,
    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// List keys, the newest first
    #[command(after_help = "Examples:\n  ringback api-keys list --deployment")]
    List(PageArgs),
    /// Create a key, which is shown once
    #[command(after_help = "\
Examples:
  ringback api-keys create --organization customer-1 --name theirs \\
    --role manager
  ringback api-keys create --deployment --name ci --role publisher \\
    --expires-in 90d")]
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do: publisher, viewer, manager, owner, and admin for the deployment
        #[arg(long)]
        role: String,
        /// When it stops working, like 2027-01-01T00:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// How long it works, like 2h or 90d
        #[arg(long, value_name = "TIME", value_parser = values::duration, conflicts_with = "expires_at")]
        expires_in: Option<Duration>,
    },
    /// Delete a key: it stops working within a second
    #[command(after_help = "\
Examples:
  ringback api-keys delete key_01h8xgj5c2m4k --organization customer-1 --yes")]
    Delete {
        /// Id of the key
        #[arg(value_name = "KEY")]
        id: KeyId,
        #[command(flatten)]
        asking: YesArgs,
    },
}

impl Resource for ApiKeysArgs {
    async fn run(self) -> anyhow::Result<()> {
        let (scope, path) = match self.deployment {
            true => (Scope::Deployment, String::from("/v1/keys")),
            false => {
                let organization = self.session.organization()?;
                (Scope::Of(organization), organization_path(organization, "/keys"))
            }
        };
        let session = self.session.session(scope)?;
        match self.verb {
            Verb::List(page) => session.list(&path, &page, &LISTING).await,
            Verb::Create { name, role, expires_at, expires_in } => {
                let mut body = Object::default();
                body.set("name", &name)?;
                body.set("role", &role)?;
                let expires_in = expires_in.map(|time| (now() + time).to_string());
                body.set_given("expires_at", expires_at.or(expires_in))?;
                let shown = session.show(Call::post(path).body(body.to_json()?)).await?;
                shown.remark("The key is shown only now: keep it where its user finds it, and nobody else.");
                Ok(())
            }
            Verb::Delete { id, asking } => {
                let call = Call::new(Method::DELETE, format!("{path}/{id}"));
                session.delete(call, &format!("key {id}"), asking.yes).await
            }
        }
    }
}
