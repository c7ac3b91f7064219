//! JSON Schema cut down to the OpenAPI subset that some vendors take: references inlined, unknown keywords left out.
//!
//! The result admits whatever the original admits; it may admit more.

use serde_json::{Map, Value, json};

/// Most nodes of a result: inlining references can grow a schema without end.
const NODES_MAX: usize = 10_000;

/// Most bytes of the definitions that are inlined: each reference copies its own, texts and all.
const INLINED_BYTES_MAX: usize = 1 << 20;

/// Keywords that pass as they are.
const KEPT: &[&str] = &[
    "title",
    "description",
    "nullable",
    "required",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "propertyOrdering",
];

/// Formats that are understood; any other is refused, so it is left out.
const FORMATS: &[&str] = &["date-time", "enum", "float", "double", "int32", "int64"];

/// The subset of `schema`.
pub(crate) fn subset(schema: &Value) -> Value {
    Cutter { root: schema, open: Vec::new(), nodes: 0, inlined_bytes: 0 }.cut(schema)
}

struct Cutter<'a> {
    root: &'a Value,
    /// References being inlined, to meet a recursive one.
    open: Vec<&'a str>,
    nodes: usize,
    inlined_bytes: usize,
}

impl<'a> Cutter<'a> {
    fn cut(&mut self, schema: &'a Value) -> Value {
        self.nodes += 1;
        let Some(fields) = schema.as_object() else { return json!({}) };
        if self.nodes > NODES_MAX {
            return json!({"type": "object"});
        }
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            return self.inline(reference, fields);
        }
        let mut out = Map::new();
        cut_type(fields, &mut out);
        for key in KEPT {
            if let Some(value) = fields.get(*key) {
                out.insert((*key).to_owned(), value.clone());
            }
        }
        if let Some(format) =
            fields.get("format").filter(|f| f.as_str().is_some_and(|f| FORMATS.contains(&f)))
        {
            out.insert("format".to_owned(), format.clone());
        }
        cut_enum(fields, &mut out);
        self.cut_children(fields, &mut out);
        Value::Object(out)
    }

    fn cut_children(&mut self, fields: &'a Map<String, Value>, out: &mut Map<String, Value>) {
        if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
            let cut = properties.iter().map(|(name, schema)| (name.clone(), self.cut(schema))).collect();
            out.insert("properties".to_owned(), Value::Object(cut));
        }
        if let Some(items) = fields.get("items") {
            let cut = self.cut(items);
            out.insert("items".to_owned(), cut);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = fields.get(key).and_then(Value::as_array) {
                self.cut_choices(choices, out);
            }
        }
        for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            if let Value::Object(part) = self.cut(part) {
                merge(part, out);
            }
        }
    }

    /// Alternatives; one that is only null makes the others nullable.
    fn cut_choices(&mut self, choices: &'a [Value], out: &mut Map<String, Value>) {
        let (null, real): (Vec<_>, Vec<_>) = choices.iter().partition(|c| c["type"] == "null");
        if !null.is_empty() {
            out.insert("nullable".to_owned(), true.into());
        }
        let mut cut: Vec<Value> = real.into_iter().map(|choice| self.cut(choice)).collect();
        match (cut.len(), cut.pop()) {
            (1, Some(Value::Object(only))) => merge(only, out),
            (_, Some(last)) => {
                cut.push(last);
                out.insert("anyOf".to_owned(), cut.into());
            }
            (_, None) => {}
        }
    }

    fn inline(&mut self, reference: &'a str, fields: &Map<String, Value>) -> Value {
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let (Some(target), false) = (target, self.open.contains(&reference)) else {
            return json!({"type": "object"});
        };
        if self.inlined_bytes > INLINED_BYTES_MAX {
            return json!({"type": "object"});
        }
        self.inlined_bytes += target.to_string().len();
        self.open.push(reference);
        let mut cut = self.cut(target);
        self.open.pop();
        if let (Some(out), Some(text)) = (cut.as_object_mut(), fields.get("description")) {
            out.insert("description".to_owned(), text.clone());
        }
        cut
    }
}

