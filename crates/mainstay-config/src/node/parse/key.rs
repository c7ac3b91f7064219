//! Keys of a map: what may be one, what happens when one stands twice, and merge keys.

use std::collections::HashMap;

use granit_parser::{Event, ScalarStyle};
use mainstay_core::codes;

use super::{Anchored, Builder, Dialect, Entry, Node, Step, Value, fault, height};
use crate::diagnostic::short;
use crate::node::text_of;
use crate::place::{Lines, Span};

/// A key.
pub(super) enum Key {
    /// A text, and where it stands.
    Text(String, Span),
    /// `<<`: the entries of the map that follows belong here.
    Merge,
    /// None that can be used; the faults say why.
    None,
}

/// The entries of a map so far.
#[derive(Default)]
pub(super) struct Members {
    entries: Vec<Entry>,
    /// Where in `entries` a key stands, and whether it was written here or merged in.
    seen: HashMap<String, (usize, bool)>,
}

impl Members {
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    fn put(&mut self, entry: Entry, written: bool) {
        if let Some((at, _)) = self.seen.get(&entry.key).copied() {
            self.seen.insert(entry.key.clone(), (at, written));
            self.entries[at] = entry;
            return;
        }
        self.seen.insert(entry.key.clone(), (self.entries.len(), written));
        self.entries.push(entry);
    }
}

impl<'t> Builder<'t, '_> {
    pub(super) fn key(&mut self, event: Event<'t>, span: Span, depth: usize) -> Step<Key> {
        match self.dialect {
            Dialect::Spec => self.strict_key(event, span, depth),
            Dialect::Resource { .. } => self.lenient_key(event, span, depth),
        }
    }

    fn strict_key(&mut self, event: Event<'t>, span: Span, depth: usize) -> Step<Key> {
        let plain_text = match &event {
            Event::Scalar(text, style, 0, None) => {
                let plain = matches!(style, ScalarStyle::Plain);
                self.nodes += 1;
                self.bytes += text.len();
                Some((text.to_string(), plain))
            }
            _ => None,
        };
        match plain_text {
            Some((text, true)) if text == "<<" => {
                let help = Some("write the keys out".to_owned());
                self.faults.add(fault(span, "merge keys (`<<`) are not used here", help));
                Ok(Key::None)
            }
            Some((text, plain)) if !(plain && text.is_empty()) => Ok(Key::Text(text, self.trimmed(span))),
            _ => {
                if plain_text.is_none() {
                    self.node(event, span, depth + 1)?;
                }
                self.faults.add(fault(span, "a key must be text, without an anchor, alias or tag", None));
                Ok(Key::None)
            }
        }
    }

    /// A key as resource files have it: any scalar, written as text. Variables are not filled in.
    fn lenient_key(&mut self, event: Event<'t>, span: Span, depth: usize) -> Step<Key> {
        if matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<") {
            self.nodes += 1;
            return Ok(Key::Merge);
        }
        let dialect = std::mem::replace(&mut self.dialect, Dialect::Resource { variables: None });
        let node = self.node(event, span, depth + 1);
        self.dialect = dialect;
        let node = node?;
        if let Some(text) = text_of(&node.value) {
            return Ok(Key::Text(text, self.trimmed(node.span)));
        }
        self.faults.add(fault(span, "a key must be text, a number or a truth value", None));
        Ok(Key::None)
    }

    pub(super) fn insert(&mut self, entry: Entry, members: &mut Members) {
        let first = members.seen.get(&entry.key).filter(|(_, written)| *written).map(|(at, _)| *at);
        let Some(first) = first else { return members.put(entry, true) };
        let lines = self.lines.get_or_init(|| Lines::of(self.text));
        let line = lines.position(members.entries[first].key_span.start).line;
        let message = format!("the key `{}` stands twice", short(&entry.key));
        if let Dialect::Resource { .. } = self.dialect {
            let help = format!("it stands in line {line} already; this one counts");
            self.faults.warn(entry.key_span, &codes::CONFIG_YAML, message, Some(help));
            return members.put(entry, true);
        }
        let help = Some(format!("it stands in line {line} already; remove one of them"));
        self.faults.add(fault(entry.key_span, message, help));
    }

    /// Takes over the entries of what a merge key names. As there, what comes later in the text counts, and of a list
    /// of maps the first.
    pub(super) fn merge(&mut self, node: Node, members: &mut Members) {
        let span = node.span;
        let maps = match node.value {
            Value::List(items) => items.into_iter().rev().collect(),
            _ => vec![node],
        };
        for map in maps {
            let Value::Map(entries) = map.value else {
                self.faults.add(fault(span, "a merge key needs a map, or a list of maps", None));
                return;
            };
            for entry in entries {
                members.put(entry, false);
            }
        }
    }

    /// Keeps a finished node for its aliases. The kept copy counts too, or nested anchors could keep a large value many
    /// times.
    pub(super) fn keep(
        &mut self,
        anchor: usize,
        node: &Node,
        before: (usize, usize),
        span: Span,
    ) -> Step<()> {
        let (nodes, bytes) = (self.nodes - before.0 + 1, self.bytes - before.1);
        self.nodes += nodes;
        self.bytes += bytes;
        self.within_bounds(span)?;
        self.anchors.insert(anchor, Anchored { depth: height(node), nodes, bytes, node: node.clone() });
        Ok(())
    }
}
