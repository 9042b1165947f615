//! What the outcome of an attempt means, and what to do about it. Each sentence must hold for every response with its
//! code and every attempt with its error, including test events. A receiver's response is shown as a report, since it
//! may be wrong.

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutcomeHelp {
    pub what: &'static str,
    /// Empty when nothing needs to be done.
    pub help: &'static str,
    /// Whether such an outcome is retried by default.
    pub is_retried: bool,
}

/// The help for an attempt, by its response code or its error's API name.
pub(crate) fn of(code: Option<u16>, error: Option<&str>) -> OutcomeHelp {
    code.map_or_else(|| of_error(error.unwrap_or_default()), of_code)
}

/// A 502, 503 or 504 does not show who sent it.
const BEHIND: &str = "The response body often shows which of them responded. Check that the receiver is running, \
                      and that any proxy in front of it waits long enough.";

pub(crate) fn of_code(code: u16) -> OutcomeHelp {
    let (what, help) = match code {
        200..=299 => ("Delivered.", ""),
        301 | 302 | 303 | 307 | 308 => (
            "The receiver redirects to another URL. Redirects are never followed, because they could lead anywhere.",
            "Set the webhook's URL to the final one; the response header location usually has it.",
        ),
        300..=399 => ("A 3xx response, which does not count as delivered.", "Make the receiver respond with 200."),
        401 | 403 => (
            "The receiver refused the request.",
            "Check the credentials in the webhook's headers, and that the receiver verifies with this webhook's secret.",
        ),
        404 => ("The receiver reports that there is nothing at this URL.", "Check the path of the webhook's URL."),
        405 => (
            "The receiver reports that this URL does not accept POST.",
            "Check the path of the webhook's URL, and the receiver's routes.",
        ),
        408 => ("The receiver reports that the request did not arrive in time.", ""),
        410 => (
            "The receiver reports that it is permanently gone.",
            "A 410 to an event disables the webhook, unless its URL was changed meanwhile; a 410 to a test event does not. If it was \
             a mistake, fix the receiver, enable the webhook if it is disabled, and recover the deliveries it missed.",
        ),
        413 => (
            "The receiver reports that the payload is too large.",
            "Make the receiver, and any proxy in front of it, accept larger bodies.",
        ),
        425 => ("The receiver reports that it is too early.", ""),
        429 => (
            "The receiver reports too many requests.",
            "If the response has a retry-after header, the next attempt waits that long, up to 24 h. A rate limit on the webhook \
             prevents this.",
        ),
        400..=499 => (
            "The receiver refused the request.",
            "The response body often says why. Such a response is retried only if the webhook retries other 4xx.",
        ),
        502 => ("The receiver, or a proxy in front of it, reports no valid response from its upstream.", BEHIND),
        503 => ("The receiver, or a proxy in front of it, reports that it is not available.", BEHIND),
        504 => ("The receiver, or a proxy in front of it, reports no response in time from its upstream.", BEHIND),
        500..=599 => ("The receiver reports that it failed.", "Look for the error in the receiver's logs."),
        _ => ("Not a final HTTP response.", "Make the receiver respond with 200."),
    };
    let is_retried = matches!(code, 408 | 425 | 429) || !(200..500).contains(&code);
    OutcomeHelp { what, help, is_retried }
}

/// The help for an error, by its API name.
pub(crate) fn of_error(error: &str) -> OutcomeHelp {
    let (what, help) = match error {
        "timeout" => (
            "No response within the webhook's timeout.",
            "Respond first and do the work afterwards, or raise the webhook's timeout.",
        ),
        "dns_failure" => {
            ("The host name did not resolve.", "Check the spelling of the URL and the domain's DNS records.")
        }
        "connection_refused" => (
            "The connection was refused: nothing listens at this host and port, or a firewall rejects it.",
            "Check that the receiver is running, and the port in the webhook's URL.",
        ),
        "connection_reset" => (
            "The connection was closed before a response arrived.",
            "Look for a crash or restart in the logs of the receiver and of any proxy in front of it.",
        ),
        "connection_failed" => (
            "No connection could be made.",
            "Check that the receiver can be reached from here: its address, network and firewall.",
        ),
        "tls_failure" => (
            "The TLS handshake failed.",
            "The delivery's page shows why: the certificate (expired, for another host, incomplete chain) or the protocol (no TLS at \
             this port, or neither TLS 1.2 nor 1.3).",
        ),
        "invalid_response" => (
            "The response is not valid HTTP/1.1.",
            "Check that the URL's port speaks HTTP, and that the response has a valid head of at most 96 headers.",
        ),
        "blocked_address" => (
            "The host's address is not an allowed target, so no connection was made.",
            "Use an address that anyone can reach from the internet, or ask for this one to be allowed.",
        ),
        "invalid_request" => (
            "The webhook's URL or headers don't form a request that this engine may send.",
            "Edit the webhook: its URL needs https and a usual port, unless others are allowed here.",
        ),
        "token_failure" => (
            "No OAuth 2.0 token could be had, so nothing was sent to the receiver.",
            "The delivery's page shows why. Check the token URL, the client's id and secret, and the token server's log.",
        ),
        _ => ("No response.", "Send a test event to the webhook to see what happens now."),
    };
    OutcomeHelp { what, help, is_retried: error != "blocked_address" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::{AttemptError, Response, RetryOn, Verdict, judge};
    use crate::domain::time::UnixMillis;

    #[test]
    fn every_error_has_its_own_help() {
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
    fn a_code_is_shown_as_retried_exactly_when_the_engine_retries_it() {
        for code in 100..700 {
            let answer = Ok(Response::new(code, Vec::new(), bytes::Bytes::new()));
            let is_retried = matches!(judge(&answer, RetryOn::default(), UnixMillis(0)), Verdict::Retry { .. });
            assert_eq!(of_code(code).is_retried, is_retried, "{code}");
            assert_eq!(of_code(code).help.is_empty(), matches!(code, 200..=299 | 408 | 425), "{code}");
        }
    }

    /// Statements that are not true in every case: a response does not show who sent it, how the webhook is
    /// configured, or whether it answers a test event.
    #[test]
    fn no_help_claims_what_its_outcome_does_not_show() {
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
    fn each_code_has_the_right_help() {
        for (code, expected) in [
            (200, "Delivered."),
            (299, "Delivered."),
            (304, "does not count as delivered"),
            (308, "redirects"),
            (400, "refused"),
            (401, "refused"),
            (404, "nothing at this URL"),
            (405, "POST"),
            (408, "in time"),
            (410, "permanently gone"),
            (413, "too large"),
            (422, "refused"),
            (425, "too early"),
            (429, "too many"),
            (500, "failed"),
            (502, "no valid response"),
            (503, "not available"),
            (504, "no response in time"),
            (599, "failed"),
            (101, "Not a final"),
            (999, "Not a final"),
        ] {
            let meaning = of_code(code);
            assert!(meaning.what.contains(expected), "{code}: {}", meaning.what);
        }
    }
}
