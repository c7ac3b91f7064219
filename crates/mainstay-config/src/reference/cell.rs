//! The cells of a reference table: a schema's type, default, bound and meaning in words.

use serde_json::{Map, Value};

use crate::schema::{resolve, tagged};

type Schema = Map<String, Value>;

/// A description on one line, fit for a table.
pub(super) fn text(description: Option<&Value>) -> Option<String> {
    let text = description?.as_str()?.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then(|| text.replace('|', "\\|"))
}

/// The forms of a union.
pub(super) fn branches(schema: &Schema) -> &[Value] {
    let list = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    let union =
        list.filter(|all| !all.iter().all(|b| b.as_object().is_some_and(|map| map.keys().eq(["required"]))));
    union.map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn kind(root: &Value, schema: &Schema) -> String {
    if crate::schema::is_secret(schema) {
        return "secret reference".to_owned();
    }
    match schema.get("x-form").and_then(Value::as_str) {
        Some("duration") => return "duration".to_owned(),
        Some("size") => return "size".to_owned(),
        Some("name") => return "name".to_owned(),
        Some("url") => return "URL".to_owned(),
        Some("path") => return "path of a URL".to_owned(),
        Some("listen") => return "address and port".to_owned(),
        Some("prompt") => return "text, or a file's path".to_owned(),
        _ => {}
    }
    if let Some(noun) = schema.get("x-kinds").and_then(Value::as_str) {
        return format!("a kind of {noun}");
    }
    let union = branches(schema);
    if !union.is_empty() {
        return either(union.iter().map(|branch| form(root, branch)));
    }
    if let Some(words) = words(schema) {
        return either(words.into_iter().map(|word| format!("`{word}`")));
    }
    either(types(schema).into_iter().map(|name| type_word(root, schema, name)))
}

fn form(root: &Value, branch: &Value) -> String {
    match tagged(branch) {
        Some((word, _)) => format!("`{{ {word}: {{ … }} }}`"),
        None => kind(root, &resolved(root, Some(branch))),
    }
}

fn words(schema: &Schema) -> Option<Vec<String>> {
    let one = schema.get("const").map(std::slice::from_ref);
    let all = one.or_else(|| schema.get("enum").and_then(Value::as_array).map(Vec::as_slice))?;
    Some(all.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect())
}

fn types(schema: &Schema) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(only)) => vec![only.as_str()],
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    }
}

fn type_word(root: &Value, schema: &Schema, name: &str) -> String {
    let word = match name {
        "string" => "text",
        "integer" => "whole number",
        "number" => "number",
        "boolean" => "`true` or `false`",
        "null" => "empty",
        "array" => return format!("list of {}", plural(&kind(root, &resolved(root, schema.get("items"))))),
        "object" => return object_word(root, schema),
        _ => "anything",
    };
    word.to_owned()
}

fn object_word(root: &Value, schema: &Schema) -> String {
    let members = schema.get("additionalProperties").filter(|inner| inner.is_object());
    match members {
        Some(members) if !schema.contains_key("properties") => {
            format!("map of names to {}", plural(&kind(root, &resolved(root, Some(members)))))
        }
        _ if schema.contains_key("properties") => "section".to_owned(),
        _ => "section of any keys".to_owned(),
    }
}

fn plural(word: &str) -> String {
    match word {
        "section" => "sections".to_owned(),
        "text" | "anything" => word.to_owned(),
        word if word.starts_with('`') || word.starts_with("a ") => word.to_owned(),
        word => format!("{word}s"),
    }
}

fn either(words: impl Iterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for word in words {
        if !distinct.contains(&word) {
            distinct.push(word);
        }
    }
    distinct.join(" or ")
}

pub(super) fn default(schema: &Schema, required: bool) -> String {
    match schema.get("default") {
        _ if required => "**required**".to_owned(),
        None => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(list)) if list.is_empty() => "none".to_owned(),
        Some(other) => format!("`{other}`"),
    }
}

pub(super) fn bound(root: &Value, schema: &Schema) -> String {
    let said = |keyword: &str| {
        schema
            .get(keyword)
            .map(|value| value.as_str().map_or_else(|| shown(value), |text| format!("`{text}`")))
    };
    let mut parts = Vec::new();
    let floor = said("minimum").filter(|_| !schema.contains_key("x-form"));
    parts.extend(range(said("x-minimum").or(floor), said("x-maximum").or_else(|| said("maximum")), ""));
    parts.extend(said("exclusiveMinimum").map(|limit| format!("more than {limit}")));
    parts.extend(said("exclusiveMaximum").map(|limit| format!("less than {limit}")));
    parts.extend(range(said("minLength"), said("maxLength"), " characters"));
    parts.extend(range(said("minItems"), said("maxItems"), " items"));
    parts.extend(range(said("minProperties"), said("maxProperties"), " entries"));
    if let Some(items) = schema.get("items") {
        let each = bound(root, &resolved(root, Some(items)));
        parts.extend((!each.is_empty()).then(|| format!("each {each}")));
    }
    parts.join("; ")
}

/// A whole limit without its `.0`, which schemas of fractions carry.
fn shown(number: &Value) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

fn range(low: Option<String>, high: Option<String>, unit: &str) -> Option<String> {
    match (low, high) {
        (Some(low), Some(high)) => Some(format!("{low} to {high}{unit}")),
        // Every whole number without a sign has it.
        (Some(low), None) if low == "0" => None,
        (Some(low), None) => Some(format!("at least {low}{unit}")),
        (None, Some(high)) => Some(format!("at most {high}{unit}")),
        (None, None) => None,
    }
}

/// The description, and what each word of a union means.
pub(super) fn meaning(root: &Value, schema: &Schema) -> String {
    let mut parts: Vec<String> = text(schema.get("description")).into_iter().collect();
    for branch in branches(schema) {
        let Some(about) = text(branch.get("description")) else { continue };
        let word = match tagged(branch) {
            Some(_) => continue,
            None => words(&resolved(root, Some(branch))).map(|words| words.join("`, `")),
        };
        parts.extend(word.map(|word| format!("`{word}`: {about}")));
    }
    parts.join(" ")
}

fn resolved(root: &Value, schema: Option<&Value>) -> Schema {
    schema.and_then(Value::as_object).map(|map| resolve(root, map)).unwrap_or_default()
}
