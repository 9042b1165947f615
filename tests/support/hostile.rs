//! Receivers that mean harm, one row for each that the security rules name.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use rustls::ServerConfig;

use crate::authority::{Authority, self_signed_server};
use crate::raw_receiver::{Connection, PATIENCE, Receiver};

/// The list of the security rules, word for word.
pub const LIST: &str = "accepts and never answers; sends a header byte every 5 s; never reads our body; \
    resets mid-body; closes before answering; endless body after 200; content-length of 1 TiB; \
    content-length too short or too long; gzip bomb; 100 then 200; 101; \
    an extra `HTTP/1.1 200` after the reply on a kept-alive connection; 97 headers; 200 KiB of headers; \
    204 with a body; HTTP/0.9 text; redirect loop; Retry-After of -1, NaN, 1e308 or year 9999; \
    expired, self-signed or wrong-host certificate; TLS stall after the hello; \
    NUL, invalid UTF-8 or `<script>` in body and headers; keep-alive closed just as we send; 410";

/// What was met since: receivers that mean no harm.
pub const MET_IN_USE: &str = "a line in the head that is not a header; answers from the head and reads no further";

/// What a receiver's behaviour must be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// An answer with this status.
    Answer(u16),
    /// No answer, for this reason.
    Error(&'static str),
}

/// What happens to a connection when its receiver has done its part.
pub enum Then {
    /// The receiver closes it.
    Close,
    /// The receiver keeps it, and waits for the other side to close it.
    Hold,
    /// The same, and nothing is read from it before [`Hostile::release`].
    HoldUnread,
}

/// How it is reached.
enum Over {
    /// With TLS and without.
    Both,
    /// A TCP socket behind an `https:` URL.
    StalledTls,
    /// TLS with a certificate that is not good.
    Certificate(fn(&Authority) -> ServerConfig),
}

pub struct Behaviour {
    /// As in [`LIST`]; several rows may share one.
    pub phrase: &'static str,
    over: Over,
    does: fn(&mut Connection) -> Then,
    /// One of these.
    pub means: &'static [Means],
}

use Means::{Answer, Error};

const fn both(phrase: &'static str, means: &'static [Means], does: fn(&mut Connection) -> Then) -> Behaviour {
    Behaviour { phrase, over: Over::Both, does, means }
}

const fn certificate(make: fn(&Authority) -> ServerConfig) -> Behaviour {
    let phrase = "expired, self-signed or wrong-host certificate";
    Behaviour { phrase, over: Over::Certificate(make), does: ok, means: &[Error("tls_failure")] }
}

