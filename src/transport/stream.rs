//! The connection as awc sees it.
//!
//! awc takes the first head that arrives as the response to the last request, discards bytes that it has read beyond a
//! response, and reuses idle connections that the receiver has just closed. This stream lets through exactly one
//! normalized head and one body for each request, and distinguishes a connection that was closed while idle from one that
//! was closed because of the request.
//!
//! awc also sends the whole request before it reads. A receiver may respond after the head (401, 413) and read no further;
//! so whenever sending stalls or fails, this stream looks for a response, and discards the rest of the request once there
//! is one. While sending makes progress it does not look, which would only cost time.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_tls::connect::rustls_0_23::reexports::AsyncTlsStream;
use bytes::{Buf, BytesMut};
use socket2::SockRef;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::absolute_form::AbsoluteForm;
use super::chunks::{ChunkScanner, NO_TRAILERS};
use super::head::{Framing, Head, begins_like_http, end_of_head, normalize, say_close};
use super::request_order::in_order;

/// Bytes of all heads of one response, interim ones included.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 4096;

/// Why the stream failed; travels inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum StreamError {
    /// An idle connection was found closed, or with unexpected bytes, before a byte of the request was sent.
    #[error("the idle connection can't be used again")]
    Unusable,
    /// An idle connection was found closed after the request began, and before a byte of the response.
    #[error("the idle connection was closed")]
    Stale,
    /// The receiver closed before the head was complete.
    #[error("closed before responding")]
    Closed,
    /// The receiver closed before the body was complete. To awc alone, it would look complete.
    #[error("closed within the body")]
    Cut,
    /// The bytes are not an acceptable response.
    #[error("not an HTTP/1.1 response")]
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
    /// A request is being sent, or the head of its response is awaited.
    Head {
        /// Bytes of the buffer that were searched for the end of the head.
        searched: usize,
    },
    /// The head was let through. `Length(0)` is also the state between two requests.
    Body(Framing),
}

/// Lets through one response for each request.
pub(super) struct GuardedStream {
    io: Io,
    phase: Phase,
    /// Read from the receiver, not yet let through.
    buffer: BytesMut,
    /// The normalized head, or the end of a chunked body; not yet let through.
    ready: BytesMut,
    /// The part of the reordered request head that is not yet sent, with a short body.
    request_head: BytesMut,
    /// The response came before the whole request was sent: further writes are discarded, and the connection is only good
    /// for the rest of the response.
    discards: bool,
    /// Bytes received since the request began.
    received: usize,
    /// Requests begun.
    requests: usize,
    reusable: bool,
    /// Of a chunked body.
    chunks: ChunkScanner,
    /// For a proxy that requests are sent to.
    absolute_form: Option<Box<AbsoluteForm>>,
    /// Unsent bytes of the request head that awc does not know of.
    added: usize,
}

