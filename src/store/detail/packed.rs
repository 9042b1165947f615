//! The packed form of an attempt's request headers and response.
//!
//! Every delivery has one, and it is most of the bytes that a delivery's row gains when it ends: as JSON it took 600
//! bytes, packed it takes about 110, of which two signatures are 64. Values that follow from the row or are the same
//! everywhere take a byte or two; all others are stored verbatim. Reading returns exactly what was packed.
//!
//! ```text
//! version          1
//! request headers  number, then for each: name, value
//! response         0: none; 1: number of headers, the headers, length of the body, the body
//! ```
//!
//! Numbers are LEB128, signed ones in zigzag. A name or a value begins with one byte for its kind.

use std::sync::LazyLock;

use data_encoding::{BASE64, HEXLOWER};
use thiserror::Error;

use super::Headers;
use super::dictionary::{NAMES, SUFFIXES, USER_AGENT, USUAL_PREFIX, VALUES, place};
use crate::domain::ids::{DeliveryId, EventId};
use crate::domain::sent_request::{EndpointHeaders, HeaderStyle, MASKED, SentRequest};
use crate::domain::signing::{Digest, StandardSignature, standard_text};
use crate::domain::time::UnixMillis;

const VERSION: u8 = 1;

/// Length and bytes follow.
const LITERAL: u8 = 0;
/// Names: the last prefix and one of [`SUFFIXES`]; with [`OTHER_PREFIX`] a new prefix follows.
const PREFIXED: u8 = 1;
const OTHER_PREFIX: u8 = 8;
/// Values: the id of the delivery.
const DELIVERY_ID: u8 = 1;
/// The id of the event, as the distance from the delivery's.
const EVENT_ID: u8 = 2;
/// Unix seconds, as the distance from the attempt's start.
const SECONDS: u8 = 3;
/// 32 bytes, in hexadecimal.
const HEX: u8 = 4;
/// Signatures of Standard Webhooks: their number, and 32 bytes each.
const SIGNATURES: u8 = 5;
/// An HTTP date, as the distance from the attempt's start in seconds.
const DATE: u8 = 6;
/// A decimal number without sign or leading zeros.
const DECIMAL: u8 = 7;
/// Our own user agent; length and bytes of its version follow.
const OWN_AGENT: u8 = 8;
/// From here on an index into [`NAMES`] or [`VALUES`].
const WORDS: u8 = 32;

const CONTENT_TYPE: u8 = WORDS + place(NAMES, "content-type");
const USER_AGENT_NAME: u8 = WORDS + place(NAMES, "user-agent");
const WEBHOOK_ID: u8 = WORDS + place(NAMES, "webhook-id");
const WEBHOOK_TIMESTAMP: u8 = WORDS + place(NAMES, "webhook-timestamp");
const WEBHOOK_SIGNATURE: u8 = WORDS + place(NAMES, "webhook-signature");
const SVIX_ID: u8 = WORDS + place(NAMES, "svix-id");
const SVIX_TIMESTAMP: u8 = WORDS + place(NAMES, "svix-timestamp");
const SVIX_SIGNATURE: u8 = WORDS + place(NAMES, "svix-signature");
const JSON: u8 = WORDS + place(VALUES, "application/json");
const MASKED_VALUE: u8 = WORDS + place(VALUES, MASKED);
const SIGNATURE_SUFFIX: u8 = place(&SUFFIXES, "-signature");
const PREVIOUS_SIGNATURE_SUFFIX: u8 = place(&SUFFIXES, "-signature-previous");
const DELIVERY_SUFFIX: u8 = place(&SUFFIXES, "-delivery");
const ATTEMPT_SUFFIX: u8 = place(&SUFFIXES, "-attempt");

const DIGEST_BYTES: usize = size_of::<Digest>();
const SIGNATURE: &str = "v1,";
/// Unix seconds at least this far from the attempt's start are stored like any other number.
const NEAR_SECONDS: i64 = 1_000_000;
/// The last HTTP date, 9999-12-31T23:59:59Z.
const LAST_DATE: i64 = 253_402_300_799;

/// The columns of an attempt next to its packed detail.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptContext {
    pub(super) delivery_id: DeliveryId,
    pub(super) started_at: UnixMillis,
}

/// The unpacked detail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AttemptDetail {
    pub(super) request_headers: Headers,
    pub(super) response: Option<(Headers, Vec<u8>)>,
}

/// Headers and body of a response to pack.
type ResponseParts<'a> = (&'a [(String, String)], &'a [u8]);

