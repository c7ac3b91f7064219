//! Reads the keys of a section as the runtime that resource files are written for does: names without regard to case,
//! nothing and null alike, numbers and truth values as text where text is wanted, and what it does not know ignored.
//! What it would refuse is a fault here, what it ignores a warning.

use std::cell::RefCell;
use std::time::Duration;

use mainstay_core::{Code, codes, duration};

use crate::diagnostic::short;
use crate::faults::Faults;
use crate::node::{Entry, Node, Value, text_of};
use crate::place::Span;
use crate::{nearest, validate};

/// What was found in a file so far.
pub(super) type Found = RefCell<Faults>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Said<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// A map that is being read.
pub(super) struct Section<'n, 'f> {
    found: &'f Found,
    /// The path for messages; empty for the document.
    path: String,
    /// What to point at when something is missing.
    pub(super) key: Span,
    entries: &'n [Entry],
    /// Names that were asked for: the known ones.
    asked: Vec<&'static str>,
}

impl<'n, 'f> Section<'n, 'f> {
    /// The section that a node is. One that is none has a fault, and no keys.
    pub(super) fn of(node: &'n Node, path: impl Into<String>, key: Span, found: &'f Found) -> Self {
        let section = Self { found, path: path.into(), key, entries: node.entries(), asked: Vec::new() };
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            section.unfit(node, &section.path, "a section of keys", None);
        }
        section
    }

    pub(super) fn entries(&self) -> &'n [Entry] {
        self.entries
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        crate::pointer::dotted(&self.path, key)
    }

    pub(super) fn fault(&self, span: Span, code: &'static Code, message: String, help: Option<String>) {
        self.found.borrow_mut().at(span, code, message, help);
    }

    pub(super) fn warn(&self, span: Span, code: &'static Code, message: String, help: Option<String>) {
        self.found.borrow_mut().warn(span, code, message, help);
    }

    /// Keeps a value out of everything that is shown.
    pub(super) fn hide(&self, span: Span) {
        self.found.borrow_mut().secrets.push(span);
    }

    /// The entry of a key, if it is given and not null. Of several spellings the exact one counts, else the last in
    /// order of bytes.
    pub(super) fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.asked.push(key);
        let spelled = self.entries.iter().filter(|entry| entry.key.eq_ignore_ascii_case(key));
        let chosen = spelled.max_by_key(|entry| (entry.key == key, &entry.key))?;
        (chosen.node.value != Value::Null).then_some(chosen)
    }

    /// A key that we know and do not look at.
    pub(super) fn known(&mut self, keys: &[&'static str]) {
        self.asked.extend_from_slice(keys);
    }

    /// A key that is known and has no effect here.
    pub(super) fn idle(&mut self, key: &'static str, help: &str) {
        if let Some(entry) = self.entry(key) {
            let message = format!("`{}` has no effect here", self.path(key));
            self.warn(entry.key_span, &codes::CONFIG_VALUE, message, Some(help.to_owned()));
        }
    }

    /// A text; what is empty is not given.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Said<String>> {
        let entry = self.entry(key)?;
        self.as_text(&entry.node, &self.path(key)).filter(|said| !said.value.is_empty())
    }

    /// A text that must be there.
    pub(super) fn required_text(&mut self, key: &'static str, about: &str) -> Option<Said<String>> {
        if let Some(text) = self.text(key) {
            return Some(text);
        }
        let entry = self.entry(key);
        if entry.is_none_or(|entry| text_of(&entry.node.value).is_some()) {
            let message = match self.path.as_str() {
                "" => format!("the key `{key}` is missing"),
                path => format!("`{path}` lacks the key `{key}`"),
            };
            let span = entry.map_or(self.key, |entry| entry.key_span);
            self.fault(span, &codes::CONFIG_MISSING_KEY, message, Some(format!("`{key}`: {about}")));
        }
        None
    }

    pub(super) fn as_text(&self, node: &Node, path: &str) -> Option<Said<String>> {
        if node.value == Value::Null {
            return Some(Said { value: String::new(), span: node.span });
        }
        let text = text_of(&node.value);
        if text.is_none() {
            self.unfit(node, path, "text", None);
        }
        text.map(|value| Said { value, span: node.span })
    }

    /// A truth value. Text is none, as there.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let entry = self.entry(key)?;
        if let Value::Bool(value) = entry.node.value {
            return Some(value);
        }
        self.unfit(&entry.node, &self.path(key), "`true` or `false`", Some("write it without quotes"));
        None
    }

    /// A whole number.
    pub(super) fn integer(&mut self, key: &'static str) -> Option<Said<i64>> {
        let entry = self.entry(key)?;
        self.as_integer(&entry.node, &self.path(key))
    }

    pub(super) fn as_integer(&self, node: &Node, path: &str) -> Option<Said<i64>> {
        let whole = |float: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
            let value = float as i64;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(value)
        };
        let value = match &node.value {
            Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
            _ => None,
        };
        if value.is_none() {
            self.unfit(node, path, "a whole number", Some("write it without quotes, unit and fraction"));
        }
        value.map(|value| Said { value, span: node.span })
    }

    /// A whole number that is not below `least`.
    pub(super) fn count(&mut self, key: &'static str, least: u32) -> Option<u32> {
        let said = self.integer(key)?;
        let value = u32::try_from(said.value).ok().filter(|value| *value >= least);
        if value.is_none() {
            let message = format!("`{}` must be {least} at least, and is `{}`", self.path(key), said.value);
            self.fault(said.span, &codes::CONFIG_VALUE, message, None);
        }
        value
    }

    /// A duration in Go's syntax; a number without a unit is milliseconds.
    pub(super) fn time(&mut self, key: &'static str) -> Option<Duration> {
        let said = self.text(key)?;
        self.as_time(&said, &self.path(key))
    }

    pub(super) fn as_time(&self, said: &Said<String>, path: &str) -> Option<Duration> {
        let time =
            said.value.parse().map(Duration::from_millis).ok().or_else(|| duration::parse(&said.value));
        if time.is_none() {
            let message = format!("`{path}` must be a duration, and `{}` is none", short(&said.value));
            self.fault(
                said.span,
                &codes::CONFIG_VALUE,
                message,
                Some("write it like `500ms`, `5s`, `1m30s`".to_owned()),
            );
        }
        time
    }

    /// One of several words, without regard to case.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let said = self.text(key)?;
        let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&said.value));
        if chosen.is_none() {
            let message = format!("`{}` cannot be `{}`", self.path(key), short(&said.value));
            let words = choices.iter().map(|(word, _)| *word);
            let help = match nearest::nearest(&said.value, words.clone()) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None => nearest::choices(words).map(|list| format!("it is one of {list}")),
            };
            self.fault(said.span, &codes::CONFIG_VALUE, message, help);
        }
        chosen.map(|(_, value)| *value)
    }

    /// A section inside of this one; `None` when it is not given.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'n, 'f>> {
        let entry = self.entry(key)?;
        Some(Section::of(&entry.node, self.path(key), entry.key_span, self.found))
    }

    /// The entries of a map of named things, each as a section.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(&'n str, Section<'n, 'f>)> {
        let Some(section) = self.section(key) else { return Vec::new() };
        let each = section.entries.iter().map(|entry| {
            let path = section.path(&entry.key);
            (entry.key.as_str(), Section::of(&entry.node, path, entry.key_span, section.found))
        });
        each.collect()
    }

    /// The entries of a map of texts.
    pub(super) fn texts_by_name(&mut self, key: &'static str) -> Vec<(&'n str, Said<String>)> {
        let Some(section) = self.section(key) else { return Vec::new() };
        let entries = section.entries.iter();
        let each = entries.filter_map(|entry| {
            let said = section.as_text(&entry.node, &section.path(&entry.key))?;
            Some((entry.key.as_str(), said))
        });
        each.collect()
    }

    /// The items of a list, with their paths.
    pub(super) fn items(&mut self, key: &'static str, help: Option<&str>) -> Vec<(String, &'n Node)> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let path = self.path(key);
        let Value::List(items) = &entry.node.value else {
            self.unfit(&entry.node, &path, "a list", help);
            return Vec::new();
        };
        items.iter().enumerate().map(|(n, item)| (format!("{path}[{n}]"), item)).collect()
    }

    /// The items of a list of sections.
    pub(super) fn sections(&mut self, key: &'static str, help: Option<&str>) -> Vec<Section<'n, 'f>> {
        let found = self.found;
        let items = self.items(key, help).into_iter();
        let each = items.map(|(path, item)| {
            let start = item.entries().first().map_or(item.span, |entry| entry.key_span);
            Section::of(item, path, start, found)
        });
        each.collect()
    }

    /// The items of a list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        let items = self.items(key, Some("put brackets around it: `[a, b]`"));
        let each = items.into_iter().filter_map(|(path, item)| self.as_text(item, &path));
        each.map(|said| said.value).collect()
    }

    /// Warns of the keys that nobody asked for.
    pub(super) fn finish(self) {
        self.finish_beside(&[]);
    }

    /// The same; `elsewhere` are keys with a word on where they belong.
    pub(super) fn finish_beside(self, elsewhere: &[(&str, &str)]) {
        for entry in self.entries {
            if self.asked.iter().any(|key| key.eq_ignore_ascii_case(&entry.key)) {
                continue;
            }
            if self.found.borrow().warned_enough() {
                return;
            }
            let of = if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) };
            let message = format!("unknown key `{}`{of}, which is ignored", short(&entry.key));
            let place = elsewhere.iter().find(|(key, _)| key.eq_ignore_ascii_case(&entry.key));
            let near = nearest::nearest(&entry.key, self.asked.iter().copied());
            let help = match (place, near) {
                (Some((_, place)), _) => Some((*place).to_owned()),
                (None, Some(near)) => Some(format!("did you mean `{near}`?")),
                (None, None) => {
                    nearest::among("the only key here is", "the keys here are", self.asked.iter().copied())
                }
            };
            self.warn(entry.key_span, &codes::CONFIG_UNKNOWN_KEY, message, help);
        }
    }

    fn unfit(&self, node: &Node, path: &str, wanted: &str, help: Option<&str>) {
        let what = if path.is_empty() { "a resource".to_owned() } else { format!("`{path}`") };
        let message = format!("{what} must be {wanted}, and here is {}", validate::described(&node.value));
        self.fault(node.span, &codes::CONFIG_VALUE, message, help.map(str::to_owned));
    }
}
