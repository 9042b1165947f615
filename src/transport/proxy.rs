//! Through an egress proxy.
//!
//! It is asked for a tunnel (CONNECT) to an address that was looked up and checked here, so the rules about targets hold as
//! without it, and TLS is between this engine and the receiver. Plain `http:` is sent to the proxy itself, in absolute form,
//! where the proxy is asked for what the URL names: a literal address, or any name if the proxy looks names up. Elsewhere it
//! goes through a tunnel too: a proxy must send its receiver the host of the absolute form, which would be an address.
//!
//! What the proxy fails in itself is no outcome of a receiver. One that says nothing is ambiguous: it may still be connecting
//! to a receiver that says nothing. It is to blame when it is silent about several receivers and has answered about none
//! while they waited.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_rt::net::TcpStream;
use awc::http::header::PROXY_AUTHENTICATE;
use awc::http::{StatusCode, Uri, header::HeaderMap};
use bytes::BytesMut;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::absolute_form::AbsoluteForm;
use super::connecting::{MAX_ADDRESSES, connect_to_any, on_port};
use super::failure::NoResponse;
use super::head::{begins_like_http, end_of_head};
use super::prepared::Target;
use super::resolver::Resolver;
use crate::domain::attempt::{AttemptError, LocalFault, ProxyFault};
use crate::domain::egress_proxy::EgressProxy;
use crate::domain::secret::Secret;
use crate::domain::target::TargetPolicy;

/// Of the head of the proxy's answer. Proxies send some hundred.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// A proxy that can't be reached is tried again after this, by one attempt. Smaller: while it is away, thousands of attempts
/// a second try. Larger: deliveries wait after it is back.
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Receivers about which a proxy is silent, one after the other, before it is to blame. Smaller: receivers that say nothing
/// make it look broken. Larger: more attempts count as failed when it hangs.
const SILENT_ABOUT: usize = 3;
/// How long the tunnel to one address may take before the next one is asked for as well. Smaller: tunnels that nobody needs.
/// Larger: an address that says nothing uses up the attempt's time.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_secs(1);
/// Smokescreen answers 407 to what its rules forbid, with this header, which it removes from what receivers send.
const FORBIDDEN_HEADER: &[u8] = b"x-smokescreen-error:";

/// The proxy, as the attempts of all threads know it.
#[derive(Debug)]
pub(super) struct Proxy {
    settings: EgressProxy,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// It can't be reached: before this instant nobody tries.
    next_try: Option<Instant>,
    answered_at: Option<Instant>,
    /// It was silent about these since then; at most [`SILENT_ABOUT`].
    silent_about: Vec<Box<str>>,
    trouble: Option<LocalFault>,
}

/// What the proxy made of a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Connected,
    Outcome(ProxyFault),
    Fault(LocalFault),
}

impl Proxy {
    pub(super) fn new(settings: EgressProxy) -> Self {
        Self { settings, seen: Mutex::default() }
    }

    /// What is wrong with it, as far as is known.
    pub(super) fn trouble(&self) -> Option<LocalFault> {
        self.with_seen(|seen| seen.trouble)
    }

    /// Whether it is asked for this host as the URL names it, and not for one of its addresses.
    fn is_asked_by_name(&self, host: &str) -> bool {
        self.settings.resolves && host.parse::<IpAddr>().is_err() && !TargetPolicy::is_localhost(host)
    }

    /// Whether plain requests to this host are sent to the proxy itself.
    pub(super) fn takes_plain_requests(&self, host: &str) -> bool {
        self.is_asked_by_name(host) || host.parse::<IpAddr>().is_ok()
    }

    /// How such requests to a URL look.
    pub(super) fn absolute_form(&self, uri: &Uri) -> AbsoluteForm {
        // as in `host`, which has no default port (RFC 9112, section 3.2.2)
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let prefix = format!("http://{}", authority.strip_suffix(":80").unwrap_or(authority));
        AbsoluteForm::new(prefix, self.credentials_line())
    }

    /// Learns of the response to such a request; an error when it is the proxy's own and asks for other credentials. A
    /// receiver's 407 has no such header, which is for one hop (RFC 9110, section 11.7.1): a proxy removes it.
    pub(super) fn heard(
        &self,
        target: &Target,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), LocalFault> {
        if target.is_tls || !self.takes_plain_requests(target.bare_host()) {
            return Ok(());
        }
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && headers.contains_key(PROXY_AUTHENTICATE) {
            return Err(self.failed(LocalFault::ProxyCredentials));
        }
        self.answered();
        Ok(())
    }

