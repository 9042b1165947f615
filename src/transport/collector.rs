//! Requests to a collector of traces. The operator names it, so it is not guarded as receivers are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use awc::error::SendRequestError;
use awc::http::header::RETRY_AFTER;
use awc::{Client, Connector};
use bytes::Bytes;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::{TransportSetupError, tls};
use crate::domain::secret::Secret;

/// Of an answer, the most that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Longer requests to wait are not heard.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Where a collector takes spans, and how it is reached.
#[derive(Clone)]
pub struct CollectorAddress {
    url: String,
    headers: Vec<(String, Secret)>,
    tls: Arc<ClientConfig>,
}

/// What a collector answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectorAnswer {
    /// It took them; the body says whether all of them.
    Taken(Bytes),
    /// It does not want them, however often they are sent.
    Refused(String),
    /// It may take them later.
    Failed {
        /// For the log.
        reason: String,
        /// When it asked to be left alone for so long.
        retry_after: Option<Duration>,
    },
}

/// For the thread that made it.
pub struct CollectorClient {
    client: Client,
    address: CollectorAddress,
}

impl CollectorAddress {
    /// `ca_file` has further authorities in PEM.
    pub fn new(
        url: String,
        headers: Vec<(String, Secret)>,
        ca_file: Option<&Path>,
    ) -> Result<Self, TransportSetupError> {
        Ok(Self { url, headers, tls: Arc::new(tls::client_config(ca_file)?) })
    }
}

impl CollectorClient {
    /// Makes no connection yet.
    pub fn new(address: CollectorAddress) -> Self {
        let connector = Connector::new().rustls_0_23(Arc::clone(&address.tls));
        let client = Client::builder().connector(connector).disable_redirects().disable_timeout().finish();
        Self { client, address }
    }

    /// Sends a message of OTLP, and reads the answer, all within `limit`.
    pub async fn post(&self, message: Bytes, limit: Duration) -> CollectorAnswer {
        let answer = timeout(limit, self.exchange(message)).await;
        let failed = |reason: String| CollectorAnswer::Failed { reason, retry_after: None };
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => failed(error.to_string()),
            Err(_) => failed(format!("no answer within {limit:?}")),
        }
    }

    async fn exchange(&self, message: Bytes) -> Result<CollectorAnswer, SendRequestError> {
        let mut request = self.client.post(&self.address.url).content_type("application/x-protobuf");
        for (name, value) in &self.address.headers {
            request = request.insert_header((name.as_str(), value.expose()));
        }
        let mut response = request.send_body(message).await?;
        let status = response.status();
        if status.is_success() {
            // one that can't be read says that nothing was rejected
            let body = response.body().limit(MAX_ANSWER_BYTES).await.unwrap_or_default();
            return Ok(CollectorAnswer::Taken(body));
        }
        let reason = format!("it answered {status}");
        if !matches!(status.as_u16(), 429 | 502 | 503 | 504) {
            return Ok(CollectorAnswer::Refused(reason));
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs).filter(|pause| *pause <= LONGEST_RETRY_AFTER);
        Ok(CollectorAnswer::Failed { reason, retry_after })
    }
}
