//! Looking names up: fully qualified, A and AAAA, no search list.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioRuntimeProvider};
use hickory_resolver::{Resolver as HickoryResolver, system_conf};

use super::failure::Unanswered;
use super::local::local_fault;
use crate::domain::attempt::{AttemptError, LocalFault};

/// Per question to a server. Asked again once, so a dead DNS ends as a DNS failure within the default timeout of
/// an attempt (10 s); a shorter attempt cuts it off.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than this an answer is not believed, whatever its TTL: a receiver that moved is found again.
const MAX_POSITIVE_TTL: Duration = Duration::from_secs(300);
/// A name that was just created must not wait for a negative answer to grow old.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// How names are looked up; one [`Resolver`] is built from it for each thread.
#[derive(Debug, Clone)]
pub(super) struct ResolverSettings {
    config: ResolverConfig,
    options: ResolverOpts,
}

/// Looks names up. Belongs to one thread, because its background tasks live in that thread's runtime.
#[derive(Clone)]
pub(super) struct Resolver {
    hickory: HickoryResolver<WatchedSockets>,
    faults: Faults,
}

/// Faults of this machine that kept questions from being asked: how many so far, and the last one.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<(u64, Option<LocalFault>)>>);

impl Faults {
    fn seen(&self) -> (u64, Option<LocalFault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch<T>(&self, server: SocketAddr, opened: io::Result<T>) -> io::Result<T> {
        if let Some(fault) = opened.as_ref().err().and_then(|error| local_fault(error, server)) {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = (seen.0 + 1, Some(fault));
        }
        opened
    }
}

/// Opens the sockets for questions, and remembers what this machine lacked: of the reasons why no server answered
/// hickory gives only the last.
#[derive(Clone, Default)]
struct WatchedSockets {
    tokio: TokioRuntimeProvider,
    faults: Faults,
}

type Opening<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for WatchedSockets {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = <TokioRuntimeProvider as RuntimeProvider>::Timer;
    type Udp = <TokioRuntimeProvider as RuntimeProvider>::Udp;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.tokio.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        bind: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        let (opening, faults) = (self.tokio.connect_tcp(server, bind, timeout), self.faults.clone());
        Box::pin(async move { faults.watch(server, opening.await) })
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Opening<Self::Udp> {
        let (opening, faults) = (self.tokio.bind_udp(local, server), self.faults.clone());
        Box::pin(async move { faults.watch(server, opening.await) })
    }
}

impl ResolverSettings {
    /// With `servers`, only these are asked; without, those of the system, after its hosts file (so that a
    /// container's own name works).
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let (config, mut options) = if servers.is_empty() {
            let (servers, options) = system_servers();
            (ResolverConfig::from_name_servers(servers), options)
        } else {
            let mut options = ResolverOpts::default();
            options.use_hosts_file = ResolveHosts::Never;
            (ResolverConfig::from_name_servers(servers.iter().copied().map(name_server).collect()), options)
        };
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = QUESTION_TIMEOUT;
        options.attempts = 1;
        options.positive_max_ttl = Some(MAX_POSITIVE_TTL);
        options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
        Self { config, options }
    }

    /// Must be called in the runtime that will do the lookups.
    pub(super) fn build(&self) -> Result<Resolver, NetError> {
        let sockets = WatchedSockets::default();
        let faults = sockets.faults.clone();
        HickoryResolver::builder_with_config(self.config.clone(), sockets)
            .with_options(self.options.clone())
            .build()
            .map(|hickory| Resolver { hickory, faults })
    }
}

impl Resolver {
    /// All addresses of a name, IPv4 first. `name` has no dot at its end.
    pub(super) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Unanswered> {
        let (faults_before, _) = self.faults.seen();
        // the dot makes it fully qualified: no search list is tried
        match self.hickory.lookup_ip(format!("{name}.")).await {
            Ok(answer) => Ok(answer.iter().collect()),
            // a server said so
            Err(error) if error.is_no_records_found() => Err(AttemptError::DnsFailure.into()),
            Err(_) => Err(match self.faults.seen() {
                // of this lookup, or of one beside it: then this one is only asked again soon
                (faults, Some(fault)) if faults > faults_before => Unanswered::NotMade(fault),
                _ => AttemptError::DnsFailure.into(),
            }),
        }
    }
}

/// Without a usable configuration the system's resolver asks this machine (resolv.conf(5)); so does this one:
/// a machine without names can still deliver to addresses.
fn system_servers() -> (Vec<NameServerConfig>, ResolverOpts) {
    match system_conf::read_system_conf() {
        Ok((config, options)) => (config.name_servers().to_vec(), options),
        Err(error) => {
            tracing::warn!(%error, "no name server is configured on this system; asking 127.0.0.1");
            (vec![NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into())], ResolverOpts::default())
        }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}
