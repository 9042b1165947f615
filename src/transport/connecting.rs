//! Connecting to one of several addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use actix_rt::net::TcpStream;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::failure::{NoResponse, connect_error};
use super::local_failure::local_fault;
use crate::domain::attempt::AttemptError;

/// How long one address may take before the next one is tried in parallel (RFC 8305, section 8).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// At most this many addresses of a name are tried.
pub(super) const MAX_ADDRESSES: usize = 8;

pub(super) fn on_port(addresses: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}

/// The first connection that succeeds; the next address is tried when one fails or is slow. If this machine could not try
/// an address, that one might have worked, so the attempt counts as not made.
pub(super) async fn connect_to_any(addresses: Vec<SocketAddr>) -> Result<TcpStream, NoResponse> {
    let mut rest = addresses.into_iter().take(MAX_ADDRESSES);
    let mut running = FuturesUnordered::new();
    let (mut first_error, mut first_fault) = (None, None);
    loop {
        if let Some(address) = rest.next() {
            running.push(async move { TcpStream::connect(address).await.map_err(|error| (error, address)) });
        } else if running.is_empty() {
            let failed = NoResponse::Failed(first_error.unwrap_or(AttemptError::ConnectionFailed));
            return Err(first_fault.map_or(failed, NoResponse::NotMade));
        }
        let is_last = rest.len() == 0;
        tokio::select! {
            result = running.next(), if !running.is_empty() => match result {
                Some(Ok(tcp)) => return Ok(tcp),
                Some(Err((error, address))) => match local_fault(&error, address) {
                    Some(fault) => first_fault = first_fault.or(Some(fault)),
                    None => first_error = first_error.or(Some(connect_error(&error))),
                },
                None => {}
            },
            () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if !is_last => {}
        }
    }
}
