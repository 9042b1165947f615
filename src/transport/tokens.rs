//! Tokens of OAuth 2.0: a [`Transport`] that gets one before an attempt whose webhook has `oauth2`.
//!
//! The request for a token goes through the transport behind this one, so the same rules hold for its address, TLS and
//! response as for a receiver's. Each endpoint has tokens of its own, and asks for one at a time, however many of its
//! attempts need it.
//!
//! A receiver refuses a token that was revoked with 401. Then the same attempt gets another token and sends its request once
//! more: what was refused at the door is no answer to the event, and the machine decides about deliveries without knowing
//! tokens. A token that is new is not replaced: the receiver would refuse the next one too, and each attempt would ask for one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::future::LocalBoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{AttemptRequest, Transport};
use crate::domain::attempt::{AttemptError, AttemptResult, LocalFault, Response, TokenFault};
use crate::domain::credentials::{GrantId, TokenGrant, read_token};
use crate::domain::ids::OrganizationId;
use crate::domain::secret::Secret;

/// A receiver's 401 to a younger token says nothing about its age. Larger: a token that is revoked soon after it was issued
/// fails deliveries. Smaller: a receiver that refuses every token makes more requests to the token endpoint.
const NEW_FOR: Duration = Duration::from_secs(5);
/// After a failure the token endpoint is left alone for this long; attempts meanwhile fail with the same fault.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// Endpoints whose tokens are kept. More: those of the organization with the most of them begin again, except for attempts in
/// flight. Smaller: an organization with many asks more often than its tokens end. Larger: memory, up to the length of a token each.
const MAX_SLOTS: usize = 10_000;

/// Bytes of a token that are a secret. Fewer: texts that have nothing to do with it are changed. More: a short token is shown.
const SECRET_FROM: usize = 8;
/// Shorter than any of them, so that a response with and without it differ in length.
const HIDDEN: &str = "[token]";
const UNAUTHORIZED: u16 = 401;
const AUTHORIZATION: ByteString = ByteString::from_static("authorization");

/// Adds tokens to the requests that need one. Cheap to clone; clones share their tokens.
pub struct TokenTransport<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for TokenTransport<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<T> {
    inner: T,
    slots: std::sync::Mutex<HashMap<GrantId, OwnedSlot>>,
}

/// What is known of one endpoint's token. Its lock is held while a token is fetched, so that there is one request at a time.
type Slot = Mutex<Known>;

struct OwnedSlot {
    owner: OrganizationId,
    slot: Arc<Slot>,
}

#[derive(Default)]
struct Known {
    token: Option<Held>,
    failure: Option<(Instant, TokenFault)>,
}

#[derive(Clone)]
struct Held {
    value: Secret,
    since: Instant,
    until: Instant,
}

enum NoToken {
    Fault(TokenFault),
    NotMade(LocalFault),
}

impl<T: Transport> TokenTransport<T> {
    /// Sends with `inner`, tokens included.
    pub fn new(inner: T) -> Self {
        Self { shared: Arc::new(Shared { inner, slots: std::sync::Mutex::default() }) }
    }

    /// What it sends with.
    pub fn inner(&self) -> &T {
        &self.shared.inner
    }
}

impl<T: Transport> Transport for TokenTransport<T> {
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>> {
        let Some(grant) = request.oauth2.clone() else { return self.shared.inner.attempt(request) };
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.attempt(request, &grant).await })
    }
}

impl<T: Transport> Shared<T> {
    async fn attempt(&self, request: AttemptRequest, grant: &TokenGrant) -> Result<AttemptResult, LocalFault> {
        let started = Instant::now();
        let deadline = started + request.timeout;
        let slot = self.slot(grant);
        let token = match self.token(&slot, grant, &request, deadline).await {
            Ok(token) => token,
            Err(no_token) => return no_token.into_result(started),
        };
        let result = self.send(&request, &token, started, deadline).await?;
        let is_refused = result.response.as_ref().is_ok_and(|response| response.status == UNAUTHORIZED);
        if !is_refused || !replaces(&slot, &token, started, deadline).await {
            return Ok(result);
        }
        match self.token(&slot, grant, &request, deadline).await {
            Ok(token) => self.send(&request, &token, started, deadline).await,
            Err(no_token) => no_token.into_result(started),
        }
    }

    /// The token that is there, or a new one.
    async fn token(
        &self,
        slot: &Slot,
        grant: &TokenGrant,
        request: &AttemptRequest,
        deadline: Instant,
    ) -> Result<Held, NoToken> {
        let asked_at = Instant::now();
        let known = timeout_at(deadline, slot.lock()).await;
        let mut known = known.map_err(|_| NoToken::Fault(TokenFault::Timeout))?;
        let now = Instant::now();
        if let Some(token) = known.token.as_ref().filter(|token| token.until > now) {
            return Ok(token.clone());
        }
        // one that waited while another asked has its result, whatever it is
        if let Some((_, fault)) = known.failure.filter(|(at, _)| *at >= asked_at || now < *at + FAILED_FOR) {
            return Err(NoToken::Fault(fault));
        }
        let asking = token_request(grant, request, deadline.saturating_duration_since(now));
        let result = self.inner.attempt(asking).await.map_err(NoToken::NotMade)?;
        let read = result.response.map_err(TokenFault::of).and_then(|response| read_token(&response));
        let fetched_at = Instant::now();
        match read {
            Ok(token) => {
                // counted from the request: the token is older than its response
                let held = Held { value: token.value, since: fetched_at, until: now + token.lifetime };
                *known = Known { token: Some(held.clone()), failure: None };
                Ok(held)
            }
            Err(fault) => {
                *known = Known { token: None, failure: Some((fetched_at, fault)) };
                Err(NoToken::Fault(fault))
            }
        }
    }

