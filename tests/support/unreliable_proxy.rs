//! A TCP proxy that loses some requests, and sends others again later, when newer ones have long been answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Every so many requests one is lost: its connection closes without an answer.
const LOST: usize = 5;
/// So many requests wait to be sent again; then they are, the newest first.
const REPEATED_TOGETHER: usize = 4;

/// It runs until the test process ends.
pub struct UnreliableProxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Nobody, before [`UnreliableProxy::lead_to`].
    target: Mutex<Option<SocketAddr>>,
    requests: AtomicUsize,
    repeated: AtomicUsize,
    waiting: Mutex<Vec<Vec<u8>>>,
}

impl UnreliableProxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let of_connections = shared.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let shared = of_connections.clone();
                std::thread::spawn(move || shared.connect(near));
            }
        });
        Self { address, shared }
    }

    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap() = Some(target);
    }

    /// Requests that were sent again, and answered.
    pub fn repeated(&self) -> usize {
        self.shared.repeated.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Without a request in the air there is one read for each: they are small, and not pipelined.
    fn connect(&self, mut near: TcpStream) {
        let target = *self.target.lock().unwrap();
        // dropped: whoever connected sees that it is closed
        let Some(mut far) = target.and_then(|target| TcpStream::connect(target).ok()) else { return };
        let (mut back_from, mut back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        std::thread::spawn(move || {
            // ends with the connection
            let _ = std::io::copy(&mut back_from, &mut back_to);
        });
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = near.read(&mut buffer) {
            let request = &buffer[..read];
            if self.requests.fetch_add(1, Ordering::Relaxed) % LOST == LOST - 1 || far.write_all(request).is_err()
            {
                break;
            }
            self.repeat_later(request);
        }
        let _ = near.shutdown(std::net::Shutdown::Both);
        let _ = far.shutdown(std::net::Shutdown::Both);
    }

    fn repeat_later(&self, request: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.push(request.to_vec());
        if waiting.len() < REPEATED_TOGETHER {
            return;
        }
        let together = std::mem::take(&mut *waiting);
        drop(waiting);
        for request in together.iter().rev() {
            self.repeat(request);
        }
    }

    fn repeat(&self, request: &[u8]) {
        let Some(mut far) = self.target.lock().unwrap().and_then(|target| TcpStream::connect(target).ok()) else {
            return;
        };
        let was_sent = far.write_all(request).is_ok();
        if was_sent && matches!(far.read(&mut [0; 1]), Ok(1)) {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }
}
