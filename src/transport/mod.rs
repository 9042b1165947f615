//! The one way out: every outbound request goes through a [`Transport`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use crate::domain::attempt::AttemptResult;

/// One HTTP request to a receiver.
#[derive(Clone)]
pub struct AttemptRequest {
    /// The endpoint's URL.
    pub url: Arc<str>,
    /// In the order in which they are sent.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: Bytes,
    /// For the whole attempt: resolve, connect, TLS, send, head.
    pub timeout: Duration,
}

/// Sends attempts. The handle is shared by all threads; the future stays on the thread that asked.
pub trait Transport: Send + Sync + 'static {
    /// Makes one attempt. It always ends, within the request's timeout plus the time to let go of it.
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, AttemptResult>;
}
