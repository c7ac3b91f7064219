//! Walks a spec's tree along the schema and reports every fault. What it hands on has only what fits, so that the
//! faults of meaning can be found in the same run: a value that does not fit is left out, and with it what needs it.
//!
//! It knows the schema's keywords and nothing of what the keys mean.

mod number;
mod object;
mod text;
mod union;

use std::borrow::Cow;
use std::collections::HashMap;

use mainstay_core::codes;
use regex::Regex;
use serde_json::{Map, Value as Json};

use crate::faults::Faults;
use crate::node::{Node, Value};
use crate::place::Span;
use crate::{pointer, schema, secret};

/// What fits, and where it stands.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The values that fit; `None` when the whole does not.
    pub(crate) value: Option<Json>,
    /// Where values stand, by their JSON Pointer in `value`.
    pub(crate) places: HashMap<String, Located>,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    /// Its key, or itself where it has none.
    pub(crate) key: Span,
    /// The value.
    pub(crate) value: Span,
}

/// Checks `root` against `schema`.
pub(crate) fn check(root: &Node, schema: &Json, faults: &mut Faults) -> Checked {
    let mut walk = Walk { root: schema, faults, places: HashMap::new(), patterns: HashMap::new() };
    let start = root.entries().first().map_or(root.span, |entry| entry.key_span);
    let at = At { pointer: String::new(), path: String::new(), key: Span::new(start.start, start.start) };
    let value = walk.value(root, schema, &at);
    Checked { value, places: walk.places }
}

/// Schemas are JSON objects.
type Schema = Map<String, Json>;

/// The place that is being walked.
#[derive(Clone, Debug)]
struct At {
    /// Pointer in what is handed on.
    pointer: String,
    /// Path for messages.
    path: String,
    /// What to point at when something is missing: the key.
    key: Span,
}

impl At {
    fn name(&self) -> String {
        if self.path.is_empty() { "the spec".to_owned() } else { format!("`{}`", self.path) }
    }
}

struct Walk<'s, 'f> {
    root: &'s Json,
    faults: &'f mut Faults,
    places: HashMap<String, Located>,
    patterns: HashMap<String, Option<Regex>>,
}

impl Walk<'_, '_> {
    /// The value as far as it fits.
    fn value(&mut self, node: &Node, schema: &Json, at: &At) -> Option<Json> {
        self.places.insert(at.pointer.clone(), Located { key: at.key, value: node.span });
        // A scalar that could not be read is null here, and has its fault already.
        if node.value == Value::Null && self.faults.within(node.span) {
            return None;
        }
        let Some(schema) = schema.as_object() else { return Some(self.free(node, at)) };
        let schema = schema::resolve(self.root, schema);
        if let Some(branches) = union::branches(&schema) {
            return self.union(node, &schema, &branches, at);
        }
        self.typed(node, &schema, at)
    }

    /// A value against a schema that is no union.
    fn typed(&mut self, node: &Node, schema: &Schema, at: &At) -> Option<Json> {
        if schema::is_secret(schema) {
            return self.secret(node, at);
        }
        let node = empty_section(node, schema);
        let node = node.as_ref();
        if !fits_type(&node.value, schema) {
            self.wrong_type(node, schema, at);
            return None;
        }
        let value = match &node.value {
            Value::Map(_) => self.object(node, schema, at),
            Value::List(items) => self.list(items, node.span, schema, at),
            Value::Text(text) => self.text(text, node.span, schema, at),
            Value::Number(number) => self.number(number, node.span, schema, at),
            Value::Null | Value::Bool(_) => Some(node.to_json()),
        }?;
        self.chosen(value, node.span, schema, at)
    }

    /// A value that may be anything. Its places are kept, for the kinds' own checks.
    fn free(&mut self, node: &Node, at: &At) -> Json {
        let inner = |key: &str, span: Span| At {
            pointer: pointer::join(&at.pointer, key),
            path: pointer::dotted(&at.path, key),
            key: span,
        };
        self.places.insert(at.pointer.clone(), Located { key: at.key, value: node.span });
        match &node.value {
            Value::Map(entries) => {
                let members = entries.iter();
                let members =
                    members.map(|e| (e.key.clone(), self.free(&e.node, &inner(&e.key, e.key_span))));
                Json::Object(members.collect())
            }
            Value::List(items) => {
                let items = items.iter().enumerate();
                items.map(|(n, item)| self.free(item, &inner(&n.to_string(), item.span))).collect()
            }
            _ => node.to_json(),
        }
    }

    fn wrong_type(&mut self, node: &Node, schema: &Schema, at: &At) {
        let keys = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
        if keys.into_iter().any(|(key, _)| secret::is_telling(key)) {
            // A key pasted where the section around it belongs.
            self.faults.secrets.push(node.span);
        }
        let wanted = expected(schema);
        let found = described(&node.value);
        let message = match &node.value {
            Value::Null => format!("{} has no value; it must be {wanted}", at.name()),
            _ => format!("{} must be {wanted}, and here is {found}", at.name()),
        };
        let span = if matches!(node.value, Value::Null) { at.key } else { node.span };
        self.faults.at(span, &codes::CONFIG_VALUE, message, type_help(node, schema));
    }

    /// `enum` and `const`.
    fn chosen(&mut self, value: Json, span: Span, schema: &Schema, at: &At) -> Option<Json> {
        let one = schema.get("const").map(std::slice::from_ref);
        let Some(choices) = one.or_else(|| schema.get("enum").and_then(Json::as_array).map(Vec::as_slice))
        else {
            return Some(value);
        };
        if choices.contains(&value) {
            return Some(value);
        }
        let names: Vec<&str> = choices.iter().filter_map(Json::as_str).collect();
        self.not_among(value.as_str().unwrap_or_default(), &names, span, at);
        None
    }

