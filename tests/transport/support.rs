//! Receivers, a name server and certificates to test against. All on 127.0.0.1, in threads of their own.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ringback::domain::attempt::AttemptResult;
use ringback::domain::target::TargetPolicy;
use ringback::transport::{AttemptRequest, AwcTransport, Transport, TransportConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
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
}

/// A receiver that does with each connection what it was told.
pub struct Receiver {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Mutex<mpsc::Receiver<Vec<u8>>>,
}

impl Receiver {
    pub fn start(handler: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::launch(None, handler)
    }

    pub fn start_tls(config: ServerConfig, handler: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::launch(Some(Arc::new(config)), handler)
    }

    /// Answers every request of every connection with these bytes.
    pub fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::start(move |mut connection| {
            while connection.read_request().is_some() {
                connection.send(answer.as_ref());
            }
        })
    }

    fn launch(tls: Option<Arc<ServerConfig>>, handler: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
                thread::spawn(move || {
                    let channel: Box<dyn Channel> = match tls {
                        Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), socket)),
                        None => Box::new(socket),
                    };
                    handler(Connection { channel, number, requests });
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
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            if self.channel.read(&mut byte).ok()? == 0 {
                return None;
            }
            request.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&request).into_owned();
        let length: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        let mut body = vec![0; length];
        self.channel.read_exact(&mut body).ok()?;
        request.extend_from_slice(&body);
        let _ = self.requests.send(request.clone());
        Some(request)
    }

    /// The other side may be gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.channel.write_all(bytes.as_ref()).and_then(|()| self.channel.flush()).is_ok()
    }

    /// Keeps the connection open until the other side closes it.
    pub fn hold(&mut self) {
        let mut sink = [0; 4096];
        while self.channel.read(&mut sink).is_ok_and(|read| read > 0) {}
    }
}

pub fn loopback_policy() -> TargetPolicy {
    TargetPolicy {
        allow_http: true,
        allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
        own_addresses: Vec::new(),
    }
}

pub fn transport(config: TransportConfig) -> AwcTransport {
    AwcTransport::new(config).expect("a transport")
}

/// A transport that may reach the receivers of these tests.
pub fn open_transport() -> AwcTransport {
    transport(TransportConfig { policy: loopback_policy(), ..TransportConfig::default() })
}

pub fn request(url: &str) -> AttemptRequest {
    AttemptRequest {
        url: url.into(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from_static(b"{\"a\":1}"),
        timeout: Duration::from_secs(5),
    }
}

pub async fn attempt(transport: &AwcTransport, url: &str) -> AttemptResult {
    transport.attempt(request(url)).await.expect("this machine lacks nothing")
}

pub async fn attempt_within(transport: &AwcTransport, url: &str, timeout: Duration) -> AttemptResult {
    transport.attempt(AttemptRequest { timeout, ..request(url) }).await.expect("this machine lacks nothing")
}

pub fn status(result: &AttemptResult) -> u16 {
    result.answer.as_ref().expect("an answer").status
}

/// A name server over UDP. `None` leaves the question without an answer; no address is NXDOMAIN.
pub struct NameServer {
    pub address: SocketAddr,
    names: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub fn start(answer: impl Fn(&str) -> Option<Vec<IpAddr>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let names = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&names);
        thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let (name, end) = question(&packet[..length]);
                asked.lock().unwrap().push(name.to_lowercase());
                let Some(addresses) = answer(&name.to_lowercase()) else { continue };
                let _ = socket.send_to(&dns_answer(&packet[..end], &addresses), client);
            }
        });
        Self { address, names }
    }

    /// The names that were asked for, each once, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.names.lock().unwrap().clone();
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

fn dns_answer(question: &[u8], addresses: &[IpAddr]) -> Vec<u8> {
    let wants_v4 = question[question.len() - 3] == 1;
    let matching: Vec<_> = addresses.iter().filter(|address| address.is_ipv4() == wants_v4).collect();
    let code = if addresses.is_empty() { 3 } else { 0 };
    let mut answer = question.to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, matching.len() as u8, 0, 0, 0, 0]);
    for address in matching {
        let (kind, octets) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        answer.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, octets.len() as u8]);
        answer.extend_from_slice(&octets);
    }
    answer
}

/// A certificate authority of our own, in a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file, _folder: folder }
    }

    /// A server's side of TLS with a certificate for this name or address, changed by `change`.
    pub fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        server_config(certificate.der().clone(), &key)
    }
}

/// With a certificate that nobody else has signed.
pub fn self_signed_server(name: &str) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    server_config(certificate.der().clone(), &key)
}

fn server_config(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}
