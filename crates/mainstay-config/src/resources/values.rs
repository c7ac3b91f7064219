//! Settings: a name with a value, a secret or a variable. And values of any shape as the text that settings are.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

use mainstay_core::codes;
use mainstay_core::component::{Setting, SettingValue};

use super::section::{Said, Section};
use crate::diagnostic::short;
use crate::node::{Node, Value, json_number};
use crate::place::Span;
use crate::secret;

/// A setting, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) setting: Setting,
    pub(super) name: Span,
    pub(super) value: Span,
}

/// A list of settings. Of a name that stands twice the last counts.
pub(super) fn settings(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Written> {
    let help = "write a list of `- name: NAME` with `value: VALUE` under it";
    let mut all: Vec<Option<Written>> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in section.sections(key, Some(help)) {
        let Some(written) = one(item) else { continue };
        if let Some(before) = seen.insert(written.setting.name.clone(), all.len()) {
            let message = format!("`{}` stands in the list twice", short(&written.setting.name));
            let help = "this one counts; remove one of them".to_owned();
            section.warn(written.name, &codes::CONFIG_VALUE, message, Some(help));
            all[before] = None;
        }
        all.push(Some(written));
    }
    all.into_iter().flatten().collect()
}

fn one(mut item: Section<'_, '_>) -> Option<Written> {
    let name = item.text("name");
    let value = value(&mut item, name.as_ref());
    let Some(name) = name else {
        let message = "this entry has no `name`, and is ignored".to_owned();
        item.warn(item.key, &codes::CONFIG_MISSING_KEY, message, None);
        item.finish();
        return None;
    };
    item.finish();
    let (value, span) = value.unwrap_or((SettingValue::Text(String::new()), name.span));
    Some(Written { setting: Setting { name: name.value, value }, name: name.span, value: span })
}

/// `value`, `secretKeyRef` and `envRef` of an item. A secret comes before a value, and a variable is for want of a
/// value.
fn value(item: &mut Section<'_, '_>, name: Option<&Said<String>>) -> Option<(SettingValue, Span)> {
    let plain = item.entry("value").map(|entry| (text(&entry.node), entry.node.span));
    let variable = item.text("envRef");
    let secret = reference(item);
    if name.is_some_and(|name| may_be_secret(&name.value)) {
        hide(item, &["name", "secretKeyRef", "envRef"]);
    }
    let given =
        [plain.is_some(), variable.is_some(), secret.is_some()].iter().filter(|given| **given).count();
    if given > 1 {
        let message = "only one of `value`, `secretKeyRef` and `envRef` has an effect".to_owned();
        item.warn(item.key, &codes::CONFIG_VALUE, message, Some("remove the others".to_owned()));
    }
    let variable = variable.filter(|_| plain.is_none());
    if let Some(said) = variable {
        let span = said.span;
        let value = if may_be_read(&said.value) {
            SettingValue::Env(said.value)
        } else {
            let message = format!(
                "the variable `{}` is kept from components, and the setting is empty",
                short(&said.value)
            );
            let help =
                "variables of the runtime itself are not for components; choose another name".to_owned();
            item.warn(span, &codes::CONFIG_VALUE, message, Some(help));
            SettingValue::Text(String::new())
        };
        return Some((value, span));
    }
    secret.or_else(|| plain.map(|(text, span)| (SettingValue::Text(text), span)))
}

/// Whether components may read a variable: those that the runtime has its own secrets in are kept from them.
fn may_be_read(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    let kept = name.starts_with("DAPR_") || name.starts_with("MAINSTAY_") || name == "APP_API_TOKEN";
    !kept && !name.contains(' ')
}

/// `value` and `secretKeyRef` of a section that has no name.
pub(super) fn document(section: &mut Section<'_, '_>) -> Option<SettingValue> {
    let plain = section.entry("value").map(|entry| (text(&entry.node), entry.node.span));
    hide(section, &["secretKeyRef"]);
    let secret = reference(section).map(|(value, _)| value);
    secret.or_else(|| plain.map(|(text, _)| SettingValue::Text(text)))
}

/// Hides what is said in a section, slips among its keys too, but for what is no secret.
fn hide(section: &Section<'_, '_>, shown: &[&str]) {
    let entries = section.entries().iter();
    let hidden = entries.filter(|entry| !shown.iter().any(|key| key.eq_ignore_ascii_case(&entry.key)));
    hidden.for_each(|entry| section.hide(entry.node.span));
}

fn reference(item: &mut Section<'_, '_>) -> Option<(SettingValue, Span)> {
    let mut reference = item.section("secretKeyRef")?;
    let (name, key) = (reference.text("name"), reference.text("key"));
    if name.is_none() {
        let message = "`secretKeyRef` has no `name`, and is ignored".to_owned();
        let help = "`name`: the secret's name in the secret store".to_owned();
        reference.warn(reference.key, &codes::CONFIG_MISSING_KEY, message, Some(help));
    }
    reference.finish();
    let name = name?;
    let key = key.map_or_else(|| name.value.clone(), |key| key.value);
    Some((SettingValue::Secret { name: name.value, key }, name.span))
}

/// Whether a setting's name says that its value may be a secret.
fn may_be_secret(name: &str) -> bool {
    secret::is_telling(name) || name.to_lowercase().contains("connectionstring")
}

/// Where, in a document that could not be read, values of settings may stand: whatever follows `value:` in a line.
pub(super) fn after_the_key(text: &str, part: Range<usize>) -> Vec<Span> {
    const KEY: &str = "value:";
    let document = &text[part.clone()];
    let each = document.match_indices(KEY).map(|(at, _)| {
        let from = at + KEY.len();
        let end = document[from..].find(['\n', '\r']).map_or(document.len(), |end| from + end);
        let start = from + (document[from..end].len() - document[from..end].trim_start().len());
        Span::new(part.start + start, part.start + end)
    });
    each.collect()
}

/// A value of any shape as the text that a setting is: texts as they are, numbers and truth values as JSON writes them,
/// nothing as no text, and lists and maps as JSON without spaces and with sorted keys.
pub(super) fn text(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => text.clone(),
        Value::Null => String::new(),
        _ => {
            let mut out = String::new();
            json(node, &mut out);
            out
        }
    }
}

/// JSON as Go's `encoding/json` writes a map: sorted keys, and `<`, `>` and `&` escaped.
fn json(node: &Node, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&json_number(number)),
        Value::Text(text) => quoted(text, out),
        Value::List(items) => {
            let mut before = '[';
            for item in items {
                out.push(before);
                json(item, out);
                before = ',';
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.key.cmp(&b.key));
            let mut before = '{';
            for entry in sorted {
                out.push(before);
                quoted(&entry.key, out);
                out.push(':');
                json(&entry.node, out);
                before = ',';
            }
            out.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", c as u32).expect("writing to a string cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
