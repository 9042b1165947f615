//! Values of arguments as people write them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ringback::domain::organization::OrganizationRef;
use ringback::domain::time::UnixMillis;
use serde_json::value::RawValue;

use crate::cli::now;

/// Parses the id or uid of an organization.
pub(in crate::cli) fn organization(text: &str) -> Result<String, String> {
    match text.parse::<OrganizationRef>() {
        Ok(_) => Ok(text.to_owned()),
        Err(()) => Err(String::from(
            "expects the id of an organization (org_…) or its uid (A-Z a-z 0-9 . _ -); `ringback orgs list` shows them",
        )),
    }
}

/// Parses the name of an event type.
pub(super) fn event_type(text: &str) -> Result<String, String> {
    match text.is_empty() {
        false => Ok(text.to_owned()),
        true => Err(String::from("expects an event type, for example call.completed")),
    }
}

/// Parses an RFC 3339 instant, or how long ago it was.
pub(super) fn instant(text: &str) -> Result<String, String> {
    instant_before(text, now())
}

fn instant_before(text: &str, now: UnixMillis) -> Result<String, String> {
    match (UnixMillis::parse_rfc3339(text), duration(text)) {
        (Some(_), _) => Ok(text.to_owned()),
        (None, Ok(ago)) => Ok((now - ago).to_string()),
        (None, Err(_)) => Err(String::from(
            "expects an instant like 2026-11-30T10:00:00Z, or how long ago it was: 45s, 30m, 2h, 7d",
        )),
    }
}

/// Parses `45s`, `30m`, `2h` or `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds_of = |unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    let parse = || {
        let unit = seconds_of(text.chars().last()?)?;
        let number =
            text.get(..text.len() - 1).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        number.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
    };
    parse().ok_or_else(|| String::from("expects a number and its unit: 45s, 30m, 2h, 7d"))
}

/// Parses what a header of HTTP takes.
pub(super) fn idempotency_key(text: &str) -> Result<String, String> {
    let is_allowed = (1..=255).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match is_allowed {
        true => Ok(text.to_owned()),
        false => Err(String::from("expects 1 to 255 printable ASCII characters")),
    }
}

/// Parses `name=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| String::from("expects name=value, for example plan=pro"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses `name: value`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| String::from("expects 'name: value', for example 'x-token: abc'"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A text that was given itself, as `@file`, or as `-` for standard input.
fn read_text(given: &str) -> anyhow::Result<String> {
    match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(Path::new(path)).with_context(|| format!("{path} can't be read")),
        None if given == "-" => std::io::read_to_string(std::io::stdin()).context("standard input can't be read"),
        None => Ok(given.to_owned()),
    }
}

/// JSON that was given in one of these ways to a flag.
pub(in crate::cli) fn read_json(flag: &str, given: &str) -> anyhow::Result<Box<RawValue>> {
    let text = read_text(given)?;
    // editors on Windows begin files with a mark
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        anyhow!("{flag} is not JSON: {error} (`@file` reads a file, `-` standard input; texts need double quotes)")
    })
}

/// A text as one segment of a path.
pub(super) fn path_segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A path with those parameters that were given.
pub(super) fn with_query<'a>(
    path: &str,
    parameters: impl IntoIterator<Item = (&'a str, Option<String>)>,
) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    let query = query.finish();
    let mark = match (query.is_empty(), path.contains('?')) {
        (true, _) => "",
        (false, false) => "?",
        (false, true) => "&",
    };
    format!("{path}{mark}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_given_as_such_or_as_how_long_ago() {
        let now = UnixMillis::parse_rfc3339("2026-11-30T10:00:00Z").unwrap();
        let read = |text: &str| instant_before(text, now);
        assert_eq!(read("2026-11-30T12:00:00+02:00").as_deref(), Ok("2026-11-30T12:00:00+02:00"));
        assert_eq!(read("90m").as_deref(), Ok("2026-11-30T08:30:00.000Z"));
        assert_eq!(read("7d").as_deref(), Ok("2026-11-23T10:00:00.000Z"));
        for text in ["", "7", "d", "-7d", "1.5h", "2026-11-30", "7é", "99999999999999999999d", "yesterday"] {
            assert!(read(text).is_err_and(|error| error.contains("2h")), "{text}");
        }
    }

    #[test]
    fn a_name_is_one_segment_of_a_path_whatever_it_holds() {
        assert_eq!(path_segment("call.completed"), "call.completed");
        assert_eq!(path_segment("a/../b c+?#"), "a%2F..%2Fb%20c%2B%3F%23");
    }

    #[test]
    fn a_query_has_the_parameters_that_were_given() {
        let query =
            with_query("/v1/x", [("a", None), ("b", Some(String::from("1 &2"))), ("c", Some(String::new()))]);
        assert_eq!(query, "/v1/x?b=1+%262&c=");
        assert_eq!(with_query(&query, [("d", Some(String::from("e")))]), "/v1/x?b=1+%262&c=&d=e");
        assert_eq!(with_query("/v1/x", [("a", None)]), "/v1/x");
    }

    #[test]
    fn json_comes_from_the_command_line_or_a_file_and_stays_as_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.json");
        std::fs::write(&path, "\u{feff}{\"n\": 1e400}\n").unwrap();
        assert_eq!(read_json("--data", &format!("@{}", path.display())).unwrap().get(), "{\"n\": 1e400}");
        assert!(read_json("--data", "@/nowhere").unwrap_err().to_string().contains("/nowhere"));
        let error = read_json("--filters", "{direction: outbound}").unwrap_err().to_string();
        assert!(error.starts_with("--filters is not JSON") && error.contains("double quotes"), "{error}");
    }

    #[test]
    fn pairs_and_headers_are_cut_at_the_first_sign_between_name_and_value() {
        assert_eq!(pair("a=b=c"), Ok((String::from("a"), String::from("b=c"))));
        assert_eq!(header("x-url:  http://a"), Ok((String::from("x-url"), String::from("http://a"))));
        assert!(pair("plan").is_err_and(|error| error.contains("plan=pro")));
        assert!(header("x-token abc").is_err_and(|error| error.contains("name: value")));
    }
}