/// Bytes that this version can't have written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in super::super) enum DetailError {
    /// A newer version wrote it.
    #[error("an attempt's detail has the version {0}, which this version of ringback does not know")]
    Version(u8),
    /// Cut off, too long, or contradictory.
    #[error("an attempt's detail can't be read at byte {0}")]
    Malformed(usize),
}

/// Packs an attempt.
pub(super) fn pack(
    context: AttemptContext,
    number: u32,
    request: &SentRequest,
    response: Option<ResponseParts<'_>>,
) -> Vec<u8> {
    let body = response.map_or(0, |(_, body)| body.len());
    let mut packer = Packer { bytes: Vec::with_capacity(192 + body), prefix: USUAL_PREFIX, context };
    packer.bytes.push(VERSION);
    packer.request(request, number);
    packer.bytes.push(u8::from(response.is_some()));
    if let Some((headers, body)) = response {
        packer.headers(headers);
        packer.text(body);
    }
    packer.bytes
}

/// Reads the bytes that [`pack`] wrote.
pub(super) fn unpack(context: AttemptContext, bytes: &[u8]) -> Result<AttemptDetail, DetailError> {
    let mut unpacker = Unpacker { bytes, at: 0, prefix: USUAL_PREFIX.to_owned(), context };
    match unpacker.byte()? {
        VERSION => {}
        other => return Err(DetailError::Version(other)),
    }
    let request_headers = unpacker.headers()?;
    let response = match unpacker.byte()? {
        0 => None,
        1 => Some((unpacker.headers()?, unpacker.literal()?.to_vec())),
        _ => return Err(unpacker.malformed()),
    };
    match unpacker.at == bytes.len() {
        true => Ok(AttemptDetail { request_headers, response }),
        false => Err(unpacker.malformed()),
    }
}

/// What [`pack`] writes for the same attempt without a response; `None` if it has none.
pub(super) fn without_response(context: AttemptContext, bytes: &[u8]) -> Result<Option<Vec<u8>>, DetailError> {
    if unpack(context, bytes)?.response.is_none() {
        return Ok(None);
    }
    let mut unpacker = Unpacker { bytes, at: 0, prefix: USUAL_PREFIX.to_owned(), context };
    unpacker.byte()?;
    unpacker.headers()?;
    let mut kept = bytes[..unpacker.at].to_vec();
    kept.push(0);
    Ok(Some(kept))
}

struct Packer<'a> {
    bytes: Vec<u8>,
    prefix: &'a str,
    context: AttemptContext,
}

impl<'a> Packer<'a> {
    /// The request, header by header in the order of [`SentRequest::fixed_headers`].
    fn request(&mut self, request: &'a SentRequest, number: u32) {
        let EndpointHeaders { user_agent, style, custom_names, .. } = request.endpoint.as_ref();
        let is_native = *style == HeaderStyle::Native;
        let documents = [&request.document, &request.previous_document].into_iter().flatten().count();
        let own = if is_native { 2 + documents } else { 0 };
        self.number((5 + own + custom_names.len()) as u64);
        self.bytes.extend_from_slice(&[CONTENT_TYPE, JSON, USER_AGENT_NAME]);
        self.user_agent(user_agent);
        if is_native {
            self.own_headers(request, number);
        }
        let [id, timestamp, signature] = match style {
            HeaderStyle::Native | HeaderStyle::Standard => [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE],
            HeaderStyle::Svix => [SVIX_ID, SVIX_TIMESTAMP, SVIX_SIGNATURE],
        };
        self.bytes.extend_from_slice(&[id, EVENT_ID]);
        self.signed(self.context.delivery_id.0.wrapping_sub(request.event_id.0));
        self.bytes.extend_from_slice(&[timestamp, SECONDS, 0, signature]);
        self.signatures(&request.standard);
        for name in custom_names {
            self.name(name);
            self.bytes.push(MASKED_VALUE);
        }
    }

    /// Those whose names have our prefix.
    fn own_headers(&mut self, request: &'a SentRequest, number: u32) {
        let prefix = &request.endpoint.prefix;
        if let Some(document) = &request.document {
            self.prefixed(prefix, SIGNATURE_SUFFIX);
            self.digest(document);
        }
        if let Some(previous) = &request.previous_document {
            self.prefixed(prefix, PREVIOUS_SIGNATURE_SUFFIX);
            self.digest(previous);
        }
        self.prefixed(prefix, DELIVERY_SUFFIX);
        self.bytes.push(DELIVERY_ID);
        self.prefixed(prefix, ATTEMPT_SUFFIX);
        self.decimal(u64::from(number));
    }

