//! Translates awc's errors into the contract's.

use std::io;

use actix_web::error::ParseError;
use awc::error::{ConnectError, SendRequestError};
use thiserror::Error;

use super::handshake;
use super::stream::StreamError;
use crate::domain::attempt::{AttemptError, LocalFault};

/// Why there is no response. The guarded connector's error passes through awc inside [`ConnectError::Resolver`], the only
/// variant that carries another error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum NoResponse {
    /// The attempt failed.
    #[error("{}", .0.as_str())]
    Failed(AttemptError),
    /// The attempt was not made.
    #[error("{}", .0.as_str())]
    NotMade(LocalFault),
}

impl From<AttemptError> for NoResponse {
    fn from(error: AttemptError) -> Self {
        Self::Failed(error)
    }
}

/// Why an exchange produced no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeFailure {
    /// An idle connection could not be used; nothing was sent.
    Unsent,
    /// An idle connection was closed before any byte of a response.
    Stale,
    /// Another connection would not help.
    Final(NoResponse),
}

/// Translates awc's error.
pub(super) fn classify(error: &SendRequestError) -> ExchangeFailure {
    let failed = match error {
        SendRequestError::Connect(ConnectError::Resolver(source)) => {
            let unanswered = source.downcast_ref::<NoResponse>().copied();
            // only the guarded connector makes this error
            return ExchangeFailure::Final(unanswered.unwrap_or(AttemptError::ConnectionFailed.into()));
        }
        SendRequestError::Connect(ConnectError::Timeout) | SendRequestError::Timeout => AttemptError::Timeout,
        SendRequestError::Connect(ConnectError::Io(source)) => connect_error(source),
        SendRequestError::Connect(ConnectError::Disconnected) => AttemptError::ConnectionReset,
        SendRequestError::Connect(_) => AttemptError::ConnectionFailed,
        SendRequestError::Send(source) | SendRequestError::Response(ParseError::Io(source)) => {
            return stream_error(source);
        }
        SendRequestError::Response(_) => AttemptError::InvalidResponse,
        SendRequestError::Url(_) | SendRequestError::Http(_) | SendRequestError::Body(_) => {
            AttemptError::InvalidRequest
        }
        _ => AttemptError::ConnectionFailed,
    };
    ExchangeFailure::Final(failed.into())
}

/// Translates an error of the system's `connect`.
pub(super) fn connect_error(error: &io::Error) -> AttemptError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => AttemptError::ConnectionRefused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => AttemptError::ConnectionReset,
        _ => AttemptError::ConnectionFailed,
    }
}

/// Translates an error of an established connection.
fn stream_error(error: &io::Error) -> ExchangeFailure {
    let inner = error.get_ref();
    let known = inner.and_then(|inner| inner.downcast_ref::<StreamError>());
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let failed = match known {
        Some(StreamError::Unusable) => return ExchangeFailure::Unsent,
        Some(StreamError::Stale) => return ExchangeFailure::Stale,
        Some(StreamError::Closed | StreamError::Cut) => AttemptError::ConnectionReset,
        Some(StreamError::Malformed) => AttemptError::InvalidResponse,
        None => {
            tls.map_or(AttemptError::ConnectionReset, |error| AttemptError::TlsFailure(handshake::fault(error)))
        }
    };
    ExchangeFailure::Final(failed.into())
}
