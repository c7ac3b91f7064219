//! Holes in values: texts that stand for a template's expression until the value was written as YAML.
//!
//! A hole never meets the text of a user: its signs are from the private area of Unicode, which specs cannot hold in
//! the places that reach here.

use serde_json::{Map, Value};

use crate::yaml;

const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// An expression in the place of a scalar.
pub(super) fn value(expression: &str) -> Value {
    format!("{OPEN}={expression}{CLOSE}").into()
}

/// An expression that gives a map or a list, as YAML, in its place.
pub(super) fn block(expression: &str) -> Value {
    format!("{OPEN}#{expression}{CLOSE}").into()
}

/// Entries of a map that are there under a condition alone.
pub(super) fn when(condition: &str, entries: Value) -> (String, Value) {
    (format!("{OPEN}?{condition}{CLOSE}"), entries)
}

/// Puts a condition around an entry of the map at `at`, in its place.
pub(super) fn make_conditional(root: &mut Value, at: &str, key: &str, condition: &str) {
    let Some(map) = root.pointer_mut(at).and_then(Value::as_object_mut) else { return };
    let entries = std::mem::take(map);
    *map = entries
        .into_iter()
        .map(|(name, entry)| {
            if name == key {
                when(condition, Value::Object(Map::from_iter([(name, entry)])))
            } else {
                (name, entry)
            }
        })
        .collect();
}

/// The text of a template: the value as YAML with its holes opened, all of it under a condition if one is given.
pub(super) fn template(value: &Value, condition: Option<&str>) -> String {
    let text = opened(&yaml::plain(value));
    match condition {
        Some(condition) => format!("{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"),
        None => text,
    }
}

/// Opens the holes. A line holds one at most: a scalar is a line, and so is the key of a condition.
fn opened(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    // Conditions that are open, by the indentation of their key.
    let mut open: Vec<usize> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        while open.last().is_some_and(|at| indent <= *at) {
            open.pop();
            out.push_str("{{- end }}\n");
        }
        let shift = open.len() * STEP;
        let line = line.get(shift.min(indent)..).unwrap_or_default();
        match hole(line) {
            None => out.push_str(line),
            Some((before, '?', expression)) => {
                debug_assert!(before.trim().is_empty(), "a condition is a key");
                open.push(indent);
                out.push_str(&format!("{{{{- if {expression} }}}}"));
            }
            Some((before, '=', expression)) => out.push_str(&format!("{before}{{{{ {expression} }}}}")),
            Some((before, _, expression)) => {
                let inner = indent - shift + STEP;
                let before = before.trim_end();
                out.push_str(&format!("{before}\n{{{{- {expression} | nindent {inner} }}}}"));
            }
        }
        out.push('\n');
    }
    out.push_str(&"{{- end }}\n".repeat(open.len()));
    out
}

/// Columns that a map's entries stand in from their key.
const STEP: usize = 2;

/// What stands before a hole, its sign and its expression.
fn hole(line: &str) -> Option<(&str, char, String)> {
    let (before, rest) = line.split_once(OPEN)?;
    let (inside, _) = rest.split_once(CLOSE)?;
    let sign = inside.chars().next()?;
    let expression = inside[sign.len_utf8()..].replace("\\\"", "\"").replace("''", "'");
    Some((before.trim_end_matches(['"', '\'']), sign, expression))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn holes_become_expressions_where_they_stand() {
        let mut object = json!({
            "a": value(".Values.a | quote"),
            "b": { "c": block("toYaml .Values.c"), "d": 1 },
            "e": [{ "f": value(".Values.f") }],
            "g": { "h": 1, "i": { "j": 2 }, "k": 3 },
        });
        make_conditional(&mut object, "/g", "i", "eq .Values.x \"y\"");
        let expect = "\
{{- if .Values.on }}
a: {{ .Values.a | quote }}
b:
  c:
{{- toYaml .Values.c | nindent 4 }}
  d: 1
e:
- f: {{ .Values.f }}
g:
  h: 1
{{- if eq .Values.x \"y\" }}
  i:
    j: 2
{{- end }}
  k: 3
{{- end }}
";
        assert_eq!(template(&object, Some(".Values.on")), expect);
    }
}
