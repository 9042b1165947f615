//! W3C trace context: which trace of its publisher an event belongs to. It comes in the headers `traceparent` and `tracestate`,
//! is kept with the event, and is sent to receivers. Baggage is neither read nor sent.

use std::fmt;
use std::sync::Arc;

/// The headers' names.
pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";

/// Bytes of a `traceparent` of version 00: `00-<32>-<16>-<2>`.
const TRACEPARENT_BYTES: usize = 55;
/// Every participant has to pass on as much. Larger: a publisher makes all its events' rows and requests longer.
const MAX_STATE_BYTES: usize = 512;
/// Of the standard.
const MAX_STATE_MEMBERS: usize = 32;
const MAX_STATE_TEXT: usize = 256;
/// The flags that are defined: sampled, and that the trace's id is random.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// The id of a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a span; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// A place in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: TraceId,
    /// The span that what follows is a child of.
    pub span_id: SpanId,
    flags: u8,
    /// A valid `tracestate`, never empty.
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// Reads the two headers. `None` for what is no `traceparent`; a `tracestate` that is wrong or too long is left out.
    pub fn parse<'a>(traceparent: &str, tracestate: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let (known, rest) = bytes.split_at_checked(TRACEPARENT_BYTES)?;
        let [version] = hex(known.get(..2)?)?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            // a later version may say more
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        if !is_whole || [2, 35, 52].iter().any(|&place| known[place] != b'-') {
            return None;
        }
        let trace_id: [u8; 16] = hex(known.get(3..35)?)?;
        let span_id: [u8; 8] = hex(known.get(36..52)?)?;
        let [flags] = hex(known.get(53..)?)?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        let (trace_id, span_id) = (TraceId(trace_id), SpanId(span_id));
        Some(Self { trace_id, span_id, flags: flags & KNOWN_FLAGS, state: read_state(tracestate) })
    }

    /// The beginning of a trace that is sampled.
    pub(crate) fn sampled(trace_id: TraceId, span_id: SpanId) -> Self {
        Self { trace_id, span_id, flags: SAMPLED, state: None }
    }

    /// The same trace, from another span on.
    pub(crate) fn at(&self, span_id: SpanId) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// Whether whoever began the trace wants it recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// The header `tracestate`.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// As it is stored.
    pub(crate) fn to_stored(&self) -> String {
        match &self.state {
            None => self.traceparent(),
            Some(state) => format!("{} {state}", self.traceparent()),
        }
    }

    /// Reads what was stored.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        let (traceparent, state) = match text.split_once(' ') {
            None => (text, None),
            Some((traceparent, state)) => (traceparent, Some(state)),
        };
        Self::parse(traceparent, state)
    }
}

/// Lower case alone.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Several headers are one list; all of it or nothing.
fn read_state<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Arc<str>> {
    let mut members: Vec<&str> = Vec::new();
    let mut bytes = 0;
    for header in headers {
        for member in header.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue;
            }
            bytes += member.len() + 1;
            if members.len() == MAX_STATE_MEMBERS || bytes > MAX_STATE_BYTES + 1 {
                return None;
            }
            let key = state_key(member)?;
            if members.iter().any(|other| state_key(other) == Some(key)) {
                return None;
            }
            members.push(member);
        }
    }
    (!members.is_empty()).then(|| members.join(",").into())
}

/// The key of a member, if all of it is valid.
fn state_key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let starts_well =
        |part: &str| part.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let is_value = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    let is_well_formed = starts_well(key)
        && key.len() <= MAX_STATE_TEXT
        && key.bytes().all(is_key)
        && key.split('@').count() <= 2
        && (1..=MAX_STATE_TEXT).contains(&value.len())
        && value.bytes().all(is_value);
    is_well_formed.then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parent(text: &str) -> Option<String> {
        TraceContext::parse(text, []).map(|context| context.traceparent())
    }

    fn state(headers: &[&str]) -> Option<String> {
        let context = TraceContext::parse(GOOD, headers.iter().copied()).unwrap();
        context.tracestate().map(str::to_owned)
    }

    #[test]
    fn a_valid_traceparent_is_passed_on_as_it_came() {
        for text in [GOOD, &GOOD.replace("-01", "-00"), &GOOD.replace("-01", "-03")] {
            assert_eq!(parent(text).as_deref(), Some(text));
        }
        assert!(TraceContext::parse(GOOD, []).unwrap().is_sampled());
        assert!(!TraceContext::parse(&GOOD.replace("-01", "-02"), []).unwrap().is_sampled());
    }

    #[test]
    fn of_a_later_version_what_is_known_counts() {
        let later = format!("cc{}-what-the-future-brings", &GOOD[2..]);
        assert_eq!(parent(&later).as_deref(), Some(GOOD));
        assert_eq!(parent(&later[..55]).as_deref(), Some(GOOD));
        // flags that nobody has defined yet are not ours to pass on
        assert_eq!(parent(&GOOD.replace("-01", "-ff")).unwrap(), GOOD.replace("-01", "-03"));
        assert_eq!(parent(&format!("cc{}.x", &GOOD[2..])), None);
    }

    #[test]
    fn what_is_no_traceparent_is_ignored() {
        for wrong in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}0"),
            &format!("{GOOD}-00"),
            &format!(" {GOOD}"),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replacen("00-", "0x-", 1),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("4bf9", "4bg9"),
            &GOOD.replace("4bf9", "4ßf"),
            &"0".repeat(10_240),
        ] {
            assert_eq!(parent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tracestate_is_passed_on_whole_or_not_at_all() {
        assert_eq!(state(&["a=1,b@c=x y"]).as_deref(), Some("a=1,b@c=x y"));
        assert_eq!(state(&["a=1 ,\t b=2,,", "c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        let longest = format!("a={},b={}", "x".repeat(256), "y".repeat(251));
        assert_eq!(longest.len(), 512);
        assert_eq!(state(&[&longest]).as_deref(), Some(longest.as_str()));
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        assert!(state(&[&many[..32].join(",")]).is_some());
        for wrong in [
            "",
            " , ",
            "a",
            "a=",
            "=1",
            "A=1",
            "a=1,a=2",
            "a=b=c",
            "a@b@c=1",
            "a=\u{e4}",
            "a=1\n",
            "a=1\0",
            &format!("{longest}z"),
            &many.join(","),
            &format!("a={}", "x".repeat(10_240)),
        ] {
            assert_eq!(state(&[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_stored_is_read_back_the_same() {
        for headers in [&[][..], &["a=1,b=x y"]] {
            let context = TraceContext::parse(GOOD, headers.iter().copied()).unwrap();
            assert_eq!(TraceContext::from_stored(&context.to_stored()), Some(context));
        }
        assert_eq!(TraceContext::from_stored("what is this"), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic_and_what_it_takes_is_sent_as_valid_headers(
            head in "[0-9a-f-]{50,60}|\\PC{0,60}|00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
            state in "[a-c=@, ]{0,20}|\\PC{0,40}",
        ) {
            if let Some(context) = TraceContext::parse(&head, [state.as_str()]) {
                prop_assert_eq!(TraceContext::parse(&context.traceparent(), context.tracestate()), Some(context));
            }
        }
    }
}
