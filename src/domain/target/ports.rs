//! Which ports may be targets.

use std::fmt;
use std::str::FromStr;

/// The WHATWG bad ports (Fetch Standard, "port blocking"): their services could take a request for one of their own
/// protocol.
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526,
    530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045,
    4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// A port (`8443`), or all from one to another (`8000-8999`).
///
/// A range leaves the bad ports out; such a port has to be listed alone, so that it is not allowed by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// The text is neither a port from 1 to 65535 nor a range of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expects a port like 8443 or a range like 8000-8999")]
pub struct PortRangeError;

impl PortRange {
    fn contains(self, port: u16) -> bool {
        let is_named = self.first == self.last;
        (self.first..=self.last).contains(&port) && (is_named || !BAD_PORTS.contains(&port))
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        // `parse` alone would accept a sign
        let port = |text: &str| -> Result<u16, PortRangeError> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|&port| is_number && port > 0);
            number.ok_or(PortRangeError)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: port(first.trim())?, last: port(last.trim())? };
        if range.first > range.last { Err(PortRangeError) } else { Ok(range) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Whether a target may have this port: one of `allowed`, or, when that is empty, 80, 443 and those from 1024 on
/// that are not bad.
pub(super) fn allows_port(allowed: &[PortRange], port: u16) -> bool {
    match allowed {
        [] => matches!(port, 80 | 443) || port >= 1024 && !BAD_PORTS.contains(&port),
        ranges => ranges.iter().any(|range| range.contains(port)),
    }
}

/// The ports that a tenant may use instead of one that was refused.
pub(super) fn allowed_in_words(allowed: &[PortRange]) -> String {
    match allowed {
        [] => "use 80, 443 or another port from 1024 on that serves HTTP".to_owned(),
        ranges => {
            let ranges: Vec<String> = ranges.iter().map(PortRange::to_string).collect();
            format!("this deployment allows {}", ranges.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(texts: &[&str]) -> Vec<PortRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn without_a_list_80_443_and_the_harmless_ones_from_1024_on_are_allowed() {
        for port in 0..=u16::MAX {
            let expected = match port {
                80 | 443 => true,
                1719 | 1720 | 1723 | 2049 | 3659 | 4045 | 4190 | 5060 | 5061 | 6000 | 6566 => false,
                6665..=6669 | 6679 | 6697 | 10080 => false,
                port => port >= 1024,
            };
            assert_eq!(allows_port(&[], port), expected, "{port}");
        }
    }

    #[test]
    fn a_list_replaces_the_rule_and_a_bad_port_has_to_be_named_alone() {
        let listed = ports(&["443", "6000-6002", "1-100", "25"]);
        for (port, allowed) in [
            (443, true),
            (80, true),
            (25, true),
            (22, false),
            (21, false),
            (6000, false),
            (6001, true),
            (6002, true),
            (6003, false),
            (8443, false),
            (0, false),
        ] {
            assert_eq!(allows_port(&listed, port), allowed, "{port}");
        }
        let all = ports(&["1-65535"]);
        let refused: Vec<u16> = (0..=u16::MAX).filter(|&port| !allows_port(&all, port)).collect();
        assert_eq!(refused, BAD_PORTS);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in ["", "0", "65536", "-1", "+80", "80-", "-80", "90-80", "a", "8 0", "0-9", "80-81-82", "８０"]
        {
            assert_eq!(text.parse::<PortRange>(), Err(PortRangeError), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_range_reads_back_as_it_is_written(first in 1..=u16::MAX, more: u16) {
            let range = PortRange { first, last: first.saturating_add(more) };
            proptest::prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }
}
