//! The one way out: every outbound request to a receiver goes through a [`Transport`], every one to another node through
//! [`Peers`].
//!
//! [`AwcTransport`] is the real one. Its parts: `client` makes the attempt, `guarded` connects to allowed addresses only,
//! `identities` keeps those with a client certificate apart, `tokens` gets tokens of OAuth 2.0, `resolver` looks names up, `local_failure` recognizes what this machine lacks, `tls` sets TLS up, `handshake` explains
//! why it failed, `proxy` asks an egress proxy for tunnels, `stream` stands between awc and the socket and holds the receiver to HTTP/1.1, `head` and
//! `header_lines` make the response's head harmless, `chunks` finds where a body ends, `request_order` puts `host` first.

mod absolute_form;
pub(crate) mod chunks;
mod client;
mod collector;
mod connecting;
mod excerpt;
mod failure;
mod guarded;
mod handshake;
pub(crate) mod head;
#[cfg(test)]
mod head_properties;
mod header_lines;
mod identities;
mod local_failure;
mod peers;
mod prepared;
mod proxy;
mod request_order;
mod resolver;
mod stream;
mod tls;
mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use crate::domain::attempt::{AttemptResult, LocalFault};
use crate::domain::credentials::{ShownCertificate, TokenGrant};
use crate::domain::sent_request::Header;

pub use client::{AwcTransport, TransportConfig, TransportSetupError};
pub use collector::{CollectorAddress, CollectorAnswer, CollectorClient};
pub use excerpt::{BODY_EXCERPT_BYTES, HEADERS_EXCERPT_BYTES};
pub use peers::{AwcPeers, NoPeers, PeerMessage, Peers};
pub use tokens::TokenTransport;

/// One HTTP request to a receiver.
#[derive(Clone)]
pub struct AttemptRequest {
    /// Checked again against the policy before it is used.
    pub url: Arc<str>,
    /// Sent with `host` first and the others by name; several values of one name keep their order.
    pub headers: Vec<Header>,
    /// Sent unchanged.
    pub body: Bytes,
    /// For the whole attempt: name lookup, connection, TLS, sending, and the response's head.
    pub timeout: Duration,
    /// Use no connection that was used before, because one of them was just found closed.
    pub fresh_connection: bool,
    /// Shown to a receiver that asks for one. Connections are shared with requests of the same organization that show the
    /// same one only.
    pub client_certificate: Option<ShownCertificate>,
    /// A token of it goes with the request. [`TokenTransport`] adds it; the transport behind does not look at this.
    pub oauth2: Option<Arc<TokenGrant>>,
}

/// Whether a request may be sent now: asked again when its connection is there.
#[derive(Clone, Default)]
pub struct SendPermission(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl SendPermission {
    /// Given by `is_given`; by default always.
    pub fn by(is_given: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_given)))
    }

    fn is_given(&self) -> bool {
        self.0.as_ref().is_none_or(|is_given| is_given())
    }
}

impl fmt::Debug for SendPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendPermission")
    }
}

/// Makes attempts. The handle is shared by all threads; the future stays on the thread of its caller.
pub trait Transport: Send + Sync + 'static {
    /// Makes one attempt, or returns why this machine could not. It always ends, within the request's timeout plus the time
    /// to release the connection.
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>>;
}