    fn not_among(&mut self, given: &str, names: &[&str], span: Span, at: &At) {
        let message = format!("{} cannot be `{}`", at.name(), crate::diagnostic::short(given));
        let help = match crate::nearest::nearest(given, names.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => crate::nearest::choices(names.iter().copied()).map(|list| format!("it is one of {list}")),
        };
        self.faults.at(span, &codes::CONFIG_VALUE, message, help);
    }

    fn list(&mut self, items: &[Node], span: Span, schema: &Schema, at: &At) -> Option<Json> {
        let any = Json::Bool(true);
        let inner = schema.get("items").unwrap_or(&any);
        let mut kept: Vec<Json> = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let start = item.entries().first().map_or(item.span, |entry| entry.key_span);
            let place = At {
                pointer: pointer::join(&at.pointer, &kept.len().to_string()),
                path: format!("{}[{n}]", at.path),
                key: start,
            };
            let Some(value) = self.value(item, inner, &place) else { continue };
            if schema.get("uniqueItems").is_some_and(|unique| unique == true) && kept.contains(&value) {
                let message = format!("{} stands in the list twice", place.name());
                self.faults.at(
                    item.span,
                    &codes::CONFIG_VALUE,
                    message,
                    Some("remove one of them".to_owned()),
                );
                continue;
            }
            kept.push(value);
        }
        self.count(items.len(), ("minItems", "maxItems"), "items", span, schema, at);
        Some(Json::Array(kept))
    }

    /// Bounds of a number of things.
    fn count(&mut self, n: usize, bounds: (&str, &str), things: &str, span: Span, schema: &Schema, at: &At) {
        let bound = |keyword: &str| schema.get(keyword).and_then(Json::as_u64);
        let n = n as u64;
        if let Some(least) = bound(bounds.0).filter(|least| n < *least) {
            let message = match n {
                0 => format!("{} is empty, and must not be", at.name()),
                _ => format!("{} has {n} {things}, and must have {least} at least", at.name()),
            };
            self.faults.at(span, &codes::CONFIG_VALUE, message, None);
        }
        if let Some(most) = bound(bounds.1).filter(|most| n > *most) {
            let message = format!("{} has {n} {things}, and may have {most} at most", at.name());
            self.faults.at(span, &codes::CONFIG_VALUE, message, None);
        }
    }

    /// Whether a text fits a pattern; a pattern that does not compile fits everything (the lint finds it).
    fn matches(&mut self, pattern: &str, text: &str) -> bool {
        let compiled = self.patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

/// A section without content (`server:`) is an empty section.
fn empty_section<'n>(node: &'n Node, schema: &Schema) -> Cow<'n, Node> {
    let value = match &node.value {
        Value::Null if allows(schema, "null") => Value::Null,
        Value::Null if schema.contains_key("type") && allows(schema, "object") => Value::Map(Vec::new()),
        Value::Null if schema.contains_key("type") && allows(schema, "array") => Value::List(Vec::new()),
        _ => return Cow::Borrowed(node),
    };
    Cow::Owned(Node { value, span: node.span })
}

fn allows(schema: &Schema, name: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(only)) => only == name,
        Some(Json::Array(types)) => types.iter().any(|t| t == name),
        _ => true,
    }
}

fn fits_type(value: &Value, schema: &Schema) -> bool {
    match value {
        Value::Null => allows(schema, "null"),
        Value::Bool(_) => allows(schema, "boolean"),
        Value::Number(n) => allows(schema, "number") || (allows(schema, "integer") && !n.is_f64()),
        Value::Text(_) => allows(schema, "string"),
        Value::List(_) => allows(schema, "array"),
        Value::Map(_) => allows(schema, "object"),
    }
}

/// What a schema wants, in words.
fn expected(schema: &Schema) -> String {
    if let Some(noun) = schema.get("title").and_then(Json::as_str).filter(|_| schema.contains_key("x-form")) {
        return format!("a {noun}");
    }
    let nouns = [
        ("object", "a section of keys"),
        ("array", "a list"),
        ("string", "text"),
        ("integer", "a whole number"),
        ("number", "a number"),
        ("boolean", "`true` or `false`"),
        ("null", "empty"),
    ];
    let wanted: Vec<&str> =
        nouns.iter().filter(|(name, _)| allows(schema, name)).map(|(_, noun)| *noun).collect();
    wanted.join(" or ")
}

pub(crate) fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(true) => "`true`",
        Value::Bool(false) => "`false`",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a section of keys",
    }
}

fn type_help(node: &Node, schema: &Schema) -> Option<String> {
    if let Some(help) = text::example_help(schema) {
        return Some(help);
    }
    match &node.value {
        Value::Null => Some("give it a value, or remove the key to have its default".to_owned()),
        Value::Number(_) | Value::Bool(_) if allows(schema, "string") => {
            Some("put quotes around it".to_owned())
        }
        Value::Text(_) if allows(schema, "array") => Some("put brackets around it: `[a, b]`".to_owned()),
        Value::Text(word)
            if allows(schema, "boolean") && matches!(word.as_str(), "yes" | "on" | "no" | "off") =>
        {
            Some("write `true` or `false`".to_owned())
        }
        Value::Text(text) if text.bytes().any(|b| b.is_ascii_digit()) && allows(schema, "integer") => {
            Some("write the number without quotes and without a unit".to_owned())
        }
        _ => None,
    }
}
