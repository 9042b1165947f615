//! `ringback logs`.

use clap::{Args, Subcommand};
use ringback::domain::ids::{DeliveryId, EndpointId, EventId};
use ringback::domain::round::Rounds;

use super::list::{Listing, PageArgs, Show};
use super::object::Object;
use super::values::{self, with_query};
use super::{Resource, Scope, SessionArgs};
use crate::cli::client::Call;
use crate::cli::now;
use crate::cli::table::Column;

pub(super) const LISTING: Listing = Listing {
    columns: &[
        (Column::text("delivery"), Show::Text(&["id"])),
        (Column::text("webhook"), Show::Text(&["webhook_id"])),
        (Column::shrinking("type"), Show::Text(&["event_type"])),
        (Column::text("status"), Show::Text(&["status"])),
        (Column::number("tries"), Show::Text(&["attempt_count"])),
        (Column::shrinking("answer"), Show::Text(&["response_code", "error"])),
        (Column::text("created"), Show::Time("created_at")),
    ],
    when_empty: "no deliveries",
};

const ATTEMPTS: Listing = Listing {
    columns: &[
        (Column::number("attempt"), Show::Text(&["number"])),
        (Column::text("started"), Show::Time("started_at")),
        (Column::number("ms"), Show::Text(&["duration_ms"])),
        (Column::text("answer"), Show::Text(&["response_code", "error"])),
        (Column::shrinking("detail"), Show::Text(&["error_detail", "response_body"])),
    ],
    when_empty: "no attempts",
};

#[derive(Args)]
#[command(after_help = "\
Examples:
  ringback logs list --status failed --from 2h
  ringback logs get dlv_01h8xgj5c2m4k")]
pub(crate) struct LogsArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// List deliveries, the newest first
    #[command(after_help = "\
Examples:
  ringback logs list --webhook wh_01h8xgj5c2m4k --status failed
  ringback logs list --event-type call.completed --response-code 5xx --from 2h")]
    List {
        #[command(flatten)]
        filters: Box<FiltersArgs>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a delivery with its body and every attempt
    #[command(after_help = "\
Examples:
  ringback logs get dlv_01h8xgj5c2m4k
  ringback logs get dlv_01h8xgj5c2m4k --json    # with all headers")]
    Get {
        /// Id of the delivery
        delivery: DeliveryId,
    },
    /// Send a delivery again, with a new round of retries
    #[command(after_help = "\
Examples:
  ringback logs retry dlv_01h8xgj5c2m4k
  ringback logs retry dlv_01h8xgj5c2m4k --once")]
    Retry {
        /// Id of the delivery
        delivery: DeliveryId,
        #[command(flatten)]
        rounds: RoundsArgs,
    },
}

/// How often a delivery is attempted that is sent again.
#[derive(Args)]
pub(super) struct RoundsArgs {
    /// One attempt, and no retries
    #[arg(long)]
    once: bool,
}

impl RoundsArgs {
    /// An engine that does not know the field is asked only if the flag is given.
    pub(super) fn add_to(&self, body: &mut Object) -> anyhow::Result<()> {
        body.set_given("rounds", self.once.then_some(Rounds::Once))
    }
}

#[derive(Args)]
struct FiltersArgs {
    /// Only to this webhook
    #[arg(long, value_name = "WEBHOOK")]
    webhook: Option<EndpointId>,
    /// Only of this event
    #[arg(long, value_name = "EVENT")]
    event: Option<EventId>,
    /// Only of this type
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only of events with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only success, failed, pending or cancelled
    #[arg(long)]
    status: Option<String>,
    /// Only with this response, like 503 or 5xx
    #[arg(long, value_name = "CODE")]
    response_code: Option<String>,
    /// Created since then: an instant, or how long ago, like 2h
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    from: Option<String>,
    /// Created until then
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    to: Option<String>,
}

impl FiltersArgs {
    fn path(self) -> String {
        let filters = [
            ("webhook_id", self.webhook.map(|id| id.to_string())),
            ("event_id", self.event.map(|id| id.to_string())),
            ("event_type", self.event_type),
            ("tag", self.tag),
            ("status", self.status),
            ("response_code", self.response_code),
            ("from", self.from),
            ("to", self.to),
        ];
        with_query("/v1/webhooks/logs", filters)
    }
}

impl Resource for LogsArgs {
    async fn run(self) -> anyhow::Result<()> {
        let session = self.session.session(Scope::Organization)?;
        match self.verb {
            Verb::List { filters, page } => session.list(&filters.path(), &page, &LISTING).await,
            Verb::Get { delivery } => {
                let body = session.call(Call::get(format!("/v1/webhooks/logs/{delivery}"))).await?;
                let object = Object::parse(&body)?;
                session.print(&body, || details(object));
                Ok(())
            }
            Verb::Retry { delivery, rounds } => {
                let mut body = Object::default();
                rounds.add_to(&mut body)?;
                let call = Call::post(format!("/v1/webhooks/logs/{delivery}/retry")).body(body.to_json()?);
                session.show(call).await.map(drop)
            }
        }
    }
}

fn details(delivery: Object) -> String {
    let attempts = delivery.list("attempts");
    let attempts = match attempts.is_empty() {
        true => String::from(ATTEMPTS.when_empty),
        false => ATTEMPTS.table(&attempts, now()),
    };
    format!("{}\n\n{attempts}", delivery.without(&["attempts"]).details(now()))
}
