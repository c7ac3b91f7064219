//! Objects: known keys, missing keys, named members, and the objects whose one key is a kind.

use mainstay_core::codes;
use serde_json::{Map, Value as Json};

use super::{At, Located, Schema, Walk};
use crate::diagnostic::short;
use crate::node::{Entry, Node};
use crate::{nearest, pointer, schema};

impl Walk<'_, '_> {
    pub(super) fn object(&mut self, node: &Node, schema: &Schema, at: &At) -> Option<Json> {
        if let Some(noun) = schema.get("x-kinds").and_then(Json::as_str) {
            return self.kind(node, noun, schema, at);
        }
        let mut kept = Map::new();
        for entry in node.entries() {
            if let Some(value) = self.entry(entry, schema, at) {
                kept.insert(entry.key.clone(), value);
            }
        }
        self.count(node.entries().len(), ("minProperties", "maxProperties"), "entries", at.key, schema, at);
        self.has_one_of(node, schema, at);
        // The root goes on without what it lacks, so that the rest is checked too.
        let whole = self.has_required(node, &kept, schema, at);
        (whole || at.pointer.is_empty()).then_some(Json::Object(kept))
    }

    fn entry(&mut self, entry: &Entry, schema: &Schema, at: &At) -> Option<Json> {
        let place = At {
            pointer: pointer::join(&at.pointer, &entry.key),
            path: pointer::dotted(&at.path, &entry.key),
            key: entry.key_span,
        };
        let named = schema.get("properties").and_then(|properties| properties.get(&entry.key));
        if let Some(inner) = named {
            return self.value(&entry.node, inner, &place);
        }
        match schema.get("additionalProperties") {
            Some(Json::Bool(false)) => {
                self.unknown_key(entry, schema, at);
                None
            }
            Some(inner @ Json::Object(_)) => {
                let well_named = self.fits_names(entry, schema);
                self.value(&entry.node, inner, &place).filter(|_| well_named)
            }
            _ => Some(self.free(&entry.node, &place)),
        }
    }

    fn unknown_key(&mut self, entry: &Entry, schema: &Schema, at: &At) {
        let known: Vec<&str> = properties(schema).map(String::as_str).collect();
        let near = nearest::nearest(&entry.key, known.iter().copied());
        let help = match (near, self.elsewhere(&entry.key)) {
            (Some(near), _) => Some(format!("did you mean `{near}`?")),
            (None, Some(section)) => Some(format!("`{}` is a key of {section}", short(&entry.key))),
            (None, None) => nearest::among("the only key here is", "the keys here are", known),
        };
        let of = if at.path.is_empty() { String::new() } else { format!(" in `{}`", at.path) };
        let message = format!("unknown key `{}`{of}", short(&entry.key));
        self.faults.at(entry.key_span, &codes::CONFIG_UNKNOWN_KEY, message, help);
    }

    /// The section that has this key, if exactly one does: a key at the wrong depth is a common slip.
    fn elsewhere(&self, key: &str) -> Option<String> {
        let holds = |schema: &Json| schema.get("properties").is_some_and(|all| all.get(key).is_some());
        if holds(self.root) {
            return Some("the top level".to_owned());
        }
        let sections = self.root.get("properties")?.as_object()?;
        let mut found = sections.iter().filter_map(|(name, section)| {
            let section = schema::resolve(self.root, section.as_object()?);
            if holds(&Json::Object(section.clone())) {
                return Some(format!("`{name}`"));
            }
            let inner = section.get("additionalProperties")?.as_object()?;
            let inner = schema::resolve(self.root, inner);
            if inner.contains_key("x-kinds") {
                return None;
            }
            if holds(&Json::Object(inner.clone())) {
                return Some(format!("each of `{name}`"));
            }
            let parts = inner.get("properties")?.as_object()?;
            let part = parts.iter().find(|(_, part)| {
                part.as_object().is_some_and(|p| holds(&Json::Object(schema::resolve(self.root, p))))
            })?;
            Some(format!("`{}` in each of `{name}`", part.0))
        });
        found.next().filter(|_| found.next().is_none())
    }

