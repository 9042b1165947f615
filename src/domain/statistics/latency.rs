//! Response times, counted in buckets of a fixed logarithmic scale, so that counts of different times and endpoints can be
//! added up, which percentiles can't.
//!
//! Four buckets to each doubling: below 8 ms each millisecond has its own, above that a bucket is at most a quarter as wide
//! as its lower end. A percentile is interpolated within its bucket, so it is off by less than a quarter, and exact below
//! 8 ms. Two buckets to a doubling would halve the few bytes of a row and show a p99 of 1.0 s as 1.5 s; with eight, the
//! rows of busy endpoints are twice as long and no chart looks different. Only buckets that are not empty are held and
//! stored: most endpoints have fewer than ten.

use thiserror::Error;

/// Buckets of each doubling.
const STEPS: u64 = 4;
/// Longer durations count as this one: the longest timeout, 60 s, is shorter.
const LONGEST_MS: u64 = 65_535;
/// Up to [`LONGEST_MS`].
const BUCKETS: u8 = 60;

/// Counts of durations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatencyCounts {
    /// Buckets with their counts, in order; none is empty.
    buckets: Vec<(u8, u64)>,
}

/// Bytes that [`LatencyCounts::encode`] did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("counts of durations can't be read at byte {0}")]
pub struct LatencyError(pub usize);

/// The bucket that a duration falls into.
fn bucket_of(milliseconds: u64) -> u8 {
    let milliseconds = milliseconds.min(LONGEST_MS);
    if milliseconds < STEPS {
        return milliseconds as u8;
    }
    let doubling = milliseconds.ilog2();
    let step = (milliseconds >> (doubling - 2)) % STEPS;
    ((u64::from(doubling) - 1) * STEPS + step) as u8
}

/// A bucket's shortest duration, and how many milliseconds it covers.
fn range_of(bucket: u8) -> (u64, u64) {
    let bucket = u64::from(bucket);
    if bucket < STEPS {
        return (bucket, 1);
    }
    let width = 1 << (bucket / STEPS - 1);
    ((STEPS + bucket % STEPS) * width, width)
}

impl LatencyCounts {
    /// Counts a duration.
    pub fn record(&mut self, milliseconds: u64) {
        self.add(bucket_of(milliseconds), 1);
    }

    /// Adds other counts.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.buckets {
            self.add(bucket, count);
        }
    }

    fn add(&mut self, bucket: u8, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(count),
            Err(place) => self.buckets.insert(place, (bucket, count)),
        }
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.buckets.iter().fold(0, |total, (_, count)| total.saturating_add(*count))
    }

    /// A percentile in milliseconds; `None` when nothing was counted. Off by less than a quarter, exact below 8 ms; at most
    /// 65,535.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let rank = (u128::from(self.total()) * u128::from(percent)).div_ceil(100).max(1);
        let mut before = 0;
        for &(bucket, count) in &self.buckets {
            let place = rank - before;
            if place <= u128::from(count) {
                let (low, width) = range_of(bucket);
                // as if they were spread evenly over the bucket
                let within = u128::from(width) * (2 * place - 1) / (2 * u128::from(count));
                return Some(low + within as u64);
            }
            before += u128::from(count);
        }
        None
    }

    /// Each bucket as the distance from the one before and its count, both in LEB128.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(3 * self.buckets.len());
        let mut next = 0;
        for &(bucket, count) in &self.buckets {
            bytes.push(bucket - next);
            next = bucket + 1;
            let mut rest = count;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        bytes
    }

    /// Reads what [`LatencyCounts::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, LatencyError> {
        let mut counts = Self::default();
        let (mut at, mut next) = (0, 0u8);
        while let Some(distance) = bytes.get(at) {
            let bucket = next.checked_add(*distance).filter(|bucket| *bucket < BUCKETS).ok_or(LatencyError(at))?;
            let (count, length) = number(&bytes[at + 1..]).ok_or(LatencyError(at + 1))?;
            counts.buckets.push((bucket, count));
            (at, next) = (at + 1 + length, bucket + 1);
        }
        Ok(counts)
    }
}

/// A number above 0, and how many bytes it takes.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * place);
        if shifted >> (7 * place) != bits {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return (number > 0).then_some((number, place + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_buckets_follow_each_other_without_a_gap_and_end_above_the_longest_timeout() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (low, width) = range_of(bucket);
            assert_eq!(low, next, "bucket {bucket}");
            assert!(width == 1 || width * 4 <= low, "bucket {bucket}");
            assert_eq!((bucket_of(low), bucket_of(low + width - 1)), (bucket, bucket));
            next = low + width;
        }
        assert_eq!(next, LONGEST_MS + 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        // the contract's longest timeout
        assert!(range_of(bucket_of(60_000)).0 > 50_000);
    }

    #[test]
    fn invalid_bytes_are_refused_with_their_position() {
        let mut longest = vec![3];
        longest.extend([0xff; 9]);
        longest.push(1);
        assert_eq!(LatencyCounts::decode(&longest).map(|counts| counts.total()), Ok(u64::MAX));
        longest[10] = 2;
        for (bytes, at) in [
            (&longest[..], 1),
            (&[0], 1),
            (&[0, 0], 1),
            (&[0, 0x80], 1),
            (&[60, 1], 0),
            (&[59, 1, 0, 1], 2),
            (&[1, 1, 255, 1], 2),
        ] {
            assert_eq!(LatencyCounts::decode(bytes), Err(LatencyError(at)), "{bytes:?}");
        }
    }

    fn counts_of(durations: &[u64]) -> LatencyCounts {
        let mut counts = LatencyCounts::default();
        durations.iter().for_each(|duration| counts.record(*duration));
        counts
    }

    fn durations() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![0..8u64, 0..300u64, 0..=LONGEST_MS], 1..200)
    }

    proptest! {
        #[test]
        fn a_percentile_is_less_than_a_quarter_off_and_exact_below_8_ms(mut durations in durations()) {
            let counts = counts_of(&durations);
            durations.sort_unstable();
            for percent in [0, 1, 50, 95, 99, 100] {
                let rank = (durations.len() * usize::from(percent)).div_ceil(100).max(1);
                let (exact, estimate) = (durations[rank - 1], counts.percentile(percent).unwrap());
                let off = exact.abs_diff(estimate);
                prop_assert!(off * 4 < exact.max(1) && (exact >= 8 || off == 0), "p{percent}: {estimate}, not {exact}");
            }
        }

        #[test]
        fn a_higher_percentile_is_never_shorter(durations in durations()) {
            let counts = counts_of(&durations);
            let all: Vec<_> = (0..=100).map(|percent| counts.percentile(percent)).collect();
            prop_assert!(all.is_sorted(), "{all:?}");
        }

        #[test]
        fn counts_that_are_added_up_are_those_of_everything_together(one in durations(), other in durations()) {
            let mut merged = counts_of(&one);
            merged.merge(&counts_of(&other));
            prop_assert_eq!(&merged, &counts_of(&[one, other].concat()));
            prop_assert_eq!(LatencyCounts::decode(&merged.encode()), Ok(merged));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(counts) = LatencyCounts::decode(&bytes) {
                prop_assert_eq!(LatencyCounts::decode(&counts.encode()), Ok(counts.clone()));
                prop_assert_eq!(counts.percentile(50).is_some(), counts.total() > 0);
            }
        }
    }
}
