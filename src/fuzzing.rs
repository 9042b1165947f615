//! The bodies of the fuzz targets in `fuzz/`, which is another crate and can't reach private items. Compiled only with
//! `--cfg fuzzing`, which cargo-fuzz sets. A panic is a finding.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::value::RawValue;

use crate::api::event_batch::read_batch;
use crate::api::event_input::EventReader;
use crate::api::input::{Errors, Fields};
use crate::api::known_types::KnownTypes;
use crate::api::webhook_input::WebhookChanges;
use crate::api::webhook_settings::{HeaderBounds, Rules};
use crate::domain::endpoint::EndpointDefaults;
use crate::domain::filter::Filter;
use crate::domain::ids::OrganizationId;
use crate::domain::retry::parse_retry_after;
use crate::domain::target::TargetPolicy;
use crate::domain::time::UnixMillis;
use crate::transport::chunks::ChunkScanner;
use crate::transport::head::{Framing, Head, end_of_head, normalize};

/// A chunked body that arrives in pieces of `piece` + 1 bytes ends where it ends in one piece.
pub fn response_chunks(piece: u8, bytes: &[u8]) {
    let mut whole = ChunkScanner::default();
    let scanned = whole.scan(bytes);
    let expected = ((scanned.chunks, scanned.trailers), whole.has_ended());
    let mut scanner = ChunkScanner::default();
    let mut seen = (0, 0);
    for part in bytes.chunks(usize::from(piece) + 1) {
        if !scanner.has_ended() {
            let scanned = scanner.scan(part);
            seen = (seen.0 + scanned.chunks, seen.1 + scanned.trailers);
        }
    }
    assert_eq!((seen, scanner.has_ended()), expected);
}

/// A final head stays one head with one meaning, and a line that is not a header changes nothing.
pub fn response_head(place: u8, bytes: &[u8]) {
    any_head(bytes);
    odd_line(place, bytes);
}

fn any_head(bytes: &[u8]) {
    // without a status line there is little to test
    for start in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 503\n"] {
        let mut head = BytesMut::from(start.as_bytes());
        head.extend_from_slice(bytes);
        head.extend_from_slice(b"\r\n\r\n");
        let end = end_of_head(&head, 0).expect("its end was appended");
        head.truncate(end);
        let Head::Final { framing, .. } = normalize(&mut head) else { continue };
        assert_eq!(end_of_head(&head, 0), Some(head.len()));
        assert!(head.iter().all(|&byte| !byte.is_ascii_control() || b"\r\n\t".contains(&byte)));
        let repeated = normalize(&mut head);
        assert!(matches!(repeated, Head::Final { framing: same, .. } if same == framing), "{repeated:?}");
    }
}

fn odd_line(place: u8, bytes: &[u8]) {
    let odd: Vec<u8> = bytes.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    let name = odd.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let decides =
        [&b"content-length"[..], b"transfer-encoding", b"connection", b"retry-after"].contains(&&name[..]);
    if odd.is_empty() || decides {
        return;
    }
    let mut lines = vec![&b"retry-after: 120"[..], b"content-length: 5", b"x: y"];
    lines.insert(usize::from(place) % 4, &odd);
    let mut head = BytesMut::from(&b"HTTP/1.1 429 x\r\n"[..]);
    head.extend_from_slice(&lines.join(&b"\r\n"[..]));
    head.extend_from_slice(b"\r\n\r\n");
    let result = normalize(&mut head);
    assert!(matches!(result, Head::Final { framing, .. } if framing == Framing::Length(5)), "{result:?}");
    let is_kept = |line: &[u8]| head[..].split(|&byte| byte == b'\n').any(|kept| kept.trim_ascii_end() == line);
    assert!(head.starts_with(b"HTTP/1.1 429 ") && is_kept(b"retry-after: 120") && is_kept(b"content-length: 5"));
}

/// A `Retry-After` is never earlier than now, nor later than in a day.
pub fn retry_after(seconds: u32, text: &str) {
    let now = UnixMillis(i64::from(seconds) * 1000);
    if let Some(at) = parse_retry_after(text, now) {
        assert!(at >= now && at <= now + Duration::from_secs(86_400));
    }
}

/// An accepted URL is accepted again in its normalized form, and a literal address in it is an allowed one.
pub fn target_url(text: &str) {
    let policy = TargetPolicy { allow_http: true, ..TargetPolicy::default() };
    let Ok(url) = policy.check_url(text) else { return };
    assert_eq!(policy.check_url(url.as_str()).as_ref(), Ok(&url));
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let host = url.host_str().expect("checked").trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        assert!(policy.allows_address(address), "{url}");
    }
}

/// `text` is a filter, a line break, and an event's data: the filter compiles again from its source, with the same result.
pub fn filter(text: &str) {
    let (source, data) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(source) = serde_json::from_str(source) else { return };
    let Ok(filter) = Filter::parse(&source) else { return };
    let again = Filter::parse(filter.source()).expect("an accepted filter is accepted again");
    let Ok(data) = serde_json::from_str::<&RawValue>(data) else { return };
    assert_eq!(filter.matches(data), again.matches(data));
}

/// The body of one event, and of a batch in both forms: `data` is kept unchanged.
pub fn events(body: &[u8]) {
    let organization_id = OrganizationId(1);
    let types = KnownTypes::new(Arc::default(), organization_id);
    let reader = EventReader { organization_id, types, now: UnixMillis(1_700_000_000_000) };
    let one = reader.read(body, None, Errors::new());
    let batches = [false, true].map(|is_ndjson| read_batch(body, is_ndjson, Errors::new(), &reader));
    let many = batches.into_iter().flatten().flatten();
    for event in [one].into_iter().chain(many).flatten() {
        let data = event.data.get().as_bytes();
        assert!(data.starts_with(b"{") && body.windows(data.len()).any(|part| part == data));
        assert!(event.timestamp.ends_with('Z'));
    }
}

/// The body that creates or changes a webhook: every error has a message.
pub fn webhook(body: &[u8]) {
    let policy = TargetPolicy::default();
    let rules = Rules {
        types: KnownTypes::new(Arc::default(), OrganizationId(1)),
        target_policy: &policy,
        signature_header_prefix: "x-acme",
        defaults: EndpointDefaults::default(),
        headers: HeaderBounds::USUAL,
        now: UnixMillis(1_800_000_000_000),
    };
    for read in [WebhookChanges::read_new, WebhookChanges::read_change] {
        let mut errors = Errors::new();
        if let Ok(fields) = Fields::parse(body, &mut errors) {
            drop(read(fields, &rules, &mut errors));
        }
        if let Err(problem) = errors.into_result() {
            assert!(!problem.detail().is_empty());
        }
    }
}
