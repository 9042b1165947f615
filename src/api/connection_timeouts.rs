//! How long a connection may take: a client that is slow, or silent, or reads nothing, holds it for a bounded time.
//!
//! actix limits the time for the head of a connection's first request only: one byte of a second head, or a response
//! that the client does not read, would keep a connection forever. So this stands between actix and the socket. It does
//! not look into the bytes; [`ConnectionActivity`] reports when requests begin and end.

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

/// Bounds on the number of connections and on their time.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Open connections; further ones wait in the system's queue. Smaller: clients wait for each other. Larger: each
    /// holds some kilobytes and an open file, and the engine needs files for its deliveries.
    pub max_connections: usize,
    /// For a request's head, from its first byte. Smaller: clients on bad networks fail. Larger: a client that sends
    /// byte by byte holds a connection for longer.
    pub head: Duration,
    /// An idle connection is closed after this. Smaller: clients connect more often. Larger: more of them are idle.
    pub keep_alive: Duration,
    /// The same once three quarters of the connections are in use. Every idle connection is checked once in this time.
    /// Smaller: checking thousands of them costs time. Larger: a crowded server is full for longer.
    pub keep_alive_when_crowded: Duration,
    /// For a client to read a response. Smaller: long responses break on slow lines. Larger: responses that are not
    /// read stay in memory for longer.
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
pub(super) struct OpenConnections {
    limits: ConnectionLimits,
    open: AtomicUsize,
}

impl OpenConnections {
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
pub(super) struct ConnectionActivity {
    connections: Arc<OpenConnections>,
    in_progress: Cell<u32>,
    /// When the last request ended, or the connection began.
    idle_since: Cell<Instant>,
    /// When bytes arrived after that.
    head_since: Cell<Option<Instant>>,
}

impl ConnectionActivity {
    fn new(connections: Arc<OpenConnections>) -> Rc<Self> {
        connections.open.fetch_add(1, Ordering::Relaxed);
        let (in_progress, idle_since, head_since) = (Cell::new(0), Cell::new(Instant::now()), Cell::new(None));
        Rc::new(Self { connections, in_progress, idle_since, head_since })
    }

    fn is_idle(&self) -> bool {
        self.in_progress.get() == 0
    }

    /// When a client that sends nothing, or not enough, is disconnected. Part of a head can have arrived unnoticed
    /// together with the previous request: then the idle time counts.
    fn read_deadline(&self) -> Instant {
        let limits = &self.connections.limits;
        let silent = self.idle_since.get() + self.connections.keep_alive();
        self.head_since.get().map_or(silent, |since| since + limits.head)
    }

    /// When a client that does not read its response is disconnected.
    fn write_deadline(&self) -> Instant {
        self.idle_since.get() + self.connections.limits.answer
    }
}

impl Drop for ConnectionActivity {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request in progress; it has ended when this is dropped.
struct RequestInProgress(Rc<ConnectionActivity>);

impl RequestInProgress {
    fn begin(activity: &Rc<ConnectionActivity>) -> Self {
        activity.in_progress.set(activity.in_progress.get() + 1);
        Self(activity.clone())
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        let activity = &self.0;
        activity.in_progress.set(activity.in_progress.get() - 1);
        activity.idle_since.set(Instant::now());
        activity.head_since.set(None);
    }
}

/// Reports when requests begin and end; closes connections after their response while the server is crowded.
pub(super) async fn watch_requests<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    // absent where a test calls the service without a server
    let Some(activity) = request.conn_data::<Rc<ConnectionActivity>>().cloned() else {
        return next.call(request).await;
    };
    let in_progress = RequestInProgress::begin(&activity);
    let mut answer = next.call(request).await;
    drop(in_progress);
    if let Ok(answer) = &mut answer
        && activity.connections.is_crowded()
    {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    answer
}

/// A client's socket.
pub(super) struct TimedStream {
    socket: TcpStream,
    activity: Rc<ConnectionActivity>,
    timer: Pin<Box<Sleep>>,
}

impl TimedStream {
    pub(super) fn new(socket: TcpStream, connections: Arc<OpenConnections>) -> Self {
        let activity = ConnectionActivity::new(connections);
        let timer = Box::pin(tokio::time::sleep_until(activity.read_deadline()));
        Self { socket, activity, timer }
    }

    pub(super) fn activity(&self) -> Rc<ConnectionActivity> {
        self.activity.clone()
    }

    /// Keeps waiting for the client, or gives up on it.
    fn wait<T>(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let now = Instant::now();
        if deadline <= now {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let look_at = deadline.min(now + self.activity.connections.limits.keep_alive_when_crowded);
        // in a sequence of reads and writes, a timer that is a little early is good enough
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

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if !self.activity.is_idle() {
            return read;
        }
        if read.is_ready() && buffer.filled().len() > before && self.activity.head_since.get().is_none() {
            self.activity.head_since.set(Some(Instant::now()));
        }
        let deadline = self.activity.read_deadline();
        match read {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => self.wait(deadline, cx),
        }
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if !self.activity.is_idle() {
            return written;
        }
        match written {
            Poll::Pending => {
                let deadline = self.activity.write_deadline();
                self.wait(deadline, cx)
            }
            Poll::Ready(written) => {
                // after a long request no timer runs any more: the next check would be that of actix's own timer
                let deadline = self.activity.read_deadline();
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

impl ActixStream for TimedStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.socket, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.socket, cx)
    }
}
