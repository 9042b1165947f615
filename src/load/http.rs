//! The HTTP client of a run, for engines and receivers.

use std::time::Duration;

use awc::http::{Method, header};
use awc::{Client, Connector};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::LoadError;

/// A report of a million events at a thousand webhooks has a few MiB.
const ANSWER_LIMIT_BYTES: usize = 256 * 1024 * 1024;
/// Creating a webhook waits for a commit, which a busy engine may delay.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of the body of an error, for its message.
const EXCERPT_CHARACTERS: usize = 500;

/// Belongs to one thread.
#[derive(Clone)]
pub(crate) struct LoadClient {
    client: Client,
}

impl Default for LoadClient {
    fn default() -> Self {
        // the default limit of 100 connections applies to all hosts together
        let connector = Connector::new().limit(0).timeout(TIMEOUT);
        let client = Client::builder().connector(connector).timeout(TIMEOUT).disable_redirects();
        Self { client: client.no_default_headers().finish() }
    }
}

impl LoadClient {
    /// For requests that [`LoadClient::json`] and [`LoadClient::text`] cannot express.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request and parses the JSON of a 2xx response.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        key: Option<&str>,
        body: Option<&impl Serialize>,
    ) -> Result<T, LoadError> {
        let text = self.text(method, url, key, body).await?;
        serde_json::from_slice(&text).map_err(|error| LoadError::Unreachable {
            url: url.to_owned(),
            reason: format!("its answer is not what was expected: {error}"),
        })
    }

    /// Sends a request and returns the body of a 2xx response.
    pub(crate) async fn text(
        &self,
        method: Method,
        url: &str,
        key: Option<&str>,
        body: Option<&impl Serialize>,
    ) -> Result<Vec<u8>, LoadError> {
        let unreachable = |reason: String| LoadError::Unreachable { url: url.to_owned(), reason };
        let mut request = self.client.request(method, url);
        if let Some(key) = key {
            request = request.insert_header((header::AUTHORIZATION, format!("Bearer {key}")));
        }
        let sent = match body {
            Some(body) => request.send_json(body),
            None => request.send(),
        };
        let mut response = sent.await.map_err(|error| unreachable(error.to_string()))?;
        let body = response.body().limit(ANSWER_LIMIT_BYTES).await;
        let body = body.map_err(|error| unreachable(error.to_string()))?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(body.to_vec());
        }
        let body = String::from_utf8_lossy(&body).chars().take(EXCERPT_CHARACTERS).collect();
        Err(LoadError::Refused { url: url.to_owned(), status, body })
    }
}
