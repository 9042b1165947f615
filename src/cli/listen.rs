//! `ringback listen`: a receiver on this machine that verifies both signatures and prints what arrives.

mod forward;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use ringback::domain::json_text::{harmless, pretty};
use ringback::domain::signing::Verifier;
use serde::Deserialize;

use self::forward::{Forward, Forwarded};
use super::client::{EngineArgs, EngineClient};
use super::registration::NewWebhook;
use super::shutdown::Shutdown;
use super::signature_check::{SIGNATURES, SignedRequest};
use super::{address, now, print_line, registration};

/// More than the engine sends, so that the receiver never refuses a body.
const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;

#[derive(Args)]
#[command(after_help = "\
With a key (--key, RINGBACK_KEY, or ./ringback.db.dev-key from `serve --dev`)
it registers a webhook for itself and deletes it on exit. Webhooks that an
earlier run left behind at the same address are deleted at the start. With
--secret it only receives. With --forward-to your application answers.

Examples:
  ringback listen
  ringback listen --listen 9001
  ringback listen --forward-to http://localhost:3000/hooks
  ringback listen --events call.completed --events 'batch.*'
  ringback listen --signature ed25519
  ringback listen --fail-first 2    # see retries: 503 twice, then 200
  ringback listen --status 410      # a receiver that is gone
  ringback listen --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
pub(crate) struct ListenArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000", value_parser = address::local)]
    listen: SocketAddr,
    /// Verify signatures with this secret or public key (whpk_…), and do not register a webhook
    #[arg(long, value_name = "WHSEC", conflicts_with_all = ["url", "events", "signature"])]
    secret: Option<String>,
    /// Send each delivery on to this address, and answer what it answers
    #[arg(
        long,
        value_name = "URL",
        value_parser = address::application,
        conflicts_with_all = ["status", "fail_first", "fail_with"]
    )]
    forward_to: Option<String>,
    /// Status to answer with
    #[arg(long, value_name = "CODE", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..600))]
    status: u16,
    /// Number of requests to answer with --fail-with before the others get --status
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_first: u64,
    /// Status for the first --fail-first requests
    #[arg(long, value_name = "CODE", default_value_t = 503, value_parser = clap::value_parser!(u16).range(200..600))]
    fail_with: u16,
    /// Wait this long before answering
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    delay: u64,
    /// Event types or patterns to register for [default: all]
    #[arg(long, value_name = "PATTERN")]
    events: Vec<String>,
    /// Register a webhook that signs with a secret, or with a private key, whose signatures its public key verifies
    /// [default: hmac]
    #[arg(long, value_name = "hmac|ed25519", value_parser = SIGNATURES)]
    signature: Option<String>,
    /// URL to register, for example that of a tunnel [default: http://<listen>/]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Prefix of the signature header, as in the engine's setting of this name
    #[arg(long, value_name = "PREFIX", default_value = "x-callintel")]
    signature_header_prefix: String,
    #[command(flatten)]
    engine: EngineArgs,
}

struct LocalReceiver {
    /// Set once, by `--secret` or by the registration; without it, signatures are not verified.
    verifier: std::sync::OnceLock<Verifier>,
    prefix: String,
    status: StatusCode,
    fail_first: u64,
    fail_with: StatusCode,
    delay: Duration,
    received: AtomicU64,
}

pub(crate) async fn run(args: ListenArgs) -> anyhow::Result<()> {
    let receiver = Arc::new(LocalReceiver::new(&args)?);
    let engine = match &args.secret {
        Some(_) => None,
        None => args.engine.key()?.map(|key| args.engine.client(key)),
    };
    let data = web::Data::from(Arc::clone(&receiver));
    let forward = web::Data::new(args.forward_to.clone().map(Forward::new));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(forward.clone())
            .app_data(web::PayloadConfig::new(BODY_LIMIT_BYTES))
            .default_service(web::to(receive))
    });
    let server = server.workers(1).disable_signals().shutdown_timeout(1).bind(args.listen);
    let server = server
        .with_context(|| format!("can't listen on {}; choose another address with --listen", args.listen))?;
    let address = server.addrs().first().copied().unwrap_or(args.listen);
    if args.forward_to.as_ref().is_some_and(|url| address::points_to(url, address)) {
        bail!("--forward-to leads to this command itself; choose another address for one of them, see --listen");
    }
    let server = server.run();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    // created before the registration, so that a Ctrl-C during it does not leave a webhook behind
    let mut shutdown = Shutdown::new()?;

    let registered = match &engine {
        Some(engine) => Some(register(engine, &args, address, &receiver).await?),
        None => None,
    };
    if let Some(url) = &args.forward_to {
        print_line(&format!("sending on to {url}"));
    }
    print_line(&format!("listening on http://{address} (Ctrl-C to stop)"));
    if receiver.verifier.get().is_none() {
        print_line(
            "no secret, so signatures are not verified (use --secret, or --key to register with the engine)",
        );
    }
    shutdown.requested().await;
    if let (Some(engine), Some(id)) = (&engine, registered) {
        tokio::select! {
            () = registration::remove(engine, &id, "") => {}
            // a second signal ends it at once
            () = shutdown.signal() => {}
        }
    }
    handle.stop(true).await;
    running.await??;
    Ok(())
}