    async fn send(
        &self,
        request: &AttemptRequest,
        token: &Held,
        started: Instant,
        deadline: Instant,
    ) -> Result<AttemptResult, LocalFault> {
        let now = Instant::now();
        let mut headers = request.headers.clone();
        headers.push((AUTHORIZATION, format!("Bearer {}", token.value.expose()).into()));
        let authorized = AttemptRequest {
            headers,
            timeout: deadline.saturating_duration_since(now),
            oauth2: None,
            ..request.clone()
        };
        let mut result = self.inner.attempt(authorized).await?;
        result.duration += now.duration_since(started);
        if let Ok(response) = &mut result.response {
            hide(response, token.value.expose());
        }
        Ok(result)
    }

    fn slot(&self, grant: &TokenGrant) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_SLOTS && !slots.contains_key(&grant.id) {
            make_room(&mut slots);
        }
        let new = || OwnedSlot { owner: grant.organization_id, slot: Arc::default() };
        Arc::clone(&slots.entry(grant.id).or_insert_with(new).slot)
    }
}

/// No organization pushes the tokens of others out.
fn make_room(slots: &mut HashMap<GrantId, OwnedSlot>) {
    let mut counts: HashMap<OrganizationId, usize> = HashMap::new();
    slots.values().for_each(|owned| *counts.entry(owned.owner).or_default() += 1);
    let largest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(owner, _)| owner);
    slots.retain(|_, owned| Some(owned.owner) != largest || Arc::strong_count(&owned.slot) > 1);
}

/// Whether an attempt whose token was refused gets another: one that is there already, or one that takes its place.
async fn replaces(slot: &Slot, refused: &Held, started: Instant, deadline: Instant) -> bool {
    let Ok(mut known) = timeout_at(deadline, slot.lock()).await else { return false };
    match &known.token {
        Some(token) if token.since != refused.since => return true,
        _ if refused.since + NEW_FOR > started => return false,
        _ => {}
    }
    known.token = None;
    true
}

/// Leaves out what a receiver repeats of the token: whoever may read the log may not use it.
fn hide(response: &mut Response, token: &str) {
    if token.len() < SECRET_FROM {
        return;
    }
    for (_, value) in response.headers.iter_mut().filter(|(_, value)| value.contains(token)) {
        *value = value.replace(token, HIDDEN);
    }
    let secret = token.as_bytes();
    let mut shown = Vec::with_capacity(response.body.len());
    let mut rest = &response.body[..];
    while let Some(at) = rest.windows(secret.len()).position(|part| part == secret) {
        shown.extend_from_slice(&rest[..at]);
        shown.extend_from_slice(HIDDEN.as_bytes());
        rest = &rest[at + secret.len()..];
    }
    // the excerpt can end within it
    let begun = (SECRET_FROM..secret.len()).rev().find(|&length| rest.ends_with(&secret[..length]));
    shown.extend_from_slice(&rest[..rest.len() - begun.unwrap_or(0)]);
    if shown.len() != response.body.len() {
        response.body = Bytes::from(shown);
    }
}

fn token_request(grant: &TokenGrant, of: &AttemptRequest, timeout: Duration) -> AttemptRequest {
    let settings = &grant.settings;
    let text = |name, value| (ByteString::from_static(name), ByteString::from_static(value));
    let mut headers =
        vec![text("content-type", "application/x-www-form-urlencoded"), text("accept", "application/json")];
    headers.extend(of.headers.iter().find(|(name, _)| name == "user-agent").cloned());
    headers.extend(settings.authorization().map(|value| (AUTHORIZATION, value.into())));
    AttemptRequest {
        url: settings.token_url.as_str().into(),
        headers,
        body: Bytes::from(settings.form()),
        timeout,
        // rare enough, and so none is lost to a connection that was closed
        fresh_connection: true,
        // that of the webhook is for its receiver
        client_certificate: None,
        oauth2: None,
    }
}

impl NoToken {
    fn into_result(self, started: Instant) -> Result<AttemptResult, LocalFault> {
        match self {
            Self::Fault(fault) => {
                Ok(AttemptResult { response: Err(AttemptError::TokenFailure(fault)), duration: started.elapsed() })
            }
            Self::NotMade(fault) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &str, token: &str) -> String {
        let headers = vec![("x-echo".to_owned(), format!("Bearer {token}"))];
        let mut response = Response::new(200, headers, Bytes::copy_from_slice(body.as_bytes()));
        hide(&mut response, token);
        format!("{} | {}", response.headers[0].1, std::str::from_utf8(&response.body).unwrap())
    }

    #[test]
    fn a_receiver_that_repeats_the_token_does_not_bring_it_into_the_log() {
        const TOKEN: &str = "abcdefgh-token";
        let body = format!("<{TOKEN}> and {TOKEN}{TOKEN} and a bit: abcdefg, é");
        assert_eq!(shown(&body, TOKEN), "Bearer [token] | <[token]> and [token][token] and a bit: abcdefg, é");
        assert_eq!(shown("cut within: abcdefgh-tok", TOKEN), "Bearer [token] | cut within: ");
        assert_eq!(shown("nothing of it", TOKEN), "Bearer [token] | nothing of it");
        assert_eq!(shown("too short to be a secret", "t"), "Bearer t | too short to be a secret");
    }
}
