//! The connection as awc sees it.
//!
//! awc takes the first head that comes for the answer of the request that it sent last, forgets what it has read
//! beyond an answer, and hands out idle connections that the receiver has just closed. This stream lets through
//! one normalized head and one body for each request, nothing more, and tells a connection that died idle from
//! one that died of the request.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_tls::connect::rustls_0_23::reexports::AsyncTlsStream;
use bytes::{Buf, BytesMut};
use socket2::SockRef;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunks::ChunkScanner;
use super::head::{Framing, Head, begins_like_http, end_of_head, normalize};

/// Bytes of heads that one answer may have, interim ones included.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 4096;

/// Why the stream gave up; travels inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum StreamError {
    /// A connection that had been idle was found dead, or not clean, before a byte of the request was sent.
    #[error("the idle connection can't be used again")]
    Unusable,
    /// The same after the request was begun, and before a byte of the answer came.
    #[error("the idle connection was closed")]
    Stale,
    /// The receiver closed before the head was complete.
    #[error("closed before answering")]
    Closed,
    /// What came is no answer that we accept.
    #[error("not an HTTP/1.1 answer")]
    Malformed,
}

/// With or without TLS.
pub(super) enum Io {
    /// `http:`
    Plain(TcpStream),
    /// `https:`
    Tls(Box<AsyncTlsStream<TcpStream>>),
}

enum Phase {
    /// A request is being sent, or its answer's head awaited.
    Head {
        /// Bytes of the buffer that hold no end of head.
        searched: usize,
    },
    /// The head was let through. `Length(0)` is also the state between two requests.
    Body(Framing),
}

/// Lets through one answer for each request.
pub(super) struct GuardedStream {
    io: Io,
    phase: Phase,
    /// Read from the receiver, not yet let through.
    buffer: BytesMut,
    /// The normalized head, not yet let through.
    head: BytesMut,
    /// Bytes received since the request began.
    received: usize,
    /// Requests begun.
    requests: usize,
    reusable: bool,
    /// Of a chunked body.
    chunks: ChunkScanner,
}

