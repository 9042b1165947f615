//! Bounds for JSON Schemas: a few lines of references to references can take practically for ever to check, on threads that
//! serve all organizations.

use std::collections::HashMap;

use serde_json::Value;

/// JSON values in a schema, each counted as often as references lead to it. Smaller: large schemas are refused. Larger:
/// checking one event takes longer.
const MAX_SIZE: usize = 5_000;
/// The longest chain of references. More: the recursion overflows the stack.
const MAX_HOPS: usize = 16;
/// Drafts in which a subschema can't rename itself with a plain `id`.
const DRAFTS: [&str; 4] = [
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];

/// Checks a schema; the error says why it can't be used.
pub(crate) fn check_bounds(schema: &Value) -> Result<(), String> {
    if let Some(draft) = schema.get("$schema").and_then(Value::as_str)
        && !DRAFTS.contains(&draft.trim_end_matches('#'))
    {
        return Err(format!("$schema is {draft}; supported are {}", DRAFTS.join(", ")));
    }
    let mut bounds = Bounds { root: schema, sizes: HashMap::new() };
    let size = bounds.size(schema, 0)?;
    if size > MAX_SIZE {
        return Err(format!(
            "too large: it has {size} values, references included; at most {MAX_SIZE} are allowed"
        ));
    }
    Ok(())
}

struct Bounds<'a> {
    root: &'a Value,
    /// The sizes of the targets of references; `None` while one is being counted.
    sizes: HashMap<&'a str, Option<usize>>,
}

impl<'a> Bounds<'a> {
    fn size(&mut self, value: &'a Value, hops: usize) -> Result<usize, String> {
        let mut size = 1_usize;
        match value {
            Value::Array(items) => {
                for item in items {
                    size = size.saturating_add(self.size(item, hops)?);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let of_field = match (name.as_str(), field) {
                        ("$ref", Value::String(target)) => self.size_of_target(target, hops)?,
                        ("$id", Value::String(_)) if std::ptr::eq(value, self.root) => 1,
                        ("$dynamicRef" | "$recursiveRef" | "$id", Value::String(_)) => {
                            return Err(format!("{name} is not supported; refer to parts with $ref and #/…"));
                        }
                        _ => self.size(field, hops)?,
                    };
                    size = size.saturating_add(of_field);
                }
            }
            _ => {}
        }
        Ok(size)
    }

    fn size_of_target(&mut self, target: &'a str, hops: usize) -> Result<usize, String> {
        match self.sizes.get(target) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(format!("{target} refers to itself; recursive schemas are not supported")),
            None if hops == MAX_HOPS => {
                return Err(format!("more than {MAX_HOPS} references lead to one another"));
            }
            None => {}
        }
        // an escaped name can be read as another one
        let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
        let found = pointer.and_then(|pointer| self.root.pointer(pointer));
        let found = found
            .ok_or_else(|| format!("$ref {target} is not a part of this schema; refer to one as #/$defs/…"))?;
        self.sizes.insert(target, None);
        let size = self.size(found, hops + 1)?;
        self.sizes.insert(target, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    /// Each definition is made of this many references to the next.
    fn chain(length: usize, references: usize) -> Value {
        let mut definitions = Map::new();
        for number in 0..length {
            let next = json!({"$ref": format!("#/$defs/n{}", number + 1)});
            definitions.insert(format!("n{number}"), json!({"allOf": vec![next; references]}));
        }
        definitions.insert(format!("n{length}"), json!({"type": "object"}));
        json!({"$defs": definitions, "$ref": "#/$defs/n0"})
    }

    #[test]
    fn usual_schemas_are_within_bounds() {
        let shared = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/invoice.json",
            "type": "object", "required": ["id"], "examples": [{"id": "call_1"}],
            "$defs": {"money": {"type": "object", "properties": {"amount": {"type": "number"}}}},
            "properties": {"net": {"$ref": "#/$defs/money"}, "gross": {"$ref": "#/$defs/money"}, "$ref": {"type": "string"}}
        });
        for schema in [json!({}), shared, chain(5, 2), chain(MAX_HOPS - 1, 1)] {
            assert_eq!(check_bounds(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn a_schema_that_could_take_for_ever_is_refused() {
        let pair = json!([{"$ref": "#"}, {"$ref": "#"}]);
        for schema in [
            chain(14, 2),
            chain(10_000, 1),
            json!({"$ref": "#"}),
            json!({"properties": {"a": {"allOf": pair}}}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"$dynamicRef": "#"}),
            json!({"$defs": {"a": {"$id": "x", "$ref": "#"}}}),
            json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
            json!({"$defs": {"a": {}, "%61": {}}, "$ref": "#/$defs/%61"}),
            json!({"$ref": "#named", "$anchor": "named"}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
            json!({"enum": vec![0; MAX_SIZE]}),
        ] {
            assert!(check_bounds(&schema).is_err(), "{schema}");
        }
    }
}