    fn headers(&mut self, headers: &'a [(String, String)]) {
        self.number(headers.len() as u64);
        for (name, value) in headers {
            self.name(name);
            self.value(value);
        }
    }

    fn name(&mut self, name: &'a str) {
        if let Some(word) = NAME_LOOKUP.find(name) {
            self.bytes.push(word);
            return;
        }
        let found = SUFFIXES.iter().enumerate().find_map(|(place, suffix)| {
            let prefix = name.strip_suffix(suffix)?;
            Some((prefix, place as u8))
        });
        match found {
            Some((prefix, place)) => self.prefixed(prefix, place),
            None => self.literal(name),
        }
    }

    /// A name of a prefix and one of [`SUFFIXES`].
    fn prefixed(&mut self, prefix: &'a str, suffix: u8) {
        if prefix == self.prefix {
            self.bytes.push(PREFIXED + suffix);
            return;
        }
        self.bytes.push(OTHER_PREFIX + suffix);
        self.text(prefix.as_bytes());
        self.prefix = prefix;
    }

    fn user_agent(&mut self, user_agent: &str) {
        match user_agent.strip_prefix(USER_AGENT) {
            Some(version) => {
                self.bytes.push(OWN_AGENT);
                self.text(version.as_bytes());
            }
            None => self.value(user_agent),
        }
    }

    fn value(&mut self, value: &str) {
        if let Some(word) = VALUE_LOOKUP.find(value) {
            self.bytes.push(word);
        } else if !self.token(value) {
            self.literal(value);
        }
    }

    /// Packs a value of a response that is a number, a digest or a date; returns whether it is one.
    fn token(&mut self, value: &str) -> bool {
        match value.as_bytes() {
            [b'0'..=b'9' | b'a'..=b'f', ..] if value.len() == 2 * DIGEST_BYTES => self.hexadecimal(value),
            [b'0'..=b'9', ..] => self.plain_decimal(value),
            [b'F' | b'M' | b'S' | b'T' | b'W', ..] if value.ends_with(" GMT") => self.date(value),
            _ => false,
        }
    }

    fn hexadecimal(&mut self, value: &str) -> bool {
        let mut digest = Digest::default();
        let is_digest = HEXLOWER.decode_mut(value.as_bytes(), &mut digest) == Ok(DIGEST_BYTES);
        if is_digest {
            self.digest(&digest);
        }
        is_digest
    }

    fn digest(&mut self, digest: &Digest) {
        self.bytes.push(HEX);
        self.bytes.extend_from_slice(digest);
    }

    fn plain_decimal(&mut self, value: &str) -> bool {
        let is_plain =
            value.bytes().all(|byte| byte.is_ascii_digit()) && (value == "0" || !value.starts_with('0'));
        let Some(number) = value.parse::<u64>().ok().filter(|_| is_plain) else { return false };
        self.decimal(number);
        true
    }

    fn decimal(&mut self, number: u64) {
        let distance = i64::try_from(number).ok().map(|number| number.saturating_sub(self.started_second()));
        match distance.filter(|distance| distance.abs() < NEAR_SECONDS) {
            Some(distance) => {
                self.bytes.push(SECONDS);
                self.signed(distance);
            }
            None => {
                self.bytes.push(DECIMAL);
                self.number(number);
            }
        }
    }

    /// At most 255: an endpoint has far fewer secrets. One of ed25519 makes them a text, which every version reads.
    fn signatures(&mut self, signatures: &[StandardSignature]) {
        let digest = |signature: &StandardSignature| match signature {
            &StandardSignature::Hmac(digest) => Some(digest),
            StandardSignature::Ed25519(_) => None,
        };
        if !signatures.iter().all(|signature| digest(signature).is_some()) {
            return self.literal(&standard_text(signatures));
        }
        let count = u8::try_from(signatures.len()).unwrap_or(u8::MAX);
        self.bytes.extend_from_slice(&[SIGNATURES, count]);
        self.bytes.extend(signatures.iter().take(usize::from(count)).filter_map(digest).flatten());
    }

    fn date(&mut self, value: &str) -> bool {
        let Ok(date) = httpdate::parse_http_date(value) else { return false };
        // two obsolete forms are read as well, and would come back as this one
        if httpdate::fmt_http_date(date) != value {
            return false;
        }
        let Ok(since_1970) = date.duration_since(std::time::UNIX_EPOCH) else { return false };
        self.bytes.push(DATE);
        self.signed((since_1970.as_secs() as i64).wrapping_sub(self.started_second()));
        true
    }

    fn started_second(&self) -> i64 {
        self.context.started_at.as_seconds()
    }