impl GuardedStream {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            phase: Phase::Body(Framing::Length(0)),
            buffer: BytesMut::new(),
            head: BytesMut::new(),
            received: 0,
            requests: 0,
            reusable: true,
            chunks: ChunkScanner::default(),
        }
    }

    /// Called before every write: the first one after an answer begins a new request.
    fn begin_request(&mut self) -> io::Result<()> {
        let Phase::Body(framing) = self.phase else { return Ok(()) };
        let is_clean = framing == Framing::Length(0) && self.reusable && self.buffer.is_empty();
        if !is_clean || self.requests > 0 && !self.io.is_quiet() {
            return Err(StreamError::Unusable.into());
        }
        self.phase = Phase::Head { searched: 0 };
        self.received = 0;
        self.requests += 1;
        Ok(())
    }

    /// What an error of the socket means here.
    fn failure(&self, error: io::Error) -> io::Error {
        let awaits_answer = matches!(self.phase, Phase::Head { .. });
        match awaits_answer && self.received == 0 && self.requests > 1 {
            true => StreamError::Stale.into(),
            false => error,
        }
    }

    /// Reads on until a final head is complete.
    fn poll_head(&mut self, cx: &mut Context<'_>, mut searched: usize) -> Poll<io::Result<()>> {
        loop {
            while let Some(end) = end_of_head(&self.buffer, searched) {
                let mut head = self.buffer.split_to(end);
                searched = 0;
                match normalize(&mut head) {
                    Head::Interim => {}
                    Head::Refused => return Poll::Ready(Err(StreamError::Malformed.into())),
                    Head::Final { framing, reusable } => {
                        self.head = head;
                        self.reusable = reusable;
                        self.chunks = ChunkScanner::default();
                        self.phase = Phase::Body(framing);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            if !begins_like_http(&self.buffer) || self.received > MAX_HEAD_BYTES {
                return Poll::Ready(Err(StreamError::Malformed.into()));
            }
            searched = self.buffer.len();
            self.phase = Phase::Head { searched };
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(self.failure(StreamError::Closed.into())));
            }
        }
    }

    /// Reads into the buffer; 0 is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut chunk = ReadBuf::uninit(&mut space);
        ready!(self.io.poll_read(cx, &mut chunk)).map_err(|error| self.failure(error))?;
        self.buffer.extend_from_slice(chunk.filled());
        self.received += chunk.filled().len();
        Poll::Ready(Ok(chunk.filled().len()))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.phase {
            // not a body any more: the pool asks whether the connection is alive and clean
            Phase::Body(Framing::Length(0)) if !self.reusable => Poll::Ready(Ok(())),
            Phase::Body(Framing::Length(0)) if self.buffer.is_empty() => self.io.poll_read(cx, out),
            Phase::Body(Framing::Length(0)) => {
                hand_over(&mut self.buffer, out, usize::MAX);
                Poll::Ready(Ok(()))
            }
            Phase::Body(Framing::Length(left)) => {
                let limit = usize::try_from(*left).unwrap_or(usize::MAX);
                let given = if self.buffer.is_empty() {
                    let wanted = limit.min(out.remaining()).min(READ_BYTES);
                    let mut part = ReadBuf::new(out.initialize_unfilled_to(wanted));
                    ready!(self.io.poll_read(cx, &mut part))?;
                    let given = part.filled().len();
                    out.advance(given);
                    given
                } else {
                    hand_over(&mut self.buffer, out, limit)
                };
                *left -= given as u64;
                Poll::Ready(Ok(()))
            }
            Phase::Body(framing) => {
                let is_chunked = *framing == Framing::Chunked;
                let before = out.filled().len();
                if self.buffer.is_empty() {
                    ready!(self.io.poll_read(cx, out))?;
                } else {
                    hand_over(&mut self.buffer, out, usize::MAX);
                }
                if is_chunked {
                    self.cut_surplus(out, before);
                }
                Poll::Ready(Ok(()))
            }
            Phase::Head { .. } => Poll::Ready(Err(StreamError::Malformed.into())),
        }
    }

    /// Takes back what was given beyond the end of a chunked body.
    fn cut_surplus(&mut self, out: &mut ReadBuf<'_>, before: usize) {
        let end = before + self.chunks.scan(&out.filled()[before..]);
        if self.chunks.has_ended() {
            self.phase = Phase::Body(Framing::Length(0));
            let rest = self.buffer.split();
            self.buffer.extend_from_slice(&out.filled()[end..]);
            self.buffer.unsplit(rest);
            out.set_filled(end);
        }
    }
}

fn hand_over(from: &mut BytesMut, out: &mut ReadBuf<'_>, limit: usize) -> usize {
    let given = from.len().min(out.remaining()).min(limit);
    out.put_slice(&from[..given]);
    from.advance(given);
    given
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Unusable | StreamError::Stale | StreamError::Closed => io::ErrorKind::ConnectionReset,
            StreamError::Malformed => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Phase::Head { searched } = this.phase {
            ready!(this.poll_head(cx, searched))?;
        }
        if !this.head.is_empty() {
            hand_over(&mut this.head, out, usize::MAX);
            return Poll::Ready(Ok(()));
        }
        this.poll_body(cx, out)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.begin_request()?;
        this.io.poll_write(cx, bytes).map_err(|error| this.failure(error))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        };
        flushed.map_err(|error| this.failure(error))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_read(cx, out),
            Self::Tls(io) => Pin::new(io).poll_read(cx, out),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    /// Whether the receiver has neither sent anything nor closed. Asks the system: awc's pool asks too, but tokio
    /// answers it from what it learned at its last poll, and an extra answer that has come since would be taken
    /// for that of the next request.
    fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(self.socket()).peek(&mut byte);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(io) => io,
            Self::Tls(io) => io.get_ref().0,
        }
    }
}

impl ActixStream for GuardedStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(self.io.socket(), cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(self.io.socket(), cx)
    }
}

impl std::fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedStream").field("requests", &self.requests).finish_non_exhaustive()
    }
}
