//! Reads channels and tags.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::input::{self, Errors};
use crate::domain::labels::{MAX_CHARACTERS, is_label};

/// A list of at most `most` labels, without repetitions.
pub(crate) fn labels(most: usize) -> impl FnOnce(&RawValue, &str, &mut Errors) -> Option<Vec<String>> {
    move |value, path, errors| {
        let items = input::array(most)(value, path, errors)?;
        let mut labels: Vec<String> = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(text) = input::string(item, &path, errors) else { continue };
            if let Err(message) = label(&text) {
                errors.add(path, message);
            } else if !labels.contains(&text) {
                labels.push(text);
            }
        }
        Some(labels)
    }
}

/// One label, as a parameter.
pub(crate) fn label(text: &str) -> Result<String, String> {
    match is_label(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("must have 1 to {MAX_CHARACTERS} characters, and no control characters")),
    }
}

/// The OpenAPI schema of one.
pub(crate) fn label_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"})
}

/// The OpenAPI schema of a list.
pub(crate) fn labels_schema(most: usize) -> Value {
    json!({"type": "array", "maxItems": most, "items": label_schema()})
}
