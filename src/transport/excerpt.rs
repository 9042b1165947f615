//! The part of a response that is kept for the log.

use std::time::Duration;

use awc::ClientResponse;
use awc::http::Version;
use awc::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::head::unmasked;
use crate::domain::attempt::BodyEnd;

/// Bytes of the names and values that are kept.
pub const HEADERS_EXCERPT_BYTES: usize = 8 * 1024;
/// Bytes of the body that are kept.
pub const BODY_EXCERPT_BYTES: usize = 16 * 1024;

/// How long to wait for more of a body that ends with the connection: receivers that mean "no body" often don't declare it
/// and keep the connection open.
const UNFRAMED_WAIT: Duration = Duration::from_secs(1);

/// The headers that fit; `retry-after` first, because it affects retries.
pub(super) fn headers(response: &ClientResponse) -> Vec<(String, String)> {
    let all = response.headers();
    let first = all.get_all(RETRY_AFTER).map(|value| (&RETRY_AFTER, value));
    let others = all.iter().filter(|(name, _)| **name != RETRY_AFTER);
    let mut room = HEADERS_EXCERPT_BYTES;
    let mut kept = Vec::with_capacity(all.len());
    for (name, value) in first.chain(others) {
        let Some(name) = unmasked(name.as_str()) else { continue };
        let value = String::from_utf8_lossy(value.as_bytes());
        let Some(left) = room.checked_sub(name.len() + value.len()) else { continue };
        room = left;
        kept.push((name.to_owned(), value.into_owned()));
    }
    kept
}

/// The beginning of the body, up to the maximum and for no longer than `wait`. A failure here is not an error, because the
/// head has decided; it is told beside the body. Reading the body to its end keeps the connection; dropping it earlier closes
/// the connection.
pub(super) async fn body(mut response: ClientResponse, wait: Duration) -> (Bytes, BodyEnd) {
    let started = Instant::now();
    let is_unframed = response.version() == Version::HTTP_10 && !response.headers().contains_key(CONTENT_LENGTH);
    let mut kept = BytesMut::new();
    let end = loop {
        if kept.len() >= BODY_EXCERPT_BYTES {
            break BodyEnd::Full;
        }
        let mut left = wait.saturating_sub(started.elapsed());
        if is_unframed {
            left = left.min(UNFRAMED_WAIT);
        }
        let chunk = match timeout(left, response.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break BodyEnd::Whole,
            Ok(Some(Err(_))) => break BodyEnd::Cut,
            // nobody said that there is a body
            Err(_) if is_unframed => break BodyEnd::Whole,
            Err(_) => break BodyEnd::Stalled,
        };
        let room = BODY_EXCERPT_BYTES - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    };
    (kept.freeze(), end)
}
