use proptest::collection::vec;
use proptest::prelude::*;

use super::Headers;
use super::dictionary::{NAMES, SUFFIXES, VALUES};
use super::packed::{AttemptContext, AttemptDetail, DetailError, pack, unpack};
use crate::domain::ids::{DeliveryId, EventId};
use crate::domain::time::UnixMillis;

const KNOWN: AttemptContext =
    AttemptContext { delivery_id: DeliveryId(1_000_001), started_at: UnixMillis(1_767_225_600_123) };

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// The headers of an ordinary delivery, and of the answer of an ordinary receiver.
fn ordinary() -> (Headers, Headers) {
    let (event_id, delivery_id) = (EventId(1_000_000).to_string(), KNOWN.delivery_id.to_string());
    let request = [
        ("content-type", "application/json"),
        ("user-agent", "Ringback/0.1.0"),
        ("x-callintel-signature", "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"),
        ("x-callintel-delivery", &delivery_id),
        ("x-callintel-attempt", "1"),
        ("webhook-id", &event_id),
        ("webhook-timestamp", "1767225600"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("X-Token", "********"),
    ];
    let response = [("content-length", "0"), ("date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("server", "nginx")];
    (pairs(&request), pairs(&response))
}

#[test]
fn what_an_ordinary_delivery_keeps_is_its_signatures_and_little_more() {
    let (request, response) = ordinary();
    let packed = pack(KNOWN, &request, Some((&response, b"")));
    assert!(packed.len() <= 128, "{} bytes", packed.len());
    let expected = AttemptDetail { request_headers: request, response: Some((response, Vec::new())) };
    assert_eq!(unpack(KNOWN, &packed), Ok(expected));
}

#[test]
fn every_word_of_the_lists_is_one_byte_and_stands_in_them_once() {
    for words in [NAMES, VALUES] {
        assert!(words.len() <= 224);
        for (place, word) in words.iter().enumerate() {
            assert_eq!(words.iter().position(|other| other == word), Some(place), "{word}");
        }
    }
    for name in NAMES {
        assert_eq!(pack(KNOWN, &pairs(&[(name, "********")]), None).len(), 5, "{name}");
    }
}

#[test]
fn what_a_newer_program_wrote_is_refused_by_its_version() {
    let mut packed = pack(KNOWN, &[], None);
    packed[0] = 2;
    assert_eq!(unpack(KNOWN, &packed), Err(DetailError::Version(2)));
    assert_eq!(unpack(KNOWN, &[]), Err(DetailError::Malformed(0)));
}

#[test]
fn a_form_of_its_own_is_only_taken_by_what_comes_back_the_same() {
    let values = [
        "00",
        "01",
        "+1",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "1767225599",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Thursday, 01-Jan-26 00:00:00 GMT",
        "Fri, 01 Jan 2026 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, GMT",
        "v1,",
        "v1,AAAA",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= ",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "80EC8A89CE3CD22133A1066CAECB4D04FEA7467657C8514D717EC42C38A5C94C",
        "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94g",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "msg_0000000000000",
        "msg_7zzzzzzzzzzzz",
        "msg_8000000000000",
        "dlv_0000000000000",
        "Ringback/",
        "Ringback",
        "",
    ];
    let headers: Vec<_> = values.iter().map(|value| (String::from("x"), value.to_string())).collect();
    let packed = pack(KNOWN, &headers, None);
    assert_eq!(unpack(KNOWN, &packed), Ok(AttemptDetail { request_headers: headers, response: None }));
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(NAMES).prop_map(str::to_owned),
        ("[a-z-]{0,8}", prop::sample::select(&SUFFIXES[..])).prop_map(|(prefix, suffix)| prefix + suffix),
        prop::sample::select(&SUFFIXES[..]).prop_map(|suffix| format!("x-callintel{suffix}")),
        ".{0,20}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(VALUES).prop_map(str::to_owned),
        any::<i64>().prop_map(|id| EventId(id & i64::MAX).to_string()),
        any::<i64>().prop_map(|id| DeliveryId(id).to_string()),
        Just(KNOWN.delivery_id.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        (1_767_225_000..1_767_226_000u64).prop_map(|second| second.to_string()),
        any::<[u8; 32]>().prop_map(|digest| data_encoding::HEXLOWER.encode(&digest)),
        vec("v1,[a-zA-Z0-9+/]{42}[AEIMQUYcgkosw048]=", 1..4).prop_map(|signatures| signatures.join(" ")),
        (0..253_402_300_799u64).prop_map(|second| {
            httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second))
        }),
        "[0-9+-]{0,24}",
        "(v1,|msg_|dlv_|Ringback/|Thu, ).{0,44}",
        ".{0,70}",
    ]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((name(), value()), 0..12)
}

proptest! {
    #[test]
    fn what_is_read_back_is_exactly_what_was_given(
        request in headers(),
        response in prop::option::of((headers(), vec(any::<u8>(), 0..300))),
        delivery_id: i64,
        started_at: i64,
    ) {
        let known = AttemptContext { delivery_id: DeliveryId(delivery_id), started_at: UnixMillis(started_at) };
        let packed = pack(known, &request, response.as_ref().map(|(headers, body)| (&headers[..], &body[..])));
        prop_assert_eq!(unpack(known, &packed), Ok(AttemptDetail { request_headers: request, response }));
    }

    #[test]
    fn bytes_that_nobody_wrote_are_an_error_and_never_a_panic(bytes in vec(any::<u8>(), 0..200), at: i64) {
        let known = AttemptContext { delivery_id: DeliveryId(at), started_at: UnixMillis(at) };
        let _ = unpack(known, &bytes);
        let versioned: Vec<u8> = std::iter::once(1).chain(bytes).collect();
        let _ = unpack(known, &versioned);
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_an_error(request in headers(), body in vec(any::<u8>(), 0..40), cut: usize) {
        let packed = pack(KNOWN, &request, Some((&request, &body)));
        prop_assert!(unpack(KNOWN, &packed[..cut % packed.len()]).is_err());
        let longer = [&packed[..], &[0]].concat();
        prop_assert!(unpack(KNOWN, &longer).is_err());
    }
}
