//! What a token endpoint responds.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::attempt::{BodyEnd, Response, TokenFault};
use crate::domain::secret::Secret;

/// Of a token; real ones have up to 4 KiB. Receivers bound their headers, most at 8 KiB for all.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// A server that does not say how long a token is valid.
const LIFETIME_IF_UNSAID: Duration = Duration::from_secs(300);
/// A token that is valid for less is used for this long anyway: else each attempt would ask for another one.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(1);
/// A token is fetched again after a day, whatever its server says.
const LONGEST_LIFETIME: Duration = Duration::from_secs(86_400);

/// A token. It is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub value: Secret,
    /// How long it is used. It ends before the token does: a request takes its time, and clocks differ.
    pub lifetime: Duration,
}

/// Reads the response to a request for a token. Of its texts only the error codes of RFC 6749 are known.
pub fn read_token(response: &Response) -> Result<Token, TokenFault> {
    match response.status {
        200..=299 => {}
        300..=399 => return Err(TokenFault::Redirect),
        status => {
            let fields: Option<Map<String, Value>> = serde_json::from_slice(&response.body).ok();
            return Err(fields.and_then(|fields| refusal(&fields)).unwrap_or(TokenFault::Status(status)));
        }
    }
    let fields: Map<String, Value> = serde_json::from_slice(&response.body).map_err(|_| no_object(response))?;
    let is_bearer = match fields.get("token_type") {
        None => true,
        Some(kind) => kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")),
    };
    let token = fields.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    // some servers refuse with 200
    let Some(token) = token else { return Err(refusal(&fields).unwrap_or(TokenFault::Missing)) };
    if !is_bearer {
        return Err(TokenFault::NotBearer);
    }
    if token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFault::Unusable);
    }
    Ok(Token { value: Secret::new(token.to_owned()), lifetime: lifetime(fields.get("expires_in")) })
}

/// Why a body is no JSON object. One that is complete counts, however it ends.
fn no_object(response: &Response) -> TokenFault {
    let is_json = |kind: &str| kind.to_ascii_lowercase().contains("json");
    match response.body_end {
        BodyEnd::Full => TokenFault::TooLarge,
        BodyEnd::Stalled => TokenFault::Stalled,
        BodyEnd::Cut => TokenFault::Cut,
        BodyEnd::Whole if response.body.trim_ascii().is_empty() => TokenFault::Empty,
        BodyEnd::Whole if response.header("content-type").is_some_and(is_json) => TokenFault::Unreadable,
        BodyEnd::Whole => TokenFault::ContentType,
    }
}

/// An error code of RFC 6749.
fn refusal(fields: &Map<String, Value>) -> Option<TokenFault> {
    match fields.get("error")?.as_str()? {
        "invalid_client" => Some(TokenFault::InvalidClient),
        "invalid_scope" => Some(TokenFault::InvalidScope),
        "unauthorized_client" | "unsupported_grant_type" | "invalid_grant" | "invalid_request" => {
            Some(TokenFault::Refused)
        }
        _ => None,
    }
}

