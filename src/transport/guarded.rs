//! Connecting to allowed addresses only.
//!
//! A custom resolver is not enough, because awc's connector skips it for literal addresses. So this replaces the whole
//! connector, including name lookup and TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::rustls_0_23::TlsConnector;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Host};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::timeout;

use super::SendPermission;
use super::connecting::{connect_to_any, on_port};
use super::failure::{NoResponse, connect_error};
use super::handshake::io_fault;
use super::prepared::bare;
use super::proxy::Proxy;
use super::resolver::{LateFamily, ResolvedName, Resolver};
use super::stream::{GuardedStream, Io};
use crate::domain::attempt::{AttemptError, LocalFault, TlsFault};
use crate::domain::target::TargetPolicy;

/// How long to wait for the address family that was not there in time, when the other one can't be reached. Larger: an
/// unreachable receiver is reported later.
const LATE_FAMILY: Duration = Duration::from_secs(1);

/// Connects, with or without TLS, after checking every address against the policy.
#[derive(Clone)]
pub(super) struct GuardedConnector {
    policy: Arc<TargetPolicy>,
    resolver: Resolver,
    /// `None` connects without TLS.
    tls: Option<Arc<ClientConfig>>,
    permission: SendPermission,
    /// `None` connects directly.
    proxy: Option<Arc<Proxy>>,
}

/// The name that the certificate must be for, or an address without brackets.
struct SecuredHost(String);

impl Host for SecuredHost {
    fn hostname(&self) -> &str {
        &self.0
    }
}

impl GuardedConnector {
    pub(super) fn new(
        policy: Arc<TargetPolicy>,
        resolver: Resolver,
        tls: Option<Arc<ClientConfig>>,
        permission: SendPermission,
        proxy: Option<Arc<Proxy>>,
    ) -> Self {
        Self { policy, resolver, tls, permission, proxy }
    }

    /// A connection over which the request may be sent: it can have taken long, and this process can have been frozen
    /// meanwhile.
    async fn connect(self, uri: &Uri) -> Result<GuardedStream, NoResponse> {
        let permission = self.permission.clone();
        let connected = self.connect_anyway(uri).await?;
        match permission.is_given() {
            true => Ok(connected),
            false => Err(NoResponse::NotMade(LocalFault::Lease)),
        }
    }

    async fn connect_anyway(self, uri: &Uri) -> Result<GuardedStream, NoResponse> {
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(AttemptError::InvalidRequest.into());
        };
        let host = bare(host);
        if let Some(proxy) =
            self.proxy.as_ref().filter(|proxy| self.tls.is_none() && proxy.takes_plain_requests(host))
        {
            if let Ok(literal) = host.parse::<IpAddr>() {
                self.all_allowed(on_port(vec![literal], port))?;
            }
            let tcp = proxy.connect(&self.resolver).await?;
            tcp.set_nodelay(true).map_err(|error| connect_error(&error))?;
            return Ok(GuardedStream::new(Io::Plain(tcp)).in_absolute_form(proxy.absolute_form(uri)));
        }
        let tcp = self.connect_to(host, port).await?;
        if self.proxy.is_none() {
            self.check_peer(&tcp)?;
        }
        // many small writes of one request would otherwise wait for each other's acknowledgement
        tcp.set_nodelay(true).map_err(|error| connect_error(&error))?;
        let Some(tls) = self.tls else { return Ok(GuardedStream::new(Io::Plain(tcp))) };
        if ServerName::try_from(host).is_err() {
            return Err(AttemptError::TlsFailure(TlsFault::HostName).into());
        }
        let connection = Connection::new(SecuredHost(host.to_owned()), tcp);
        let secured = TlsConnector::service(tls).call(connection).await;
        let secured = secured.map_err(|error| AttemptError::TlsFailure(io_fault(&error)))?;
        Ok(GuardedStream::new(Io::Tls(Box::new(secured.into_parts().0))))
    }

    async fn connect_to(&self, host: &str, port: u16) -> Result<TcpStream, NoResponse> {
        if let Some(proxy) = &self.proxy
            && let Some(connected) = proxy.tunnel_to_name(&self.resolver, host, port).await
        {
            return connected;
        }
        let (addresses, late) = self.addresses(host, port).await?;
        let failed = match self.reach(addresses).await {
            Ok(tcp) => return Ok(tcp),
            Err(failed) => failed,
        };
        // this machine (or the proxy) has no route to addresses of that family: those of the other one are worth waiting for
        let has_no_route =
            matches!(failed, NoResponse::Failed(AttemptError::ConnectionFailed | AttemptError::ProxyFailure(_)));
        match late.filter(|_| has_no_route) {
            Some(late) => {
                let late = timeout(LATE_FAMILY, late.addresses()).await.unwrap_or_default();
                if late.is_empty() {
                    return Err(failed);
                }
                self.reach(self.all_allowed(on_port(late, port))?).await
            }
            None => Err(failed),
        }
    }

    async fn reach(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, NoResponse> {
        match &self.proxy {
            Some(proxy) => proxy.tunnel_to_any(&self.resolver, addresses).await,
            None => connect_to_any(addresses).await,
        }
    }

    /// The addresses to try, all of them allowed; one forbidden address refuses all. Late ones are not checked yet.
    async fn addresses(&self, host: &str, port: u16) -> Result<(Vec<SocketAddr>, Option<LateFamily>), NoResponse> {
        if let Ok(literal) = host.parse::<IpAddr>() {
            return Ok((self.all_allowed(on_port(vec![literal], port))?, None));
        }
        if TargetPolicy::is_localhost(host) {
            // never looked up in DNS (RFC 6761, section 6.3), so the loopback that an operator allows is the one meant
            let loopback = vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            let mut allowed = on_port(loopback, port);
            allowed.retain(|&address| self.policy.allows_socket(address));
            return Ok((self.all_allowed(allowed)?, None));
        }
        let ResolvedName { addresses, late } = self.resolver.lookup(host).await?;
        Ok((self.all_allowed(on_port(addresses, port))?, late))
    }

    fn all_allowed(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, AttemptError> {
        match !addresses.is_empty() && addresses.iter().all(|&address| self.policy.allows_socket(address)) {
            true => Ok(addresses),
            false => Err(AttemptError::BlockedAddress),
        }
    }

    /// Checks the address that the connection really reached. If both ends have the same address, it is this machine: when
    /// the engine listens on every address, its own port is refused on all of them.
    fn check_peer(&self, tcp: &TcpStream) -> Result<(), AttemptError> {
        let peer = tcp.peer_addr().map_err(|_| AttemptError::ConnectionReset)?;
        let is_here = tcp.local_addr().is_ok_and(|local| local.ip() == peer.ip());
        match self.policy.allows_socket(peer) && !(is_here && self.policy.listens_everywhere_on(peer.port())) {
            true => Ok(()),
            false => Err(AttemptError::BlockedAddress),
        }
    }
}

impl Service<ConnectInfo<Uri>> for GuardedConnector {
    type Response = Connection<Uri, GuardedStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let uri = info.request().clone();
            match connector.connect(&uri).await {
                Ok(stream) => Ok(Connection::new(uri, stream)),
                Err(unanswered) => Err(ConnectError::Resolver(Box::new(unanswered))),
            }
        })
    }
}