    /// A connection to the proxy.
    pub(super) async fn connect(&self, resolver: &Resolver) -> Result<TcpStream, NoResponse> {
        if !self.may_try() {
            return Err(NoResponse::NotMade(LocalFault::ProxyUnreachable));
        }
        Waiting::enter(Phase::Connecting);
        let connected = match self.addresses(resolver).await {
            Ok(addresses) => connect_to_any(addresses).await,
            Err(failed) => Err(failed),
        };
        Waiting::enter(Phase::Elsewhere);
        match connected {
            Ok(tcp) => {
                self.with_seen(|seen| seen.next_try = None);
                Ok(tcp)
            }
            // a lack of files or ports is not the proxy's
            Err(NoResponse::NotMade(fault)) => Err(NoResponse::NotMade(fault)),
            Err(NoResponse::Failed(_)) => Err(NoResponse::NotMade(self.unreachable())),
        }
    }

    /// A tunnel to a name, if the proxy is to look it up.
    pub(super) async fn tunnel_to_name(
        &self,
        resolver: &Resolver,
        host: &str,
        port: u16,
    ) -> Option<Result<TcpStream, NoResponse>> {
        if !self.is_asked_by_name(host) {
            return None;
        }
        Some(self.tunnel(resolver, &format!("{host}:{port}")).await)
    }

    /// A tunnel to one of these addresses, the first that can be reached.
    pub(super) async fn tunnel_to_any(
        &self,
        resolver: &Resolver,
        addresses: Vec<SocketAddr>,
    ) -> Result<TcpStream, NoResponse> {
        let mut rest = addresses.into_iter().take(MAX_ADDRESSES);
        let mut running = FuturesUnordered::new();
        let mut first_error = None;
        loop {
            if let Some(address) = rest.next() {
                running.push(async move { self.tunnel(resolver, &address.to_string()).await });
            } else if running.is_empty() {
                return Err(first_error.unwrap_or(AttemptError::ConnectionFailed.into()));
            }
            let is_last = rest.len() == 0;
            tokio::select! {
                result = running.next(), if !running.is_empty() => match result {
                    Some(Err(NoResponse::Failed(error))) => first_error = first_error.or(Some(error.into())),
                    Some(connected_or_fault) => return connected_or_fault,
                    None => {}
                },
                () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if !is_last => {}
            }
        }
    }

    async fn tunnel(&self, resolver: &Resolver, authority: &str) -> Result<TcpStream, NoResponse> {
        let mut tcp = self.connect(resolver).await?;
        let request =
            format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{}\r\n", self.credentials_line());
        let asked_at = Instant::now();
        Waiting::enter(Phase::Asking { authority: authority.into(), asked_at });
        let exchanged = exchange(&mut tcp, request.as_bytes()).await;
        Waiting::enter(Phase::Elsewhere);
        let head = match exchanged {
            Ok(Some(head)) => head,
            Ok(None) => return Err(NoResponse::NotMade(self.failed(LocalFault::ProxyAnswer))),
            Err(Silent) => {
                let outcome = AttemptError::ProxyFailure(ProxyFault::Closed);
                return Err(self.silent(authority, asked_at, outcome));
            }
        };
        match answer(&head) {
            Answer::Connected => {
                self.answered();
                Ok(tcp)
            }
            Answer::Outcome(fault) => {
                self.answered();
                Err(AttemptError::ProxyFailure(fault).into())
            }
            Answer::Fault(fault) => Err(NoResponse::NotMade(self.failed(fault))),
        }
    }

    /// As [`Resolver::lookup`] reads them; `localhost` is this machine.
    async fn addresses(&self, resolver: &Resolver) -> Result<Vec<SocketAddr>, NoResponse> {
        let EgressProxy { host, port, .. } = &self.settings;
        let addresses = if let Ok(literal) = host.parse::<IpAddr>() {
            vec![literal]
        } else if TargetPolicy::is_localhost(host) {
            vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]
        } else {
            resolver.lookup(host).await?.addresses
        };
        Ok(on_port(addresses, *port))
    }

    /// With its end; empty without credentials.
    fn credentials_line(&self) -> String {
        let line = |secret: &Secret| format!("proxy-authorization: {}\r\n", secret.expose());
        self.settings.authorization.as_ref().map(line).unwrap_or_default()
    }

    fn with_seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn may_try(&self) -> bool {
        let now = Instant::now();
        self.with_seen(|seen| match &mut seen.next_try {
            None => true,
            Some(next) if *next <= now => {
                *next = now + TRIED_AGAIN_AFTER;
                true
            }
            Some(_) => false,
        })
    }

    fn unreachable(&self) -> LocalFault {
        self.with_seen(|seen| seen.next_try = Some(Instant::now() + TRIED_AGAIN_AFTER));
        self.failed(LocalFault::ProxyUnreachable)
    }

    fn failed(&self, fault: LocalFault) -> LocalFault {
        self.with_seen(|seen| seen.trouble = Some(fault));
        fault
    }

    /// It works.
    fn answered(&self) {
        let now = Instant::now();
        self.with_seen(|seen| *seen = Seen { answered_at: Some(now), next_try: seen.next_try, ..Seen::default() });
    }

    /// What it means that there was no answer about this one, for which it was asked then.
    fn silent(&self, authority: &str, asked_at: Instant, outcome: AttemptError) -> NoResponse {
        let is_to_blame = self.with_seen(|seen| {
            // many receivers of one organization can give up at the same moment
            if seen.answered_at.is_some_and(|at| at >= asked_at) {
                return false;
            }
            let known = &mut seen.silent_about;
            if known.len() < SILENT_ABOUT && known.iter().all(|one| &**one != authority) {
                known.push(authority.into());
            }
            known.len() >= SILENT_ABOUT
        });
        match is_to_blame {
            true => NoResponse::NotMade(self.failed(LocalFault::ProxySilent)),
            false => outcome.into(),
        }
    }

    /// What it means that an attempt's time was over while it waited like this.
    pub(super) fn timed_out(&self, waiting: &Waiting) -> NoResponse {
        match waiting.phase() {
            Phase::Elsewhere => AttemptError::Timeout.into(),
            Phase::Connecting => NoResponse::NotMade(self.unreachable()),
            Phase::Asking { authority, asked_at } => self.silent(&authority, asked_at, AttemptError::Timeout),
        }
    }
}