    fn fits_names(&mut self, entry: &Entry, schema: &Schema) -> bool {
        let Some(names) = schema.get("propertyNames").and_then(Json::as_object) else { return true };
        let Some(pattern) = names.get("pattern").and_then(Json::as_str) else { return true };
        if self.matches(pattern, &entry.key) {
            return true;
        }
        let (message, help) = match names.get("x-form").and_then(Json::as_str) {
            Some("variable") => {
                ("is not the name of a variable", "letters, digits and `_`, not a digit first")
            }
            _ => ("is not a name", super::text::NAME_HELP),
        };
        let message = format!("`{}` {message}", short(&entry.key));
        self.faults.at(entry.key_span, &codes::CONFIG_VALUE, message, Some(help.to_owned()));
        false
    }

    /// Whether every required key is there. One that is there but does not fit has its fault already.
    fn has_required(&mut self, node: &Node, kept: &Map<String, Json>, schema: &Schema, at: &At) -> bool {
        let mut whole = true;
        for key in strings(schema.get("required")) {
            whole &= kept.contains_key(key);
            if node.entry(key).is_none() {
                let about =
                    schema.get("properties").and_then(|all| all.get(key)).and_then(|p| p.get("description"));
                let help =
                    about.and_then(Json::as_str).map(|text| format!("`{key}`: {}", first_sentence(text)));
                let message = match at.path.as_str() {
                    "" => format!("the key `{key}` is missing"),
                    path => format!("`{path}` lacks the key `{key}`"),
                };
                self.faults.at(at.key, &codes::CONFIG_MISSING_KEY, message, help);
            }
        }
        whole
    }

    /// `oneOf` over required keys: exactly one of them is given.
    fn has_one_of(&mut self, node: &Node, schema: &Schema, at: &At) {
        let Some(branches) = schema.get("oneOf").and_then(Json::as_array) else { return };
        let keys: Vec<&str> = branches.iter().flat_map(|branch| strings(branch.get("required"))).collect();
        let given: Vec<&Entry> =
            node.entries().iter().filter(|entry| keys.contains(&entry.key.as_str())).collect();
        let list = nearest::choices(keys.iter().copied()).unwrap_or_default();
        match given.as_slice() {
            [_] => {}
            [] => {
                let message = format!("{} needs one of {list}", at.name());
                self.faults.at(at.key, &codes::CONFIG_MISSING_KEY, message, None);
            }
            [_, further, ..] => {
                let message = format!("{} can have only one of {list}", at.name());
                let help = Some("remove one, or make two of it".to_owned());
                self.faults.at(further.key_span, &codes::CONFIG_VALUE, message, help);
            }
        }
    }

    /// An object whose one key is a kind.
    fn kind(&mut self, node: &Node, noun: &str, schema: &Schema, at: &At) -> Option<Json> {
        let known: Vec<&str> = properties(schema).map(String::as_str).collect();
        let (one, many) = (format!("the only kind of {noun} is"), format!("the kinds of {noun} are"));
        let kinds = nearest::among(&one, &many, known.iter().copied());
        let mut fit = Map::new();
        for entry in node.entries() {
            if known.contains(&entry.key.as_str()) {
                if let Some(value) = self.entry(entry, schema, at) {
                    fit.insert(entry.key.clone(), value);
                }
                continue;
            }
            let near = nearest::nearest(&entry.key, known.iter().copied())
                .map(|near| format!("did you mean `{near}`?"));
            let message = format!("there is no {noun} of kind `{}`", short(&entry.key));
            self.faults.at(
                entry.key_span,
                &codes::CONFIG_UNKNOWN_KEY,
                message,
                near.or_else(|| kinds.clone()),
            );
        }
        match node.entries() {
            [] => self.faults.at(
                at.key,
                &codes::CONFIG_MISSING_KEY,
                format!("{} names no kind", at.name()),
                kinds,
            ),
            [_] => return Some(Json::Object(fit)).filter(|value| value != &Json::Object(Map::new())),
            [_, second, ..] => {
                let message = format!("{} names more than one kind", at.name());
                let help = Some(format!("give each {noun} its own name, with one kind"));
                self.faults.at(second.key_span, &codes::CONFIG_VALUE, message, help);
            }
        }
        None
    }

    /// Keeps the place of a key that stands for an empty section.
    pub(super) fn keep_place(&mut self, at: &At, place: Located) {
        self.places.insert(at.pointer.clone(), place);
    }
}

fn properties(schema: &Schema) -> impl Iterator<Item = &String> {
    schema.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key)
}

fn strings(list: Option<&Json>) -> impl Iterator<Item = &str> {
    list.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

fn first_sentence(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.find(". ").map_or(line.len(), |at| at + 1);
    line[..end].trim_end_matches('.').to_owned()
}
