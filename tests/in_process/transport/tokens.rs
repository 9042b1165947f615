//! Tokens of OAuth 2.0: when they are fetched, and what becomes of an attempt without one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{LocalBoxFuture, join_all};
use ringback::domain::attempt::{AttemptError, AttemptResult, LocalFault, Response, TokenFault};
use ringback::domain::credentials::{ClientAuthentication, OAuth2, TokenGrant};
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::secret::Secret;
use ringback::transport::{AttemptRequest, TokenTransport, Transport, TransportConfig};
use tokio::time::Instant;

use super::support::{Receiver, open_transport, request, transport};

const TOKEN_URL: &str = "https://auth.example/token";
const RECEIVER: &str = "https://receiver.example/hook";

fn grant_at(endpoint: i64, token_url: &str) -> Arc<TokenGrant> {
    grant_of(1, endpoint, token_url)
}

fn grant_of(organization: i64, endpoint: i64, token_url: &str) -> Arc<TokenGrant> {
    let settings = OAuth2 {
        token_url: token_url.to_owned(),
        client_id: "us".to_owned(),
        client_secret: Secret::new("hush".to_owned()),
        scope: Some("hooks".to_owned()),
        audience: None,
        client_authentication: ClientAuthentication::Basic,
    };
    Arc::new(TokenGrant::new(OrganizationId(organization), EndpointId(endpoint), &settings))
}

fn grant() -> Arc<TokenGrant> {
    grant_at(1, TOKEN_URL)
}

fn with(grant: &Arc<TokenGrant>) -> AttemptRequest {
    AttemptRequest { oauth2: Some(grant.clone()), timeout: Duration::from_secs(10), ..request(RECEIVER) }
}

/// A token endpoint and a receiver without sockets.
#[derive(Clone, Default)]
struct World(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Requests for a token.
    asked: AtomicUsize,
    /// How many at once, and the most of them.
    asking: AtomicUsize,
    most: AtomicUsize,
    plan: Mutex<Plan>,
    /// The header of each request to the receiver.
    authorizations: Mutex<Vec<String>>,
    /// Tokens that the receiver refuses with 401.
    refused: Mutex<HashSet<String>>,
    refuses_all: Mutex<bool>,
}

#[derive(Clone)]
struct Plan {
    takes: Duration,
    expires_in: i64,
    fails: Option<u16>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { takes: Duration::from_millis(10), expires_in: 3_600, fails: None }
    }
}

fn answered(status: u16, body: String) -> Result<Response, AttemptError> {
    Ok(Response::new(status, Vec::new(), Bytes::from(body)))
}

impl World {
    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.0.plan.lock().unwrap());
    }

    fn received(&self) -> Vec<String> {
        self.0.authorizations.lock().unwrap().clone()
    }

    async fn token(&self, request: AttemptRequest) -> Result<Response, AttemptError> {
        assert!(request.client_certificate.is_none() && request.oauth2.is_none());
        let number = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let now = self.0.asking.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        let Plan { takes, expires_in, fails } = self.0.plan.lock().unwrap().clone();
        let in_time = tokio::time::timeout(request.timeout, tokio::time::sleep(takes)).await;
        self.0.asking.fetch_sub(1, Ordering::SeqCst);
        match (in_time, fails) {
            (Err(_), _) => Err(AttemptError::Timeout),
            (_, Some(status)) => answered(status, "<html>".to_owned()),
            _ => answered(200, format!(r#"{{"access_token":"t{number}","expires_in":{expires_in}}}"#)),
        }
    }

    fn receive(&self, request: &AttemptRequest) -> Result<Response, AttemptError> {
        let header =
            request.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.to_string());
        let header = header.unwrap_or_default();
        let token = header.trim_start_matches("Bearer ").to_owned();
        self.0.authorizations.lock().unwrap().push(header);
        let is_refused = *self.0.refuses_all.lock().unwrap() || self.0.refused.lock().unwrap().contains(&token);
        answered(if is_refused { 401 } else { 200 }, String::new())
    }
}

impl Transport for World {
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>> {
        let world = self.clone();
        Box::pin(async move {
            let response = match &*request.url {
                TOKEN_URL => world.token(request).await,
                _ => world.receive(&request),
            };
            Ok(AttemptResult { response, duration: Duration::from_millis(3) })
        })
    }
}