/// Some servers send the number as a text.
fn lifetime(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let Some(seconds) = seconds.filter(|seconds| !seconds.is_nan()) else { return LIFETIME_IF_UNSAID };
    let valid = Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_LIFETIME.as_secs_f64()));
    let reserve = (valid / 10).min(Duration::from_secs(30));
    (valid - reserve).max(SHORTEST_LIFETIME)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(status: u16, body: &str) -> Result<(String, u64), TokenFault> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let token = read_token(&Response::new(status, Vec::new(), body))?;
        Ok((token.value.expose().to_owned(), token.lifetime.as_secs()))
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end_and_never_for_less_than_a_second_or_more_than_a_day() {
        for (expires_in, seconds) in [
            ("3600", 3_570),
            ("\"3600\"", 3_570),
            ("3600.0", 3_570),
            ("100", 90),
            ("0", 1),
            ("-5", 1),
            ("-1e300", 1),
            ("1e300", 86_370),
            ("18446744073709551615", 86_370),
            ("null", 300),
            ("\"soon\"", 300),
            ("\"NaN\"", 300),
            ("\"inf\"", 86_370),
            ("[1]", 300),
        ] {
            let body = format!(r#"{{"access_token":"t","token_type":"BEARER","expires_in":{expires_in}}}"#);
            assert_eq!(read(200, &body), Ok(("t".to_owned(), seconds)), "{expires_in}");
        }
        assert_eq!(read(201, r#"{"access_token":"t"}"#), Ok(("t".to_owned(), 300)));
    }

    #[test]
    fn what_is_no_token_is_a_fault_with_its_own_explanation() {
        let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(MAX_TOKEN_BYTES + 1));
        for (status, body, fault) in [
            (200, "<html>sign in</html>", TokenFault::ContentType),
            (200, " \r\n", TokenFault::Empty),
            (200, "[]", TokenFault::ContentType),
            (200, "{}", TokenFault::Missing),
            (200, r#"{"access_token":""}"#, TokenFault::Missing),
            (200, r#"{"access_token":7}"#, TokenFault::Missing),
            (200, r#"{"error":"invalid_scope"}"#, TokenFault::InvalidScope),
            (200, r#"{"error":"slow_down"}"#, TokenFault::Missing),
            (200, r#"{"access_token":"a\r\nx-evil: 1"}"#, TokenFault::Unusable),
            (200, r#"{"access_token":"a b"}"#, TokenFault::Unusable),
            (200, r#"{"access_token":"é"}"#, TokenFault::Unusable),
            (200, r#"{"access_token":"t","token_type":"mac"}"#, TokenFault::NotBearer),
            (200, &long, TokenFault::Unusable),
            (302, "", TokenFault::Redirect),
            (400, r#"{"error":"invalid_client"}"#, TokenFault::InvalidClient),
            (401, r#"{"error":"invalid_client","error_description":"no"}"#, TokenFault::InvalidClient),
            (400, r#"{"error":"invalid_scope"}"#, TokenFault::InvalidScope),
            (400, r#"{"error":"unsupported_grant_type"}"#, TokenFault::Refused),
            (400, r#"{"error":"<script>"}"#, TokenFault::Status(400)),
            (500, "<html>", TokenFault::Status(500)),
        ] {
            assert_eq!(read(status, body), Err(fault), "{status} {body}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_explained_by_its_end_and_one_that_is_counts_however_it_ends() {
        let json = || vec![("content-type".to_owned(), "application/JSON; charset=utf-8".to_owned())];
        for (body_end, fault) in [
            (BodyEnd::Whole, TokenFault::Unreadable),
            (BodyEnd::Full, TokenFault::TooLarge),
            (BodyEnd::Stalled, TokenFault::Stalled),
            (BodyEnd::Cut, TokenFault::Cut),
        ] {
            let response = |body: &'static str| Response {
                body_end,
                ..Response::new(200, json(), Bytes::from_static(body.as_bytes()))
            };
            assert_eq!(read_token(&response(r#"{"access_token":"t""#)).err(), Some(fault));
            assert!(read_token(&response(r#"{"access_token":"t"}"#)).is_ok(), "{body_end:?}");
        }
    }

    #[test]
    fn every_fault_says_what_to_do_and_repeats_nothing_of_the_response() {
        let mut texts: Vec<String> = TokenFault::ALL.iter().map(ToString::to_string).collect();
        texts.extend([401, 404, 429, 418].map(|status| TokenFault::Status(status).to_string()));
        for text in &texts {
            let says = ["check", "let ", "look", "ask", "set ", "raise", "needs", "use one"];
            assert!(says.iter().any(|word| text.contains(word)), "{text}");
            assert!(text.len() < 260 && !text.ends_with('.'), "{text}");
        }
        let distinct: std::collections::HashSet<&String> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
        let secret = "hush-hush";
        let bodies = [
            format!("<html>{secret}"),
            format!(r#"{{"error":"{secret}","error_description":"{secret}"}}"#),
            format!(r#"{{"access_token":"{secret} x"}}"#),
            format!(r#"{{"access_token":"t","token_type":"{secret}"}}"#),
        ];
        for (status, body) in
            [200, 302, 400, 500].into_iter().flat_map(|status| bodies.iter().map(move |body| (status, body)))
        {
            let fault = read(status, body).unwrap_err();
            assert!(!fault.to_string().contains(secret) && !format!("{fault:?}").contains(secret), "{fault}");
        }
    }
}
