//! `ringback events`.

use clap::{Args, Subcommand};
use ringback::domain::ids::{EndpointId, EventId};

use super::list::{Listing, PageArgs, Show};
use super::logs::{self, RoundsArgs};
use super::object::Object;
use super::values::{self, read_json, with_query};
use super::{Resource, Scope, SessionArgs};
use crate::cli::client::Call;
use crate::cli::table::Column;
use crate::cli::{now, trigger};

const LISTING: Listing = Listing {
    columns: &[
        (Column::text("event"), Show::Text(&["id"])),
        (Column::shrinking("type"), Show::Text(&["event_type"])),
        (Column::text("happened"), Show::Time("timestamp")),
        (Column::number("deliveries"), Show::Text(&["delivery_count"])),
    ],
    when_empty: "no events; `ringback events publish` or `ringback trigger` publishes one",
};

#[derive(Args)]
#[command(after_help = "\
Examples:
  ringback events publish invoice.paid --data '{\"invoice_id\": \"inv_1\"}'
  ringback events list --event-type invoice.paid --from 2h")]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// List events, the newest first
    #[command(after_help = "Examples:\n  ringback events list --event-type call.completed --from 2h")]
    List {
        /// Only of this type
        #[arg(long, value_name = "TYPE")]
        event_type: Option<String>,
        /// Only with this tag
        #[arg(long)]
        tag: Option<String>,
        /// Accepted since then: an instant, or how long ago, like 2h
        #[arg(long, value_name = "TIME", value_parser = values::instant)]
        from: Option<String>,
        /// Accepted until then
        #[arg(long, value_name = "TIME", value_parser = values::instant)]
        to: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an event with its body and its deliveries
    #[command(after_help = "Examples:\n  ringback events get msg_01h8xgj5c2m4k")]
    Get {
        /// Id of the event
        event: EventId,
    },
    /// Publish an event
    #[command(after_help = "\
The data is sent as it is written. `ringback trigger` publishes samples.

Examples:
  ringback events publish invoice.paid --data '{\"invoice_id\": \"inv_1\"}' \\
    --idempotency-key invoice-1-paid
  ringback events publish invoice.paid --data @invoice.json
  generate-invoice | ringback events publish invoice.paid --data -")]
    Publish {
        /// Type of the event
        #[arg(value_parser = values::event_type)]
        event_type: String,
        /// What happened, as JSON; `@file` reads a file, `-` standard input
        #[arg(long, value_name = "JSON")]
        data: String,
        /// When it happened [default: now]
        #[arg(long, value_name = "TIME", value_parser = values::instant)]
        timestamp: Option<String>,
        /// Repeated with the same key, the command publishes nothing again
        #[arg(long, value_name = "KEY", value_parser = values::idempotency_key)]
        idempotency_key: Option<String>,
        /// Only to webhooks that share a channel, or have none; can be repeated
        #[arg(long = "channel", value_name = "CHANNEL")]
        channels: Vec<String>,
        /// To find the event by; can be repeated
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Send an event again
    #[command(after_help = "\
Examples:
  ringback events replay msg_01h8xgj5c2m4k
  ringback events replay msg_01h8xgj5c2m4k --webhook wh_01h8xgj5c2m4k --once")]
    Replay {
        /// Id of the event
        event: EventId,
        /// To this webhook, instead of each that has a delivery of it
        #[arg(long, value_name = "WEBHOOK")]
        webhook: Option<EndpointId>,
        #[command(flatten)]
        rounds: RoundsArgs,
    },
}

impl Resource for EventsArgs {
    async fn run(self) -> anyhow::Result<()> {
        let session = self.session.session(Scope::Organization)?;
        match self.verb {
            Verb::List { event_type, tag, from, to, page } => {
                let filters = [("event_type", event_type), ("tag", tag), ("from", from), ("to", to)];
                session.list(&with_query("/v1/events", filters), &page, &LISTING).await
            }
            Verb::Get { event } => {
                let body = session.call(Call::get(format!("/v1/events/{event}"))).await?;
                let object = Object::parse(&body)?;
                session.print(&body, || {
                    let deliveries = logs::LISTING.table(&object.list("deliveries"), now());
                    format!("{}\n\n{deliveries}", object.without(&["deliveries"]).details(now()))
                });
                Ok(())
            }
            Verb::Publish { event_type, data, timestamp, idempotency_key, channels, tags } => {
                let mut body = Object::default();
                body.set("event_type", &event_type)?;
                body.set("data", &read_json("--data", &data)?)?;
                body.set_given("timestamp", timestamp)?;
                body.set_given("channels", Some(channels).filter(|it| !it.is_empty()))?;
                body.set_given("tags", Some(tags).filter(|it| !it.is_empty()))?;
                let call = Call::post("/v1/events").body(body.to_json()?);
                let answer = session.call(Call { idempotency_key, ..call }).await?;
                let event = Object::parse(&answer)?;
                session.print(&answer, || event.details(now()));
                trigger::warn_of_no_deliveries(&answer);
                Ok(())
            }
            Verb::Replay { event, webhook, rounds } => {
                let mut body = Object::default();
                body.set_given("webhook_id", webhook)?;
                rounds.add_to(&mut body)?;
                let done = |answer: &Object| format!("deliveries sent again: {}", answer.text("deliveries"));
                let call = Call::post(format!("/v1/events/{event}/replay")).body(body.to_json()?);
                session.tell(call, done).await
            }
        }
    }
}
