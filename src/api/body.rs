//! Reads request bodies within limits of size, time and memory, whatever their `Content-Type` says.
//!
//! A body counts against its organization from its first byte: one that sends many, slowly or at once, has less for
//! itself and not for others.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::Api;
use super::line::Line;
use super::problem::{ErrorCode, Problem};
use crate::actors::fairness::gate::FairGate;
use crate::actors::fairness::shares::{Holding, Refusal, Resource, Shares};
use crate::telemetry;

/// For every call except those that publish events.
pub(crate) const MANAGEMENT_LIMIT_BYTES: usize = 256 * 1024;
/// A client that sends nothing of its body for this long is gone or malicious.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Once this much of a body has arrived, room is made for all that its `Content-Length` announces. Otherwise what has arrived is
/// copied each time that it has doubled, up to 8 MiB on a thread that serves others too. Smaller: room is made for bodies that
/// never come. Larger: more is copied.
const ROOM_MADE_AFTER: usize = 64 * 1024;
/// For a whole body. 10 MiB in a minute is 1.4 Mbit/s; slower publishers should send smaller events.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// A body, and its share of the memory, which is returned when this is dropped.
pub(crate) struct RequestBody {
    pub bytes: Bytes,
    /// `None` for an empty one.
    pub share: Option<Holding>,
}

impl Deref for RequestBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the bodies of one caller may take.
struct Admission<'a> {
    shares: &'a Shares,
    arriving: &'a Arc<FairGate>,
    line: Line,
}

impl Admission<'_> {
    /// Takes memory for this many bytes more.
    fn take(&self, share: &mut Option<Holding>, bytes: usize) -> Result<(), Refusal> {
        match share {
            Some(holding) => holding.grow(bytes),
            None => {
                *share = Some(self.shares.try_take(Resource::BodyBytes, self.line.owner(), bytes)?);
                Ok(())
            }
        }
    }
}

/// Why a body was not read.
enum NotRead {
    /// The client's fault.
    Problem(Problem),
    /// There is no memory for it.
    NoRoom(Refusal),
    /// The organization sends as many bodies as it may.
    TooMany,
}

impl From<Problem> for NotRead {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Reads the whole body of a request.
pub(crate) async fn read_body(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<RequestBody, Problem> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(|| Problem::new(ErrorCode::Internal, ErrorCode::Internal.help()))?;
    let line = Line::of(request);
    let admission = Admission { shares: api.engine().shares(), arriving: &api.turns.bodies, line };
    read_within(request, payload, limit, &admission).await.map_err(|reason| match reason {
        NotRead::Problem(problem) => problem,
        NotRead::TooMany => {
            api.over_share(line, "too many bodies of this organization arrive at once; nothing was stored")
        }
        NotRead::NoRoom(Refusal::OverShare) => {
            let detail =
                "the bodies of this organization that arrive at once are too large together; nothing was stored";
            api.over_share(line, detail)
        }
        NotRead::NoRoom(Refusal::NothingFree) => {
            api.engine().report_overload(telemetry::Overload::ArrivingBytes);
            Problem::new(ErrorCode::Overloaded, "too many large bodies arrive at once; nothing was stored")
        }
    })
}

async fn read_within(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
    admission: &Admission<'_>,
) -> Result<RequestBody, NotRead> {
    let headers = request.headers();
    let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| !is_plain(encoding)) {
        let detail = "compressed bodies are not read: send the JSON as it is, without Content-Encoding";
        return Err(Problem::new(ErrorCode::UnsupportedEncoding, detail).into());
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(too_large(limit).into());
    }
    // nobody waits at this gate
    let _arriving = admission.arriving.enter(admission.line.id()).await.map_err(|_| NotRead::TooMany)?;
    tokio::time::timeout(TOTAL_TIMEOUT, collect(payload, Length { announced, limit }, admission))
        .await
        .map_err(|_| too_slow())?
}

/// Bytes of a body.
#[derive(Clone, Copy)]
struct Length {
    /// Never more than the limit; `None` for one that comes in chunks.
    announced: Option<usize>,
    limit: usize,
}