/// `type` may be a list; null in it makes the schema nullable.
fn cut_type(fields: &Map<String, Value>, out: &mut Map<String, Value>) {
    match fields.get("type") {
        Some(Value::String(kind)) => {
            out.insert("type".to_owned(), kind.as_str().into());
        }
        Some(Value::Array(kinds)) => {
            let real: Vec<&Value> = kinds.iter().filter(|kind| *kind != "null").collect();
            if real.len() < kinds.len() {
                out.insert("nullable".to_owned(), true.into());
            }
            match real.as_slice() {
                [] => {}
                [only] => {
                    out.insert("type".to_owned(), (*only).clone());
                }
                several => {
                    let choices = several.iter().map(|kind| json!({"type": kind})).collect();
                    out.insert("anyOf".to_owned(), Value::Array(choices));
                }
            }
        }
        _ => {}
    }
}

/// Only strings can be listed; a list of anything else is left out.
fn cut_enum(fields: &Map<String, Value>, out: &mut Map<String, Value>) {
    let listed = fields.get("enum").and_then(Value::as_array).cloned();
    let Some(values) = listed.or_else(|| fields.get("const").map(|value| vec![value.clone()])) else {
        return;
    };
    let (null, real): (Vec<_>, Vec<_>) = values.into_iter().partition(Value::is_null);
    if !null.is_empty() {
        out.insert("nullable".to_owned(), true.into());
    }
    if !real.is_empty() && real.iter().all(Value::is_string) {
        out.entry("type").or_insert_with(|| "string".into());
        out.insert("enum".to_owned(), real.into());
    }
}

/// Joins a part of `allOf`: properties and requirements add up, for the rest the first one stands.
fn merge(part: Map<String, Value>, out: &mut Map<String, Value>) {
    for (key, value) in part {
        match (out.get_mut(&key), value) {
            (Some(Value::Object(have)), Value::Object(more)) if key == "properties" => have.extend(more),
            (Some(Value::Array(have)), Value::Array(more)) if key == "required" => have.extend(more),
            (Some(_), _) => {}
            (None, value) => {
                out.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, wanted: Value) {
        assert_eq!(subset(&schema), wanted);
    }

    #[test]
    fn references_are_inlined_and_unknown_keywords_left_out() {
        check(
            json!({"$schema": "x", "type": "object", "additionalProperties": false, "required": ["a"],
                "properties": {"a": {"$ref": "#/$defs/A", "description": "which"}, "b": {"type": ["string", "null"], "format": "email"}},
                "$defs": {"A": {"const": "yes"}}}),
            json!({"type": "object", "required": ["a"], "properties": {
                "a": {"type": "string", "enum": ["yes"], "description": "which"},
                "b": {"type": "string", "nullable": true}}}),
        );
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let cut = subset(
            &json!({"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
            "$ref": "#/$defs/n"}),
        );
        assert_eq!(cut, json!({"type": "object", "properties": {"next": {"type": "object"}}}));
    }

    #[test]
    fn a_definition_is_not_copied_without_end() {
        let item = json!({"type": "string", "description": "x".repeat(100_000)});
        let properties: Map<String, Value> =
            (0..1_000).map(|n| (n.to_string(), json!({"$ref": "#/$defs/item"}))).collect();
        let cut = subset(&json!({"$defs": {"item": item}, "type": "object", "properties": properties}));
        assert!(cut.to_string().len() < 2 * INLINED_BYTES_MAX);
        assert_eq!(cut["properties"]["0"], item);
        assert_eq!(cut["properties"]["999"], json!({"type": "object"}));
    }

    #[test]
    fn alternatives_and_unions_are_kept() {
        check(
            json!({"oneOf": [{"type": "integer", "enum": [1, 2]}, {"type": "null"}]}),
            json!({"nullable": true, "type": "integer"}),
        );
        check(
            json!({"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]}]}),
            json!({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "b"]}),
        );
    }

    #[test]
    fn growth_by_references_is_bounded() {
        let mut defs = Map::new();
        for level in 0..40 {
            let next = format!("#/$defs/l{}", level + 1);
            defs.insert(
                format!("l{level}"),
                json!({"properties": {"a": {"$ref": next}, "b": {"$ref": next}}}),
            );
        }
        let cut = subset(&json!({"$ref": "#/$defs/l0", "$defs": defs}));
        assert!(cut.to_string().len() < 2_000_000);
    }
}
