//! A name server on 127.0.0.1 that answers each question as scripted: over UDP, and over TCP after a truncated answer.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// In lower case, with the dot at its end.
    pub name: String,
    /// How many were asked before.
    pub number: usize,
    /// Whether it is about A; AAAA otherwise.
    pub is_v4: bool,
    /// Whether it came with EDNS.
    pub has_edns: bool,
    /// Whether it came over TCP.
    pub is_tcp: bool,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Nothing at all.
    Silence,
    /// Those of the addresses that the question asks for; none at all is NXDOMAIN.
    Addresses(Vec<IpAddr>),
    /// The name stands for the first of these, each for the next, and the last has these addresses.
    Alias(Vec<&'static str>, Vec<IpAddr>),
    /// No address, and no error.
    Empty,
    /// This response code.
    Code(u8),
    /// This response code in a header, and nothing else.
    BareCode(u8),
    /// Nothing, marked as cut short.
    CutShort,
    /// Bytes that are no message, after the header of a good answer.
    Garbage,
    /// The other reply, so much later.
    Late(Duration, Box<Reply>),
}

pub const FORMERR: u8 = 1;
pub const SERVFAIL: u8 = 2;
pub const NXDOMAIN: u8 = 3;
pub const NOTIMP: u8 = 4;
pub const REFUSED: u8 = 5;

/// It runs as long as the process.
pub struct NameServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl NameServer {
    /// `None` leaves the question without an answer; no address is NXDOMAIN.
    pub fn start(answer: impl Fn(&str) -> Option<Vec<IpAddr>> + Send + 'static) -> Self {
        Self::replying(move |question| answer(&question.name).map_or(Reply::Silence, Reply::Addresses))
    }

    pub fn replying(reply: impl Fn(&Question) -> Reply + Send + 'static) -> Self {
        let (socket, listener) = sockets();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::new(Mutex::new(reply));
        let (all, tell) = (Arc::clone(&asked), Arc::clone(&reply));
        thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let question = note(&all, &packet[..length], false);
                let reply = tell.lock().unwrap()(&question);
                let (packet, socket) = (packet[..length].to_vec(), socket.try_clone().unwrap());
                // the client may be gone
                when(reply, move |reply| {
                    drop(written(&packet, &reply).map(|answer| socket.send_to(&answer, client)))
                });
            }
        });
        let all = Arc::clone(&asked);
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_ok() {
                    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut packet).unwrap();
                    let reply = reply.lock().unwrap()(&note(&all, &packet, true));
                    let answer = written(&packet, &reply).unwrap_or_default();
                    let _ = stream.write_all(&[&(answer.len() as u16).to_be_bytes(), &answer[..]].concat());
                }
            }
        });
        Self { address, asked }
    }

    /// The questions so far.
    pub fn questions(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }

    /// The names that were asked for, each once, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.questions().into_iter().map(|question| question.name).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Of one port.
fn sockets() -> (UdpSocket, TcpListener) {
    let mut tries = (0..100).map(|_| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Ok((UdpSocket::bind(listener.local_addr()?)?, listener))
    });
    let is_there = |found: std::io::Result<_>| found.ok();
    tries.find_map(is_there).expect("a port that is free for both")
}

fn note(asked: &Mutex<Vec<Question>>, packet: &[u8], is_tcp: bool) -> Question {
    let (name, end) = question(packet);
    let mut asked = asked.lock().unwrap();
    let question = Question {
        name: name.to_lowercase(),
        number: asked.len(),
        is_v4: packet[end - 3] == 1,
        has_edns: packet[11] == 1,
        is_tcp,
    };
    asked.push(question.clone());
    question
}

fn when(reply: Reply, send: impl FnOnce(Reply) + Send + 'static) {
    match reply {
        Reply::Late(delay, reply) => drop(thread::spawn(move || {
            // this is what a slow server does
            thread::sleep(delay);
            send(*reply);
        })),
        reply => send(reply),
    }
}

/// The bytes of an answer, if there is one.
fn written(packet: &[u8], reply: &Reply) -> Option<Vec<u8>> {
    let question = &packet[..question(packet).1];
    let with = |flags: [u8; 2]| {
        let mut answer = question.to_vec();
        answer[2..12].copy_from_slice(&[flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0]);
        answer
    };
    Some(match reply {
        Reply::Silence => return None,
        Reply::Addresses(addresses) => answer(question, &[], addresses),
        Reply::Alias(names, addresses) => answer(question, names, addresses),
        Reply::Empty => with([0x81, 0x80]),
        Reply::Code(code) => with([0x81, 0x80 | code]),
        Reply::BareCode(code) => [&question[..2], &[0x81, 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
        Reply::CutShort => with([0x83, 0x80]),
        Reply::Garbage => [&question[..2], &[0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0, 0xc0]].concat(),
        Reply::Late(_, reply) => return written(packet, reply),
    })
}

/// The name that is asked for, and where the question ends (RFC 1035, section 4.1.2).
fn question(packet: &[u8]) -> (String, usize) {
    let (mut name, mut at) = (String::new(), 12);
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        name.push_str(&String::from_utf8_lossy(&packet[at + 1..=at + length]));
        name.push('.');
        at += length + 1;
    }
    (name, at + 5)
}

fn answer(question: &[u8], aliases: &[&str], addresses: &[IpAddr]) -> Vec<u8> {
    let wants_v4 = question[question.len() - 3] == 1;
    let matching: Vec<_> = addresses.iter().filter(|address| address.is_ipv4() == wants_v4).collect();
    let code = if addresses.is_empty() && aliases.is_empty() { 3 } else { 0 };
    let count = (aliases.len() + matching.len()) as u8;
    let mut answer = question.to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    // a pointer to the name in the question
    let mut owner = vec![0xc0, 12];
    for alias in aliases {
        let name = encoded(alias);
        record(&mut answer, &owner, 5, &name);
        owner = name;
    }
    for address in matching {
        match address {
            IpAddr::V4(address) => record(&mut answer, &owner, 1, &address.octets()),
            IpAddr::V6(address) => record(&mut answer, &owner, 28, &address.octets()),
        }
    }
    answer
}

fn record(answer: &mut Vec<u8>, owner: &[u8], kind: u8, data: &[u8]) {
    answer.extend_from_slice(owner);
    answer.extend_from_slice(&[0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
    answer.extend_from_slice(data);
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
