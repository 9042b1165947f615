//! Receivers that mean harm, or do it: any number of connections in one thread, nothing kept but counts.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How one answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Accepts, reads nothing, answers nothing.
    NeverReads,
    /// Reads the request and answers nothing.
    NeverAnswers,
    /// Sends a byte of the head from time to time.
    Drips,
    /// 200, and a body without end.
    EndlessBody,
    /// A head of 200 KiB.
    LargeHead,
    /// One interim answer after the other.
    EndlessInterim,
    /// 200 with 64 KiB of what is said to be compressed.
    GzipBomb,
    /// 200, and a body that is said to be a tebibyte.
    Tebibyte,
    /// Reads the request and answers 200 once it is released.
    AnswersOnRelease,
}

const DRIP: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Counts {
    connections: usize,
    /// Whole requests, by their path.
    requests: HashMap<String, Vec<String>>,
}

struct Shared {
    behaviour: Behaviour,
    counts: Mutex<Counts>,
    released: watch::Sender<bool>,
    hang_ups: watch::Sender<usize>,
}

/// It runs until it is dropped.
pub struct Hostile {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Hostile {
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            behaviour,
            counts: Mutex::default(),
            released: watch::Sender::new(false),
            hang_ups: watch::Sender::new(0),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let all = shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, all) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, shared, stop: Some(stop) }
    }

    /// One of its addresses: each number is another host to whoever connects.
    pub fn url(&self, number: usize) -> String {
        let address = SocketAddr::from(([127, 1, (number / 250) as u8, (number % 250) as u8 + 1], self.port));
        format!("http://{address}/{number}")
    }

    pub fn connections(&self) -> usize {
        self.shared.counts.lock().unwrap().connections
    }

    /// How many whole requests came.
    pub fn requests(&self) -> usize {
        self.shared.counts.lock().unwrap().requests.values().map(Vec::len).sum()
    }

    /// The ids of the events that came whole to one of its addresses.
    pub fn events(&self, number: usize) -> Vec<String> {
        self.shared.counts.lock().unwrap().requests.get(&format!("/{number}")).cloned().unwrap_or_default()
    }

    /// Closes every connection that is open now.
    pub fn hang_up(&self) {
        self.shared.hang_ups.send_modify(|times| *times += 1);
    }

    /// Holds back again.
    pub fn hold(&self) {
        self.shared.released.send_replace(false);
    }

    /// Answers 200 to what is held back, and from now on.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // it may have ended
            let _ = stop.send(());
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        shared.counts.lock().unwrap().connections += 1;
        let shared = shared.clone();
        // an error means that the other side has had enough
        let mut hang_up = shared.hang_ups.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                ended = converse(stream, &shared) => drop(ended),
                _ = hang_up.changed() => {}
            }
        });
    }
}

async fn converse(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    if shared.behaviour == Behaviour::NeverReads {
        return std::future::pending().await;
    }
    while let Some((path, event_id)) = read_request(&mut stream).await? {
        shared.counts.lock().unwrap().requests.entry(path).or_default().push(event_id);
        answer(&mut stream, shared).await?;
    }
    Ok(())
}

async fn answer(stream: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    match shared.behaviour {
        Behaviour::NeverReads | Behaviour::NeverAnswers => std::future::pending().await,
        Behaviour::Drips => {
            for byte in b"HTTP/1.1 200 OK\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')) {
                stream.write_all(std::slice::from_ref(byte)).await?;
                tokio::time::sleep(DRIP).await;
            }
        }
        Behaviour::EndlessBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Behaviour::LargeHead => {
            let line = format!("x-filler: {}\r\n", "y".repeat(1_000));
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{}\r\n", line.repeat(200)).as_bytes()).await?;
        }
        Behaviour::EndlessInterim => loop {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await?;
        },
        Behaviour::GzipBomb => {
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 65536\r\n\r\n";
            // a stored stream of zeros would be a million times as long; the engine must not look
            let body = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice(), &[0u8; 65_526]].concat();
            stream.write_all(&[head.as_bytes(), &body].concat()).await?;
        }
        Behaviour::Tebibyte => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n").await?;
            let some = vec![b'z'; 1 << 16];
            loop {
                stream.write_all(&some).await?;
            }
        }
        Behaviour::AnswersOnRelease => {
            // an error means that this receiver is gone
            let _ = shared.released.subscribe().wait_for(|released| *released).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
    }
    Ok(())
}

/// Reads a whole request and forgets its body: (path, event id). `None` when the other side has closed.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut buffer = vec![0; 64 * 1024];
    let mut head = Vec::new();
    let end = loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&buffer[..read]);
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .unwrap_or_default()
    };
    let mut left = header("content-length").parse::<usize>().unwrap_or(0).saturating_sub(head.len() - end);
    while left > 0 {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        left = left.saturating_sub(read);
    }
    Ok(Some((path, header("webhook-id"))))
}
