//! The value of a setting before it is checked: typed in the file, plain text in a variable or a flag.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::domain::target::{PortRange, PortRangeError};

/// A value with the type that its source gave it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SettingValue {
    /// From a variable or a flag: read as the type that the key expects, lists separated by commas.
    Untyped(String),
    /// A string in the file.
    Text(String),
    /// An integer in the file.
    Integer(i64),
    /// A boolean in the file.
    Boolean(bool),
    /// A list in the file.
    List(Vec<SettingValue>),
    /// A table in the file, as JSON.
    Table(String),
    /// A number with a fraction in the file.
    Fraction(f64),
    /// Any other type in the file; no key accepts it.
    Other(&'static str),
}

impl SettingValue {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Self::Integer(number),
                Err(_) => Self::Other("an integer beyond 64 bits"),
            },
            DeValue::Boolean(boolean) => Self::Boolean(*boolean),
            DeValue::Array(items) => {
                Self::List(items.iter().map(|item| Self::from_toml(item.get_ref())).collect())
            }
            DeValue::Float(float) => float.as_str().parse().map_or(Self::Other("a fraction"), Self::Fraction),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(table) => table_as_json(table).map_or(Self::Other("a table"), Self::Table),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Untyped(_) | Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Fraction(_) => "a fraction",
            Self::Other(kind) => kind,
        }
    }

    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Untyped(text) | Self::Text(text) => Ok(text.trim()),
            other => Err(format!("expects a string in quotes, got {}", other.kind())),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, String> {
        match self {
            Self::Boolean(boolean) => Ok(*boolean),
            Self::Untyped(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                other => Err(format!("expects true or false, got `{other}`")),
            },
            other => Err(format!("expects true or false, got {}", other.kind())),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, String> {
        let number = match self {
            Self::Integer(number) => *number,
            Self::Untyped(text) => {
                let text = text.trim();
                text.parse().map_err(|_| format!("expects a whole number, got `{text}`"))?
            }
            other => return Err(format!("expects a whole number, got {}", other.kind())),
        };
        if !range.contains(&number) {
            return Err(format!("expects a number from {} to {}, got {number}", range.start(), range.end()));
        }
        Ok(number)
    }

    /// A number that need not be whole.
    pub(super) fn fraction(&self, range: RangeInclusive<f64>) -> Result<f64, String> {
        let number = match self {
            Self::Integer(number) => *number as f64,
            Self::Fraction(number) => *number,
            Self::Untyped(text) => {
                text.trim().parse().map_err(|_| format!("expects a number, got `{}`", text.trim()))?
            }
            other => return Err(format!("expects a number, got {}", other.kind())),
        };
        if !range.contains(&number) {
            return Err(format!("expects a number from {} to {}, got {number}", range.start(), range.end()));
        }
        Ok(number)
    }

    pub(super) fn address(&self) -> Result<SocketAddr, String> {
        match self {
            Self::Integer(number) => parse_address(&number.to_string()),
            other => parse_address(other.text()?),
        }
    }

    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let read = |text: &str| match text.parse() {
            Ok(address) => Ok(address),
            Err(_) => {
                Err(format!("expects addresses and ports like 9.9.9.9:53 or [2620:fe::fe]:53, got `{text}`"))
            }
        };
        self.items()?.iter().map(|item| read(item)).collect()
    }

    pub(super) fn networks(&self) -> Result<Vec<IpNet>, String> {
        self.items()?.iter().map(|item| parse_network(item)).collect()
    }

    /// In the file, ports may be integers as well.
    pub(super) fn ports(&self) -> Result<Vec<PortRange>, String> {
        let read = |text: &str| text.parse().map_err(|error: PortRangeError| format!("{error}, got `{text}`"));
        match self {
            Self::List(items) => {
                let item = |item: &Self| match item {
                    Self::Integer(port) => read(&port.to_string()),
                    other => read(other.text()?),
                };
                items.iter().map(item).collect()
            }
            other => other.items()?.iter().map(|item| read(item)).collect(),
        }
    }

    /// A table of numbers: in the file a table, in a variable JSON.
    pub(super) fn table<T: DeserializeOwned>(&self, example: &str) -> Result<T, String> {
        match self {
            Self::Table(json) | Self::Untyped(json) => {
                serde_json::from_str(json).map_err(|error| format!("{error}; expects a table like {example}"))
            }
            other => Err(format!("expects a table like {example}, got {}", other.kind())),
        }
    }

    /// A list of whole numbers.
    pub(super) fn integers(&self, range: RangeInclusive<i64>) -> Result<Vec<i64>, String> {
        match self {
            Self::List(items) => items.iter().map(|item| item.integer(range.clone())).collect(),
            Self::Untyped(_) => {
                let read = |item: &Cow<'_, str>| Self::Untyped(item.to_string()).integer(range.clone());
                self.items()?.iter().map(read).collect()
            }
            other => Err(format!("expects a list of whole numbers, for example [5, 300], got {}", other.kind())),
        }
    }

    pub(super) fn items(&self) -> Result<Vec<Cow<'_, str>>, String> {
        match self {
            Self::Untyped(text) => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Cow::from).collect())
            }
            Self::List(items) => items.iter().map(|item| item.text().map(Cow::from)).collect(),
            other => Err(format!("expects a list, for example [\"…\", \"…\"], got {}", other.kind())),
        }
    }
}

/// `None` when a value is no number.
fn table_as_json(table: &DeTable<'_>) -> Option<String> {
    let mut fields = serde_json::Map::new();
    for (name, value) in table {
        let number = match value.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok()?.into(),
            DeValue::Float(float) => serde_json::Number::from_f64(float.as_str().parse().ok()?)?,
            _ => return None,
        };
        fields.insert(name.get_ref().to_string(), number.into());
    }
    Some(serde_json::Value::from(fields).to_string())
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port_of = |prefix: &str| text.strip_prefix(prefix)?.parse::<u16>().ok();
    if let Some(port) = port_of("localhost:") {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    // a port alone means this machine for some programs and every network for others: who can connect must not be guessed
    if let Some(port) = port_of(":").or_else(|| port_of("")) {
        return Err(format!(
            "expects an address before the port: 127.0.0.1:{port} for this machine alone, 0.0.0.0:{port} for every \
             network; got `{text}`"
        ));
    }
    text.parse()
        .map_err(|_| format!("expects an address and a port like 127.0.0.1:8080 or [::1]:8080, got `{text}`"))
}

/// A network, or a single address as a network of one.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let network: Option<IpNet> = text.parse().ok();
    let single = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    network.or_else(single).ok_or_else(|| format!("expects networks like 10.0.0.0/8 or fd00::/8, got `{text}`"))
}
