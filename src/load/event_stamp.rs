//! Identifies an event of a run to its receiver: run, event number, and the time at which it was due to be published.

use std::fmt::Write;

/// The stamp is at the start of the event's data, so the receiver searches only the first bytes.
const SEARCHED_BYTES: usize = 512;
const BEGIN: &[u8] = br#""ringback_load":["#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventStamp {
    pub run: u32,
    /// Counts the events of the organization in this run, from 0.
    pub number: u64,
    /// When it was due to be published, in Unix microseconds.
    pub at: u64,
}

impl EventStamp {
    /// Appends data of `bytes` bytes, or more when the stamp alone is longer.
    pub(crate) fn write_data(self, bytes: usize, out: &mut String) {
        let begin = out.len();
        let Self { run, number, at } = self;
        // writing to a string does not fail
        let _ = write!(out, r#"{{"ringback_load":[{run},{number},{at}],"pad":""#);
        let written = out.len() - begin + r#""}"#.len();
        out.extend(std::iter::repeat_n('x', bytes.saturating_sub(written)));
        out.push_str(r#""}"#);
    }

    /// Finds the stamp in the body of a request.
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
    fn a_written_stamp_is_found_and_the_data_has_the_requested_size() {
        let stamp = EventStamp { run: 7, number: 123_456, at: 1_790_000_000_000_000 };
        let mut body =
            String::from(r#"{"event_type":"call.completed","timestamp":"x","webhook_id":"msg_1","data":"#);
        let begin = body.len();
        stamp.write_data(1_024, &mut body);
        assert_eq!(body.len() - begin, 1_024);
        body.push('}');
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        assert_eq!(EventStamp::find(body.as_bytes()), Some(stamp));
    }

    #[test]
    fn a_body_without_a_complete_stamp_has_none() {
        for body in
            ["", "{}", r#"{"ringback_load":[1,2]}"#, r#"{"ringback_load":[1,2,x]}"#, r#"{"ringback_load":[1"#]
        {
            assert_eq!(EventStamp::find(body.as_bytes()), None, "{body}");
        }
    }
}
