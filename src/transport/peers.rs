//! Messages to other nodes of the cluster.

use std::cell::OnceCell;
use std::time::Duration;

use awc::Client;
use awc::http::header::HeaderValue;
use futures_util::future::LocalBoxFuture;

/// How long a message may take. Larger: what a node that is cut off should know reaches it later by another way.
const TIMEOUT: Duration = Duration::from_millis(700);

/// One message to another node.
#[derive(Debug, Clone)]
pub struct PeerMessage {
    /// Where the node takes messages.
    pub url: String,
    /// A header's name and its value.
    pub header: (&'static str, String),
    /// JSON.
    pub body: Vec<u8>,
    /// The value of the same header of the answer, which only a node of the cluster knows.
    pub answer: String,
}

/// Sends messages to other nodes. The handle is shared by all threads; the future stays on the thread of its caller.
pub trait Peers: Send + Sync + 'static {
    /// Whether the node has taken it.
    fn tell(&self, message: PeerMessage) -> LocalBoxFuture<'static, bool>;
}

/// Over HTTP, with connections that are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct AwcPeers;

thread_local! {
    static CLIENT: OnceCell<Client> = const { OnceCell::new() };
}

impl Peers for AwcPeers {
    fn tell(&self, message: PeerMessage) -> LocalBoxFuture<'static, bool> {
        let client = CLIENT.with(|client| {
            client.get_or_init(|| Client::builder().timeout(TIMEOUT).disable_redirects().finish()).clone()
        });
        Box::pin(async move {
            let PeerMessage { url, header, body, answer } = message;
            let name = header.0;
            let request =
                client.post(url).insert_header(header).insert_header(("content-type", "application/json"));
            let is_answer = |value: &HeaderValue| value.as_bytes() == answer.as_bytes();
            let answered = request.send_body(body).await;
            answered.is_ok_and(|got| got.status().is_success() && got.headers().get(name).is_some_and(is_answer))
        })
    }
}

/// For an engine without others.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn tell(&self, _: PeerMessage) -> LocalBoxFuture<'static, bool> {
        Box::pin(async { false })
    }
}