async fn register(
    engine: &EngineClient,
    args: &ListenArgs,
    listening: SocketAddr,
    receiver: &LocalReceiver,
) -> anyhow::Result<String> {
    let here = ringback::engine::reachable(listening);
    let url = args.url.clone().unwrap_or_else(|| format!("http://{here}/"));
    let webhook = NewWebhook { url: &url, events: &args.events, signature: args.signature.as_deref() };
    let (id, secret) = registration::register(engine, webhook, here).await?;
    let verifier = Verifier::parse(secret.expose())?;
    if args.forward_to.is_some() {
        let what = if verifier.document_key().is_some() { "signing secret" } else { "public key" };
        print_line(&format!("{what}: {}  (your application verifies with it)", secret.expose()));
    }
    let _ = receiver.verifier.set(verifier);
    let events = if args.events.is_empty() { String::from("all events") } else { args.events.join(", ") };
    print_line(&format!("registered {id} for {events} at {}", args.engine.engine));
    Ok(id)
}

async fn receive(
    request: HttpRequest,
    body: Bytes,
    receiver: web::Data<LocalReceiver>,
    forward: web::Data<Option<Forward>>,
) -> HttpResponse {
    let number = receiver.received.fetch_add(1, Ordering::Relaxed) + 1;
    if !receiver.delay.is_zero() {
        actix_web::rt::time::sleep(receiver.delay).await;
    }
    let described = receiver.describe(&request, &body);
    let Forwarded { response, remark } = match &**forward {
        Some(forward) => forward.send(&request, body).await,
        None => Forwarded { response: HttpResponse::new(receiver.status_of(number)), remark: String::new() },
    };
    print_line(&described.text(response.status(), &remark));
    response
}

/// A delivery for a person.
struct Described {
    head: String,
    rest: String,
}

impl Described {
    fn text(&self, status: StatusCode, remark: &str) -> String {
        format!("\n{}  -> {}\n{remark}{}", self.head, status.as_u16(), self.rest)
    }
}

impl LocalReceiver {
    fn new(args: &ListenArgs) -> anyhow::Result<Self> {
        let verifier = std::sync::OnceLock::new();
        if let Some(text) = &args.secret {
            match Verifier::parse(text.trim()) {
                Ok(parsed) => _ = verifier.set(parsed),
                Err(error) => bail!("--secret: {error}"),
            }
        }
        Ok(Self {
            verifier,
            prefix: args.signature_header_prefix.to_ascii_lowercase(),
            status: StatusCode::from_u16(args.status)?,
            fail_first: args.fail_first,
            fail_with: StatusCode::from_u16(args.fail_with)?,
            delay: Duration::from_millis(args.delay),
            received: AtomicU64::new(0),
        })
    }

    /// The status of a request, which are numbered from 1.
    fn status_of(&self, number: u64) -> StatusCode {
        if number <= self.fail_first { self.fail_with } else { self.status }
    }

    fn describe(&self, request: &HttpRequest, body: &Bytes) -> Described {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let shown = |name: &str| harmless(header(name).unwrap_or("-"));
        // those of Svix's style have nothing else
        let standard = if header("svix-signature").is_some() { "svix" } else { "webhook" };
        let of_standard = |name: &str| header(&format!("{standard}-{name}"));
        let text = String::from_utf8_lossy(body);
        let event_type = serde_json::from_str::<EventTypeOnly>(&text).ok().map(|body| body.event_type);
        let event_type = event_type.as_deref().map_or_else(|| String::from("(no event type)"), harmless);
        let head = format!(
            "{} {event_type}  {}  {}  attempt {}",
            now(),
            shown(&format!("{standard}-id")),
            shown(&format!("{}-delivery", self.prefix)),
            shown(&format!("{}-attempt", self.prefix)),
        );
        let mut rest = String::new();
        if let Some(verifier) = self.verifier.get() {
            let document = format!("{}-signature", self.prefix);
            let signed = SignedRequest {
                body,
                standard_prefix: standard,
                id: of_standard("id"),
                timestamp: of_standard("timestamp"),
                standard: of_standard("signature"),
                document: header(&document),
            };
            let name = format!("{standard}-signature");
            rest.push_str(&verdict(&name, signed.verify_standard(verifier, now())));
            if let Some(key) = verifier.document_key().filter(|_| standard == "webhook") {
                rest.push_str(&verdict(&document, signed.verify_document(key, &self.prefix)));
            }
        }
        rest.push_str(&pretty(&text).unwrap_or_else(|| harmless(&text)));
        Described { head, rest }
    }
}

