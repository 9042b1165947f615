//! Reads request bodies within limits of size, time and memory, whatever their `Content-Type` says.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{ErrorCode, Problem};

/// For every call except those that publish events.
pub(crate) const MANAGEMENT_LIMIT_BYTES: usize = 256 * 1024;
/// A client that sends nothing of its body for this long is gone or malicious.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole body. 10 MiB in a minute is 1.4 Mbit/s; slower publishers should send smaller events.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// This much of each body is not counted: most bodies are smaller, and the number of connections bounds those.
const FREE_BYTES: usize = 64 * 1024;
/// The budget is counted in units of this many bytes.
const UNIT_BYTES: usize = 64 * 1024;

/// The memory for large bodies. Taken as bytes arrive, so that a slow client holds only what it has sent.
#[derive(Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// How much all bodies may hold, except the first 64 KiB of each, from their first byte until their events are
    /// stored. Smaller: large events are refused sooner. Larger: ten megabytes from each of many connections fill the
    /// memory.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT_BYTES)))
    }
}

/// A body, and its share of the budget.
pub(crate) struct RequestBody {
    pub bytes: Bytes,
    /// Returned when this is dropped.
    pub share: BodyShare,
}

/// A share of the budget, returned when this is dropped.
pub(crate) struct BodyShare(#[expect(dead_code, reason = "it counts by being there")] Vec<OwnedSemaphorePermit>);

/// Reads the whole body of a management call; such bodies are small.
pub(crate) async fn read_body(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<Bytes, Problem> {
    // never used: the limit
    let budget = BodyBudget::of(limit);
    Ok(read_large_body(request, payload, limit, &budget).await?.bytes)
}

/// Reads the whole body.
pub(crate) async fn read_large_body(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
    budget: &BodyBudget,
) -> Result<RequestBody, Problem> {
    let headers = request.headers();
    let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| !is_plain(encoding)) {
        let detail = "compressed bodies are not read: send the JSON as it is, without Content-Encoding";
        return Err(Problem::new(ErrorCode::UnsupportedEncoding, detail));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large(limit));
    }
    tokio::time::timeout(TOTAL_TIMEOUT, collect(payload, limit, budget)).await.map_err(|_| too_slow())?
}

async fn collect(mut payload: web::Payload, limit: usize, budget: &BodyBudget) -> Result<RequestBody, Problem> {
    let mut body = BytesMut::new();
    let mut share = Vec::new();
    loop {
        let chunk = tokio::time::timeout(IDLE_TIMEOUT, payload.next()).await.map_err(|_| too_slow())?;
        let Some(chunk) = chunk else {
            return Ok(RequestBody { bytes: body.freeze(), share: BodyShare(share) });
        };
        let chunk = chunk.map_err(|error| {
            tracing::debug!(%error, "body of a request not read");
            Problem::new(ErrorCode::BadRequest, "the body did not arrive whole; send the request again")
        })?;
        let length = body.len() + chunk.len();
        if length > limit {
            return Err(too_large(limit));
        }
        while length > FREE_BYTES + share.len() * UNIT_BYTES {
            let permit = Arc::clone(&budget.0).try_acquire_owned().map_err(|_| {
                Problem::new(ErrorCode::Overloaded, "too many large bodies arrive at once; nothing was stored")
            })?;
            share.push(permit);
        }
        body.extend_from_slice(&chunk);
    }
}

fn too_slow() -> Problem {
    Problem::new(ErrorCode::RequestTimeout, ErrorCode::RequestTimeout.help())
}

/// The response to a body over the limit.
pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::new(ErrorCode::PayloadTooLarge, format!("the limit is {limit} bytes; nothing was stored"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_http::BoxedPayloadStream;
    use actix_web::FromRequest;
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;

    async fn read(length: usize, budget: &BodyBudget) -> Result<RequestBody, Problem> {
        let (request, mut payload) = TestRequest::post().set_payload(vec![b'x'; length]).to_http_parts();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        read_large_body(&request, payload, 1024 * 1024, budget).await
    }

    #[actix_web::test]
    async fn large_bodies_share_a_budget_and_give_it_back() {
        let budget = BodyBudget::of(4 * UNIT_BYTES);
        let first = read(FREE_BYTES + 3 * UNIT_BYTES, &budget).await.map_err(|problem| problem.code()).unwrap();
        let refused = read(FREE_BYTES + 2 * UNIT_BYTES, &budget).await;
        assert_eq!(refused.map(|_| ()).unwrap_err().code(), ErrorCode::Overloaded);
        assert!(read(FREE_BYTES, &budget).await.is_ok(), "small bodies need no share");
        drop(first);
        assert!(read(FREE_BYTES + 4 * UNIT_BYTES, &budget).await.is_ok());
        assert_eq!(budget.0.available_permits(), 4);
    }

    /// A client that sends this many bytes in each part, and pauses before each, endlessly.
    async fn time_of_a_client_that_sends(
        bytes: usize,
        pause: Duration,
    ) -> (Result<RequestBody, Problem>, Duration) {
        let parts = futures_util::stream::unfold((), move |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, PayloadError>(Bytes::from(vec![b'x'; bytes])), ()))
        });
        let parts: BoxedPayloadStream = Box::pin(parts);
        let mut payload = actix_web::dev::Payload::from(parts);
        let request = TestRequest::post().to_http_request();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        tokio::time::pause();
        let begin = tokio::time::Instant::now();
        let read = read_large_body(&request, payload, 10 * 1024 * 1024, &BodyBudget::of(10 * 1024 * 1024)).await;
        (read, begin.elapsed())
    }

    #[actix_web::test]
    async fn a_slow_body_is_cut_off_after_a_minute_and_a_stalled_one_after_ten_seconds() {
        for (bytes, pause, limit) in [(1, 1, TOTAL_TIMEOUT), (1024, 9, TOTAL_TIMEOUT), (1, 3600, IDLE_TIMEOUT)] {
            let (read, took) = time_of_a_client_that_sends(bytes, Duration::from_secs(pause)).await;
            assert_eq!(read.map(|_| ()).unwrap_err().code(), ErrorCode::RequestTimeout);
            assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?} for a pause of {pause} s");
            tokio::time::resume();
        }
    }

    #[actix_web::test]
    async fn a_body_over_the_limit_is_refused_without_content_length_too() {
        let budget = BodyBudget::of(64 * UNIT_BYTES);
        assert!(read(1024 * 1024, &budget).await.is_ok());
        let refused = read(1024 * 1024 + 1, &budget).await;
        assert_eq!(refused.map(|_| ()).unwrap_err().code(), ErrorCode::PayloadTooLarge);
    }
}
