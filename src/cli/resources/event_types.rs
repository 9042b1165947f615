//! `ringback event-types`: of an organization, or of the catalogue.

use awc::http::Method;
use clap::{Args, Subcommand};

use super::list::{Listing, Show};
use super::object::Object;
use super::values::{self, path_segment, read_json};
use super::webhook_settings::{object_of, refuse_empty};
use super::{Resource, Scope, SessionArgs, YesArgs};
use crate::cli::client::Call;
use crate::cli::table::Column;

const LISTING: Listing = Listing {
    columns: &[
        (Column::text("type"), Show::Text(&["name"])),
        (Column::text("kind"), Show::Text(&["kind"])),
        (Column::text("archived"), Show::Text(&["archived"])),
        (Column::shrinking("description"), Show::Text(&["description"])),
    ],
    when_empty: "no event types; `ringback event-types create invoice.paid` makes one",
};

#[derive(Args)]
#[command(after_help = "\
Types of an organization, with its key or --organization; with --catalogue those
of all organizations, with the admin key or a key of the deployment.

Examples:
  ringback event-types list
  ringback event-types create invoice.paid --catalogue --sample @invoice.json")]
pub(crate) struct EventTypesArgs {
    #[command(subcommand)]
    verb: Verb,
    /// Those of the catalogue, which all organizations have
    #[arg(long, global = true)]
    catalogue: bool,
    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Args)]
struct FieldsArgs {
    /// What it means
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// JSON Schema of its data, as JSON or @file; other data is refused
    #[arg(long, value_name = "JSON")]
    schema: Option<String>,
    /// Sample of its data, as JSON or @file; test events are made of it
    #[arg(long, value_name = "JSON")]
    sample: Option<String>,
    /// Accept it still, and offer it no longer
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    archived: Option<bool>,
    /// All fields as JSON; `@file` reads a file, `-` standard input. A flag wins over a field
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

impl FieldsArgs {
    fn body(&self) -> anyhow::Result<Object> {
        let mut body = object_of(self.data.as_deref())?;
        body.set_given("description", self.description.as_ref())?;
        body.set_given("schema", self.schema.as_deref().map(|it| read_json("--schema", it)).transpose()?)?;
        body.set_given("sample", self.sample.as_deref().map(|it| read_json("--sample", it)).transpose()?)?;
        body.set_given("archived", self.archived)?;
        Ok(body)
    }
}

#[derive(Subcommand)]
enum Verb {
    /// List event types
    #[command(after_help = "Examples:\n  ringback event-types list\n  ringback event-types list --catalogue")]
    List,
    /// Show an event type with its sample and schema
    #[command(after_help = "Examples:\n  ringback event-types get call.completed")]
    Get {
        /// Its name
        #[arg(value_parser = values::event_type)]
        name: String,
    },
    /// Create an event type
    #[command(after_help = "\
Examples:
  ringback event-types create invoice.paid --description 'An invoice was paid' \\
    --sample '{\"invoice_id\": \"inv_1\"}'
  ringback event-types create invoice.paid --catalogue --data @type.json")]
    Create {
        /// Its name
        #[arg(value_parser = values::event_type)]
        name: String,
        #[command(flatten)]
        fields: FieldsArgs,
    },
    /// Change the fields that are given
    #[command(after_help = "\
Examples:
  ringback event-types update invoice.paid --archived
  ringback event-types update invoice.paid --data '{\"schema\": null}'")]
    Update {
        /// Its name
        #[arg(value_parser = values::event_type)]
        name: String,
        #[command(flatten)]
        fields: FieldsArgs,
    },
    /// Delete an event type; webhooks that ask for it stay as they are
    #[command(after_help = "Examples:\n  ringback event-types delete invoice.paid --yes")]
    Delete {
        /// Its name
        #[arg(value_parser = values::event_type)]
        name: String,
        #[command(flatten)]
        asking: YesArgs,
    },
}

impl Resource for EventTypesArgs {
    async fn run(self) -> anyhow::Result<()> {
        let (scope, path) = match self.catalogue {
            true => (Scope::Deployment, "/v1/catalogue/event-types"),
            false => (Scope::Organization, "/v1/event-types"),
        };
        let session = self.session.session(scope)?;
        let of = |name: &str| format!("{path}/{}", path_segment(name));
        match self.verb {
            Verb::List => session.list_whole(path, &LISTING).await,
            Verb::Get { name } => session.show(Call::get(of(&name))).await.map(drop),
            Verb::Create { name, fields } => {
                let mut body = fields.body()?;
                body.set("name", &name)?;
                session.show(Call::post(path).body(body.to_json()?)).await.map(drop)
            }
            Verb::Update { name, fields } => {
                let body = fields.body()?;
                refuse_empty(&body)?;
                let call = Call::new(Method::PATCH, of(&name)).body(body.to_json()?);
                session.show(call).await.map(drop)
            }
            Verb::Delete { name, asking } => {
                let call = Call::new(Method::DELETE, of(&name));
                session.delete(call, &format!("event type {name}"), asking.yes).await
            }
        }
    }
}
