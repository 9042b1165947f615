//! Requests that are repeated with the same `idempotency-key` are carried out once: Svix's libraries send one with every
//! `POST`, and the same again when the answer does not come.
//!
//! The first one leaves its name in the store before it begins, and its answer at the end; others wait for it, on whatever
//! node. Only success is kept: what failed may be tried again.

use std::time::Duration;

use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, rt, web};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::access::{Access, bearer_token};
use super::error::SvixError;
use crate::api::Api;
use crate::api::events::{IDEMPOTENCY_KEY, REPLAYED};
use crate::api::line::Line;
use crate::store::{AnswerState, AnswerTimes, IDEMPOTENCY_KEY_LIFETIME, KeptAnswer};

/// Before keys of messages: no key that is sent to our own API has it, as those are printable.
const KEYED: char = '\u{2}';
/// Longer keys are hashed: with what stands before it, a key has at most 255 bytes.
const LONGEST_TEXT: usize = 200;
/// Of the hash of token and URL in such a key. Smaller: keys of different tokens of one application could meet. Larger: each
/// key is longer.
const SCOPE_BYTES: usize = 12;
/// For as long a request waits for the first one with its key. Smaller: clients are told to try again more often. Larger: they
/// give up first.
const PATIENCE: Duration = Duration::from_secs(14);
/// Between two looks for the answer, at first and at most. Smaller: the store is asked more often than answers change. Larger: repetitions wait longer
/// than they must.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// More than a request can take. Smaller: a slow one is carried out twice. Larger: after a crash its repetition waits longer.
const ABANDONED_AFTER: Duration = Duration::from_secs(120);

/// The middleware around a `POST`.
pub(super) async fn once(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(call) = Call::of(request.request()) else { return next.call(request).await };
    match call.begin().await {
        Ok(None) => {}
        Ok(Some(answer)) => return Ok(request.into_response(replayed(answer))),
        Err(error) => return Ok(request.error_response(error)),
    }
    // also when the client goes away: its repetition gets the answer
    let answered = rt::spawn(async move {
        let response = next.call(request).await;
        call.keep(response).await
    });
    answered.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request with an idempotency key ended without an answer");
        Err(SvixError::internal().into())
    })
}

/// A key counts for the token that comes with it and for the URL, as with Svix's server; `None` without a key.
struct SentKey<'a> {
    key: &'a [u8],
    /// A hash of token and URL.
    scope: Sha256,
}

impl<'a> SentKey<'a> {
    fn of(request: &'a HttpRequest) -> Option<Self> {
        let key = request.headers().get(IDEMPOTENCY_KEY)?.as_bytes();
        if key.is_empty() {
            return None;
        }
        let token = bearer_token(request)?;
        // without a slash at its end
        let url = request.uri().path_and_query().map(|path| path.as_str()).unwrap_or_default();
        let mut scope = Sha256::new();
        add(&mut scope, token.as_bytes());
        add(&mut scope, url.as_bytes());
        Some(Self { key, scope })
    }

    fn hash_for(mut self, application: i64) -> [u8; 32] {
        add(&mut self.scope, &application.to_be_bytes());
        self.hash()
    }

    fn hash(mut self) -> [u8; 32] {
        add(&mut self.scope, self.key);
        self.scope.finalize().into()
    }
}

fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

/// The key of a request as a key of the message that it publishes. Keys that are alike stay alike, so that they are stored
/// together.
pub(super) fn text_of(request: &HttpRequest) -> Option<String> {
    let sent = SentKey::of(request)?;
    let short = std::str::from_utf8(sent.key).ok().filter(|key| key.len() <= LONGEST_TEXT);
    Some(match short {
        Some(key) => format!("{KEYED}{}{key}", BASE64URL_NOPAD.encode(&sent.scope.finalize()[..SCOPE_BYTES])),
        None => format!("{KEYED}{}", BASE64URL_NOPAD.encode(&sent.hash())),
    })
}

/// A request with an idempotency key.
struct Call {
    api: web::Data<Api>,
    line: Line,
    key_hash: [u8; 32],
}

impl Call {
    /// `None` without a key.
    fn of(request: &HttpRequest) -> Option<Self> {
        let sent = SentKey::of(request)?;
        let access = request.extensions().get::<Access>().cloned()?;
        let api = request.app_data::<web::Data<Api>>()?.clone();
        // what is done for an application waits in its line, whoever asks for it
        let line = access.application.map_or(access.line, |application| application.id.into());
        // a name in the URL can come to stand for another one
        let application = access.application.map_or(0, |application| application.id.0);
        let key_hash = sent.hash_for(application);
        Some(Self { api, line, key_hash })
    }

    /// `None` when this is the first one, which now has to be carried out.
    async fn begin(&self) -> Result<Option<KeptAnswer>, SvixError> {
        let (begin, mut pause, key_hash) = (Instant::now(), FIRST_PAUSE, self.key_hash);
        loop {
            let now = self.api.engine().now();
            let times = AnswerTimes {
                now,
                abandoned_before: now - ABANDONED_AFTER,
                kept_since: now - IDEMPOTENCY_KEY_LIFETIME,
            };
            let state = self.api.step(self.line.id(), move |store| store.begin_answer(&key_hash, times));
            match state.await? {
                AnswerState::Begun => return Ok(None),
                AnswerState::Answered(answer) => return Ok(Some(answer)),
                AnswerState::UnderWay => {}
            }
            loop {
                if begin.elapsed() >= PATIENCE {
                    let detail = "the first request with this idempotency key is still under way; try again";
                    return Err(SvixError::try_again(detail, Duration::from_secs(1)));
                }
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                match self.api.read(self.line, move |store| store.answer(&key_hash)).await? {
                    Some(AnswerState::Answered(answer)) => return Ok(Some(answer)),
                    // the first one failed
                    None => break,
                    Some(_) => {}
                }
            }
        }
    }

    /// Keeps the answer of one that was carried out.
    async fn keep(
        &self,
        answer: Result<ServiceResponse<BoxBody>, Error>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let response = match answer {
            Ok(response) if response.status().is_success() => response,
            failed => {
                self.write(None).await;
                return failed;
            }
        };
        let status = response.status();
        let (request, response) = response.into_parts();
        let (response, body) = response.into_parts();
        let Ok(body) = to_bytes(body).await else {
            self.write(None).await;
            return Err(SvixError::internal().into());
        };
        self.write(Some(KeptAnswer { status: status.as_u16(), body: body.to_vec() })).await;
        Ok(ServiceResponse::new(request, response.set_body(BoxBody::new(body))))
    }

    /// What was done is done: a failure here only means that a repetition is told to wait.
    async fn write(&self, answer: Option<KeptAnswer>) {
        let (key_hash, now) = (self.key_hash, self.api.engine().now());
        let kept = self.api.step(self.line.id(), move |store| store.keep_answer(&key_hash, answer.as_ref(), now));
        if let Err(problem) = kept.await {
            tracing::warn!(
                problem = problem.detail(),
                "the answer to a request with an idempotency key was not kept"
            );
        }
    }
}

fn replayed(answer: KeptAnswer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let (name, value) = REPLAYED;
    let mut response = HttpResponse::build(status);
    response.insert_header((name, value));
    // it can hold a secret
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if !answer.body.is_empty() {
        response.insert_header((header::CONTENT_TYPE, "application/json"));
    }
    response.body(answer.body)
}
