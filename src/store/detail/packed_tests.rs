use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use proptest::collection::vec;
use proptest::prelude::*;

use super::Headers;
use super::dictionary::{NAMES, SUFFIXES, VALUES};
use super::packed::{AttemptContext, AttemptDetail, DetailError, pack, unpack};
use crate::domain::ids::{DeliveryId, EventId};
use crate::domain::sent_request::{EndpointHeaders, Header, HeaderStyle, MASKED, SentRequest};
use crate::domain::signing::StandardSignature;
use crate::domain::time::UnixMillis;

const CONTEXT: AttemptContext =
    AttemptContext { delivery_id: DeliveryId(1_000_001), started_at: UnixMillis(1_767_225_600_123) };

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// Packs headers as a response has them.
fn pack_headers(headers: &[(String, String)]) -> Vec<u8> {
    pack(CONTEXT, 1, &SentRequest::default(), Some((headers, b"")))
}

fn unpack_headers(packed: &[u8]) -> Headers {
    unpack(CONTEXT, packed).unwrap().response.unwrap().0
}

/// The headers as they were sent, with the customer's own values masked.
fn sent_headers(context: AttemptContext, number: u32, request: &SentRequest) -> Headers {
    let fixed = request.fixed_headers(context.delivery_id, number, context.started_at);
    let text = |(name, value): Header| (name.to_string(), value.to_string());
    let mut headers: Headers = fixed.into_iter().map(text).collect();
    let masked = |name: &String| (name.clone(), MASKED.to_owned());
    headers.extend(request.endpoint.custom_names.iter().map(masked));
    headers
}

