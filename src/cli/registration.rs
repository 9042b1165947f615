//! The webhook that `ringback listen` registers while it runs.

use std::net::SocketAddr;

use anyhow::Context;
use awc::http::Method;
use ringback::domain::secret::Secret;
use serde::Deserialize;
use serde_json::json;

use super::client::{ApiResponse, EngineClient};
use super::{address, print_error, print_line};

/// Identifies the webhooks of this command.
const DESCRIPTION: &str = "ringback listen";
/// Pages of 200 webhooks that are searched. A larger number makes the start slower on an engine with many webhooks.
const MAX_PAGES: usize = 50;

#[derive(Deserialize)]
struct RegisteredWebhook {
    id: String,
    /// A public key, when it signs with a private one.
    secret: String,
}

#[derive(Deserialize)]
struct WebhookPage {
    #[serde(default)]
    data: Vec<ListedWebhook>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct ListedWebhook {
    id: String,
    url: String,
    #[serde(default)]
    description: Option<String>,
}

/// A webhook to register.
pub(crate) struct NewWebhook<'a> {
    pub url: &'a str,
    pub events: &'a [String],
    /// One of [`SIGNATURES`](super::signature_check::SIGNATURES), or what the engine takes for usual.
    pub signature: Option<&'a str>,
}

/// Registers a webhook and deletes those that earlier runs left behind. Returns its id and what its signatures are verified
/// with: its secret, or its public key.
pub(crate) async fn register(
    engine: &EngineClient,
    webhook: NewWebhook<'_>,
    listening: SocketAddr,
) -> anyhow::Result<(String, Secret)> {
    let NewWebhook { url, events, signature } = webhook;
    // if the engine refuses to list webhooks, the registration below fails with the same reason
    for id in leftovers(engine, url, listening).await.unwrap_or_default() {
        remove(engine, &id, "of an earlier run").await;
    }
    let mut request = json!({ "url": url, "events": events, "description": DESCRIPTION });
    if let Some(signature) = signature {
        request["signature"] = signature.into();
    }
    let answer = engine.call(Method::POST, "/v1/webhooks", Some(request.to_string())).await?.ok()?;
    let registered: RegisteredWebhook = serde_json::from_str(&answer)
        .context("the response is not a webhook; is --engine the address of a Ringback engine?")?;
    Ok((registered.id, Secret::new(registered.secret)))
}

/// Webhooks of earlier runs that point here. No running process owns them: only one can listen on an address.
async fn leftovers(engine: &EngineClient, url: &str, listening: SocketAddr) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut path = String::from("/v1/webhooks?limit=200");
    for _ in 0..MAX_PAGES {
        let answer = engine.call(Method::GET, &path, None).await?.ok()?;
        let page: WebhookPage = serde_json::from_str(&answer)?;
        let is_left_over = |webhook: &ListedWebhook| {
            webhook.description.as_deref() == Some(DESCRIPTION)
                && (webhook.url == url || address::points_to(&webhook.url, listening))
        };
        found.extend(page.data.into_iter().filter(is_left_over).map(|webhook| webhook.id));
        match page.next_cursor {
            Some(cursor) => path = format!("/v1/webhooks?limit=200&cursor={cursor}"),
            None => break,
        }
    }
    Ok(found)
}

/// Deletes a webhook and prints the result.
pub(crate) async fn remove(engine: &EngineClient, id: &str, which: &str) {
    let deleted = engine.call(Method::DELETE, &format!("/v1/webhooks/{id}"), None).await;
    let space = if which.is_empty() { "" } else { " " };
    match deleted.and_then(ApiResponse::ok) {
        Ok(_) => print_line(&format!("deleted {id}{space}{which}")),
        Err(error) => print_error(&format!("warning: {id} could not be deleted and stays registered: {error:#}")),
    }
}
