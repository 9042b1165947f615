//! Receivers that speak to the socket themselves, so that they can misbehave. On 127.0.0.1, in threads of their own.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Bounds every wait of the tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub trait Channel: Read + Write + Send {}
impl<T: Read + Write + Send> Channel for T {}

/// One connection, seen from the receiver.
pub struct Connection {
    pub channel: Box<dyn Channel>,
    /// From 0.
    pub number: usize,
    requests: mpsc::Sender<Vec<u8>>,
    /// What is below the channel.
    socket: TcpStream,
}

/// A receiver that handles each connection with a given function.
pub struct Receiver {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Mutex<mpsc::Receiver<Vec<u8>>>,
}

impl Receiver {
    pub fn start(handler: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::on([127, 0, 0, 1], handler)
    }

    /// On another loopback address.
    pub fn on(address: impl Into<IpAddr>, handler: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::launch(address.into(), None, handler)
    }

    pub fn start_tls(config: ServerConfig, handler: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::launch([127, 0, 0, 1].into(), Some(Arc::new(config)), handler)
    }

    /// Answers every request of every connection with these bytes.
    pub fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::start(move |mut connection| {
            while connection.read_request().is_some() {
                connection.send(answer.as_ref());
            }
        })
    }

    fn launch(
        address: IpAddr,
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(Connection) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (sender, requests) = mpsc::channel();
        let (counter, handler) = (Arc::clone(&connections), Arc::new(handler));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_write_timeout(Some(PATIENCE)).unwrap();
                socket.set_nodelay(true).unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let (handler, requests, tls) = (Arc::clone(&handler), sender.clone(), tls.clone());
                let below = socket.try_clone().unwrap();
                thread::spawn(move || {
                    let channel: Box<dyn Channel> = match tls {
                        Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), socket)),
                        None => Box::new(socket),
                    };
                    handler(Connection { channel, number, requests, socket: below });
                });
            }
        });
        Self { address, connections, requests: Mutex::new(requests) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn https_url(&self) -> String {
        format!("https://{}/hook", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The next request that was read completely.
    pub fn next_request(&self) -> String {
        let bytes = self.requests.lock().unwrap().recv_timeout(PATIENCE).expect("a request");
        String::from_utf8(bytes).unwrap()
    }
}

impl Connection {
    /// Reads one request with its body. `None` at the end of the connection.
    pub fn read_request(&mut self) -> Option<Vec<u8>> {
        let mut request = self.read_head()?;
        let head = String::from_utf8_lossy(&request).into_owned();
        let length: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        let mut body = vec![0; length];
        self.channel.read_exact(&mut body).ok()?;
        request.extend_from_slice(&body);
        let _ = self.requests.send(request.clone());
        Some(request)
    }

    /// Reads the head of a request and nothing of its body. `None` at the end of the connection.
    pub fn read_head(&mut self) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if self.channel.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        Some(head)
    }

    /// Ends it with a reset, whatever was read.
    pub fn reset(self) {
        socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends nothing any more, but may read.
    pub fn finish_sending(&mut self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// The other side may be gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.channel.write_all(bytes.as_ref()).and_then(|()| self.channel.flush()).is_ok()
    }

    /// Keeps the connection open until the other side closes it.
    pub fn hold(&mut self) {
        self.is_closed_in_time();
    }

    /// The same, and whether the other side closed it before a read waited longer than [`PATIENCE`].
    pub fn is_closed_in_time(&mut self) -> bool {
        let mut sink = [0; 65536];
        loop {
            match self.channel.read(&mut sink) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }
}
