//! Ids of what was brought over from Svix's server.

use std::fmt;
use std::str::FromStr;

/// Characters behind the prefix: 20 bytes in base 62.
const DIGITS: usize = 27;

/// The id that an application or endpoint had at Svix's server, without what it begins with. It names it as ours does; none of
/// ours is as long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SvixId(String);

impl SvixId {
    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SvixId {
    /// It is not one.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_one = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_one.then(|| Self(text.to_owned())).ok_or(())
    }
}

impl fmt::Display for SvixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_27_letters_and_digits() {
        let id: SvixId = "2LBxFYmgXDq3bNSJG8zTvVeYj1A".parse().unwrap();
        assert_eq!(id.to_string(), "2LBxFYmgXDq3bNSJG8zTvVeYj1A");
        for wrong in [
            "",
            "01jf7k2m3n4p1",
            "2LBxFYmgXDq3bNSJG8zTvVeYj1",
            "2LBxFYmgXDq3bNSJG8zTvVeYj1AB",
            "2LBxFYmgXDq3bNSJG8zTvVeYj1-",
        ] {
            assert_eq!(wrong.parse::<SvixId>(), Err(()), "{wrong}");
        }
    }
}
