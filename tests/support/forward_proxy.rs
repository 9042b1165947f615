//! A forward proxy that does what a test says: it serves, lies, hangs, or says no.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::raw_receiver::PATIENCE;

/// What a proxy does with a request.
pub enum Act {
    /// Connects there, and says so if it was asked for a tunnel.
    To(SocketAddr),
    /// Says this and closes.
    Say(Vec<u8>),
    /// Says this again and again.
    Flood(&'static [u8]),
    Hang,
}

/// A forward proxy that does what the test says.
pub struct ForwardProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    pub fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), act)
    }

    pub fn on(listener: TcpListener, act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let (asked, act) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(act));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let (seen, act) = (Arc::clone(&seen), Arc::clone(&act));
                std::thread::spawn(move || serve(near, &seen, &*act));
            }
        });
        Self { address, asked }
    }

    pub fn to(target: SocketAddr) -> Self {
        Self::start(move |_| Act::To(target))
    }

    pub fn saying(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::start(move |_| Act::Say(answer.clone()))
    }

    /// The heads of requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Their first lines.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|head| head.lines().next().unwrap().to_owned()).collect()
    }
}

fn serve(mut near: TcpStream, seen: &Mutex<Vec<String>>, act: &dyn Fn(&str) -> Act) {
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match near.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8(head.clone()).unwrap();
    seen.lock().unwrap().push(text.clone());
    // the other side may be gone
    match act(&text) {
        Act::To(target) => {
            let mut far = TcpStream::connect(target).unwrap();
            match text.starts_with("CONNECT ") {
                true => near.write_all(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 test\r\n\r\n").unwrap(),
                false => far.write_all(&head).unwrap(),
            }
            let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || copy(far_again, near_again));
            copy(near, far);
        }
        Act::Say(bytes) => {
            let _ = near.write_all(&bytes);
        }
        Act::Flood(bytes) => while near.write_all(bytes).is_ok() {},
        Act::Hang => {
            let _ = near.read_to_end(&mut Vec::new());
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
