//! Looks names up: fully qualified, A and AAAA at the same time, no search list.
//!
//! `servers` asks the name servers in order, `question` asks one of them, `answer` reads its reply, `system` reads the
//! system's files. hickory encodes and decodes the messages; its own pool of servers is not used, because it accepts a
//! refusal as final and asks out of order.

mod answer;
mod cache;
mod question;
mod servers;
mod system;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture, Shared, WeakShared, ready, select};
use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::{Instant, timeout};

use self::answer::DnsAnswer;
use self::cache::{Cache, Family, LookupResult};
use self::servers::{LookupFailure, Servers};
use self::system::Hosts;
use super::failure::NoResponse;
use crate::domain::attempt::{AttemptError, DnsFault};

/// How long to wait for the second family when the first one has an address (RFC 8305, section 3).
const SECOND_FAMILY: Duration = Duration::from_millis(50);
/// For one family of a name with all its aliases. Larger: with the default timeout of an attempt (10 s), unreachable name
/// servers would be reported as a timeout.
const LOOKUP: Duration = Duration::from_secs(8);
/// An address is used no longer than this, whatever its TTL, so that a receiver that moved is found again.
const MAX_POSITIVE_TTL: Duration = Duration::from_secs(300);
/// Short, because a name that was just created must not wait until a negative reply expires.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// Aliases that are looked up one after the other. Recursive servers normally follow them.
const MAX_STEPS: usize = 8;
/// Names that are never looked up in DNS (RFC 6761, section 6.4; RFC 7686, section 2).
const NEVER_ASKED: [&str; 2] = ["invalid", "onion"];

/// How names are looked up; one [`Resolver`] is built from it for each thread.
#[derive(Debug, Clone)]
pub(super) struct ResolverSettings {
    servers: Vec<SocketAddr>,
    use_hosts_file: bool,
}

impl ResolverSettings {
    /// With `servers`, only these are asked; without, those of the system, after its hosts file (so that a container's own
    /// name works).
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        match servers.is_empty() {
            true => Self { servers: system::name_servers(), use_hosts_file: true },
            false => Self { servers: servers.to_vec(), use_hosts_file: false },
        }
    }

    /// Reads the hosts file.
    pub(super) fn build(&self) -> Resolver {
        let hosts = if self.use_hosts_file { system::hosts() } else { Hosts::default() };
        Resolver(Rc::new(ResolverInner {
            hosts,
            servers: Servers::new(&self.servers),
            cache: RefCell::default(),
            running: RefCell::default(),
        }))
    }
}

/// Looks names up. Belongs to one thread; clones share its cache.
#[derive(Clone)]
pub(super) struct Resolver(Rc<ResolverInner>);

type LookupFuture = LocalBoxFuture<'static, LookupResult>;
type LookupKey = (Box<str>, Family);

struct ResolverInner {
    hosts: Hosts,
    servers: Servers,
    cache: RefCell<Cache>,
    /// Callers that ask for the same name at the same time share one lookup.
    running: RefCell<HashMap<LookupKey, WeakShared<LookupFuture>>>,
}

/// Addresses of a name.
pub(super) struct ResolvedName {
    /// IPv4 first; at least one. All that are known so far.
    pub(super) addresses: Vec<IpAddr>,
    /// The other family, while its lookup has not ended.
    pub(super) late: Option<LateFamily>,
}

/// A family that is still being looked up; dropping it cancels the lookup.
pub(super) struct LateFamily(LookupFuture);

impl LateFamily {
    /// Its addresses, if it has any.
    pub(super) async fn addresses(self) -> Vec<IpAddr> {
        self.0.await.map(|addresses| addresses.to_vec()).unwrap_or_default()
    }
}

