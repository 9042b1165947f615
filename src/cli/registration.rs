//! The webhook that `ringback listen` has for as long as it runs.

use std::net::SocketAddr;

use anyhow::Context;
use awc::http::Method;
use ringback::domain::secret::Secret;
use serde::Deserialize;
use serde_json::json;

use super::client::{Answer, Engine};
use super::{address, complain, say};

/// What its webhooks are recognized by.
const DESCRIPTION: &str = "ringback listen";
/// Pages of webhooks that are looked through, 200 in each. Larger: a start at an engine with many webhooks takes longer.
const MAX_PAGES: usize = 50;

/// The part of the answer to a registration that is needed.
#[derive(Deserialize)]
struct Registered {
    id: String,
    secret: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    data: Vec<Webhook>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Webhook {
    id: String,
    url: String,
    #[serde(default)]
    description: Option<String>,
}

/// Registers `url` for these events and removes what an earlier run left behind. Gives the webhook's id and secret.
pub(crate) async fn register(
    engine: &Engine,
    url: &str,
    events: &[String],
    listening: SocketAddr,
) -> anyhow::Result<(String, Secret)> {
    // an engine that does not list its webhooks says why when one is made
    for id in leftovers(engine, url, listening).await.unwrap_or_default() {
        remove(engine, &id, "of an earlier run").await;
    }
    let request = json!({ "url": url, "events": events, "description": DESCRIPTION });
    let answer = engine.call(Method::POST, "/v1/webhooks", Some(request.to_string())).await?.ok()?;
    let registered: Registered =
        serde_json::from_str(&answer).context("the engine's answer holds no webhook; is --engine a Ringback?")?;
    Ok((registered.id, Secret::new(registered.secret)))
}

/// Webhooks that lead here and belong to no run that still receives: only one process can listen on an address.
async fn leftovers(engine: &Engine, url: &str, listening: SocketAddr) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut path = String::from("/v1/webhooks?limit=200");
    for _ in 0..MAX_PAGES {
        let answer = engine.call(Method::GET, &path, None).await?.ok()?;
        let page: Page = serde_json::from_str(&answer)?;
        let is_left_over = |webhook: &Webhook| {
            webhook.description.as_deref() == Some(DESCRIPTION)
                && (webhook.url == url || address::leads_to(&webhook.url, listening))
        };
        found.extend(page.data.into_iter().filter(is_left_over).map(|webhook| webhook.id));
        match page.next_cursor {
            Some(cursor) => path = format!("/v1/webhooks?limit=200&cursor={cursor}"),
            None => break,
        }
    }
    Ok(found)
}

/// Deletes a webhook and says so, or that it stays.
pub(crate) async fn remove(engine: &Engine, id: &str, which: &str) {
    let deleted = engine.call(Method::DELETE, &format!("/v1/webhooks/{id}"), None).await;
    let space = if which.is_empty() { "" } else { " " };
    match deleted.and_then(Answer::ok) {
        Ok(_) => say(&format!("deleted {id}{space}{which}")),
        Err(error) => complain(&format!("warning: {id} could not be deleted and stays registered: {error:#}")),
    }
}