pub const BEHAVIOURS: &[Behaviour] = &[
    both("accepts and never answers", &[Error("timeout")], |_| Then::Hold),
    both("sends a header byte every 5 s", &[Error("timeout")], |connection| {
        connection.read_request();
        let mut head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".iter().cycle();
        // never woken: its timeout is the pace, a little faster than the rules', as the deadline is shorter
        let (_awake, pace) = mpsc::channel::<()>();
        while head.next().is_some_and(|&byte| connection.send([byte])) {
            let _ = pace.recv_timeout(Duration::from_millis(200));
        }
        Then::Hold
    }),
    both("never reads our body", &[Error("timeout")], |connection| {
        // a little, so that TLS comes about
        let _ = connection.channel.read(&mut [0; 10]);
        Then::HoldUnread
    }),
    // the head arrived before the reset
    both("resets mid-body", &[Answer(200)], |connection| {
        let _ = connection.channel.read(&mut [0; 10]);
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        // what is left unread makes a reset of the close
        Then::Close
    }),
    both("closes before answering", &[Error("connection_reset")], |connection| {
        connection.read_request();
        Then::Close
    }),
    both("closes before answering", &[Error("connection_reset"), Error("tls_failure")], |_| Then::Close),
    both("endless body after 200", &[Answer(200)], |connection| {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        while connection.send([b'x'; 4096]) {}
        Then::Hold
    }),
    both("endless body after 200", &[Answer(200)], |connection| {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
        while connection.send(&chunk) {}
        Then::Hold
    }),
    both("content-length of 1 TiB", &[Answer(200)], |connection| {
        answering(connection, "HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\nshort")
    }),
    both("content-length too short or too long", &[Answer(200)], |connection| {
        answering(connection, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\ntoo long")
    }),
    both("content-length too short or too long", &[Answer(200)], |connection| {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
        Then::Close
    }),
    both("gzip bomb", &[Answer(200)], |connection| {
        let bomb = gzip_bomb();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
        answering(connection, [head.as_bytes(), &bomb].concat())
    }),
    both("100 then 200", &[Answer(200)], |connection| {
        answering(connection, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    }),
    both("101", &[Error("invalid_response")], |connection| {
        answering(connection, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
    }),
    both("an extra `HTTP/1.1 200` after the reply on a kept-alive connection", &[Answer(500)], |connection| {
        let extra = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        answering(connection, format!("HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\nno{extra}{extra}"))
    }),
    both("97 headers", &[Answer(200)], |connection| {
        let many: String = (0..97).map(|number| format!("x-{number}: y\r\n")).collect();
        answering(connection, format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\nok"))
    }),
    both("200 KiB of headers", &[Error("invalid_response")], |connection| {
        let many = format!("x: {}\r\n", "y".repeat(1019)).repeat(200);
        answering(connection, format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\nok"))
    }),
    both("204 with a body", &[Answer(204)], |connection| {
        answering(connection, "HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nbody")
    }),
    both("HTTP/0.9 text", &[Error("invalid_response")], |connection| {
        answering(connection, "<html>no head at all</html>\n")
    }),
    both("redirect loop", &[Answer(302)], |connection| {
        answering(connection, "HTTP/1.1 302 Found\r\nlocation: /hook\r\ncontent-length: 0\r\n\r\n")
    }),
    both("Retry-After of -1, NaN, 1e308 or year 9999", &[Answer(503)], |connection| busy(connection, "-1")),
    both("Retry-After of -1, NaN, 1e308 or year 9999", &[Answer(503)], |connection| busy(connection, "NaN")),
    both("Retry-After of -1, NaN, 1e308 or year 9999", &[Answer(503)], |connection| busy(connection, "1e308")),
    both("Retry-After of -1, NaN, 1e308 or year 9999", &[Answer(503)], |connection| {
        busy(connection, "Fri, 31 Dec 9999 23:59:59 GMT")
    }),
    certificate(|authority| {
        authority.server("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1))
    }),
    certificate(|_| self_signed_server("127.0.0.1")),
    certificate(|authority| authority.server("other.example", |_| {})),
    Behaviour {
        phrase: "TLS stall after the hello",
        over: Over::StalledTls,
        does: |_| Then::Hold,
        means: &[Error("timeout")],
    },
    both("NUL, invalid UTF-8 or `<script>` in body and headers", &[Answer(200)], |connection| {
        let head =
            b"HTTP/1.1 200 OK\r\nx-nul: a\0b\r\nx-bytes: \xff\xfe\r\nx-script: <script>alert(1)</script>\r\n";
        let length = format!("content-length: {}\r\n\r\n", ODD_BODY.len());
        answering(connection, [&head[..], length.as_bytes(), ODD_BODY].concat())
    }),
    both("keep-alive closed just as we send", &[Answer(200)], |connection| {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        // reads the next request, so that the close can't be seen before it is sent
        connection.read_request();
        Then::Close
    }),
    both("410", &[Answer(410)], |connection| {
        answering(connection, "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")
    }),
    both("a line in the head that is not a header", &[Answer(200)], |connection| {
        answering(connection, "HTTP/1.1 200 OK\r\nPHP Warning: oops\r\n\0\r\ncontent-length: 2\r\n\r\nok")
    }),
    both("a line in the head that is not a header", &[Answer(429)], |connection| {
        answering(connection, "HTTP/1.1 429 x\r\nretry-after: 5\r\nno colon\r\ncontent-length: 2\r\n\r\nno")
    }),
    both("answers from the head and reads no further", &[Answer(413)], |connection| {
        connection.read_head();
        connection.send("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno");
        Then::HoldUnread
    }),
    both("answers from the head and reads no further", &[Answer(413)], |connection| {
        connection.read_head();
        connection.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
        // what is left unread makes a reset of the close
        Then::Close
    }),
];

/// What the one with `<script>` sends.
pub const ODD_BODY: &[u8] = b"\0 \xff\xc3\x28 <script>alert(1)</script>";

fn ok(connection: &mut Connection) -> Then {
    answering(connection, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

fn busy(connection: &mut Connection, retry_after: &str) -> Then {
    answering(
        connection,
        format!("HTTP/1.1 503 Busy\r\nretry-after: {retry_after}\r\ncontent-length: 2\r\n\r\nno"),
    )
}

/// To every request.
fn answering(connection: &mut Connection, bytes: impl AsRef<[u8]>) -> Then {
    while connection.read_request().is_some() {
        connection.send(bytes.as_ref());
    }
    Then::Hold
}

/// 256 KiB that would become 40 MiB: one zero byte, repeated as often as DEFLATE can say (RFC 1951, section 3.2.6).
pub fn gzip_bomb() -> Vec<u8> {
    let mut bits = String::from("110");
    bits.push_str("00110000");
    // length 258, distance 1
    bits.push_str(&"1100010100000".repeat(256 * 1024 * 8 / 13));
    bits.push_str("0000000");
    let packed = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |packed, (at, bit)| packed | (bit - b'0') << at));
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    header.into_iter().chain(packed).chain([0; 8]).collect()
}

/// A receiver that behaves like that.
pub struct Hostile {
    pub behaviour: &'static Behaviour,
    /// For messages: the phrase and how it is reached.
    pub name: String,
    pub url: String,
    pub receiver: Receiver,
    /// One message for each connection that has ended: whether the other side closed it (or the receiver did).
    gone: mpsc::Receiver<bool>,
    released: Arc<(Mutex<bool>, Condvar)>,
}

impl Hostile {
    /// All of them, with TLS and without.
    pub fn all(authority: &Authority) -> Vec<Self> {
        let mut all = Vec::new();
        for behaviour in BEHAVIOURS {
            match behaviour.over {
                Over::Both => {
                    all.push(Self::start(behaviour, None, false));
                    all.push(Self::start(behaviour, Some(authority.server("127.0.0.1", |_| {})), true));
                }
                Over::StalledTls => all.push(Self::start(behaviour, None, true)),
                Over::Certificate(make) => all.push(Self::start(behaviour, Some(make(authority)), true)),
            }
        }
        all
    }

    fn start(behaviour: &'static Behaviour, tls: Option<ServerConfig>, is_https: bool) -> Self {
        let (sender, gone) = mpsc::channel();
        let released = Arc::<(Mutex<bool>, Condvar)>::default();
        let release = Arc::clone(&released);
        let handler = move |mut connection: Connection| {
            let is_gone = match (behaviour.does)(&mut connection) {
                Then::Close => true,
                Then::Hold => connection.is_closed_in_time(),
                Then::HoldUnread => {
                    let held = release.1.wait_timeout_while(release.0.lock().unwrap(), PATIENCE, |is| !*is);
                    drop(held.unwrap());
                    connection.is_closed_in_time()
                }
            };
            drop(connection);
            // nobody may be interested
            let _ = sender.send(is_gone);
        };
        let receiver = match tls {
            Some(config) => Receiver::start_tls(config, handler),
            None => Receiver::start(handler),
        };
        let (url, over) = match is_https {
            true => (receiver.https_url(), "TLS"),
            false => (receiver.url(), "TCP"),
        };
        Self { behaviour, name: format!("{} ({over})", behaviour.phrase), url, receiver, gone, released }
    }

    /// Lets go of what it holds unread.
    pub fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
    }

    /// Fails when the other side holds on to a connection.
    pub fn assert_every_connection_is_closed(&self) {
        self.release();
        for _ in 0..self.receiver.connections() {
            let is_gone =
                self.gone.recv_timeout(PATIENCE * 2).unwrap_or_else(|_| panic!("{}: held on to", self.name));
            assert!(is_gone, "{}: a connection was held on to", self.name);
        }
    }
}
