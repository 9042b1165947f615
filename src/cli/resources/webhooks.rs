//! `ringback webhooks`.

use anyhow::bail;
use awc::http::Method;
use clap::{Args, Subcommand};
use ringback::domain::ids::EndpointId;

use super::list::{Listing, PageArgs, Show};
use super::logs::RoundsArgs;
use super::object::Object;
use super::values;
use super::webhook_settings::{SettingsArgs, refuse_empty};
use super::{Resource, Scope, SessionArgs, YesArgs};
use crate::cli::client::Call;
use crate::cli::signature_check::SIGNATURES;
use crate::cli::table::Column;

const LISTING: Listing = Listing {
    columns: &[
        (Column::text("webhook"), Show::Text(&["id"])),
        (Column::shrinking("url"), Show::Text(&["url"])),
        (Column::shrinking("events"), Show::Patterns("events")),
        (Column::text("state"), Show::Text(&["state"])),
        (Column::text("created"), Show::Time("created_at")),
    ],
    when_empty: "no webhooks; `ringback webhooks create --url https://…` makes one",
};

#[derive(Args)]
#[command(after_help = "\
Examples:
  ringback webhooks list
  ringback webhooks create --url https://example.com/hooks --events 'call.*'
  ringback webhooks list --organization customer-1    # with a deployment key")]
pub(crate) struct WebhooksArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// List webhooks, the newest first
    #[command(after_help = "Examples:\n  ringback webhooks list --all --json")]
    List(PageArgs),
    /// Show a webhook with all its settings
    #[command(after_help = "Examples:\n  ringback webhooks get wh_01h8xgj5c2m4k")]
    Get {
        /// Id of the webhook
        webhook: EndpointId,
    },
    /// Create a webhook
    #[command(after_help = "\
Examples:
  ringback webhooks create --url https://example.com/hooks
  ringback webhooks create --url https://example.com/hooks \\
    --events 'call.*' --header 'x-token: abc' --rate-limit-per-second 50
  ringback webhooks create --data @webhook.json --active false")]
    Create {
        #[command(flatten)]
        settings: SettingsArgs,
        /// A signing secret of your own, visible in the list of processes; --data @file is not
        #[arg(long, value_name = "WHSEC", help_heading = "Settings")]
        secret: Option<String>,
        /// What signs: a secret that the receiver has too, or a private key whose public key it gets
        #[arg(long, value_name = "hmac|ed25519", help_heading = "Settings", conflicts_with = "secret", value_parser = SIGNATURES)]
        signature: Option<String>,
    },
    /// Change the settings that are given
    #[command(after_help = "\
Examples:
  ringback webhooks update wh_01h8xgj5c2m4k --active true
  ringback webhooks update wh_01h8xgj5c2m4k --data '{\"rate_limit\": null}'")]
    Update {
        /// Id of the webhook
        webhook: EndpointId,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Delete a webhook; what waits for it is cancelled
    #[command(after_help = "Examples:\n  ringback webhooks delete wh_01h8xgj5c2m4k --yes")]
    Delete {
        /// Id of the webhook
        webhook: EndpointId,
        #[command(flatten)]
        asking: YesArgs,
    },
    /// Send one signed sample event now
    #[command(after_help = "\
It is sent whether or not the webhook is active, and closes its breaker when it
succeeds. The command fails when the receiver does.

Examples:
  ringback webhooks test wh_01h8xgj5c2m4k
  ringback webhooks test wh_01h8xgj5c2m4k --event-type batch.completed")]
    Test {
        /// Id of the webhook
        webhook: EndpointId,
        /// Type of the sample [default: call.completed]
        #[arg(long, value_name = "TYPE")]
        event_type: Option<String>,
    },
    /// Close the breaker, and send now what waits for a retry
    #[command(after_help = "Examples:\n  ringback webhooks resume wh_01h8xgj5c2m4k")]
    Resume {
        /// Id of the webhook
        webhook: EndpointId,
    },
    /// Send again every failed delivery of a range of time
    #[command(after_help = "\
Examples:
  ringback webhooks recover wh_01h8xgj5c2m4k --since 2h
  ringback webhooks recover wh_01h8xgj5c2m4k --since 2026-11-30T08:00:00Z \\
    --until 2026-11-30T10:00:00Z --status success
  ringback webhooks recover wh_01h8xgj5c2m4k --since 2h --once")]
    Recover {
        /// Id of the webhook
        webhook: EndpointId,
        /// Deliveries created since then: an instant, or how long ago, like 2h
        #[arg(long, value_name = "TIME", value_parser = values::instant)]
        since: String,
        /// Deliveries created before then [default: now]
        #[arg(long, value_name = "TIME", value_parser = values::instant)]
        until: Option<String>,
        /// Which of them: failed or success [default: failed]
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        rounds: RoundsArgs,
    },
    /// Make a new secret; the old one stays valid for a while
    #[command(after_help = "\
Examples:
  ringback webhooks rotate-secret wh_01h8xgj5c2m4k --overlap 7d
  ringback webhooks rotate-secret wh_01h8xgj5c2m4k --signature ed25519")]
    RotateSecret {
        /// Id of the webhook
        webhook: EndpointId,
        /// How long the old secret stays valid, like 45s, 2h or 7d [default: 1d]
        #[arg(long, value_name = "TIME", value_parser = values::duration)]
        overlap: Option<std::time::Duration>,
        /// A secret of your own, visible in the list of processes
        #[arg(long, value_name = "WHSEC")]
        secret: Option<String>,
        /// What signs from now on [default: as before]
        #[arg(long, value_name = "hmac|ed25519", conflicts_with = "secret", value_parser = SIGNATURES)]
        signature: Option<String>,
    },
    /// Show the secret that verifies signatures
    #[command(after_help = "Examples:\n  ringback webhooks secret wh_01h8xgj5c2m4k")]
    Secret {
        /// Id of the webhook
        webhook: EndpointId,
    },
    /// Show whether deliveries succeed, how fast, and what waits
    #[command(after_help = "Examples:\n  ringback webhooks health wh_01h8xgj5c2m4k")]
    Health {
        /// Id of the webhook
        webhook: EndpointId,
    },
}

