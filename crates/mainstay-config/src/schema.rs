//! The JSON Schema (2020-12) of `mainstay.yaml`: generated from `raw`, with the settings of every registered kind put
//! in. Editors, the reference page and the check all read this one value.

mod lint;
mod tidy;

use serde_json::{Map, Value, json};

pub use lint::lint;
pub(crate) use tidy::tagged;

use crate::{Kinds, raw, secret};
use mainstay_core::KindDef;

/// The schema of a spec for these registries.
///
/// Beside the standard keywords it uses `x-form` (what a text is: `duration`, `size`, `secret`, `name`, …), `x-minimum`
/// and `x-maximum` (bounds of a duration or size), `x-kinds` (an object with exactly one key, the kind) and `x-names`
/// (the section of the spec in which a text is a name).
#[must_use]
pub fn schema(kinds: &Kinds<'_>) -> Value {
    let mut root = schemars::schema_for!(raw::Spec).to_value();
    root["title"] = "mainstay.yaml".into();
    root["properties"]["providers"]["additionalProperties"] = members(&mut root, "provider", kinds.providers);
    root["properties"]["tools"]["additionalProperties"] = members(&mut root, "tool", kinds.tools);
    among(&mut root["$defs"]["Metrics"]["properties"]["aliases"], kinds.metric_aliases);
    among(&mut root["$defs"]["Deploy"]["properties"]["services"], kinds.services);
    among(&mut root["$defs"]["Terraform"]["properties"]["platforms"], kinds.platforms);
    tidy::tidy(&mut root);
    root
}

/// An object with exactly one key: the kind, whose value is that kind's settings.
fn members(root: &mut Value, noun: &str, defs: &[KindDef]) -> Value {
    let mut properties = Map::new();
    for def in defs {
        let mut settings = (def.schema)();
        adopt(root, &format!("{noun}.{}", def.kind), &mut settings);
        if let Some(settings) = settings.as_object_mut() {
            settings.insert("description".to_owned(), def.about.into());
            settings.remove("title");
            settings.remove("$schema");
        }
        properties.insert(def.kind.to_owned(), settings);
    }
    json!({
        "type": "object", "x-kinds": noun, "properties": properties,
        "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
    })
}

/// Moves a kind's own definitions to the root under names that cannot clash, so that its references still resolve.
fn adopt(root: &mut Value, prefix: &str, settings: &mut Value) {
    let Some(defs) = settings.as_object_mut().and_then(|map| map.remove("$defs")) else { return };
    rename_references(settings, prefix);
    for (name, mut def) in defs.as_object().cloned().unwrap_or_default() {
        rename_references(&mut def, prefix);
        root["$defs"][format!("{prefix}.{name}")] = def;
    }
}

const DEFS: &str = "#/$defs/";

fn rename_references(schema: &mut Value, prefix: &str) {
    tidy::each_subschema(schema, &mut |map| {
        let renamed = map.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(DEFS));
        if let Some(renamed) = renamed.map(|name| format!("{DEFS}{prefix}.{name}")) {
            map.insert("$ref".to_owned(), renamed.into());
        }
    });
}

/// Lets a list hold these names alone.
fn among(list: &mut Value, names: &[&str]) {
    if names.is_empty() {
        list["maxItems"] = 0.into();
    } else {
        list["items"] = json!({ "type": "string", "enum": names });
    }
}

/// Whether a text schema is of references to secrets. Kinds say it with `x-form: secret` or with the pattern.
pub(crate) fn is_secret(schema: &Map<String, Value>) -> bool {
    schema.get("x-form").is_some_and(|form| form == "secret")
        || schema.get("pattern").and_then(Value::as_str).is_some_and(|text| text == secret::pattern())
}

/// The schema with its reference followed and its `allOf` merged; what stands beside a reference wins.
pub(crate) fn resolve(root: &Value, schema: &Map<String, Value>) -> Map<String, Value> {
    const HOPS_MAX: usize = 16;
    let mut merged = schema.clone();
    for _ in 0..HOPS_MAX {
        let Some(reference) = merged.remove("$ref") else { break };
        let target =
            reference.as_str().and_then(|text| text.strip_prefix('#')).and_then(|at| root.pointer(at));
        let mut base = target.and_then(Value::as_object).cloned().unwrap_or_default();
        overlay(&mut base, merged);
        merged = base;
    }
    for part in merged.remove("allOf").and_then(|all| all.as_array().cloned()).unwrap_or_default() {
        let mut base = part.as_object().map(|part| resolve(root, part)).unwrap_or_default();
        overlay(&mut base, merged);
        merged = base;
    }
    merged
}

fn overlay(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (keyword, value) in over {
        match (keyword.as_str(), base.get_mut(&keyword), value) {
            ("properties", Some(Value::Object(base)), Value::Object(over)) => base.extend(over),
            ("required", Some(Value::Array(base)), Value::Array(over)) => base.extend(over),
            (_, _, value) => {
                base.insert(keyword, value);
            }
        }
    }
}
