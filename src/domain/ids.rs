//! Identifiers: 64-bit, time-ordered, opaque outside.
//!
//! Layout of the 63 usable bits: 41 bits of milliseconds since 2024-01-01 (until 2093), 8 bits of node,
//! 14 bits of counter. One integer primary key clusters a table by time, and no second index on a text id is needed.
//! Outside, an id is a prefix and 13 Crockford base-32 characters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::time::UnixMillis;

/// 2024-01-01T00:00:00Z. Earlier instants are clamped to it.
const EPOCH_MS: i64 = 1_704_067_200_000;
const NODE_BITS: u32 = 8;
/// 16,384 ids in one millisecond; when they run out the generator borrows from the next millisecond.
const COUNTER_BITS: u32 = 14;
/// The distance between the first ids of two consecutive milliseconds.
pub(crate) const IDS_A_MILLISECOND: i64 = 1 << (NODE_BITS + COUNTER_BITS);
const COUNTER_MASK: i64 = (1 << COUNTER_BITS) - 1;
const TEXT_LENGTH: usize = 13;
/// Crockford's base 32, lower case: no i, l, o, u.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an id of the form {prefix}_ and {TEXT_LENGTH} characters")]
pub struct ParseIdError {
    /// The prefix that was expected, for example `wh`.
    pub prefix: &'static str,
}

fn append(id: i64, prefix: &str, text: &mut String) {
    text.push_str(prefix);
    text.push('_');
    for position in (0..TEXT_LENGTH).rev() {
        let digit = (id >> (5 * position)) & 31;
        text.push(char::from(ALPHABET[digit as usize]));
    }
}