async fn collect(
    mut payload: web::Payload,
    Length { announced, limit }: Length,
    admission: &Admission<'_>,
) -> Result<RequestBody, NotRead> {
    let mut body = BytesMut::new();
    let mut share = None;
    loop {
        let chunk = tokio::time::timeout(IDLE_TIMEOUT, payload.next()).await.map_err(|_| too_slow())?;
        let Some(chunk) = chunk else {
            return Ok(RequestBody { bytes: body.freeze(), share });
        };
        let chunk = chunk.map_err(|error| {
            tracing::debug!(%error, "body of a request not read");
            Problem::new(ErrorCode::BadRequest, "the body did not arrive whole; send the request again")
        })?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit).into());
        }
        admission.take(&mut share, chunk.len()).map_err(NotRead::NoRoom)?;
        if body.len() < ROOM_MADE_AFTER && body.len() + chunk.len() >= ROOM_MADE_AFTER {
            // pages that nothing is written to take no memory
            body.reserve(announced.unwrap_or_default().saturating_sub(body.len()).max(chunk.len()));
        }
        body.extend_from_slice(&chunk);
    }
}

/// Responses up to this size are not counted: most are, and the number of connections bounds those.
const UNCOUNTED_RESPONSE_BYTES: usize = 64 * 1024;

/// A response's body that counts against its organization until it is sent. A client that reads slowly, on many
/// connections, holds its own organization's memory.
struct CountedBody {
    bytes: Bytes,
    _share: Holding,
}

impl MessageBody for CountedBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        self.bytes.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.bytes).poll_next(cx)
    }
}

