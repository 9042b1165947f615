//! Sends what arrives on to an application, and answers what that answers.

use std::io::Read;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use ureq::config::AutoHeaderValue;
use ureq::http;

/// As long as a webhook's longest timeout: a slow application fails as it would without this command between.
const TIMEOUT: Duration = Duration::from_secs(60);
/// More than the engine reads of a response.
const ANSWER_LIMIT_BYTES: u64 = 16 * 1024 * 1024;
/// Headers of one connection (RFC 9110, section 7.6.1), and those that each side of us makes itself.
const NOT_SENT_ON: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The way to one application. Its client is not awc, which loses bodies without a length and adds headers.
pub(super) struct Forward {
    url: String,
    agent: ureq::Agent,
}

/// What to answer, and what to tell the person at the terminal.
pub(super) struct Forwarded {
    pub response: HttpResponse,
    pub remark: String,
}

/// What an application answered.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Whether that is all of the body.
    is_whole: bool,
}

impl Forward {
    pub(super) fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // one that the application closes meanwhile would look like its failure
            .max_idle_connections(0)
            .allow_non_standard_methods(true)
            // variables for others don't lead away from this machine
            .proxy(None)
            .user_agent(AutoHeaderValue::None)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None);
        Self { url, agent: config.build().new_agent() }
    }

    /// Sends a request on with its method, body and headers.
    pub(super) async fn send(&self, request: &HttpRequest, body: Bytes) -> Forwarded {
        let mut onward = http::Request::builder().method(request.method().as_str()).uri(&self.url);
        for (name, value) in sent_on(request.headers()) {
            onward = onward.header(name.as_str(), value.as_bytes());
        }
        let (agent, begin) = (self.agent.clone(), now());
        let sent = web::block(move || run(&agent, onward, &body)).await;
        match sent {
            Ok(Ok(answer)) => self.pass_on(answer, begin.elapsed()),
            Ok(Err(error)) => self.failed(&error),
            Err(error) => self.refuse(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }

    fn pass_on(&self, answer: Answer, after: Duration) -> Forwarded {
        let mut response = HttpResponse::build(answer.status);
        for header in sent_on(&answer.headers) {
            response.append_header(header);
        }
        let cut = if answer.is_whole { "" } else { ", and its body broke off" };
        let remark = format!("  answered by {} in {} ms{cut}\n", self.url, after.as_millis());
        Forwarded { response: response.body(answer.body), remark }
    }

    fn failed(&self, error: &ureq::Error) -> Forwarded {
        let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        let (status, reason) = match error {
            ureq::Error::Timeout(_) => {
                (StatusCode::GATEWAY_TIMEOUT, format!("no response within {} s", TIMEOUT.as_secs()))
            }
            ureq::Error::Io(io) if refused(io) => (
                StatusCode::BAD_GATEWAY,
                String::from(
                    "nothing listens there: start the application, or name its address with --forward-to",
                ),
            ),
            error => (
                StatusCode::BAD_GATEWAY,
                format!(
                    "it can't be reached: {error}. Look at the application, and at the address in --forward-to"
                ),
            ),
        };
        self.refuse(status, &reason)
    }

    /// An answer that is ours, not the application's.
    fn refuse(&self, status: StatusCode, reason: &str) -> Forwarded {
        let text = format!("{}: {reason}", self.url);
        let response =
            HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(format!("{text}\n"));
        Forwarded { response, remark: format!("  ✗ {text}. The engine tries again by its schedule\n") }
    }
}

fn run(agent: &ureq::Agent, request: http::request::Builder, body: &[u8]) -> Result<Answer, ureq::Error> {
    let response = match body.is_empty() {
        // not every method has one
        true => agent.run(request.body(())?)?,
        false => agent.run(request.body(body)?)?,
    };
    let (head, body) = response.into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    // one that breaks off, or has no end, changes nothing of the status: the engine sees it the same way
    let mut text = Vec::new();
    let read = body.into_reader().take(ANSWER_LIMIT_BYTES).read_to_end(&mut text);
    Ok(Answer {
        status: StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY),
        headers,
        is_whole: read.is_ok_and(|length| (length as u64) < ANSWER_LIMIT_BYTES),
        body: text,
    })
}

#[expect(clippy::disallowed_methods, reason = "measures the application on this machine, for a person")]
fn now() -> Instant {
    Instant::now()
}

/// The headers that are not those of one connection.
fn sent_on(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let named = headers.get_all(header::CONNECTION).filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    headers
        .iter()
        .filter(move |(name, _)| !NOT_SENT_ON.contains(name) && !named.iter().any(|it| it == name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_stay_and_all_others_go_on_in_every_value() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "127.0.0.1:9000"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("webhook-id", "msg_1"),
            ("x-many", "1"),
            ("x-many", "2"),
        ] {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
        }
        let mut sent: Vec<String> =
            sent_on(&headers).map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        sent.sort();
        assert_eq!(sent, ["webhook-id: msg_1", "x-many: 1", "x-many: 2"]);
    }
}
