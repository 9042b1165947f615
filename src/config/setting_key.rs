//! One setting: what it is called, what it accepts, and how it is read and shown.

use std::fmt;
use std::ops::RangeInclusive;

use super::Settings;
use super::environment::PREFIX;
use super::value::SettingValue;

/// What a key accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// Described in words.
    Text(&'static str),
    /// A whole number.
    Number(RangeInclusive<i64>),
    /// A duration in whole seconds.
    Seconds(RangeInclusive<i64>),
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(range) => write!(f, "{} to {}", range.start(), range.end()),
            Self::Seconds(range) => write!(f, "{} to {} seconds", range.start(), range.end()),
        }
    }
}

/// One setting.
pub struct SettingKey {
    /// As in the file; a dot separates the table: `delivery.idle_linger_seconds`.
    pub name: &'static str,
    pub(super) kind: ValueKind,
    /// For operators: what it does, and what breaks when it is too small or too large.
    pub(super) help: &'static str,
    /// For the example file, when there is no default.
    pub(super) example: Option<&'static str>,
    /// Reads a value into the settings, or returns what it expects.
    pub(super) read: fn(&SettingValue, &mut Settings) -> Result<(), String>,
    pub(super) show: fn(&Settings) -> Option<String>,
}

impl SettingKey {
    /// The environment variable of this setting: `RINGBACK_DELIVERY_IDLE_LINGER_SECONDS`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The value as it would be written in the file, secrets hidden; `None` when it is not set.
    pub fn show(&self, settings: &Settings) -> Option<String> {
        (self.show)(settings)
    }

    pub(super) fn read(&self, value: &SettingValue, settings: &mut Settings) -> Result<(), String> {
        (self.read)(value, settings)
    }
}
