//! A request whose body arrives byte by byte.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tally::Tally;

/// Sent at once: as much as an engine might not count.
const AT_FIRST_BYTES: usize = 64 * 1024;
/// Promised in the head.
const BODY_BYTES: usize = 9 * 1024 * 1024;
/// Between two bytes. Smaller: it is not slow. Larger: it may look idle.
const BETWEEN_BYTES: Duration = Duration::from_millis(200);
/// After an answer or a broken connection, before the next one.
const PAUSE: Duration = Duration::from_millis(50);
const BEGIN: &str = r#"{"event_type":"call.completed","data":{"pad":""#;

/// Sends one such body after the other, for ever. `address` is that of the engine.
pub(crate) async fn send_slowly(address: &str, key: &Arc<str>, tally: &Tally) {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {BODY_BYTES}\r\n\r\n{BEGIN}"
    );
    let first = format!("{head}{}", "x".repeat(AT_FIRST_BYTES));
    loop {
        tally.begin();
        let status = send_one(address, first.as_bytes()).await.ok().flatten();
        tally.end(status);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns the status of the answer, `None` when the connection is closed without one.
async fn send_one(address: &str, first: &[u8]) -> std::io::Result<Option<u16>> {
    let (mut reader, mut writer) = TcpStream::connect(address).await?.into_split();
    let mut answer = Vec::new();
    let send = async {
        writer.write_all(first).await?;
        for _ in 0..BODY_BYTES {
            tokio::time::sleep(BETWEEN_BYTES).await;
            writer.write_all(b"x").await?;
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let receive = async {
        let mut buffer = [0; 1_024];
        loop {
            let read = reader.read(&mut buffer).await?;
            answer.extend_from_slice(&buffer[..read]);
            if read == 0 || answer.len() >= 12 {
                return Ok(status(&answer));
            }
        }
    };
    tokio::select! {
        biased;
        received = receive => received,
        sent = send => sent.map(|()| None),
    }
}

/// Of `HTTP/1.1 429 Too Many Requests`.
fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_body_goes_on_until_an_answer_comes_whose_status_is_counted() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let engine = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = 0;
            let mut buffer = vec![0; 100_000];
            // one byte more than is sent at once shows that it goes on
            while received <= AT_FIRST_BYTES + 1 {
                received += stream.read(&mut buffer).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
            let (_next, _) = listener.accept().await.unwrap();
        };
        let (key, tally) = (Arc::from("k"), Tally::default());
        tokio::select! {
            () = engine => {}
            () = send_slowly(&address, &key, &tally) => {}
        }
        let counts = tally.counts();
        assert_eq!((counts.denied, counts.unanswered), (1, 0), "{counts:?}");
    }
}
