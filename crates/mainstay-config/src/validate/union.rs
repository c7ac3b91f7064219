//! Unions: bare words, `{ word: settings }`, and values that may be of several forms.

use std::collections::HashMap;

use mainstay_core::codes;
use serde_json::{Map, Value as Json};

use super::{At, Located, Schema, Walk, described, fits_type};
use crate::diagnostic::short;
use crate::faults::Faults;
use crate::node::{Entry, Node, Value};
use crate::{nearest, pointer, schema};

/// A form of a union.
#[derive(Debug)]
pub(super) enum Branch {
    /// These words.
    Words(Vec<String>),
    /// An object with this one key.
    Tagged(String, Json),
    /// Any other form.
    Other(Json),
}

/// The forms of a union; `None` when the schema is none (a `oneOf` over required keys is a rule, not a union).
pub(super) fn branches(schema: &Schema) -> Option<Vec<Branch>> {
    let list = schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()?;
    let rule = |branch: &Json| branch.as_object().is_some_and(|map| map.keys().eq(["required"]));
    if list.iter().all(rule) {
        return None;
    }
    Some(list.iter().map(branch).collect())
}

fn branch(schema: &Json) -> Branch {
    let one = schema.get("const").and_then(Json::as_str).map(|word| vec![word.to_owned()]);
    let many = || {
        let words = schema.get("enum")?.as_array()?.iter().map(|word| word.as_str().map(str::to_owned));
        words.collect::<Option<Vec<String>>>()
    };
    if let Some(words) = one.or_else(many) {
        return Branch::Words(words);
    }
    match schema::tagged(schema) {
        Some((key, settings)) => Branch::Tagged(key.to_owned(), settings.clone()),
        None => Branch::Other(schema.clone()),
    }
}

impl Walk<'_, '_> {
    pub(super) fn union(
        &mut self,
        node: &Node,
        schema: &Schema,
        branches: &[Branch],
        at: &At,
    ) -> Option<Json> {
        let plain = branches.iter().all(|branch| !matches!(branch, Branch::Other(_)));
        if !plain {
            return self.several_forms(node, schema, at);
        }
        match &node.value {
            Value::Text(word) => self.word(word, node, branches, at),
            Value::Map(entries) => self.tagged(entries, branches, at),
            other => {
                let message = format!("{} cannot be {}", at.name(), described(other));
                let span = if matches!(other, Value::Null) { at.key } else { node.span };
                self.faults.at(span, &codes::CONFIG_VALUE, message, forms_help(branches));
                None
            }
        }
    }

    /// A bare word. One that has settings, all with defaults, stands for them.
    fn word(&mut self, word: &str, node: &Node, branches: &[Branch], at: &At) -> Option<Json> {
        let is_word =
            branches.iter().any(|b| matches!(b, Branch::Words(words) if words.iter().any(|w| w == word)));
        let settings = branches.iter().find_map(|b| match b {
            Branch::Tagged(key, settings) if key == word => Some(settings),
            _ => None,
        });
        match settings {
            Some(settings) => {
                let empty = Node { value: Value::Map(Vec::new()), span: node.span };
                let entry = Entry { key: word.to_owned(), key_span: node.span, node: empty };
                self.settings(&entry, settings, at)
            }
            None if is_word => Some(word.into()),
            None => {
                let names = names(branches);
                self.not_among(word, &names, node.span, at);
                None
            }
        }
    }

    fn tagged(&mut self, entries: &[Entry], branches: &[Branch], at: &At) -> Option<Json> {
        match entries {
            [] => {
                let message = format!("{} says nothing", at.name());
                self.faults.at(at.key, &codes::CONFIG_MISSING_KEY, message, forms_help(branches));
            }
            [entry] => return self.one_tag(entry, branches, at),
            [_, second, ..] => {
                let message = format!("{} can be only one thing", at.name());
                self.faults.at(second.key_span, &codes::CONFIG_VALUE, message, forms_help(branches));
            }
        }
        None
    }