/// An ordinary delivery's request, and the headers of an ordinary receiver's response.
fn ordinary() -> (SentRequest, Headers) {
    let document = b"\x80\xec\x8a\x89\xce\x3c\xd2\x21\x33\xa1\x06\x6c\xae\xcb\x4d\x04\
                     \xfe\xa7\x46\x76\x57\xc8\x51\x4d\x71\x7e\xc4\x2c\x38\xa5\xc9\x4c";
    let standard = BASE64.decode(b"g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=").unwrap();
    let request = SentRequest {
        endpoint: Arc::new(EndpointHeaders::new(
            "Ringback/0.1.0",
            HeaderStyle::Native,
            String::from("x-callintel"),
            vec![String::from("X-Token")],
        )),
        event_id: EventId(1_000_000),
        document: Some(*document),
        previous_document: None,
        standard: vec![StandardSignature::Hmac(standard.try_into().unwrap())],
    };
    let response = [("content-length", "0"), ("date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("server", "nginx")];
    (request, pairs(&response))
}

#[test]
fn an_ordinary_delivery_is_packed_into_its_signatures_and_little_more() {
    let (request, response) = ordinary();
    let packed = pack(CONTEXT, 1, &request, Some((&response, b"")));
    assert!(packed.len() <= 128, "{} bytes", packed.len());
    let request_headers = sent_headers(CONTEXT, 1, &request);
    let expected = AttemptDetail { request_headers, response: Some((response, Vec::new())) };
    assert_eq!(unpack(CONTEXT, &packed), Ok(expected));
}

/// What version 0.1.0 stored when it packed the request as a list of texts.
const STORED_BEFORE: &[(&str, &[(&str, &str)])] = &[
    (
        "01092020210805302e312e30010480ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c0301\
         04070122020223030024050183484cf52b04f8e4cf2531adfed9882ad4b2665137b852442d594d20e2c9d4e10007582d\
         546f6b656e210103250700260600282d00",
        &[
            ("content-type", "application/json"),
            ("user-agent", "Ringback/0.1.0"),
            ("x-callintel-signature", "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"),
            ("x-callintel-delivery", "dlv_000000000ygj1"),
            ("x-callintel-attempt", "1"),
            ("webhook-id", "msg_000000000ygj0"),
            ("webhook-timestamp", "1767225600"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ("X-Token", "********"),
        ],
    ),
    (
        "010b20202100074f746865722f320806782d61636d650400ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d71\
         7ec42c38a5c94c0204f0ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c030104070c2202\
         0223030024050283484cf52b04f8e4cf2531adfed9882ad4b2665137b852442d594d20e2c9d4e1000000000000000000\
         00000000000000000000000000000000000000000000006321012100",
        &[
            ("content-type", "application/json"),
            ("user-agent", "Other/2"),
            ("x-acme-signature", "00ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"),
            ("x-acme-signature-previous", "f0ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"),
            ("x-acme-delivery", "dlv_000000000ygj1"),
            ("x-acme-attempt", "12"),
            ("webhook-id", "msg_000000000ygj0"),
            ("webhook-timestamp", "1767225600"),
            (
                "webhook-signature",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
            ("Authorization", "********"),
            ("x-acme-signature", "********"),
        ],
    ),
];

#[test]
fn rows_of_earlier_versions_are_read_and_ordinary_ones_are_still_written_byte_for_byte() {
    for (hexadecimal, headers) in STORED_BEFORE {
        let detail = unpack(CONTEXT, &HEXLOWER.decode(hexadecimal.as_bytes()).unwrap()).unwrap();
        assert_eq!(detail.request_headers, pairs(headers));
    }
    let (request, response) = ordinary();
    let packed = pack(CONTEXT, 1, &request, Some((&response, b"")));
    assert_eq!(HEXLOWER.encode(&packed), STORED_BEFORE[0].0);
}

/// In a response they are now stored as any other text; what is stored stays readable.
#[test]
fn ids_and_signatures_that_an_earlier_version_shortened_in_a_response_are_read() {
    let stored = "01000104220202030124050183484cf52b04f8e4cf2531adfed9882ad4b2665137b852442d594d20e2c9d4e1280805302e312e30026f6b";
    let detail = unpack(CONTEXT, &HEXLOWER.decode(stored.as_bytes()).unwrap()).unwrap();
    let headers = [
        ("webhook-id", "msg_000000000ygj0"),
        ("x-callintel-delivery", "dlv_000000000ygj1"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("server", "Ringback/0.1.0"),
    ];
    assert_eq!(detail.response, Some((pairs(&headers), b"ok".to_vec())));
}

#[test]
fn every_text_of_the_dictionary_is_one_byte_and_occurs_once() {
    for words in [NAMES, VALUES] {
        assert!(words.len() <= 224);
        for (place, word) in words.iter().enumerate() {
            assert_eq!(words.iter().position(|other| other == word), Some(place), "{word}");
        }
    }
    for name in NAMES {
        let empty = pack_headers(&[]).len();
        assert_eq!(pack_headers(&pairs(&[(name, "********")])).len() - empty, 2, "{name}");
    }
}

#[test]
fn bytes_of_a_newer_version_are_refused() {
    let mut packed = pack(CONTEXT, 1, &SentRequest::default(), None);
    packed[0] = 2;
    assert_eq!(unpack(CONTEXT, &packed), Err(DetailError::Version(2)));
    assert_eq!(unpack(CONTEXT, &[]), Err(DetailError::Malformed(0)));
}

#[test]
fn a_value_is_only_shortened_if_it_is_read_back_the_same() {
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
    assert_eq!(unpack_headers(&pack_headers(&headers)), headers);
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
        Just(CONTEXT.delivery_id.to_string()),
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

fn signature() -> impl Strategy<Value = StandardSignature> {
    prop_oneof![
        4 => any::<[u8; 32]>().prop_map(StandardSignature::Hmac),
        1 => any::<([u8; 32], [u8; 32])>().prop_map(|(first, second)| {
            StandardSignature::Ed25519(Box::new([first, second].concat().try_into().unwrap()))
        }),
    ]
}

fn request() -> impl Strategy<Value = SentRequest> {
    let style = prop::sample::select(vec![HeaderStyle::Native, HeaderStyle::Svix, HeaderStyle::Standard]);
    let endpoint = ("(Ringback/)?[a-z0-9.]{0,9}", style, "x-callintel|[a-z-]{0,8}", vec(name(), 0..4));
    let signatures = (any::<Option<[u8; 32]>>(), any::<Option<[u8; 32]>>(), vec(signature(), 0..4));
    (endpoint, 0..i64::MAX, signatures).prop_map(|(endpoint, event_id, signatures)| {
        let (user_agent, style, prefix, custom_names) = endpoint;
        let (document, previous_document, standard) = signatures;
        let endpoint = Arc::new(EndpointHeaders::new(&user_agent, style, prefix, custom_names));
        SentRequest { endpoint, event_id: EventId(event_id), document, previous_document, standard }
    })
}

proptest! {
    #[test]
    fn unpacking_returns_exactly_what_was_packed(
        request in request(),
        response in prop::option::of((headers(), vec(any::<u8>(), 0..300))),
        number: u32,
        delivery_id: i64,
        started_at in -253_402_300_799_000..253_402_300_799_000_i64,
    ) {
        let context = AttemptContext { delivery_id: DeliveryId(delivery_id), started_at: UnixMillis(started_at) };
        let parts = response.as_ref().map(|(headers, body)| (&headers[..], &body[..]));
        let packed = pack(context, number, &request, parts);
        let request_headers = sent_headers(context, number, &request);
        prop_assert_eq!(unpack(context, &packed), Ok(AttemptDetail { request_headers, response }));
    }

    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in vec(any::<u8>(), 0..200), at: i64) {
        let context = AttemptContext { delivery_id: DeliveryId(at), started_at: UnixMillis(at) };
        let _ = unpack(context, &bytes);
        let versioned: Vec<u8> = std::iter::once(1).chain(bytes).collect();
        let _ = unpack(context, &versioned);
    }

    #[test]
    fn truncated_and_overlong_bytes_are_errors(response in headers(), body in vec(any::<u8>(), 0..40), cut: usize) {
        let packed = pack(CONTEXT, 1, &SentRequest::default(), Some((&response, &body)));
        prop_assert!(unpack(CONTEXT, &packed[..cut % packed.len()]).is_err());
        let longer = [&packed[..], &[0]].concat();
        prop_assert!(unpack(CONTEXT, &longer).is_err());
    }
}
