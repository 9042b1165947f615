//! Looking names up: fully qualified, A and AAAA, no search list.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{TokioResolver, system_conf};

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
pub(super) struct Resolver(TokioResolver);

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
        TokioResolver::builder_with_config(self.config.clone(), TokioRuntimeProvider::default())
            .with_options(self.options.clone())
            .build()
            .map(Resolver)
    }
}

impl Resolver {
    /// All addresses of a name, IPv4 first. `name` has no dot at its end.
    pub(super) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        // the dot makes it fully qualified: no search list is tried
        let answer = self.0.lookup_ip(format!("{name}.")).await?;
        Ok(answer.iter().collect())
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
