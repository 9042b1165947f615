//! What an attempt's answer means, and what to do about it.

/// An outcome in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What happened.
    pub what: &'static str,
    /// What helps; empty when nothing is needed.
    pub help: &'static str,
    /// Whether it is worth another attempt, unless the webhook says otherwise.
    pub is_retried: bool,
}

/// Of an attempt that was answered with a code.
pub fn of_code(code: u16) -> Meaning {
    let (what, help) = match code {
        200..=299 => ("Delivered.", ""),
        301 | 302 | 303 | 307 | 308 => (
            "The receiver redirects. Redirects are never followed, because they could lead anywhere.",
            "Give the webhook the final URL: it is in the response header location.",
        ),
        300..=399 => ("An answer of the kind of redirects; nothing was delivered.", "Answer with 200."),
        401 | 403 => (
            "The receiver refuses the request.",
            "Check the credentials in the webhook's headers, and that the receiver verifies with the secret of this webhook.",
        ),
        404 => ("There is nothing at this URL.", "Check the path of the webhook's URL."),
        405 => {
            ("The URL does not take POST.", "Check the path of the webhook's URL, and the route of the receiver.")
        }
        408 => ("The receiver did not get the request in time.", ""),
        410 => (
            "The receiver is gone for good. Nothing is tried again, and the webhook was disabled.",
            "When that was a mistake, mend the receiver, then enable the webhook and recover what it missed.",
        ),
        413 => (
            "The payload is too large for the receiver.",
            "Let the receiver, and the proxy before it, take larger bodies.",
        ),
        425 => ("Too early for the receiver.", ""),
        429 => (
            "Too much for the receiver. The next attempt is not before its retry-after.",
            "A rate limit for the webhook keeps it from getting there.",
        ),
        400..=499 => (
            "The receiver refuses the request for good. It is not tried again, unless the webhook retries 4xx.",
            "The response body often says why; once the receiver is mended, send it again.",
        ),
        502..=504 => (
            "A proxy before the receiver can't reach it.",
            "Check that the receiver runs, and that the proxy waits long enough for it.",
        ),
        500..=599 => ("The receiver failed.", "Look for the error in the receiver's log."),
        _ => ("No code that HTTP gives a meaning as an answer.", "Answer with 200."),
    };
    let is_retried = matches!(code, 408 | 425 | 429) || !(200..500).contains(&code);
    Meaning { what, help, is_retried }
}

/// Of an attempt that was not answered, by the API's name of its error.
pub fn of_error(error: &str) -> Meaning {
    let (what, help) = match error {
        "timeout" => (
            "No answer came within the webhook's timeout.",
            "Answer first and do the work afterwards, or give the webhook a longer timeout.",
        ),
        "dns_failure" => {
            ("The host's name did not resolve.", "Check the spelling of the URL and the domain's DNS records.")
        }
        "connection_refused" => (
            "Nothing listens at this host and port.",
            "Check that the receiver runs, and the port in the webhook's URL.",
        ),
        "connection_reset" => (
            "The connection was closed before an answer came.",
            "Look for a crash or a restart in the log of the receiver, and of the proxy before it.",
        ),
        "connection_failed" => (
            "No connection could be made: the host or its network can't be reached.",
            "Check the receiver's firewall and that its address is public.",
        ),
        "tls_failure" => (
            "The TLS handshake failed.",
            "Renew the certificate, and serve it with its chain for the host in the URL, over TLS 1.2 or 1.3.",
        ),
        "invalid_response" => (
            "What came back is not an HTTP/1.1 answer.",
            "Check that the URL's port speaks HTTP, and that the answer has a valid head of at most 96 headers.",
        ),
        "blocked_address" => (
            "The host's address is not allowed as a target, so no connection was made. It is not tried again.",
            "Use a public address; an operator can allow others with allowed_networks.",
        ),
        "invalid_request" => (
            "The webhook's URL or headers can't be made into a request. It is not tried again.",
            "Edit the webhook, then send this again.",
        ),
        _ => ("No answer came.", "Send a test event to the webhook to see what happens now."),
    };
    Meaning { what, help, is_retried: !matches!(error, "blocked_address" | "invalid_request") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::{AttemptError, Response, RetryOn, Verdict, judge};
    use crate::domain::time::UnixMillis;

    #[test]
    fn every_error_has_words_of_its_own_and_says_what_to_do() {
        for error in AttemptError::ALL {
            let meaning = of_error(error.as_str());
            assert_ne!(meaning, of_error("?"), "{error:?}");
            assert!(!meaning.help.is_empty(), "{error:?}");
            let is_final = judge(&Err(error), RetryOn::default(), UnixMillis(0)) == Verdict::Fail;
            assert_eq!(meaning.is_retried, !is_final, "{error:?}");
            assert_eq!(meaning.what.contains("not tried again"), is_final, "{error:?}");
        }
    }

    #[test]
    fn a_code_is_worth_another_attempt_when_the_engine_makes_one() {
        for code in 100..700 {
            let answer = Ok(Response { status: code, headers: Vec::new(), body: bytes::Bytes::new() });
            let is_retried = matches!(judge(&answer, RetryOn::default(), UnixMillis(0)), Verdict::Retry { .. });
            assert_eq!(of_code(code).is_retried, is_retried, "{code}");
            assert_eq!(of_code(code).help.is_empty(), matches!(code, 200..=299 | 408 | 425), "{code}");
        }
    }
}