/// No byte of an answer.
struct Silent;

/// Asks, and reads the head of the answer and not a byte more; `None` if that is no head.
async fn exchange(tcp: &mut TcpStream, request: &[u8]) -> Result<Option<BytesMut>, Silent> {
    let mut buffer = BytesMut::with_capacity(1024);
    let mut searched = 0;
    tcp.write_all(request).await.map_err(|_| Silent)?;
    loop {
        let read = tcp.read_buf(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return if buffer.is_empty() { Err(Silent) } else { Ok(None) };
        }
        if let Some(end) = end_of_head(&buffer, searched) {
            // behind a refusal is a text for people; in a tunnel a receiver does not speak first
            let is_clean = end == buffer.len() || status(&buffer).is_some_and(|status| status >= 300);
            return Ok(is_clean.then(|| buffer.split_to(end)));
        }
        if !begins_like_http(&buffer) || buffer.len() > MAX_ANSWER_BYTES {
            return Ok(None);
        }
        searched = buffer.len();
    }
}

/// Of `HTTP/1.x NNN`.
fn status(head: &[u8]) -> Option<u16> {
    let code = head.get(8..12)?.strip_prefix(b" ").filter(|_| begins_like_http(head))?;
    std::str::from_utf8(code).ok()?.parse().ok().filter(|code| *code >= 100)
}

fn answer(head: &[u8]) -> Answer {
    match status(head) {
        Some(200..=299) => Answer::Connected,
        Some(407) if head.split(|byte| *byte == b'\n').any(is_forbidding) => Answer::Outcome(ProxyFault::Refused),
        Some(407) => Answer::Fault(LocalFault::ProxyCredentials),
        // no proxy, or one that is asked too often: both whatever it is asked for
        Some(405 | 429 | 501) => Answer::Fault(LocalFault::ProxyAnswer),
        Some(504) => Answer::Outcome(ProxyFault::Timeout),
        Some(500..=599) => Answer::Outcome(ProxyFault::Unreachable),
        Some(400..=499) => Answer::Outcome(ProxyFault::Refused),
        _ => Answer::Fault(LocalFault::ProxyAnswer),
    }
}

fn is_forbidding(line: &[u8]) -> bool {
    line.get(..FORBIDDEN_HEADER.len()).is_some_and(|name| name.eq_ignore_ascii_case(FORBIDDEN_HEADER))
}

/// What an attempt waits for.
#[derive(Debug, Clone, Default)]
enum Phase {
    /// Nothing of the proxy's.
    #[default]
    Elsewhere,
    /// A connection to the proxy.
    Connecting,
    /// Its answer about this one.
    Asking { authority: Box<str>, asked_at: Instant },
}

tokio::task_local! {
    /// awc passes nothing on to its connector.
    static WAITING: Waiting;
}

/// Tells, when an attempt's time is over, what it was waiting for.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting(Rc<RefCell<Phase>>);

impl Waiting {
    /// The future of an attempt, which is watched.
    pub(super) async fn during<T>(&self, attempt: impl Future<Output = T>) -> T {
        WAITING.scope(self.clone(), attempt).await
    }

    fn phase(&self) -> Phase {
        self.0.borrow().clone()
    }

    /// From now on. A future that is dropped because its time is over leaves what it was.
    fn enter(phase: Phase) {
        // an error: an attempt that nobody watches
        let _ = WAITING.try_with(|waiting| waiting.0.replace(phase));
    }
}
