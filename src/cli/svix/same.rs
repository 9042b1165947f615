//! Whether what is there is what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use url::Url;

/// Whether everything that is wanted is known: absent and null are the same, and so are lists in another order and URLs that
/// are written in another way.
pub(super) fn is_same(wanted: &Value, known: &Value) -> bool {
    let wanted = wanted.as_object().into_iter().flatten();
    wanted.into_iter().all(|(name, wanted)| {
        let known = &known[name.as_str()];
        match (wanted, known) {
            (Value::Array(wanted), Value::Array(known)) => texts(wanted) == texts(known),
            (Value::String(wanted), Value::String(known)) if name == "url" => {
                wanted == known || Url::parse(wanted).is_ok_and(|wanted| Url::parse(known) == Ok(wanted))
            }
            _ => wanted == known,
        }
    })
}

fn texts(list: &[Value]) -> BTreeSet<&str> {
    list.iter().filter_map(Value::as_str).collect()
}

/// Of some headers only the name is shown.
pub(super) fn are_same_headers(wanted: &BTreeMap<String, String>, known: &Value) -> bool {
    let sensitive = texts(known["sensitive"].as_array().map(Vec::as_slice).unwrap_or_default());
    let shown = known["headers"].as_object();
    let count = sensitive.len() + shown.map_or(0, |shown| shown.len());
    let is_known = |(name, value): (&String, &String)| {
        let shown = shown.and_then(|shown| shown.get(name)).and_then(Value::as_str);
        shown == Some(value) || sensitive.contains(name.as_str())
    };
    count == wanted.len() && wanted.iter().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_a_list_and_the_spelling_of_a_url_make_no_difference() {
        let wanted = json!({"url": "https://a.example", "uid": null, "channels": ["a", "b"], "metadata": {}});
        let known = json!({"url": "https://a.example/", "channels": ["b", "a"], "metadata": {}, "id": "x"});
        assert!(is_same(&wanted, &known));
        for (field, other) in [
            ("url", json!("https://b.example/")),
            ("uid", json!("x")),
            ("channels", json!(["a"])),
            ("metadata", json!({"a": "b"})),
        ] {
            let mut known = known.clone();
            known[field] = other;
            assert!(!is_same(&wanted, &known), "{field}");
        }
    }

    #[test]
    fn headers_whose_values_are_not_shown_are_compared_by_their_names() {
        let wanted = BTreeMap::from(
            [("authorization", "secret"), ("x-a", "b")].map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let known = |shown: Value, sensitive: &[&str]| {
            are_same_headers(&wanted, &json!({"headers": shown, "sensitive": sensitive}))
        };
        assert!(known(json!({"x-a": "b"}), &["authorization"]));
        assert!(!known(json!({"x-a": "c"}), &["authorization"]));
        assert!(!known(json!({"x-a": "b"}), &[]));
        assert!(!known(json!({"x-a": "b", "x-c": "d"}), &["authorization"]));
    }
}
