//! Reads request bodies within limits of size and time, whatever their `Content-Type` says.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::problem::{ErrorCode, Problem};

/// Of every call but those that bring events.
pub const MANAGEMENT_LIMIT_BYTES: usize = 256 * 1024;
/// No part of a body for so long: the client is gone or means ill.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole body. 10 MiB in a minute is 1.4 Mbit/s; slower publishers should send smaller events.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads the whole body.
pub async fn read_body(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Bytes, Problem> {
    let headers = request.headers();
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    if encoded {
        return Err(Problem::new(ErrorCode::UnsupportedEncoding, "send the body without Content-Encoding"));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large(limit));
    }
    let timeout = |_| Problem::new(ErrorCode::RequestTimeout, ErrorCode::RequestTimeout.help());
    tokio::time::timeout(TOTAL_TIMEOUT, collect(payload, limit)).await.map_err(timeout)?
}

async fn collect(mut payload: web::Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    loop {
        let timeout = |_| Problem::new(ErrorCode::RequestTimeout, ErrorCode::RequestTimeout.help());
        let Some(chunk) = tokio::time::timeout(IDLE_TIMEOUT, payload.next()).await.map_err(timeout)? else {
            return Ok(body.freeze());
        };
        let chunk = chunk.map_err(|error| {
            tracing::debug!(%error, "body of a request not read");
            Problem::new(ErrorCode::BadRequest, "the body did not arrive whole; send the request again")
        })?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
}

/// The answer to a body over the limit.
pub fn too_large(limit: usize) -> Problem {
    Problem::new(ErrorCode::PayloadTooLarge, format!("the limit is {limit} bytes; nothing was stored"))
}
