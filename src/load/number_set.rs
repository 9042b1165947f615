//! A set of small numbers, dense from 0.

use serde::{Deserialize, Serialize};

/// One bit for each number up to the largest.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NumberSet {
    words: Vec<u64>,
    len: u64,
}

/// The transport form of the set: first and last number of each unbroken range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumberRanges(pub Vec<(u64, u64)>);

impl NumberSet {
    /// Returns whether the number is new.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u64::from(is_new);
        is_new
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many numbers of this set `other` lacks.
    pub(crate) fn missing_from(&self, other: &Self) -> u64 {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter().zip(others).map(|(word, other)| u64::from((word & !other).count_ones())).sum()
    }

    pub(crate) fn ranges(&self) -> NumberRanges {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (index, word) in self.words.iter().enumerate() {
            for bit in (0..64).filter(|bit| word & (1 << bit) != 0) {
                let number = index as u64 * 64 + bit;
                match ranges.last_mut() {
                    Some((_, last)) if *last + 1 == number => *last = number,
                    _ => ranges.push((number, number)),
                }
            }
        }
        NumberRanges(ranges)
    }
}

impl From<&NumberRanges> for NumberSet {
    fn from(ranges: &NumberRanges) -> Self {
        let mut numbers = Self::default();
        for &(first, last) in &ranges.0 {
            (first..=last).for_each(|number| {
                numbers.insert(number);
            });
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_set_and_survives_serialization(given in prop::collection::vec(0_u64..400, 0..200), other in prop::collection::vec(0_u64..300, 0..200)) {
            use std::collections::BTreeSet;
            let fill = |given: &[u64]| {
                let mut numbers = NumberSet::default();
                let mut expected = BTreeSet::new();
                for &number in given {
                    assert_eq!(numbers.insert(number), expected.insert(number));
                }
                (numbers, expected)
            };
            let ((numbers, expected), (others, expected_others)) = (fill(&given), fill(&other));
            prop_assert_eq!(numbers.len(), expected.len() as u64);
            prop_assert_eq!(numbers.missing_from(&others), expected.difference(&expected_others).count() as u64);
            let restored = NumberSet::from(&numbers.ranges());
            prop_assert_eq!(restored.missing_from(&numbers) + numbers.missing_from(&restored), 0);
            prop_assert_eq!(restored.len(), numbers.len());
        }
    }
}