    fn literal(&mut self, text: &str) {
        self.bytes.push(LITERAL);
        self.text(text.as_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }
}

/// Texts of the dictionary by their lengths: most lengths have two or three, and that of a signature none.
struct DictionaryLookup(Vec<Vec<(&'static str, u8)>>);

static NAME_LOOKUP: LazyLock<DictionaryLookup> = LazyLock::new(|| DictionaryLookup::of(NAMES));
static VALUE_LOOKUP: LazyLock<DictionaryLookup> = LazyLock::new(|| DictionaryLookup::of(VALUES));

impl DictionaryLookup {
    fn of(words: &[&'static str]) -> Self {
        let longest = words.iter().map(|word| word.len()).max().unwrap_or(0);
        let mut by_length = vec![Vec::new(); longest + 1];
        for (place, word) in words.iter().enumerate() {
            by_length[word.len()].push((*word, WORDS + place as u8));
        }
        Self(by_length)
    }

    fn find(&self, text: &str) -> Option<u8> {
        let words = self.0.get(text.len())?;
        words.iter().find(|(word, _)| *word == text).map(|(_, byte)| *byte)
    }
}

struct Unpacker<'a> {
    bytes: &'a [u8],
    at: usize,
    prefix: String,
    context: AttemptContext,
}

impl<'a> Unpacker<'a> {
    fn malformed(&self) -> DetailError {
        DetailError::Malformed(self.at)
    }

    fn headers(&mut self) -> Result<Headers, DetailError> {
        let count = self.number()?;
        // nothing is reserved for `count`: each header takes two bytes or more, and the end of the bytes ends
        // this
        (0..count).map(|_| Ok((self.name()?, self.value()?))).collect()
    }

    fn name(&mut self) -> Result<String, DetailError> {
        let kind = self.byte()?;
        if kind == LITERAL {
            return self.string();
        }
        if let Some(place) = kind.checked_sub(WORDS) {
            return self.word(NAMES, place);
        }
        let place = match kind.checked_sub(OTHER_PREFIX) {
            Some(place) => {
                self.prefix = self.string()?;
                place
            }
            None => kind - PREFIXED,
        };
        let suffix = SUFFIXES.get(usize::from(place)).ok_or_else(|| self.malformed())?;
        Ok(format!("{}{suffix}", self.prefix))
    }

    fn value(&mut self) -> Result<String, DetailError> {
        let kind = self.byte()?;
        Ok(match kind {
            LITERAL => self.string()?,
            DELIVERY_ID => self.context.delivery_id.to_string(),
            EVENT_ID => EventId(self.context.delivery_id.0.wrapping_sub(self.signed()?)).to_string(),
            SECONDS => self.near_start()?.to_string(),
            HEX => HEXLOWER.encode(self.take(DIGEST_BYTES)?),
            SIGNATURES => self.signatures()?,
            DATE => self.date()?,
            DECIMAL => self.number()?.to_string(),
            OWN_AGENT => format!("{USER_AGENT}{}", self.string()?),
            word => match word.checked_sub(WORDS) {
                Some(place) => self.word(VALUES, place)?,
                None => return Err(self.malformed()),
            },
        })
    }

    fn word(&self, words: &[&str], place: u8) -> Result<String, DetailError> {
        words.get(usize::from(place)).map(|word| (*word).to_owned()).ok_or_else(|| self.malformed())
    }

    fn signatures(&mut self) -> Result<String, DetailError> {
        let mut text = String::new();
        for place in 0..self.byte()? {
            if place > 0 {
                text.push(' ');
            }
            text.push_str(SIGNATURE);
            BASE64.encode_append(self.take(DIGEST_BYTES)?, &mut text);
        }
        Ok(text)
    }

    fn date(&mut self) -> Result<String, DetailError> {
        let second = self.near_start()?;
        if !(0..=LAST_DATE).contains(&second) {
            return Err(self.malformed());
        }
        let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second as u64);
        Ok(httpdate::fmt_http_date(date))
    }

    fn near_start(&mut self) -> Result<i64, DetailError> {
        Ok(self.context.started_at.as_seconds().wrapping_add(self.signed()?))
    }

    fn string(&mut self) -> Result<String, DetailError> {
        let bytes = self.literal()?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.malformed())
    }

    fn literal(&mut self) -> Result<&'a [u8], DetailError> {
        let length = usize::try_from(self.number()?).map_err(|_| self.malformed())?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DetailError> {
        let end = self.at.checked_add(length).ok_or_else(|| self.malformed())?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.malformed())?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DetailError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, DetailError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.malformed())
    }

    fn signed(&mut self) -> Result<i64, DetailError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}