fn decode(text: &str, prefix: &'static str) -> Result<i64, ParseIdError> {
    let error = ParseIdError { prefix };
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|digits| digits.len() == TEXT_LENGTH)
        .ok_or_else(|| error.clone())?;
    let mut id: i64 = 0;
    for (position, byte) in digits.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|&symbol| symbol == byte).ok_or_else(|| error.clone())? as i64;
        // 13 digits have 65 bits: a first digit above 7 would not fit into 63
        if position == 0 && digit > 7 {
            return Err(error);
        }
        id = (id << 5) | digit;
    }
    Ok(id)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            pub(crate) fn append_to(self, text: &mut String) {
                append(self.0, $prefix, text);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity($prefix.len() + 1 + TEXT_LENGTH);
                self.append_to(&mut text);
                f.write_str(&text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                decode(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// A tenant: owns endpoints, events, logs and keys.
    OrganizationId,
    "org"
);
id_type!(
    /// An API key of an organization.
    KeyId,
    "key"
);
id_type!(
    /// An entry of the log of changes.
    AuditId,
    "aud"
);
id_type!(
    /// A configured destination; the API calls it a webhook.
    EndpointId,
    "wh"
);
id_type!(
    /// One accepted event.
    EventId,
    "msg"
);
id_type!(
    /// One event on its way to one endpoint.
    DeliveryId,
    "dlv"
);
id_type!(
    /// A background task of the Svix-compatible API.
    TaskId,
    "qtask"
);

impl EndpointId {
    /// `hash(endpoint) % 256`: the unit of ownership when several nodes share one PostgreSQL.
    /// Never change the hash: stored deliveries carry its value.
    pub(crate) fn partition(self) -> i16 {
        // Fibonacci hashing: consecutive ids spread over all partitions
        let hash = (self.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> 56) as i16
    }
}

/// Makes ids that always grow, whatever the clock does.
#[derive(Debug)]
pub struct IdGenerator {
    node: i64,
    last_tick: i64,
    counter: i64,
}

impl IdGenerator {
    /// `largest_stored` is the largest id in the database: after a restart on a clock that went back, ids
    /// continue above it.
    pub fn new(node: u8, largest_stored: i64) -> Self {
        Self {
            node: i64::from(node),
            last_tick: largest_stored >> (NODE_BITS + COUNTER_BITS),
            // start a new tick: the counter within the stored one may be another node's
            counter: COUNTER_MASK,
        }
    }

    /// The same for a node that has joined again: the ids that it made before are not made again, also if they are no longer in
    /// the database.
    pub fn joined_again(&self, node: u8, largest_stored: i64) -> Self {
        Self::new(node, largest_stored.max(self.last_tick << (NODE_BITS + COUNTER_BITS)))
    }

    /// Makes the next `ids` ids follow each other within one millisecond, if there are so many in one: between them are none
    /// of another node. The deliveries of an event are the ids behind its own.
    pub(crate) fn begin_run(&mut self, now: UnixMillis, ids: usize) {
        let tick = (now.0 - EPOCH_MS).max(0);
        let left = COUNTER_MASK - self.counter;
        let fits_one = i64::try_from(ids).is_ok_and(|ids| (left + 1..=COUNTER_MASK + 1).contains(&ids));
        if tick <= self.last_tick && fits_one {
            self.last_tick += 1;
            self.counter = -1;
        }
    }

    /// The next raw id; strictly greater than every id before it.
    pub fn next(&mut self, now: UnixMillis) -> i64 {
        let tick = (now.0 - EPOCH_MS).max(0);
        if tick > self.last_tick {
            self.last_tick = tick;
            self.counter = 0;
        } else if self.counter < COUNTER_MASK {
            self.counter += 1;
        } else {
            self.last_tick += 1;
            self.counter = 0;
        }
        (self.last_tick << (NODE_BITS + COUNTER_BITS)) | (self.node << COUNTER_BITS) | self.counter
    }
}

/// The smallest id that could have been made at `at`. Ids are never behind the clock, but ahead of it after it was set back:
/// everything made at `at` or later has this id or a larger one, but so can things made before.
pub fn first_id_at(at: UnixMillis) -> i64 {
    (at.0 - EPOCH_MS).max(0) << (NODE_BITS + COUNTER_BITS)
}

/// The instant in an id: the time when it was made, or later.
pub fn instant_in(id: i64) -> UnixMillis {
    UnixMillis(EPOCH_MS + (id >> (NODE_BITS + COUNTER_BITS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_id_survives_its_text_form(raw in 0..i64::MAX) {
            let id = DeliveryId(raw);
            prop_assert_eq!(id.to_string().parse::<DeliveryId>(), Ok(id));
        }

        #[test]
        fn text_order_is_id_order(a in 0..i64::MAX, b in 0..i64::MAX) {
            prop_assert_eq!(a.cmp(&b), EventId(a).to_string().cmp(&EventId(b).to_string()));
        }

        #[test]
        fn ids_grow_even_when_the_clock_goes_back(times in prop::collection::vec(0i64..3_900_000_000_000, 1..200)) {
            let mut generator = IdGenerator::new(3, 0);
            let mut last = 0;
            for time in times {
                let id = generator.next(UnixMillis(time));
                prop_assert!(id > last);
                last = id;
            }
        }
    }

    proptest! {
        #[test]
        fn the_ids_of_a_run_are_consecutive_and_no_other_node_can_make_one_between_them(
            runs in prop::collection::vec((0i64..50, 1usize..6_000), 1..30),
        ) {
            let mut generator = IdGenerator::new(3, 0);
            let mut last = 0;
            for (time, length) in runs.into_iter().chain([(50, 16_384), (50, 16_384), (50, 2)]) {
                let now = UnixMillis(EPOCH_MS + time);
                generator.begin_run(now, length);
                let ids: Vec<i64> = (0..length).map(|_| generator.next(now)).collect();
                prop_assert!(ids[0] > last && ids.windows(2).all(|pair| pair[1] == pair[0] + 1));
                prop_assert_eq!(ids[0] / IDS_A_MILLISECOND, ids[length - 1] / IDS_A_MILLISECOND);
                last = ids[length - 1];
            }
        }
    }

    #[test]
    fn a_generator_continues_above_the_largest_stored_id() {
        let mut future = IdGenerator::new(9, 0);
        let stored = future.next(UnixMillis(3_000_000_000_000));
        let mut restarted = IdGenerator::new(0, stored);
        assert!(restarted.next(UnixMillis(2_000_000_000_000)) > stored);
    }

    #[test]
    fn more_ids_than_a_millisecond_holds_borrow_from_the_next() {
        let mut generator = IdGenerator::new(0, 0);
        let now = UnixMillis(EPOCH_MS + 5);
        let ids: Vec<i64> = (0..40_000).map(|_| generator.next(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_id_holds_the_instant_of_the_clock_or_a_later_one() {
        let mut generator = IdGenerator::new(3, 0);
        let now = UnixMillis(EPOCH_MS + 1_000);
        assert_eq!(instant_in(generator.next(now)), now);
        assert_eq!(instant_in(first_id_at(now)), now);
        assert_eq!(instant_in(generator.next(UnixMillis(EPOCH_MS + 400))), now, "the clock was set back");
    }

    #[test]
    fn an_id_of_another_kind_or_length_is_refused() {
        let id = EndpointId(77).to_string();
        assert!(id.parse::<EventId>().is_err());
        assert!("wh_".parse::<EndpointId>().is_err());
        assert!(format!("{id}0").parse::<EndpointId>().is_err());
        assert!("wh_zzzzzzzzzzzzz".parse::<EndpointId>().is_err());
        assert!("wh_00000000000é".parse::<EndpointId>().is_err());
    }

    #[test]
    fn partitions_are_spread_evenly() {
        let mut generator = IdGenerator::new(0, 0);
        let mut counts = [0usize; 256];
        for step in 0..25_600 {
            let id = EndpointId(generator.next(UnixMillis(EPOCH_MS + step * 7)));
            counts[id.partition() as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count > 50 && count < 200), "{counts:?}");
    }
}