impl Resource for WebhooksArgs {
    async fn run(self) -> anyhow::Result<()> {
        let session = self.session.session(Scope::Organization)?;
        let of = |webhook: EndpointId, rest: &str| format!("/v1/webhooks/{webhook}{rest}");
        match self.verb {
            Verb::List(page) => session.list("/v1/webhooks", &page, &LISTING).await,
            Verb::Get { webhook } => session.show(Call::get(of(webhook, ""))).await.map(drop),
            Verb::Create { settings, secret, signature } => {
                let mut body = settings.body()?;
                body.set_given("secret", secret)?;
                body.set_given("signature", signature)?;
                let shown = session.show(Call::post("/v1/webhooks").body(body.to_json()?)).await?;
                let id = shown.object.text("id");
                shown.remark(&format!(
                    "The receiver verifies signatures with the secret; `ringback webhooks secret {id}` shows it again."
                ));
                Ok(())
            }
            Verb::Update { webhook, settings } => {
                let body = settings.body()?;
                refuse_empty(&body)?;
                let call = Call::new(Method::PATCH, of(webhook, "")).body(body.to_json()?);
                session.show(call).await.map(drop)
            }
            Verb::Delete { webhook, asking } => {
                let call = Call::new(Method::DELETE, of(webhook, "")).long();
                session.delete(call, &format!("webhook {webhook}"), asking.yes).await
            }
            Verb::Test { webhook, event_type } => {
                let mut body = Object::default();
                body.set_given("event_type", event_type)?;
                let call = Call::post(of(webhook, "/test")).body(body.to_json()?).long();
                let shown = session.show(call).await?;
                match shown.object.text("status").as_str() {
                    "success" => Ok(()),
                    _ => bail!("the test failed: {}", shown.object.first_text(&["error", "response_code"])),
                }
            }
            Verb::Resume { webhook } => {
                let done = |answer: &Object| format!("deliveries due now: {}", answer.text("deliveries"));
                session.tell(Call::post(of(webhook, "/resume")).long(), done).await
            }
            Verb::Recover { webhook, since, until, status, rounds } => {
                let mut body = Object::default();
                body.set("since", &since)?;
                body.set_given("until", until)?;
                body.set_given("status", status)?;
                rounds.add_to(&mut body)?;
                let done = |answer: &Object| format!("deliveries sent again: {}", answer.text("deliveries"));
                session.tell(Call::post(of(webhook, "/recover")).body(body.to_json()?).long(), done).await
            }
            Verb::RotateSecret { webhook, overlap, secret, signature } => {
                let mut body = Object::default();
                body.set_given("secret", secret)?;
                body.set_given("signature", signature)?;
                body.set_given("overlap_seconds", overlap.map(|overlap| overlap.as_secs()))?;
                let call = Call::post(of(webhook, "/secret/rotate")).body(body.to_json()?);
                let shown = session.show(call).await?;
                shown.remark("Give the new secret to the receiver before the previous one ends.");
                Ok(())
            }
            Verb::Secret { webhook } => session.show(Call::get(of(webhook, "/secret"))).await.map(drop),
            Verb::Health { webhook } => session.show(Call::get(of(webhook, "/health"))).await.map(drop),
        }
    }
}
