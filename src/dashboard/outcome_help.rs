//! What an attempt's answer means, and what to do about it. Each sentence is true of every answer with its code and every
//! attempt with its error, of a test as well: what a receiver answers is told as what it says, since it may be wrong.

/// An outcome in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutcomeHelp {
    /// What happened.
    pub what: &'static str,
    /// What helps; empty when nothing is needed.
    pub help: &'static str,
    /// Whether it is worth another attempt, unless the webhook says otherwise.
    pub is_retried: bool,
}

/// Of an attempt, by its answer or the API's name of its error.
pub(crate) fn of(code: Option<u16>, error: Option<&str>) -> OutcomeHelp {
    code.map_or_else(|| of_error(error.unwrap_or_default()), of_code)
}

/// Who answered with a 502, 503 or 504 can't be told from it.
const BEHIND: &str = "The response body often says which of them answered. Check that the receiver runs, and that a \
                      proxy before it waits long enough.";

/// Of an attempt that was answered with a code.
pub(crate) fn of_code(code: u16) -> OutcomeHelp {
    let (what, help) = match code {
        200..=299 => ("Delivered.", ""),
        301 | 302 | 303 | 307 | 308 => (
            "The receiver redirects. Redirects are never followed, because they could lead anywhere.",
            "Give the webhook the final URL; the response header location usually has it.",
        ),
        300..=399 => (
            "An answer of the kind of redirects, which does not count as delivered.",
            "Let the receiver answer with 200.",
        ),
        401 | 403 => (
            "The receiver refuses the request.",
            "Check the credentials in the webhook's headers, and that the receiver verifies with the secret of this webhook.",
        ),
        404 => ("The receiver says that there is nothing at this URL.", "Check the path of the webhook's URL."),
        405 => (
            "The receiver says that this URL does not take POST.",
            "Check the path of the webhook's URL, and the route of the receiver.",
        ),
        408 => ("The receiver says that the request did not arrive in time.", ""),
        410 => (
            "The receiver says that it is gone for good.",
            "This answer to an event disables the webhook, unless its URL was changed meanwhile; to a test it does not. When \
             it was a mistake, mend the receiver, enable the webhook if it is disabled, and recover what it missed.",
        ),
        413 => (
            "The receiver says that the payload is too large.",
            "Let the receiver, and a proxy before it, take larger bodies.",
        ),
        425 => ("The receiver says that it is too early.", ""),
        429 => (
            "The receiver says that these are too many requests.",
            "When it says how long to wait (retry-after), the next attempt waits for that, up to 24 h. A rate limit for the \
             webhook keeps it from getting there.",
        ),
        400..=499 => (
            "The receiver refuses the request.",
            "The response body often says why. Such an answer is tried again only if the webhook retries other 4xx.",
        ),
        502 => ("The receiver, or a proxy before it, says that it got no valid answer from behind it.", BEHIND),
        503 => ("The receiver, or a proxy before it, says that it is not available at the moment.", BEHIND),
        504 => ("The receiver, or a proxy before it, says that it got no answer in time from behind it.", BEHIND),
        500..=599 => ("The receiver says that it failed.", "Look for the error in the receiver's log."),
        _ => ("A code that is no final answer in HTTP.", "Let the receiver answer with 200."),
    };
    let is_retried = matches!(code, 408 | 425 | 429) || !(200..500).contains(&code);
    OutcomeHelp { what, help, is_retried }
}

/// Of an attempt that was not answered, by the API's name of its error.
pub(crate) fn of_error(error: &str) -> OutcomeHelp {
    let (what, help) = match error {
        "timeout" => (
            "No answer came within the webhook's timeout.",
            "Answer first and do the work afterwards, or give the webhook a longer timeout.",
        ),
        "dns_failure" => {
            ("The host's name did not resolve.", "Check the spelling of the URL and the domain's DNS records.")
        }
        "connection_refused" => (
            "The connection was refused: nothing listens at this host and port, or a firewall turns it away.",
            "Check that the receiver runs, and the port in the webhook's URL.",
        ),
        "connection_reset" => (
            "The connection was closed before an answer came.",
            "Look for a crash or a restart in the log of the receiver, and of the proxy before it.",
        ),
        "connection_failed" => (
            "No connection could be made.",
            "Check that the receiver can be reached from here: its address, its network and its firewall.",
        ),
        "tls_failure" => (
            "The TLS handshake failed.",
            "The page of the delivery says what was wrong: the certificate (expired, for another host, without its chain) or the \
             protocol (no TLS at this port, or none of TLS 1.2 and 1.3).",
        ),
        "invalid_response" => (
            "What came back can't be read as an HTTP/1.1 answer.",
            "Check that the URL's port speaks HTTP, and that the answer has a valid head of at most 96 headers.",
        ),
        "blocked_address" => (
            "The host's address is not allowed as a target, so no connection was made.",
            "Use a public address; an operator can allow others with allowed_networks.",
        ),
        "invalid_request" => (
            "The webhook's URL or headers can't be made into a request.",
            "Edit the webhook, then send this again.",
        ),
        _ => ("No answer came.", "Send a test event to the webhook to see what happens now."),
    };
    OutcomeHelp { what, help, is_retried: !matches!(error, "blocked_address" | "invalid_request") }
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
            assert_eq!(meaning, of(None, Some(error.as_str())));
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

    /// What the words of an outcome must not say, as it is not so in every case: an answer does not tell who gave it, what
    /// the webhook is set to, or whether it answered a test.
    #[test]
    fn no_outcome_is_explained_with_what_it_does_not_tell() {
        let never = [
            "can't reach",
            "was disabled",
            "not tried again",
            "last attempt",
            "for good. Nothing",
            "The next attempt is",
        ];
        let codes = (100..1_000).map(|code| (code.to_string(), of(Some(code), None)));
        let errors = AttemptError::ALL.map(|error| (error.as_str().to_owned(), of(None, Some(error.as_str()))));
        for (outcome, meaning) in codes.chain(errors) {
            for said in never {
                assert!(!meaning.what.contains(said) && !meaning.help.contains(said), "{outcome}: {meaning:?}");
            }
        }
    }

    #[test]
    fn what_a_code_means_is_said_of_the_right_one() {
        for (code, expected) in [
            (200, "Delivered."),
            (299, "Delivered."),
            (304, "does not count as delivered"),
            (308, "redirects"),
            (400, "refuses"),
            (401, "refuses"),
            (404, "nothing at this URL"),
            (405, "POST"),
            (408, "in time"),
            (410, "gone for good"),
            (413, "too large"),
            (422, "refuses"),
            (425, "too early"),
            (429, "too many"),
            (500, "failed"),
            (502, "no valid answer"),
            (503, "not available"),
            (504, "no answer in time"),
            (599, "failed"),
            (101, "no final answer"),
            (999, "no final answer"),
        ] {
            let meaning = of_code(code);
            assert!(meaning.what.contains(expected), "{code}: {}", meaning.what);
        }
    }
}