impl Resolver {
    /// The addresses of a name. `name` is in lower case, without a dot at its end.
    pub(super) async fn lookup(&self, name: &str) -> Result<ResolvedName, NoResponse> {
        if let Some(addresses) = self.0.hosts.find(name) {
            let mut addresses = addresses.to_vec();
            addresses.sort_by_key(IpAddr::is_ipv6);
            return Ok(ResolvedName { addresses, late: None });
        }
        if name.rsplit('.').next().is_some_and(|last| NEVER_ASKED.contains(&last)) {
            return Err(unanswered(LookupFailure::NoSuchName));
        }
        let (first, second) = match select(self.family(name, Family::V4), self.family(name, Family::V6)).await {
            Either::Left(ended) | Either::Right(ended) => ended,
        };
        let first = match first {
            Ok(first) => first,
            // no addresses in one family: the other one decides
            Err(miss) => return second.await.map(ResolvedName::of).map_err(|other| unanswered(miss.or(other))),
        };
        let mut second = second;
        match timeout(SECOND_FAMILY, &mut second).await {
            Err(_) => Ok(ResolvedName { late: Some(LateFamily(second)), ..ResolvedName::of(first) }),
            Ok(Err(_)) => Ok(ResolvedName::of(first)),
            Ok(Ok(second)) => {
                let mut addresses = [&first[..], &second[..]].concat();
                addresses.sort_by_key(IpAddr::is_ipv6);
                Ok(ResolvedName { addresses, late: None })
            }
        }
    }

    /// The addresses of one family: from the cache, from a running lookup, or from a new one.
    fn family(&self, name: &str, family: Family) -> LookupFuture {
        if let Some(known) = self.0.cache.borrow_mut().get(name, family, Instant::now()) {
            return ready(known).boxed_local();
        }
        let key: LookupKey = (name.into(), family);
        if let Some(lookup) = self.0.running.borrow().get(&key).and_then(WeakShared::upgrade) {
            return lookup.boxed_local();
        }
        let running = RunningLookup { resolver: self.clone(), key: key.clone() };
        let lookup: Shared<LookupFuture> = async move { running.ask().await }.boxed_local().shared();
        // `downgrade` returns None only for a future that has ended, and this one has not begun
        if let Some(weak) = lookup.downgrade() {
            self.0.running.borrow_mut().insert(key, weak);
        }
        lookup.boxed_local()
    }

    /// Asks the servers, once for each alias.
    async fn ask(&self, name: &str, family: Family) -> (LookupResult, Option<Duration>) {
        let record_type = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        // as bytes: hickory's text form does not allow every character of a host name
        let Ok(name) = Name::from_labels(name.split('.').map(str::as_bytes)) else {
            return (Err(LookupFailure::NoSuchName), None);
        };
        let mut query = Query::query(name, record_type);
        let mut usable_for = MAX_POSITIVE_TTL;
        for _ in 0..MAX_STEPS {
            match self.0.servers.ask(&query).await {
                Ok(DnsAnswer::Found { addresses, ttl }) => {
                    return (Ok(addresses.into()), Some(usable_for.min(ttl)));
                }
                Ok(DnsAnswer::Alias { target, ttl }) => {
                    usable_for = usable_for.min(ttl);
                    query.name = target;
                }
                Ok(DnsAnswer::Empty { exists, ttl }) => {
                    let miss = if exists { LookupFailure::NoAddress } else { LookupFailure::NoSuchName };
                    return (Err(miss), ttl.map(|ttl| usable_for.min(ttl).min(MAX_NEGATIVE_TTL)));
                }
                Err(miss) => return (Err(miss), None),
            }
        }
        (Err(LookupFailure::ServerFailure), None)
    }
}

impl ResolvedName {
    fn of(addresses: Rc<[IpAddr]>) -> Self {
        Self { addresses: addresses.to_vec(), late: None }
    }
}

/// A running lookup. It ends with a result, or when its last caller gives up.
struct RunningLookup {
    resolver: Resolver,
    key: LookupKey,
}

impl RunningLookup {
    async fn ask(self) -> LookupResult {
        let (name, family) = &self.key;
        let (known, ttl) =
            timeout(LOOKUP, self.resolver.ask(name, *family)).await.unwrap_or((Err(LookupFailure::Silence), None));
        if let Some(ttl) = ttl {
            self.resolver.0.cache.borrow_mut().put(name, *family, known.clone(), ttl, Instant::now());
        }
        known
    }
}

impl Drop for RunningLookup {
    fn drop(&mut self) {
        self.resolver.0.running.borrow_mut().remove(&self.key);
    }
}

fn unanswered(miss: LookupFailure) -> NoResponse {
    let fault = match miss {
        LookupFailure::NoSuchName => DnsFault::NoSuchName,
        LookupFailure::NoAddress => DnsFault::NoAddress,
        LookupFailure::ServerFailure => DnsFault::ServerFailure,
        LookupFailure::Silence => DnsFault::Silence,
        LookupFailure::Local(fault) => return NoResponse::NotMade(fault),
    };
    AttemptError::DnsFailure(fault).into()
}
