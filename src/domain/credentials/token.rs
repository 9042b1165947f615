//! What a token endpoint responds.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::attempt::{Response, TokenFault};
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
        status => return Err(refusal(response).unwrap_or(TokenFault::Status(status))),
    }
    let fields: Map<String, Value> = serde_json::from_slice(&response.body).map_err(|_| TokenFault::Unreadable)?;
    let is_bearer = match fields.get("token_type") {
        None => true,
        Some(kind) => kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")),
    };
    let token = fields.get("access_token").and_then(Value::as_str).unwrap_or_default();
    let is_usable =
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_bearer || !is_usable {
        return Err(TokenFault::Unusable);
    }
    Ok(Token { value: Secret::new(token.to_owned()), lifetime: lifetime(fields.get("expires_in")) })
}

fn refusal(response: &Response) -> Option<TokenFault> {
    let fields: Map<String, Value> = serde_json::from_slice(&response.body).ok()?;
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
        let token = read_token(&Response { status, headers: Vec::new(), body })?;
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
            (200, "<html>sign in</html>", TokenFault::Unreadable),
            (200, "", TokenFault::Unreadable),
            (200, "[]", TokenFault::Unreadable),
            (200, "{}", TokenFault::Unusable),
            (200, r#"{"access_token":""}"#, TokenFault::Unusable),
            (200, r#"{"access_token":7}"#, TokenFault::Unusable),
            (200, r#"{"access_token":"a\r\nx-evil: 1"}"#, TokenFault::Unusable),
            (200, r#"{"access_token":"a b"}"#, TokenFault::Unusable),
            (200, r#"{"access_token":"é"}"#, TokenFault::Unusable),
            (200, r#"{"access_token":"t","token_type":"mac"}"#, TokenFault::Unusable),
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
}
