//! Numbers as JSON writes them, compared by their exact decimal value.
//!
//! Not as doubles: those can't represent 1e400, and treat 2^53 and 2^53 + 1 as equal.

use std::cmp::Ordering;

/// A longer number matches no filter. Without a bound, a publisher's megabytes of digits would be compared once per filter.
const MAX_LENGTH: usize = 1_000;

/// An operand.
#[derive(Debug, Clone)]
pub(super) struct Number {
    text: Box<str>,
    /// Precomputed for the common case.
    integer: Option<i64>,
}

/// The parts of a valid JSON number: 0.d₁d₂d₃… × 10^magnitude. The first digit is not zero.
struct Parts<'a> {
    sign: Sign,
    magnitude: i64,
    whole: &'a [u8],
    fraction: &'a [u8],
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Negative,
    Zero,
    Positive,
}

impl Number {
    pub(super) fn new(number: &serde_json::Number) -> Self {
        Self { text: number.to_string().into_boxed_str(), integer: number.as_i64() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How a number of `data` compares to this one; `None` when it is too long.
    pub(super) fn compared_to_this(&self, text: &str) -> Option<Ordering> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        if let (Some(operand), Ok(value)) = (self.integer, text.parse::<i64>()) {
            return Some(value.cmp(&operand));
        }
        Some(compare(text, &self.text))
    }
}

/// Compares two valid JSON numbers.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    left.sign.cmp(&right.sign).then_with(|| match left.sign {
        Sign::Zero => Ordering::Equal,
        Sign::Positive => left.compare_absolute(&right),
        Sign::Negative => right.compare_absolute(&left),
    })
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = whole.trim_start_matches('0');
        let zeros = fraction.len() - fraction.trim_start_matches('0').len();
        let (point, fraction) = match whole.is_empty() {
            true => (-(zeros as i64), &fraction[zeros..]),
            false => (whole.len() as i64, fraction),
        };
        let sign = match (whole.is_empty() && fraction.is_empty(), negative) {
            (true, _) => Sign::Zero,
            (false, true) => Sign::Negative,
            (false, false) => Sign::Positive,
        };
        let magnitude = exponent.saturating_add(point);
        Self { sign, magnitude, whole: whole.as_bytes(), fraction: fraction.as_bytes() }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied()
    }

    fn compare_absolute(&self, other: &Self) -> Ordering {
        let length = (self.whole.len() + self.fraction.len()).max(other.whole.len() + other.fraction.len());
        let padded =
            |digits: &Self| digits.digits().chain(std::iter::repeat(b'0')).take(length).collect::<Vec<_>>();
        self.magnitude.cmp(&other.magnitude).then_with(|| padded(self).cmp(&padded(other)))
    }
}

fn read_exponent(text: &str) -> i64 {
    // beyond 64 bits only the direction matters
    let saturated = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(saturated)
}
