//! Fields of a `PATCH`, where `null` and absent mean different things.

use serde::{Deserialize, Deserializer};

/// A field that can be absent, `null` or a value; with `#[serde(default)]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Patch<T> {
    /// It stays as it is.
    #[default]
    Absent,
    /// It is taken away.
    Null,
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Null, Self::Value))
    }
}

impl<T> Patch<T> {
    /// `None` when it stays as it is, `Some(None)` when it is taken away.
    pub(crate) fn given(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

/// A field that can be absent but not `null`; with `#[serde(default, deserialize_with = "given")]`.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Change {
        #[serde(default)]
        group: Patch<String>,
        #[serde(default, deserialize_with = "given")]
        archived: Option<bool>,
    }

    #[test]
    fn absent_null_and_a_value_are_told_apart() {
        let read = |text: &str| serde_json::from_str::<Change>(text);
        assert_eq!(read("{}").unwrap(), Change { group: Patch::Absent, archived: None });
        assert_eq!(read(r#"{"group":null}"#).unwrap().group.given(), Some(None));
        let group = read(r#"{"group":"a","archived":true,"other":1}"#).unwrap();
        assert_eq!(group, Change { group: Patch::Value("a".to_owned()), archived: Some(true) });
        assert!(read(r#"{"archived":null}"#).is_err());
    }
}
