//! The name servers, asked in the order in which they are listed (contract, "Names").
//!
//! Each server has a turn. The next one is asked when it refuses, or when its turn is over; a later reply counts as well,
//! so a slow server is not lost. A reply without an address decides only when it comes from the first server that replies
//! properly: while an earlier server may still reply, it waits for one more turn.
//!
//! The order never changes. A silent server keeps its place and has short turns until it replies: so a dead server costs
//! little in each lookup, and the next lookup notices when it is back.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hickory_proto::op::{Message, Query, ResponseCode};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, DnsAnswer};
use super::question;
use crate::domain::attempt::LocalFault;
use crate::transport::local_failure::local_fault;

/// How long a server has before the next one is asked in parallel. Larger: with a dead first server, attempts with a short
/// timeout end before the second one is asked. Smaller: a reply without an address from the second one counts before a
/// slow first one has found the address.
const TURN: Duration = Duration::from_secs(1);
/// The turn of a silent server. Larger: a dead server costs this much of every lookup. Smaller: a server that is back, and
/// has to ask others first, is not noticed.
const TURN_OF_SILENT: Duration = Duration::from_millis(250);
/// All turns of a round together, however many servers there are.
const ROUND: Duration = Duration::from_secs(3);
/// A packet can be lost, so every server is asked twice; the second time without EDNS, which some networks drop.
const ROUNDS: usize = 2;
/// How long to wait for outstanding replies when no server is left to ask.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Turns without a reply after which a server counts as silent. One: a single lost packet would suffice.
const MISSES_OF_SILENT: u8 = 2;

/// Why a lookup found no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookupFailure {
    /// The first server that replied properly says that there is no such name.
    NoSuchName,
    /// It says that the name has no address.
    NoAddress,
    /// No server replied properly, and one refused or failed.
    ServerFailure,
    /// No server replied.
    Silence,
    /// No server could be asked.
    Local(LocalFault),
}

impl LookupFailure {
    /// The more helpful of two reasons.
    pub(super) fn or(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Self::NoSuchName => 0,
            Self::NoAddress => 1,
            Self::ServerFailure => 2,
            Self::Silence => 3,
            Self::Local(_) => 4,
        }
    }
}

/// The name servers in the configured order.
pub(super) struct Servers(Vec<Server>);

struct Server {
    address: SocketAddr,
    /// It refused EDNS and replied without it.
    is_plain: Cell<bool>,
    /// Turns in a row without a reply.
    misses: Cell<u8>,
    heard_at: Cell<Option<Instant>>,
}

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        Self(addresses.iter().copied().map(Server::new).collect())
    }

    /// Asks until there is a proper reply. Ends within [`ROUNDS`] × [`ROUND`] + [`LAST_WAIT`].
    pub(super) async fn ask(&self, query: &Query) -> Result<DnsAnswer, LookupFailure> {
        let mut asked = PendingQuestions { running: FuturesUnordered::new(), waiting: Vec::new(), miss: None };
        for round in 0..ROUNDS {
            for (place, server) in self.0.iter().enumerate() {
                let turn = server.begin_turn();
                let length = self.turn_of(server);
                asked.put(place, length, server.answer(query, round == 0));
                if let Some(answer) = asked.answer(turn.begun + length, place).await {
                    return Ok(answer);
                }
            }
        }
        let nobody = self.0.len();
        match asked.answer(Instant::now() + LAST_WAIT, nobody).await {
            Some(answer) => Ok(answer),
            None => Err(asked.why()),
        }
    }

    fn turn_of(&self, server: &Server) -> Duration {
        let turn = if server.misses.get() < MISSES_OF_SILENT { TURN } else { TURN_OF_SILENT };
        turn.min(ROUND / u32::try_from(self.0.len()).unwrap_or(u32::MAX))
    }
}

/// The questions of one lookup that have no reply yet.
struct PendingQuestions<'a> {
    running: FuturesUnordered<LocalBoxFuture<'a, (usize, Result<DnsAnswer, LookupFailure>)>>,
    /// The places of the servers asked, and the lengths of their turns.
    waiting: Vec<(usize, Duration)>,
    miss: Option<LookupFailure>,
}

impl<'a> PendingQuestions<'a> {
    fn put(
        &mut self,
        place: usize,
        turn: Duration,
        question: impl Future<Output = Result<DnsAnswer, LookupFailure>> + 'a,
    ) {
        self.waiting.push((place, turn));
        self.running.push(Box::pin(async move { (place, question.await) }));
    }

