//! How long a connection may take: a client that is slow, or silent, or reads nothing, holds it for a bounded time.
//!
//! actix limits the time for the head of a connection's first request, and no other: one byte of a second head, or an
//! answer that nobody reads, would keep a connection for ever. So this stands between actix and the socket. It does
//! not look into the bytes; [`Watch`] tells it when requests begin and end.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at once; further ones wait in the system's queue. Smaller: clients wait for each other. Larger: each
    /// holds some kilobytes and an open file, and the engine needs files for its deliveries.
    pub max_connections: usize,
    /// For a request's head, from its first byte. Smaller: clients on bad networks fail. Larger: who drips holds a
    /// connection for longer.
    pub head: Duration,
    /// An idle connection is closed after this. Smaller: clients connect more often. Larger: more of them are idle.
    pub keep_alive: Duration,
    /// The same once three quarters of the connections are in use. Every idle connection is looked at once in this time.
    /// Smaller: thousands of them cost time. Larger: a crowded server is full for longer.
    pub keep_alive_when_crowded: Duration,
    /// For a client to read an answer. Smaller: long answers break on slow lines. Larger: answers that nobody reads are
    /// in memory for longer.
    pub answer: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 8_192,
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            keep_alive_when_crowded: Duration::from_secs(5),
            answer: Duration::from_secs(60),
        }
    }
}

/// The connections of a server.
#[derive(Debug)]
pub(super) struct Crowd {
    limits: ConnectionLimits,
    open: AtomicUsize,
}

impl Crowd {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: AtomicUsize::new(0) })
    }

    fn is_crowded(&self) -> bool {
        self.open.load(Ordering::Relaxed) > self.limits.max_connections / 4 * 3
    }

    fn keep_alive(&self) -> Duration {
        match self.is_crowded() {
            true => self.limits.keep_alive_when_crowded.min(self.limits.keep_alive),
            false => self.limits.keep_alive,
        }
    }
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Watch {
    crowd: Arc<Crowd>,
    under_way: Cell<u32>,
    /// When the last request ended, or the connection began.
    idle_since: Cell<Instant>,
    /// When something came after that.
    head_since: Cell<Option<Instant>>,
}

impl Watch {
    fn new(crowd: Arc<Crowd>) -> Rc<Self> {
        crowd.open.fetch_add(1, Ordering::Relaxed);
        let (under_way, idle_since, head_since) = (Cell::new(0), Cell::new(Instant::now()), Cell::new(None));
        Rc::new(Self { crowd, under_way, idle_since, head_since })
    }

    fn is_idle(&self) -> bool {
        self.under_way.get() == 0
    }

    /// When it is over for a client that sends nothing, or not enough. Part of a head can have come together with the
    /// request before it, unseen: then the time for being idle counts.
    fn read_deadline(&self) -> Instant {
        let limits = &self.crowd.limits;
        let silent = self.idle_since.get() + self.crowd.keep_alive();
        self.head_since.get().map_or(silent, |since| since + limits.head)
    }

    /// When it is over for a client that does not read its answer.
    fn write_deadline(&self) -> Instant {
        self.idle_since.get() + self.crowd.limits.answer
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.crowd.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request under way; it has ended when this is dropped.
struct UnderWay(Rc<Watch>);

impl UnderWay {
    fn begin(watch: &Rc<Watch>) -> Self {
        watch.under_way.set(watch.under_way.get() + 1);
        Self(watch.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let watch = &self.0;
        watch.under_way.set(watch.under_way.get() - 1);
        watch.idle_since.set(Instant::now());
        watch.head_since.set(None);
    }
}

/// Says when requests begin and end; closes connections after their answer while the server is crowded.
pub(super) async fn watch_requests<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    // absent where a test calls the service without a server
    let Some(watch) = request.conn_data::<Rc<Watch>>().cloned() else { return next.call(request).await };
    let under_way = UnderWay::begin(&watch);
    let mut answer = next.call(request).await;
    drop(under_way);
    if let Ok(answer) = &mut answer
        && watch.crowd.is_crowded()
    {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    answer
}

/// A client's socket.
pub(super) struct PatientStream {
    socket: TcpStream,
    watch: Rc<Watch>,
    timer: Pin<Box<Sleep>>,
}

impl PatientStream {
    pub(super) fn new(socket: TcpStream, crowd: Arc<Crowd>) -> Self {
        let watch = Watch::new(crowd);
        let timer = Box::pin(tokio::time::sleep_until(watch.read_deadline()));
        Self { socket, watch, timer }
    }

    pub(super) fn watch(&self) -> Rc<Watch> {
        self.watch.clone()
    }

    /// Waits on, or gives up on the client.
    fn wait<T>(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let now = Instant::now();
        if deadline <= now {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let look_at = deadline.min(now + self.watch.crowd.limits.keep_alive_when_crowded);
        // in a row of reads and writes a timer that is a little early is as good
        if self.timer.deadline() > look_at || self.timer.is_elapsed() {
            self.timer.as_mut().reset(look_at);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.timer.as_mut().reset(look_at);
            // registers for the new instant
            let _ = self.timer.as_mut().poll(cx);
        }
        Poll::Pending
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if !self.watch.is_idle() {
            return read;
        }
        if read.is_ready() && buffer.filled().len() > before && self.watch.head_since.get().is_none() {
            self.watch.head_since.set(Some(Instant::now()));
        }
        let deadline = self.watch.read_deadline();
        match read {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => self.wait(deadline, cx),
        }
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if !self.watch.is_idle() {
            return written;
        }
        match written {
            Poll::Pending => {
                let deadline = self.watch.write_deadline();
                self.wait(deadline, cx)
            }
            Poll::Ready(written) => {
                // after a request that took long no timer runs any more: the next look would be actix's own timer's
                let deadline = self.watch.read_deadline();
                let _ = self.wait::<()>(deadline, cx);
                Poll::Ready(written)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl ActixStream for PatientStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.socket, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.socket, cx)
    }
}
