//! Evens out what generators emit, so that the schema says what the check does: an optional key is left out rather than
//! null, an object with named keys has no others, and a union's bare word stands for its settings where all have
//! defaults. Adds no rule of its own beyond these.

use serde_json::{Map, Value, json};

/// Tidies a root schema.
pub(super) fn tidy(root: &mut Value) {
    each_subschema(root, &mut |map| {
        close(map);
        optional_keys(map);
        drop_noise(map);
        let whole = map.get("oneOf").and_then(Value::as_array).map(|branches| with_bare_words(branches));
        if let Some(branches) = whole {
            map.insert("oneOf".to_owned(), branches.into());
        }
    });
}

/// Calls `visit` for the schema and every schema within it. Values that only look like schemas (defaults, examples,
/// constants) are not visited.
pub(super) fn each_subschema(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(map) = schema.as_object_mut() else { return };
    visit(map);
    for (keyword, value) in map {
        match keyword.as_str() {
            "properties" | "$defs" | "patternProperties" => {
                value
                    .as_object_mut()
                    .into_iter()
                    .flatten()
                    .for_each(|(_, inner)| each_subschema(inner, visit));
            }
            "oneOf" | "anyOf" | "allOf" | "prefixItems" => {
                value.as_array_mut().into_iter().flatten().for_each(|inner| each_subschema(inner, visit));
            }
            "items" | "additionalProperties" | "propertyNames" | "not" => each_subschema(value, visit),
            _ => {}
        }
    }
}

fn close(map: &mut Map<String, Value>) {
    if map.contains_key("properties") && !map.contains_key("additionalProperties") {
        map.insert("additionalProperties".to_owned(), false.into());
    }
}

fn optional_keys(map: &mut Map<String, Value>) {
    let required = map.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (key, schema) in properties {
        if !required.iter().any(|name| name == key.as_str()) {
            without_null(schema);
        }
    }
}

/// `null` means "not given", which leaving the key out says too.
fn without_null(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            for (keyword, value) in only {
                map.entry(keyword).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(choices)) = map.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
}

/// A default that is a whole section repeats its keys' defaults; a default of null is none.
fn drop_noise(map: &mut Map<String, Value>) {
    if map.get("default").is_some_and(|value| value.is_object() || value.is_null()) {
        map.remove("default");
    }
}

/// Adds, for `{ word: { settings with defaults } }`, the bare `word`.
fn with_bare_words(branches: &[Value]) -> Vec<Value> {
    let mut all = branches.to_vec();
    for branch in branches {
        let Some((word, settings)) = tagged(branch) else { continue };
        let known = all.iter().any(|other| other.get("const").is_some_and(|name| name == word));
        let free = settings.get("required").is_none_or(|r| r.as_array().is_none_or(Vec::is_empty));
        if free && !known && settings.get("type").is_some_and(|name| name == "object") {
            let description = branch.get("description").cloned().unwrap_or_default();
            all.push(json!({ "description": description, "type": "string", "const": word }));
        }
    }
    all
}

/// The key and settings of an externally tagged branch: an object with exactly one required property.
pub(crate) fn tagged(branch: &Value) -> Option<(&str, &Value)> {
    let properties = branch.get("properties")?.as_object()?;
    let required = branch.get("required")?.as_array()?;
    match (properties.iter().next()?, properties.len(), required.as_slice()) {
        ((key, settings), 1, [only]) if only == key.as_str() => Some((key, settings)),
        _ => None,
    }
}