impl GuardedStream {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            phase: Phase::Body(Framing::Length(0)),
            buffer: BytesMut::new(),
            ready: BytesMut::new(),
            request_head: BytesMut::new(),
            discards: false,
            received: 0,
            requests: 0,
            reusable: true,
            chunks: ChunkScanner::default(),
            absolute_form: None,
            added: 0,
        }
    }

    /// For a proxy: requests name the receiver in their first line.
    pub(super) fn in_absolute_form(self, form: AbsoluteForm) -> Self {
        Self { absolute_form: Some(Box::new(form)), ..self }
    }

    /// Called before every write: the first one after a response begins a new request. awc writes a whole head at once.
    fn begin_request(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Phase::Body(framing) = self.phase else { return Ok(()) };
        let is_clean =
            framing == Framing::Length(0) && self.reusable && self.buffer.is_empty() && self.ready.is_empty();
        if !is_clean || self.requests > 0 && !self.io.is_quiet() {
            return Err(StreamError::Unusable.into());
        }
        self.phase = Phase::Head { searched: 0 };
        self.received = 0;
        self.requests += 1;
        self.request_head = in_order(bytes);
        self.added = self.absolute_form.as_ref().map_or(0, |form| form.add_to(&mut self.request_head));
        Ok(())
    }

    /// awc repeats bytes that were not accepted, so `bytes` begins with the unsent part of the head, in awc's order.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.request_head.is_empty() {
                return self.io.poll_write(cx, bytes);
            }
            let sent = match bytes.get(self.request_head.len() - self.added..) {
                Some(behind) if !behind.is_empty() => {
                    ready!(self.io.poll_write_two(cx, &self.request_head, behind))?
                }
                _ => ready!(self.io.poll_write(cx, &self.request_head))?,
            };
            self.request_head.advance(sent.min(self.request_head.len()));
            let added = sent.min(self.added);
            self.added -= added;
            // to awc, a write of nothing would be the end
            if sent > added || added == 0 {
                return Poll::Ready(Ok(sent - added));
            }
        }
    }

    /// The result of a write. If the receiver accepts no bytes for now, or none any more, a response that it sent before
    /// counts, and the write is treated as complete.
    fn sent_or_answered<T>(
        &mut self,
        cx: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
        everything: T,
    ) -> Poll<io::Result<T>> {
        let Phase::Head { searched } = self.phase else { return sent };
        match sent {
            Poll::Ready(Ok(_)) => return sent,
            // bytes that the receiver sent before can still be read, followed by the end: this does not wait for long
            Poll::Ready(Err(error)) if is_disconnect(&error) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failure(error))),
            Poll::Pending => {}
        }
        // the end of the connection or a refused head means that no response will come
        ready!(self.poll_head(cx, searched))?;
        if self.reusable {
            say_close(&mut self.ready);
        }
        self.reusable = false;
        self.discards = true;
        Poll::Ready(Ok(everything))
    }

    /// Translates an error of the socket.
    fn failure(&self, error: io::Error) -> io::Error {
        let awaits_answer = matches!(self.phase, Phase::Head { .. });
        match awaits_answer && self.received == 0 && self.requests > 1 {
            true => StreamError::Stale.into(),
            false => error,
        }
    }

    /// Reads until a final head is complete.
    fn poll_head(&mut self, cx: &mut Context<'_>, mut searched: usize) -> Poll<io::Result<()>> {
        loop {
            if self.skip_empty_lines() {
                searched = 0;
            }
            if let Some(end) = end_of_head(&self.buffer, searched) {
                let mut head = self.buffer.split_to(end);
                searched = 0;
                match normalize(&mut head) {
                    Head::Interim => continue,
                    Head::Refused => return Poll::Ready(Err(StreamError::Malformed.into())),
                    Head::Final { framing, reusable } => {
                        self.reusable &= reusable;
                        if !self.reusable {
                            say_close(&mut head);
                        }
                        self.ready = head;
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

    /// Skips empty lines before a head and returns whether there were any. Some receivers end an interim head twice (compare
    /// RFC 9112, section 2.2), which is odd enough not to reuse the connection.
    fn skip_empty_lines(&mut self) -> bool {
        let empty = self.buffer.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        self.buffer.advance(empty);
        self.reusable &= empty == 0;
        empty > 0
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
            // no body is left: awc's pool checks whether the connection is open and clean
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
                    if given == 0 && wanted > 0 {
                        return Poll::Ready(Err(StreamError::Cut.into()));
                    }
                    out.advance(given);
                    given
                } else {
                    hand_over(&mut self.buffer, out, limit)
                };
                *left -= given as u64;
                Poll::Ready(Ok(()))
            }
            Phase::Body(Framing::Chunked) => self.poll_chunks(cx, out),
            Phase::Body(Framing::UntilClose) => self.poll_any(cx, out),
            Phase::Head { .. } => Poll::Ready(Err(StreamError::Malformed.into())),
        }
    }

    /// The next bytes, whatever they are.
    fn poll_any(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return self.io.poll_read(cx, out);
        }
        hand_over(&mut self.buffer, out, usize::MAX);
        Poll::Ready(Ok(()))
    }

    /// Lets chunks through; takes back trailers and bytes beyond the end.
    fn poll_chunks(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        loop {
            ready!(self.poll_any(cx, out))?;
            let given = out.filled().len() - before;
            let scanned = self.chunks.scan(&out.filled()[before..]);
            if self.chunks.has_ended() {
                let rest = self.buffer.split();
                self.buffer.extend_from_slice(&out.filled()[before + scanned.chunks + scanned.trailers..]);
                self.buffer.unsplit(rest);
                self.phase = Phase::Body(Framing::Length(0));
                self.ready.extend_from_slice(NO_TRAILERS);
            }
            out.set_filled(before + scanned.chunks);
            if scanned.chunks == 0 {
                // to awc, an empty read means the end
                hand_over(&mut self.ready, out, usize::MAX);
            }
            if out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            if given == 0 {
                return Poll::Ready(if self.chunks.has_ended() { Ok(()) } else { Err(StreamError::Cut.into()) });
            }
        }
    }
}

/// Whether the connection was closed. Bytes received before that can still be read.
fn is_disconnect(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
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
            StreamError::Cut => io::ErrorKind::UnexpectedEof,
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
        if !this.ready.is_empty() {
            hand_over(&mut this.ready, out, usize::MAX);
            return Poll::Ready(Ok(()));
        }
        this.poll_body(cx, out)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.discards {
            return Poll::Ready(Ok(bytes.len()));
        }
        this.begin_request(bytes)?;
        let sent = this.poll_send(cx, bytes);
        this.sent_or_answered(cx, sent, bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.discards {
            return Poll::Ready(Ok(()));
        }
        let flushed = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        };
        this.sent_or_answered(cx, flushed, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.discards {
            // TLS would wait until the receiver has read all of it, which it does not
            return Poll::Ready(Ok(()));
        }
        match &mut this.io {
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

    /// Writes both with one system call.
    fn poll_write_two(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        let both = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, &both),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, &both),
        }
    }

    /// Whether the receiver has neither sent anything nor closed the connection. Checks with the system: awc's pool checks
    /// too, but tokio only knows the state of its last poll, and an extra response that has arrived since would be taken
    /// for the response to the next request.
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