    /// The reply that decides; `None` at `until`, or when the server whose turn it is refuses.
    async fn answer(&mut self, until: Instant, current: usize) -> Option<DnsAnswer> {
        while let Some((place, result)) = self.next(until).await {
            match result {
                Ok(answer @ DnsAnswer::Empty { .. }) => return Some(self.unless_earlier(place, answer).await),
                Ok(answer) => return Some(answer),
                Err(_) if place == current => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Gives earlier servers another turn to reply, since their replies take precedence.
    async fn unless_earlier(&mut self, mut place: usize, mut answer: DnsAnswer) -> DnsAnswer {
        let turns = self.waiting.iter().filter(|(other, _)| *other < place).map(|(_, turn)| *turn);
        let until = Instant::now() + turns.max().unwrap_or_default();
        while self.waiting.iter().any(|(other, _)| *other < place) {
            let Some((other, result)) = self.next(until).await else { break };
            match result {
                Ok(empty @ DnsAnswer::Empty { .. }) if other < place => (place, answer) = (other, empty),
                Ok(found) if other < place => return found,
                _ => {}
            }
        }
        answer
    }

    /// The next reply of any server; `None` if there is none by `until`.
    async fn next(&mut self, until: Instant) -> Option<(usize, Result<DnsAnswer, LookupFailure>)> {
        let (place, result) = timeout_at(until, self.running.next()).await.ok()??;
        if let Some(index) = self.waiting.iter().position(|(other, _)| *other == place) {
            self.waiting.swap_remove(index);
        }
        if let Err(miss) = result {
            self.miss = Some(self.miss.map_or(miss, |earlier| earlier.or(miss)));
        }
        Some((place, result))
    }

    /// Why there is no address.
    fn why(&self) -> LookupFailure {
        self.miss.unwrap_or(LookupFailure::Silence)
    }
}

impl Server {
    fn new(address: SocketAddr) -> Self {
        Self { address, is_plain: Cell::new(false), misses: Cell::new(0), heard_at: Cell::new(None) }
    }

    fn begin_turn(&self) -> ServerTurn<'_> {
        ServerTurn { server: self, begun: Instant::now() }
    }

    async fn answer(&self, query: &Query, with_edns: bool) -> Result<DnsAnswer, LookupFailure> {
        let with_edns = with_edns && !self.is_plain.get();
        let mut reply = self.reply(query, with_edns).await?;
        if with_edns && refuses_edns(&reply) {
            reply = self.reply(query, false).await?;
            self.is_plain.set(!refuses_edns(&reply));
        }
        answer::read(&reply, query).ok_or_else(|| {
            let code = reply.metadata.response_code;
            tracing::debug!(server = %self.address, ?code, "a name server refused or failed");
            LookupFailure::ServerFailure
        })
    }

    async fn reply(&self, query: &Query, with_edns: bool) -> Result<Message, LookupFailure> {
        match question::ask(self.address, query, with_edns).await {
            Ok(reply) => {
                self.misses.set(0);
                self.heard_at.set(Some(Instant::now()));
                Ok(reply)
            }
            Err(error) => {
                tracing::debug!(server = %self.address, %error, "a name server could not be asked");
                Err(local_fault(&error, self.address).map_or(LookupFailure::ServerFailure, LookupFailure::Local))
            }
        }
    }
}

/// RFC 6891, section 7: servers that don't support EDNS, or not this version of it, reply with one of these.
fn refuses_edns(reply: &Message) -> bool {
    use ResponseCode::{BADSIG, BADVERS, FormErr, NotImp};
    matches!(reply.metadata.response_code, FormErr | NotImp | BADVERS | BADSIG)
}

/// One turn of a server. A silent turn is counted on drop, so that it counts even when the lookup is abandoned because its
/// attempt timed out.
struct ServerTurn<'a> {
    server: &'a Server,
    begun: Instant,
}

impl Drop for ServerTurn<'_> {
    fn drop(&mut self) {
        let server = self.server;
        let was_heard = server.heard_at.get().is_some_and(|at| at >= self.begun);
        let enough = TURN_OF_SILENT * 9 / 10;
        if !was_heard && self.begun.elapsed() >= enough {
            tracing::debug!(server = %server.address, "a name server did not reply in its turn");
            server.misses.set(server.misses.get().saturating_add(1));
        }
    }
}
