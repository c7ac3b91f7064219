//! Holds the schema to what the check and the reference can use: no keyword that nothing reads, no key without a
//! description, no pattern that does not compile, no reference to nowhere. Tests call this, for the registries too.

use serde_json::{Map, Value};

use super::{schema, tidy};
use crate::Kinds;

/// Keywords that the check acts on.
const CHECKED: [&str; 28] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "x-form",
    "x-minimum",
    "x-names",
    "x-maximum",
];
/// Keywords that say something to people or editors alone.
const SAID: [&str; 9] =
    ["$schema", "$defs", "title", "description", "default", "examples", "x-kinds", "deprecated", "format"];
/// Formats: the integer ones are checked, the rest is said.
const FORMATS: [&str; 12] = [
    "uint8", "uint16", "uint32", "uint64", "uint", "int8", "int16", "int32", "int64", "int", "float",
    "double",
];

/// What is wrong with the schema for these registries, one line each; nothing when all is well.
#[must_use]
pub fn lint(kinds: &Kinds<'_>) -> Vec<String> {
    let mut root = schema(kinds);
    let whole = root.clone();
    let mut found = Vec::new();
    tidy::each_subschema(&mut root, &mut |map| one(&whole, map, &mut found));
    found.sort();
    found.dedup();
    found
}

fn one(root: &Value, map: &Map<String, Value>, found: &mut Vec<String>) {
    let label = map.get("description").or_else(|| map.get("title")).and_then(Value::as_str).unwrap_or("?");
    for keyword in map.keys().map(String::as_str) {
        if !CHECKED.contains(&keyword) && !SAID.contains(&keyword) {
            found.push(format!("keyword `{keyword}` is not checked (at: {label})"));
        }
    }
    if let Some(format) = map.get("format").and_then(Value::as_str).filter(|name| !FORMATS.contains(name)) {
        found.push(format!("format `{format}` is not checked (at: {label})"));
    }
    if let Some(pattern) =
        map.get("pattern").and_then(Value::as_str).filter(|text| regex::Regex::new(text).is_err())
    {
        found.push(format!("pattern `{pattern}` does not compile (at: {label})"));
    }
    let target = map.get("$ref").and_then(Value::as_str);
    if let Some(target) =
        target.filter(|text| text.strip_prefix('#').and_then(|at| root.pointer(at)).is_none())
    {
        found.push(format!("reference `{target}` leads nowhere (at: {label})"));
    }
    for (key, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let said =
            property.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
        if !said && tidy::tagged(&Value::Object(map.clone())).is_none() {
            found.push(format!("key `{key}` has no description (at: {label})"));
        }
    }
}
