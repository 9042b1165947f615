//! What a publisher and a receiver do with Svix's library for Rust, against a running engine; what arrives is verified with the
//! library's own `Webhook`. Run by tests/svix/clients.sh.
//!
//!     svix-client URL JWT_SECRET

use std::error::Error;
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use svix::api::{MessageCreateOptions, Svix, SvixOptions};
use svix::models::{ApplicationIn, EndpointIn, EndpointSecretRotateIn, EventTypeIn, MessageIn};
use svix::webhooks::Webhook;

type Outcome<T> = Result<T, Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const APPLICATION: &str = "acme";
const EVENT_TYPE: &str = "invoice.paid";

/// As self-hosters make it.
fn token(secret: &str, claims: &Value) -> String {
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let mac = hmac_sha256::HMAC::mac(text.as_bytes(), secret.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// A request as it came.
struct Seen {
    headers: HeaderMap,
    body: Vec<u8>,
}

fn receive(stream: TcpStream, seen: &Sender<Seen>) -> Outcome<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = HeaderMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value.trim())?);
    }
    let length = headers.get("content-length").ok_or("no length")?.to_str()?.parse()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
    Ok(seen.send(Seen { headers, body })?)
}

/// Its URL, and what comes.
fn receiver() -> Outcome<(String, Receiver<Seen>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let (sender, seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = receive(stream, &sender) {
                eprintln!("what came to the receiver can't be read: {error}");
            }
        }
    });
    Ok((url, seen))
}

/// The call is answered with this status, in the shape that the library reads.
async fn refused<T>(status: u16, call: impl Future<Output = svix::error::Result<T>>) -> Outcome<()> {
    let (answered, is_read) = match call.await {
        Ok(_) => return Err("the call was not refused".into()),
        Err(svix::error::Error::Http(error)) => (error.status, error.payload.is_some()),
        Err(svix::error::Error::Validation(error)) => (error.status, error.payload.is_some()),
        Err(error) => return Err(error.to_string().into()),
    };
    assert_eq!((answered.as_u16(), is_read), (status, true));
    Ok(())
}

async fn manage(svix: &Svix) -> Outcome<()> {
    let described = ApplicationIn { uid: Some(APPLICATION.to_owned()), ..ApplicationIn::new("Acme".to_owned()) };
    let made = svix.application().get_or_create(described.clone(), None).await?;
    assert_eq!(svix.application().get_or_create(described.clone(), None).await?.id, made.id);
    refused(409, svix.application().create(described, None)).await?;
    refused(404, svix.application().get("missing".to_owned())).await?;
    refused(422, svix.application().create(ApplicationIn::new(String::new()), None)).await?;
    let event_type = EventTypeIn::new(EVENT_TYPE.to_owned(), "An invoice was paid".to_owned());
    assert_eq!(svix.event_type().create(event_type, None).await?.name, EVENT_TYPE);
    println!("  applications and event types");
    Ok(())
}

async fn publish(svix: &Svix, id: &str) -> Outcome<String> {
    let payload = json!({"type": EVENT_TYPE, "amount": 1200});
    let message = MessageIn::new(EVENT_TYPE.to_owned(), payload.clone());
    let message = MessageIn { event_id: Some(id.to_owned()), ..message };
    let options = |key: &str| MessageCreateOptions {
        with_content: Some(true),
        idempotency_key: Some(format!("{id}-{key}")),
    };
    let messages = svix.message();
    let create = |key| messages.create(APPLICATION.to_owned(), message.clone(), Some(options(key)));
    let sent = create("first").await?;
    assert_eq!((&sent.payload, sent.event_id.as_deref()), (&payload, Some(id)));
    assert_eq!(create("first").await?.id, sent.id, "the same request again");
    refused(409, create("second")).await?;
    Ok(sent.id)
}

async fn attempted(svix: &Svix, message: &str, endpoint: &str) -> Outcome<()> {
    let begin = std::time::Instant::now();
    loop {
        let attempts = svix.message_attempt();
        let listed = attempts.list_by_msg(APPLICATION.to_owned(), message.to_owned(), None).await?.data;
        if let [attempt] = &listed[..] {
            assert_eq!((attempt.endpoint_id.as_str(), attempt.response_status_code), (endpoint, 200));
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("{message}: {} attempts", listed.len()).into());
        }
        std::thread::sleep(POLL);
    }
}

/// What came is this message, and verifies with these secrets.
fn verify(seen: &Seen, message: &str, secrets: &[&str]) -> Outcome<()> {
    assert_eq!(seen.headers.get("svix-id").ok_or("no id")?, message);
    for secret in secrets {
        let webhook = Webhook::new(secret)?;
        webhook.verify(&seen.body, &seen.headers)?;
        assert!(webhook.verify(b"{}", &seen.headers).is_err(), "another body");
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, secret] = &arguments[..] else { return Err("usage: svix-client URL JWT_SECRET".into()) };
    let begin = std::time::UNIX_EPOCH.elapsed()?.as_nanos();
    let token = token(secret, &json!({"sub": format!("org_rust{begin}")}));
    let svix = Svix::new(token, Some(SvixOptions { server_url: Some(url.clone()), ..SvixOptions::default() }));
    let (target, seen) = receiver()?;

    manage(&svix).await?;
    let app = || APPLICATION.to_owned();
    let endpoint = EndpointIn { uid: Some("main".to_owned()), ..EndpointIn::new(target) };
    let endpoint = svix.endpoint().create(app(), endpoint, None).await?;
    let old = svix.endpoint().get_secret(app(), "main".to_owned()).await?.key;
    let message = publish(&svix, "evt-1").await?;
    verify(&seen.recv_timeout(PATIENCE)?, &message, &[&old])?;
    attempted(&svix, &message, &endpoint.id).await?;
    println!("  a message arrived, verifies, and its attempt is listed");

    svix.endpoint().rotate_secret(app(), "main".to_owned(), EndpointSecretRotateIn::new(), None).await?;
    let new = svix.endpoint().get_secret(app(), "main".to_owned()).await?.key;
    assert_ne!(new, old);
    let message = publish(&svix, "evt-2").await?;
    verify(&seen.recv_timeout(PATIENCE)?, &message, &[&old, &new])?;
    println!("  after a rotation it verifies with both secrets");

    svix.application().delete(app()).await?;
    refused(404, svix.application().get(app())).await?;
    println!("svix for Rust: all as expected");
    Ok(())
}