/// The body of a response that may be large.
pub(crate) fn response_body(
    api: &Api,
    line: impl Into<Line>,
    bytes: impl Into<Bytes>,
) -> Result<BoxBody, Problem> {
    let (line, bytes) = (line.into(), bytes.into());
    if bytes.len() <= UNCOUNTED_RESPONSE_BYTES {
        return Ok(BoxBody::new(bytes));
    }
    match api.engine().shares().try_take(Resource::BodyBytes, line.owner(), bytes.len()) {
        Ok(share) => Ok(BoxBody::new(CountedBody { bytes, _share: share })),
        Err(Refusal::OverShare) => {
            Err(api.over_share(line, "the responses that this organization reads at once are too large together"))
        }
        Err(Refusal::NothingFree) => Err(Problem::new(
            ErrorCode::Overloaded,
            "too many large responses are being sent; try again in a moment",
        )),
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
    use crate::actors::fairness::gate::GateLimits;
    use crate::actors::fairness::shares::Capacities;
    use crate::domain::ids::OrganizationId;
    use actix_http::BoxedPayloadStream;
    use actix_web::FromRequest;
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;

    const MEBIBYTE: usize = 1024 * 1024;

    /// What bodies may take in a test.
    struct Room {
        shares: Arc<Shares>,
        arriving: Arc<FairGate>,
    }

    impl Room {
        fn of(bytes: usize, bodies: usize) -> Self {
            let capacities = Capacities {
                supervisors: 1,
                attempts: 1,
                payload_bytes: 1,
                uncommitted_events: 1,
                uncommitted_kibibytes: 1,
                uncommitted_rows: 1,
                body_bytes: bytes,
            };
            let limits = GateLimits { at_once: usize::MAX, for_one: bodies, waiting_for_one: 0 };
            Self { shares: Shares::new(capacities), arriving: FairGate::new(limits) }
        }

        async fn read(&self, organization: i64, length: usize) -> Result<RequestBody, &'static str> {
            let (request, mut payload) = TestRequest::post().set_payload(vec![b'x'; length]).to_http_parts();
            let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
            self.read_payload(organization, &request, payload).await
        }

        /// The body, or in a word why there is none.
        async fn read_payload(
            &self,
            organization: i64,
            request: &HttpRequest,
            payload: web::Payload,
        ) -> Result<RequestBody, &'static str> {
            let line = Line::Organization(OrganizationId(organization));
            let admission = Admission { shares: &self.shares, arriving: &self.arriving, line };
            read_within(request, payload, 10 * MEBIBYTE, &admission).await.map_err(|reason| match reason {
                NotRead::Problem(problem) => problem.code().as_str(),
                NotRead::NoRoom(Refusal::OverShare) => "over share",
                NotRead::NoRoom(Refusal::NothingFree) => "nothing free",
                NotRead::TooMany => "too many",
            })
        }
    }

    #[actix_web::test]
    async fn bodies_count_from_their_first_byte_and_give_their_share_back() {
        let room = Room::of(16 * MEBIBYTE, 100);
        let mut held = Vec::new();
        // a megabyte of small ones is as much as a large one
        for length in [MEBIBYTE, 16 * 1024] {
            let refused = loop {
                match room.read(1, length).await {
                    Ok(body) => held.push(body),
                    Err(reason) => break reason,
                }
            };
            assert_eq!(refused, "over share");
        }
        let sum: usize = held.iter().map(|body| body.len()).sum();
        assert_eq!(room.shares.held(Resource::BodyBytes), sum);
        assert!(sum > 8 * MEBIBYTE && sum <= 12 * MEBIBYTE, "{sum}");
        assert!(room.read(2, 3 * MEBIBYTE).await.is_ok(), "others have room");
        drop(held);
        assert!(room.read(1, 10 * MEBIBYTE).await.is_ok());
        assert_eq!(room.shares.held(Resource::BodyBytes), 0);
    }

    #[actix_web::test]
    async fn an_organization_has_a_bounded_number_of_bodies_in_arrival() {
        let room = Room::of(16 * MEBIBYTE, 2);
        let endless = || async {
            let parts: BoxedPayloadStream =
                Box::pin(futures_util::stream::pending::<Result<Bytes, PayloadError>>());
            let mut payload = actix_web::dev::Payload::from(parts);
            let request = TestRequest::post().to_http_request();
            let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
            room.read_payload(1, &request, payload).await
        };
        let mut slow = [Box::pin(endless()), Box::pin(endless())];
        for body in &mut slow {
            assert!(futures_util::poll!(body.as_mut()).is_pending());
        }
        assert_eq!(room.read(1, 1).await.map(|_| ()), Err("too many"));
        assert!(room.read(2, 1).await.is_ok());
        drop(slow);
        assert!(room.read(1, 1).await.is_ok());
    }

    /// A client that sends this many bytes in each part, and pauses before each, endlessly.
    async fn time_of_a_client_that_sends(
        bytes: usize,
        pause: Duration,
    ) -> (Result<RequestBody, &'static str>, Duration) {
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
        let read = Room::of(16 * MEBIBYTE, 1).read_payload(1, &request, payload).await;
        (read, begin.elapsed())
    }

    #[actix_web::test]
    async fn a_slow_body_is_cut_off_after_a_minute_and_a_stalled_one_after_ten_seconds() {
        for (bytes, pause, limit) in [(1, 1, TOTAL_TIMEOUT), (1024, 9, TOTAL_TIMEOUT), (1, 3600, IDLE_TIMEOUT)] {
            let (read, took) = time_of_a_client_that_sends(bytes, Duration::from_secs(pause)).await;
            assert_eq!(read.map(|_| ()), Err("request_timeout"));
            assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?} for a pause of {pause} s");
            tokio::time::resume();
        }
    }

    #[actix_web::test]
    async fn a_body_whose_length_is_announced_is_not_moved_again_and_again_while_it_arrives() {
        const PARTS: usize = 100;
        let part = || Ok::<_, PayloadError>(Bytes::from(vec![b'x'; ROOM_MADE_AFTER / 4]));
        let length = PARTS * ROOM_MADE_AFTER / 4;
        let parts: BoxedPayloadStream = Box::pin(futures_util::stream::iter((0..PARTS).map(move |_| part())));
        let mut payload = actix_web::dev::Payload::from(parts);
        let request = TestRequest::post().insert_header((header::CONTENT_LENGTH, length)).to_http_request();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        let body = Room::of(16 * MEBIBYTE, 1).read_payload(1, &request, payload).await.unwrap();
        // doubling, as without the announcement, would have made room for 2 MiB
        assert_eq!(body.bytes.try_into_mut().unwrap().capacity(), length);
    }

    #[actix_web::test]
    async fn a_body_over_the_limit_is_refused_without_content_length_too() {
        let room = Room::of(64 * MEBIBYTE, 1);
        assert!(room.read(1, 10 * MEBIBYTE).await.is_ok());
        assert_eq!(room.read(1, 10 * MEBIBYTE + 1).await.map(|_| ()), Err("payload_too_large"));
    }
}
