//! The name servers, asked in the order in which they are listed (contract, "Names").
//!
//! A server has its turn. The next one is asked when it refuses, or when its turn is over; what it says later counts
//! as well, so a slow server is no dead one. An answer without an address decides only when it comes from the first
//! server that answers properly: while one before it may still answer, it waits for a turn more.
//!
//! The order never changes. A server that was silent stays where it is and has short turns until it says something:
//! so a dead one costs little of each look-up, and one that is back is noticed by the next.

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

/// How long a server has before the next one is asked beside it. Larger: with a dead first server, attempts with a
/// short timeout are over before the second one is asked. Smaller: an answer without an address of the second one
/// counts before a slow first one has found the address.
const TURN: Duration = Duration::from_secs(1);
/// Of a server that was silent. Larger: a dead server costs that much of every look-up. Smaller: one that is back and
/// has to ask others first is not heard.
const TURN_OF_SILENT: Duration = Duration::from_millis(250);
/// All turns of a round together, however many servers there are.
const ROUND: Duration = Duration::from_secs(3);
/// A packet can be lost, so every server is asked twice; the second time without EDNS, which some networks drop.
const ROUNDS: usize = 2;
/// How long is waited for those that were asked when nobody is left to ask.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Turns without a word after which a server is silent. One: a single lost packet would do.
const MISSES_OF_SILENT: u8 = 2;

/// Why there is no address; what is more to the point for a person is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookupFailure {
    /// The first server that answered says that there is no such name.
    NoSuchName,
    /// It says that the name has no address.
    NoAddress,
    /// No server answered properly, and one refused or failed.
    ServerFailure,
    /// No server said anything.
    Silence,
    /// No server could be asked.
    Local(LocalFault),
}

impl LookupFailure {
    /// Of two reasons the one to tell.
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

/// In their order.
pub(super) struct Servers(Vec<Server>);

struct Server {
    address: SocketAddr,
    /// It refused EDNS, and answered without.
    is_plain: Cell<bool>,
    /// Turns in a row without a word.
    misses: Cell<u8>,
    heard_at: Cell<Option<Instant>>,
}

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        Self(addresses.iter().copied().map(Server::new).collect())
    }

    /// Asks until there is a proper answer. Ends within [`ROUNDS`] × [`ROUND`] + [`LAST_WAIT`].
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

/// The questions of one look-up that are under way.
struct PendingQuestions<'a> {
    running: FuturesUnordered<LocalBoxFuture<'a, (usize, Result<DnsAnswer, LookupFailure>)>>,
    /// The places of those servers, and how long their turns are.
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

    /// The answer that decides, unless `until` comes first, or a refusal of the server whose turn it is.
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

    /// What servers before this one say within another turn comes first.
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

    /// What comes next of all that were asked; `None` when nothing does until then.
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

    /// Some refused and some said nothing: who spoke is told, because that is what can be looked into.
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
            tracing::debug!(server = %self.address, ?code, "a name server gave no proper answer");
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

/// RFC 6891, section 7: servers that don't know EDNS, or not this version of it, say one of these.
fn refuses_edns(reply: &Message) -> bool {
    use ResponseCode::{BADSIG, BADVERS, FormErr, NotImp};
    matches!(reply.metadata.response_code, FormErr | NotImp | BADVERS | BADSIG)
}

/// One turn of a server. A look-up that is given up halfway (its attempt's timeout is shorter) learns from it too.
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
            tracing::debug!(server = %server.address, "a name server said nothing in its turn");
            server.misses.set(server.misses.get().saturating_add(1));
        }
    }
}