async fn send(transport: &TokenTransport<World>, request: AttemptRequest) -> Result<u16, AttemptError> {
    transport.attempt(request).await.expect("this machine lacks nothing").response.map(|response| response.status)
}

#[actix_rt::test]
async fn a_token_is_fetched_once_and_again_shortly_before_it_ends() {
    tokio::time::pause();
    let world = World::default();
    let transport = TokenTransport::new(world.clone());
    for _ in 0..3 {
        assert_eq!(send(&transport, with(&grant())).await, Ok(200));
    }
    tokio::time::advance(Duration::from_secs(3_560)).await;
    assert_eq!(send(&transport, with(&grant())).await, Ok(200));
    assert_eq!(world.asked(), 1);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(send(&transport, with(&grant())).await, Ok(200));
    assert_eq!(world.received(), ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t1", "Bearer t2"]);
    // and a webhook without the setting gets none
    assert_eq!(send(&transport, request(RECEIVER)).await, Ok(200));
    assert_eq!(world.received().last().map(String::as_str), Some(""));
}

#[actix_rt::test]
async fn attempts_at_once_ask_for_one_token_and_each_endpoint_for_its_own() {
    tokio::time::pause();
    let world = World::default();
    let transport = TokenTransport::new(world.clone());
    let grant = grant();
    let results = join_all((0..64).map(|_| send(&transport, with(&grant)))).await;
    assert!(results.iter().all(|result| *result == Ok(200)));
    assert_eq!(world.asked(), 1);
    assert_eq!(send(&transport, with(&grant_at(2, TOKEN_URL))).await, Ok(200));
    assert_eq!(world.asked(), 2);
    assert_eq!(world.received().last().map(String::as_str), Some("Bearer t2"));
}

#[actix_rt::test]
async fn an_organization_with_more_webhooks_than_tokens_are_kept_costs_no_other_one_its_token() {
    tokio::time::pause();
    let world = World::default();
    world.plan(|plan| plan.takes = Duration::ZERO);
    let transport = TokenTransport::new(world.clone());
    let of_other = with(&grant_of(2, 1_000_000, TOKEN_URL));
    assert_eq!(send(&transport, of_other.clone()).await, Ok(200));
    for endpoint in 0..10_500 {
        assert_eq!(send(&transport, with(&grant_at(endpoint, TOKEN_URL))).await, Ok(200));
    }
    let asked = world.asked();
    assert_eq!(send(&transport, of_other).await, Ok(200));
    assert_eq!(world.asked(), asked, "its token is still there");
    assert_eq!(send(&transport, with(&grant_at(0, TOKEN_URL))).await, Ok(200));
    assert_eq!(world.asked(), asked + 1, "the large one began again");
}

#[actix_rt::test]
async fn a_token_endpoint_that_hangs_is_asked_by_one_at_a_time_and_every_attempt_ends_in_its_timeout() {
    tokio::time::pause();
    let world = World::default();
    world.plan(|plan| plan.takes = Duration::from_secs(86_400));
    let (transport, grant) = (TokenTransport::new(world.clone()), grant());
    let begun = Instant::now();
    let attempts = (0..64).map(|_| send(&transport, with(&grant)));
    let results = join_all(attempts).await;
    let timed_out = Err(AttemptError::TokenFailure(TokenFault::Timeout));
    assert!(results.iter().all(|result| *result == timed_out), "{results:?}");
    assert!(begun.elapsed() <= Duration::from_millis(10_100), "{:?}", begun.elapsed());
    assert_eq!((world.asked(), world.0.most.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(world.received().len(), 0, "nothing is sent without a token");
}

#[actix_rt::test]
async fn a_token_endpoint_that_fails_is_left_alone_for_a_second() {
    tokio::time::pause();
    let world = World::default();
    world.plan(|plan| plan.fails = Some(500));
    let (transport, grant) = (TokenTransport::new(world.clone()), grant());
    let failed = Err(AttemptError::TokenFailure(TokenFault::Status(500)));
    for _ in 0..9 {
        assert_eq!(send(&transport, with(&grant)).await, failed);
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(world.asked(), 1);
    world.plan(|plan| plan.fails = None);
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(send(&transport, with(&grant)).await, Ok(200));
    assert_eq!(world.asked(), 2);
}

#[actix_rt::test]
async fn a_token_that_ends_at_once_is_fetched_at_most_once_a_second() {
    for expires_in in [0, -1, i64::MIN] {
        tokio::time::pause();
        let world = World::default();
        world.plan(|plan| plan.expires_in = expires_in);
        let (transport, grant) = (TokenTransport::new(world.clone()), grant());
        for _ in 0..20 {
            assert_eq!(send(&transport, with(&grant)).await, Ok(200));
        }
        assert_eq!(world.asked(), 1, "{expires_in}");
        tokio::time::resume();
    }
}

#[actix_rt::test]
async fn a_refused_token_is_replaced_within_the_attempt_for_all_that_used_it() {
    tokio::time::pause();
    let world = World::default();
    let (transport, grant) = (TokenTransport::new(world.clone()), grant());
    assert_eq!(send(&transport, with(&grant)).await, Ok(200));
    tokio::time::advance(Duration::from_secs(5)).await;
    world.0.refused.lock().unwrap().insert("t1".to_owned());
    let results = join_all((0..16).map(|_| send(&transport, with(&grant)))).await;
    assert!(results.iter().all(|result| *result == Ok(200)), "{results:?}");
    assert_eq!(world.asked(), 2);
}

#[actix_rt::test]
async fn a_receiver_that_refuses_every_token_makes_no_storm_of_requests_for_tokens() {
    tokio::time::pause();
    let world = World::default();
    *world.0.refuses_all.lock().unwrap() = true;
    let (transport, grant) = (TokenTransport::new(world.clone()), grant());
    for _ in 0..50 {
        assert_eq!(send(&transport, with(&grant)).await, Ok(401));
    }
    assert_eq!((world.asked(), world.received().len()), (1, 50));
    tokio::time::advance(Duration::from_secs(6)).await;
    for _ in 0..50 {
        assert_eq!(send(&transport, with(&grant)).await, Ok(401));
    }
    assert_eq!((world.asked(), world.received().len()), (2, 101));
}

#[actix_rt::test]
async fn a_refused_token_that_can_not_be_replaced_leaves_the_delivery_for_a_retry() {
    tokio::time::pause();
    let world = World::default();
    let (transport, grant) = (TokenTransport::new(world.clone()), grant());
    assert_eq!(send(&transport, with(&grant)).await, Ok(200));
    tokio::time::advance(Duration::from_secs(5)).await;
    world.0.refused.lock().unwrap().insert("t1".to_owned());
    world.plan(|plan| plan.fails = Some(503));
    let failed = Err(AttemptError::TokenFailure(TokenFault::Status(503)));
    assert_eq!(send(&transport, with(&grant)).await, failed);
}

/// Over real sockets: what a token endpoint does to an attempt at this receiver.
async fn against(endpoint: &Receiver) -> (Result<Response, AttemptError>, usize) {
    against_within(endpoint, Duration::from_secs(5)).await
}

async fn against_within(endpoint: &Receiver, timeout: Duration) -> (Result<Response, AttemptError>, usize) {
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let transport = TokenTransport::new(open_transport());
    let oauth2 = Some(grant_at(1, &endpoint.url()));
    let attempt = AttemptRequest { oauth2, timeout, ..request(&receiver.url()) };
    let result = transport.attempt(attempt).await.unwrap();
    (result.response, receiver.connections())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[actix_rt::test]
async fn the_request_for_a_token_is_that_of_rfc_6749() {
    let endpoint = Receiver::answering(ok(r#"{"access_token":"abc","token_type":"Bearer","expires_in":60}"#));
    let (response, connections) = against(&endpoint).await;
    assert_eq!((response.unwrap().status, connections), (204, 1));
    let sent = endpoint.next_request().to_ascii_lowercase();
    assert!(sent.starts_with("post /hook http/1.1\r\n"), "{sent}");
    assert!(sent.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{sent}");
    assert!(sent.contains(&"\r\nauthorization: Basic dXM6aHVzaA==\r\n".to_ascii_lowercase()), "{sent}");
    assert!(sent.ends_with("\r\n\r\ngrant_type=client_credentials&scope=hooks"), "{sent}");
}

#[actix_rt::test]
async fn a_hostile_token_endpoint_fails_the_attempt_with_its_reason_and_the_receiver_gets_nothing() {
    let elsewhere = Receiver::answering(ok(r#"{"access_token":"stolen"}"#));
    let redirect = format!("HTTP/1.1 307 x\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let html =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 20\r\n\r\n<html>sign in</html>".to_owned();
    let huge = ok(&format!(r#"{{"access_token":"{}"}}"#, "x".repeat(10 << 20)));
    let long = ok(&format!(r#"{{"access_token":"{}"}}"#, "x".repeat(1 << 20)));
    for (case, answer, fault) in [
        ("HTML", html, TokenFault::ContentType),
        ("HTML that is called JSON", ok("<html>sign in</html>"), TokenFault::Unreadable),
        ("10 MB", huge, TokenFault::TooLarge),
        ("a token of 1 MB", long, TokenFault::TooLarge),
        ("nothing", ok(""), TokenFault::Empty),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), TokenFault::Empty),
        ("no token", ok("{}"), TokenFault::Missing),
        ("refused with 200", ok(r#"{"error":"invalid_client"}"#), TokenFault::InvalidClient),
        ("another type", ok(r#"{"access_token":"t","token_type":"mac"}"#), TokenFault::NotBearer),
        ("CR LF", ok(r#"{"access_token":"a\r\nx-evil: 1"}"#), TokenFault::Unusable),
        ("500", "HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".to_owned(), TokenFault::Status(500)),
        ("redirect", redirect, TokenFault::Redirect),
        ("no HTTP", "SSH-2.0-x\r\n\r\n".to_owned(), TokenFault::NotHttp),
    ] {
        let (response, connections) = against(&Receiver::answering(answer)).await;
        assert_eq!(response, Err(AttemptError::TokenFailure(fault)), "{case}");
        assert_eq!(connections, 0, "{case}");
    }
    assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
}

#[actix_rt::test]
async fn a_token_endpoint_whose_body_stalls_or_is_cut_is_told_from_one_that_says_something_else() {
    let framings = [
        ("a length", "content-length: 90\r\n\r\n{\"access_token\":"),
        ("chunks", "transfer-encoding: chunked\r\n\r\n11\r\n{\"access_token\":"),
        ("nothing yet", "content-length: 90\r\n\r\n"),
    ];
    for (case, begin) in framings {
        let begin = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{begin}");
        for (stalls, fault) in [(false, TokenFault::Cut), (true, TokenFault::Stalled)] {
            let begin = begin.clone();
            let endpoint = Receiver::start(move |mut connection| {
                connection.read_request();
                connection.send(begin.as_str());
                if stalls {
                    std::mem::forget(connection);
                }
            });
            let (response, connections) = against_within(&endpoint, Duration::from_secs(1)).await;
            assert_eq!(response, Err(AttemptError::TokenFailure(fault)), "{case}");
            assert_eq!(connections, 0, "{case}");
        }
    }
}

#[actix_rt::test]
async fn a_response_that_ends_with_the_connection_is_whole() {
    for (body, expected) in [
        (r#"{"access_token":"abc"}"#, Ok(204)),
        (r#"{"access_token":"#, Err(AttemptError::TokenFailure(TokenFault::Unreadable))),
    ] {
        let endpoint = Receiver::start(move |mut connection| {
            connection.read_request();
            connection.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{body}"
            ));
        });
        let (response, _) = against(&endpoint).await;
        assert_eq!(response.map(|response| response.status), expected);
    }
}

#[actix_rt::test]
async fn a_token_url_has_to_pass_the_same_rules_as_a_receivers() {
    let internal = Receiver::answering(ok(r#"{"access_token":"abc"}"#));
    let transport = TokenTransport::new(transport(TransportConfig::default()));
    for (url, fault) in [
        (format!("https://{}/", internal.address), TokenFault::Blocked),
        ("https://127.0.0.1/token".to_owned(), TokenFault::Blocked),
        ("https://169.254.169.254/latest/meta-data".to_owned(), TokenFault::Blocked),
        ("http://auth.example/token".to_owned(), TokenFault::InvalidUrl),
    ] {
        let attempt = AttemptRequest { oauth2: Some(grant_at(1, &url)), ..request("https://receiver.example/") };
        let response = transport.attempt(attempt).await.unwrap().response;
        assert_eq!(response, Err(AttemptError::TokenFailure(fault)), "{url}");
    }
    assert_eq!(internal.connections(), 0);
}
