//! Calls of the aggressor: sent once for a strike, insisted on while it is being prepared.

use std::sync::Arc;
use std::time::Duration;

use awc::http::Method;
use awc::http::header::{self, HeaderName, HeaderValue};
use bytes::Bytes;
use serde_json::Value;

use crate::load::clock::RunClock;
use crate::load::error::LoadError;
use crate::load::http::LoadClient;

/// A page of the log with bodies.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// After a refusal without `Retry-After`, or no answer.
const DEFAULT_PAUSE: Duration = Duration::from_millis(500);
/// A preparation that is refused for this long does not come about.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of the body of an error, for its message.
const EXCERPT_CHARACTERS: usize = 500;

/// Whose key a call has.
#[derive(Debug, Clone)]
pub(crate) enum CallKey {
    Known(Arc<str>),
    /// A key of the right form that nobody has; another one each time, so that nothing remembers it.
    Unknown,
}

/// One request; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub method: Method,
    /// With the query; percent-encoded.
    pub path: String,
    pub key: CallKey,
    pub header: Option<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

pub(crate) struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// Sends calls to one engine; belongs to one thread.
#[derive(Clone)]
pub(crate) struct Caller {
    http: LoadClient,
    base: String,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>, key: &Arc<str>) -> Self {
        let key = CallKey::Known(Arc::clone(key));
        Self { method, path: path.into(), key, header: None, body: Bytes::new() }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(crate) fn with_unknown_key(self) -> Self {
        Self { key: CallKey::Unknown, ..self }
    }

    pub(crate) fn header(self, name: &'static str, value: HeaderValue) -> Self {
        Self { header: Some((HeaderName::from_static(name), value)), ..self }
    }
}

impl Answer {
    /// The engine asks to come back later.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.status, 429 | 503)
    }
}

impl Caller {
    pub(crate) fn new(base: &str) -> Self {
        Self { http: LoadClient::default(), base: base.to_owned() }
    }

    /// `None` when there is no answer. `number` distinguishes unknown keys.
    pub(crate) async fn send(&self, call: &Call, number: u64) -> Option<Answer> {
        let bearer = match &call.key {
            CallKey::Known(key) => format!("Bearer {key}"),
            CallKey::Unknown => format!("Bearer rbk_{number:043}"),
        };
        let mut request = self
            .http
            .client()
            .request(call.method.clone(), format!("{}{}", self.base, call.path))
            .insert_header((header::AUTHORIZATION, bearer))
            .insert_header((header::CONTENT_TYPE, "application/json"));
        if let Some(header) = &call.header {
            request = request.insert_header(header.clone());
        }
        let mut response = request.send_body(call.body.clone()).await.ok()?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(header::RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
        let body = response.body().limit(ANSWER_LIMIT_BYTES).await.ok()?;
        Some(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
    }

    /// Repeats the call while the engine asks to come back later, and returns the body of a 2xx.
    pub(crate) async fn insist(&self, call: &Call, clock: RunClock) -> Result<Bytes, LoadError> {
        let begin = clock.now_micros();
        loop {
            let answer = self.send(call, 0).await;
            let pause = match &answer {
                Some(answer) if (200..300).contains(&answer.status) => return Ok(answer.body.clone()),
                Some(answer) if answer.is_refusal() => answer.retry_after,
                Some(answer) => return Err(self.refused(call, answer)),
                // a request that changes something may have been carried out: one of the preparation does no harm twice
                None => None,
            };
            if clock.since(begin) > PATIENCE {
                return Err(match answer {
                    Some(answer) => self.refused(call, &answer),
                    None => LoadError::Unreachable { url: self.url(call), reason: "no answer".to_owned() },
                });
            }
            tokio::time::sleep(pause.unwrap_or(DEFAULT_PAUSE)).await;
        }
    }

    fn url(&self, call: &Call) -> String {
        format!("{}{}", self.base, call.path)
    }

    fn refused(&self, call: &Call, answer: &Answer) -> LoadError {
        let body = String::from_utf8_lossy(&answer.body).chars().take(EXCERPT_CHARACTERS).collect();
        LoadError::Refused { url: self.url(call), status: answer.status, body }
    }
}
