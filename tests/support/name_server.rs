//! A name server over UDP, on 127.0.0.1, that answers each question as it is told.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// In lower case, with the dot at its end.
    pub name: String,
    /// How many were asked before.
    pub number: usize,
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
}

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
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let (name, end) = question(&packet[..length]);
                let number = all.lock().unwrap().len();
                let question = Question { name: name.to_lowercase(), number };
                all.lock().unwrap().push(question.clone());
                let answer = match reply(&question) {
                    Reply::Silence => continue,
                    Reply::Addresses(addresses) => answer(&packet[..end], &[], &addresses),
                    Reply::Alias(names, addresses) => answer(&packet[..end], &names, &addresses),
                };
                // the client may be gone
                let _ = socket.send_to(&answer, client);
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