    fn one_tag(&mut self, entry: &Entry, branches: &[Branch], at: &At) -> Option<Json> {
        for branch in branches {
            match branch {
                Branch::Tagged(key, settings) if *key == entry.key => {
                    return self.settings(entry, settings, at);
                }
                Branch::Words(words) if words.contains(&entry.key) && !is_tag(branches, &entry.key) => {
                    let message = format!("`{}` takes no settings", entry.key);
                    let help = Some(format!("write just `{}`", entry.key));
                    self.faults.at(entry.key_span, &codes::CONFIG_VALUE, message, help);
                    return None;
                }
                _ => {}
            }
        }
        let names = names(branches);
        let near =
            nearest::nearest(&entry.key, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let message = format!("{} cannot be `{}`", at.name(), short(&entry.key));
        self.faults.at(
            entry.key_span,
            &codes::CONFIG_UNKNOWN_KEY,
            message,
            near.or_else(|| forms_help(branches)),
        );
        None
    }

    fn settings(&mut self, entry: &Entry, settings: &Json, at: &At) -> Option<Json> {
        let place = At {
            pointer: pointer::join(&at.pointer, &entry.key),
            path: pointer::dotted(&at.path, &entry.key),
            key: entry.key_span,
        };
        let value = self.value(&entry.node, settings, &place)?;
        self.keep_place(&place, Located { key: entry.key_span, value: entry.node.span });
        Some(Json::Object(Map::from_iter([(entry.key.clone(), value)])))
    }

    /// The one form that the value's type allows; else the first that fits without a fault.
    fn several_forms(&mut self, node: &Node, union: &Schema, at: &At) -> Option<Json> {
        let list = union.get("oneOf").or_else(|| union.get("anyOf")).and_then(Json::as_array)?;
        let forms: Vec<Schema> = list.iter().map(|form| self.form(form, union)).collect();
        let possible: Vec<&Schema> = forms.iter().filter(|form| could_be(&node.value, form)).collect();
        if let [only] = possible.as_slice() {
            return self.value(node, &Json::Object((*only).clone()), at);
        }
        for form in &possible {
            let mut scratch = Faults::default();
            let mut trial = Walk {
                root: self.root,
                faults: &mut scratch,
                places: HashMap::new(),
                patterns: HashMap::new(),
            };
            let value = trial.value(node, &Json::Object((*form).clone()), at);
            let places = trial.places;
            if scratch.is_empty() {
                self.places.extend(places);
                return value;
            }
            // What a trial took for a secret stays hidden, whichever form was meant.
            self.faults.secrets.extend(scratch.secrets);
        }
        let span = if matches!(node.value, Value::Null) { at.key } else { node.span };
        let message = format!("{} fits none of its forms, and here is {}", at.name(), described(&node.value));
        let described: Vec<&str> = forms.iter().filter_map(|f| f.get("description")?.as_str()).collect();
        let help = (!described.is_empty()).then(|| format!("it can be: {}", described.join("; ")));
        self.faults.at(span, &codes::CONFIG_VALUE, message, help);
        None
    }

    /// A form with what its union says of all of them.
    fn form(&self, form: &Json, union: &Schema) -> Schema {
        let mut form = form.as_object().map(|map| schema::resolve(self.root, map)).unwrap_or_default();
        for (keyword, value) in union {
            let said = matches!(keyword.as_str(), "oneOf" | "anyOf" | "description" | "default" | "title");
            if !said && !form.contains_key(keyword) {
                form.insert(keyword.clone(), value.clone());
            }
        }
        form
    }
}

fn could_be(value: &Value, form: &Schema) -> bool {
    match branches(form) {
        Some(inner) => inner.iter().any(|branch| match branch {
            Branch::Words(_) => matches!(value, Value::Text(_)),
            Branch::Tagged(..) => matches!(value, Value::Map(_)),
            Branch::Other(form) => form.as_object().is_none_or(|form| could_be(value, form)),
        }),
        None => fits_type(value, form),
    }
}

fn names(branches: &[Branch]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for branch in branches {
        let here: &[String] = match branch {
            Branch::Words(words) => words,
            Branch::Tagged(key, _) => std::slice::from_ref(key),
            Branch::Other(_) => &[],
        };
        for name in here {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    names
}

fn is_tag(branches: &[Branch], name: &str) -> bool {
    branches.iter().any(|branch| matches!(branch, Branch::Tagged(key, _) if key == name))
}

fn forms_help(branches: &[Branch]) -> Option<String> {
    let shown: Vec<String> =
        names(branches)
            .into_iter()
            .map(|name| {
                if is_tag(branches, name) {
                    format!("`{{ {name}: {{ … }} }}`")
                } else {
                    format!("`{name}`")
                }
            })
            .collect();
    (!shown.is_empty()).then(|| format!("it is one of {}", shown.join(", ")))
}
