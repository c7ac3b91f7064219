//! A YAML document as a tree that knows where everything stands.
//!
//! Typing of the spec is the YAML 1.2 core schema and nothing more: `yes` is text, `1.10` is a number, a date is text.
//! Anchors and aliases work within bounds; tags, merge keys, directives and further documents are refused. Resource
//! files have a dialect of their own ([`Dialect::Resource`]).

mod lenient;
mod parse;
mod scalar;
mod variables;

use serde_json::{Map, Number};

pub(crate) use lenient::{json_number, text_of};
pub(crate) use parse::{parse, parse_part};

use crate::place::Span;

/// What a text means where YAML leaves it open.
#[derive(Clone, Copy)]
pub(crate) enum Dialect<'a> {
    /// The spec: strict, so that nothing is taken for something else.
    Spec,
    /// A resource file: as the runtime that it was written for reads it. Scalars are those of YAML 1.1, tags and merge
    /// keys work, of a key that stands twice the last counts (with a warning), keys are whatever has a text.
    Resource {
        /// What `$NAME` and `${NAME}` in values stand for, where they stand for something.
        variables: Option<Variables<'a>>,
    },
}

/// Looks up a variable.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// An entry of a map. Keys are unique and in the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Entry {
    /// Key and value.
    pub(crate) fn span(&self) -> Span {
        self.key_span.to(self.node.span)
    }
}

impl Node {
    /// The entry of a map under this key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The value as JSON, without places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect::<Map<_, _>>().into()
            }
        }
    }
}