#[derive(Deserialize)]
struct EventTypeOnly {
    event_type: String,
}

fn verdict(what: &str, result: Result<(), String>) -> String {
    match result {
        Ok(()) => format!("  ✓ {what}\n"),
        Err(reason) => format!("  ✗ {what}: {reason}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use ringback::domain::ids::EventId;
    use ringback::domain::secret::Secret;
    use ringback::domain::signing::SigningKey;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn receiver(fail_first: u64) -> LocalReceiver {
        receiver_with(SECRET, fail_first)
    }

    fn receiver_with(secret: &str, fail_first: u64) -> LocalReceiver {
        let verifier =
            std::sync::OnceLock::from(Verifier::parse(secret).unwrap_or_else(|error| panic!("{error}")));
        LocalReceiver {
            verifier,
            prefix: String::from("x-callintel"),
            status: StatusCode::OK,
            fail_first,
            fail_with: StatusCode::SERVICE_UNAVAILABLE,
            delay: Duration::ZERO,
            received: AtomicU64::new(0),
        }
    }

    #[test]
    fn a_genuine_request_is_shown_with_two_ticks() {
        let body = Bytes::from_static(br#"{"event_type":"call.completed","data":{"n":1e400}}"#);
        let key = SigningKey::new(&Secret::new(SECRET.to_owned()));
        let (id, seconds) = (EventId(7), now().as_seconds());
        let request = TestRequest::post()
            .insert_header(("webhook-id", id.to_string()))
            .insert_header(("webhook-timestamp", seconds.to_string()))
            .insert_header(("webhook-signature", key.sign_standard(id, seconds, &body)))
            .insert_header(("x-callintel-signature", key.sign_document(&body)))
            .insert_header(("x-callintel-delivery", "dlv_1"))
            .insert_header(("x-callintel-attempt", "2"))
            .to_http_request();
        let shown = receiver(0).describe(&request, &body).text(StatusCode::OK, "");
        let head = format!("call.completed  {id}  dlv_1  attempt 2  -> 200");
        for part in [head.as_str(), "✓ webhook-signature", "✓ x-callintel-signature", "\"n\": 1e400"] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
    }

    #[test]
    fn with_a_public_key_a_request_of_svixs_style_is_shown_with_the_one_signature_that_it_has() {
        let public_key = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let request = TestRequest::post()
            .insert_header(("svix-id", "msg_1"))
            .insert_header(("svix-timestamp", now().as_seconds().to_string()))
            .insert_header(("svix-signature", "v1a,AAAA"))
            .to_http_request();
        let shown =
            receiver_with(public_key, 0).describe(&request, &Bytes::from_static(b"{}")).text(StatusCode::OK, "");
        assert!(shown.contains("msg_1"), "{shown}");
        assert!(shown.contains("✗ svix-signature: no signature"), "{shown}");
        assert!(!shown.contains("x-callintel-signature"), "{shown}");
    }

    #[test]
    fn a_request_without_signatures_is_shown_with_the_missing_headers() {
        let request = TestRequest::post().to_http_request();
        let shown = receiver(0).describe(&request, &Bytes::from_static(b"<b>\x1b[2J")).text(StatusCode::OK, "");
        assert!(shown.contains("✗ webhook-signature: webhook-id is missing"), "{shown}");
        assert!(shown.contains("✗ x-callintel-signature: x-callintel-signature is missing"), "{shown}");
        assert!(!shown.contains('\x1b'));
    }

    #[actix_web::test]
    async fn the_first_requests_fail_as_configured() {
        let data = web::Data::new(receiver(2));
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let request = TestRequest::post().to_http_request();
            statuses.push(
                receive(request, Bytes::from_static(b"{}"), data.clone(), web::Data::new(None))
                    .await
                    .status()
                    .as_u16(),
            );
        }
        assert_eq!(statuses, [503, 503, 200]);
    }
}
