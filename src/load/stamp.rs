//! What makes an event of a run known to its receiver: run, number, and the instant at which it was to be published.

use std::fmt::Write;

/// The stamp begins the event's data, within its first bytes: the receiver looks no further.
const SEARCHED_BYTES: usize = 512;
const BEGIN: &[u8] = br#""ringback_load":["#;

/// Names one event of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Of the receivers' runs.
    pub run: u32,
    /// Of the events of the organization in this run, from 0.
    pub number: u64,
    /// When it was to be published, in Unix microseconds.
    pub at: u64,
}

impl Stamp {
    /// Appends an event's data of `bytes` bytes, or as few more as the stamp itself needs.
    pub(crate) fn write_data(self, bytes: usize, out: &mut String) {
        let begin = out.len();
        let Self { run, number, at } = self;
        // writing to a string does not fail
        let _ = write!(out, r#"{{"ringback_load":[{run},{number},{at}],"pad":""#);
        let written = out.len() - begin + r#""}"#.len();
        out.extend(std::iter::repeat_n('x', bytes.saturating_sub(written)));
        out.push_str(r#""}"#);
    }

    /// Finds it in the body of a request.
    pub(crate) fn find(body: &[u8]) -> Option<Self> {
        let searched = &body[..body.len().min(SEARCHED_BYTES)];
        let begin = memchr::memmem::find(searched, BEGIN)? + BEGIN.len();
        let end = begin + memchr::memchr(b']', &body[begin..body.len().min(begin + 80)])?;
        let mut numbers = std::str::from_utf8(&body[begin..end]).ok()?.split(',').map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok);
        Some(Self { run: u32::try_from(next()?).ok()?, number: next()?, at: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again_and_the_data_has_the_size_that_was_asked_for() {
        let stamp = Stamp { run: 7, number: 123_456, at: 1_790_000_000_000_000 };
        let mut body =
            String::from(r#"{"event_type":"call.completed","timestamp":"x","webhook_id":"msg_1","data":"#);
        let begin = body.len();
        stamp.write_data(1_024, &mut body);
        assert_eq!(body.len() - begin, 1_024);
        body.push('}');
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        assert_eq!(Stamp::find(body.as_bytes()), Some(stamp));
    }

    #[test]
    fn what_has_no_stamp_is_nobodys() {
        for body in
            ["", "{}", r#"{"ringback_load":[1,2]}"#, r#"{"ringback_load":[1,2,x]}"#, r#"{"ringback_load":[1"#]
        {
            assert_eq!(Stamp::find(body.as_bytes()), None, "{body}");
        }
    }
}
