//! References to secrets as the spec writes them, and what may look like a secret in a line that is about to be shown.

use mainstay_core::SecretRef;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::place::Span;

/// The sources that a reference may name.
pub(crate) const SOURCES: [&str; 2] = ["env", "file"];

/// A reference to a secret, not yet parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretText(pub(crate) String);

impl JsonSchema for SecretText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretReference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "reference to a secret", "type": "string", "pattern": pattern(), "x-form": "secret",
            "examples": ["env:OPENAI_API_KEY", "file:/run/secrets/key"],
        })
    }
}

/// The help wherever a reference is wanted.
pub(crate) const HELP: &str = "put the secret into an environment variable or a file and write `env:NAME` or \
                               `file:PATH`; if the value was ever shared, replace it at its issuer";

/// The reference that a text is; `None` for anything else, the secret itself above all.
pub(crate) fn reference(text: &str) -> Option<SecretRef> {
    SecretRef::parse(text)
        .filter(|parsed| SOURCES.contains(&parsed.source.as_str()))
        .filter(|parsed| !parsed.locator.chars().any(char::is_control))
}

/// The pattern of a reference, for editors.
pub(crate) fn pattern() -> String {
    format!("^({}):.+$", SOURCES.join("|"))
}

/// Spans, within `line`, of values whose key says that they are secrets and that are not references. A guess over text,
/// because a line may be quoted before (or although) nothing could be parsed. Errs on the side of hiding.
pub(crate) fn suspects(line: &str) -> Vec<Span> {
    let mut found = Vec::new();
    for (colon, _) in line.match_indices(':') {
        if !names_a_secret(&line[..colon]) {
            continue;
        }
        let value = value_after(line, colon + 1);
        if value.start < value.end && !harmless(&line[value.start..value.end]) {
            found.push(value);
        }
    }
    found
}

const WORDS: [&str; 7] = ["key", "secret", "password", "passwd", "token", "authorization", "credential"];

fn names_a_secret(before: &str) -> bool {
    let name_of = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name = before.trim_end_matches(['"', '\'', ' ', '\t']);
    let start =
        name.rfind(|c| !name_of(c)).map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
    is_telling(&name[start..])
}

/// Whether a key's name says that its value is a secret.
pub(crate) fn is_telling(name: &str) -> bool {
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.ends_with(word))
}

/// The value that follows: quoted text with its quotes, else up to the end of the flow entry or of the line.
fn value_after(line: &str, from: usize) -> Span {
    let rest = &line[from..];
    let start = from + (rest.len() - rest.trim_start().len());
    let value = &line[start..];
    let end = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |at| at + 2),
        _ => flow_end(value),
    };
    Span::new(start, start + value[..end].trim_end().len())
}

/// Where a plain value ends at the latest: at a comma or a closing brace, other than that of `${…}`.
fn flow_end(value: &str) -> usize {
    let mut inside = false;
    for (at, c) in value.char_indices() {
        match c {
            '{' if value[..at].ends_with('$') => inside = true,
            '}' if inside => inside = false,
            ',' | '}' => return at,
            _ => {}
        }
    }
    value.len()
}

fn harmless(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    let reference = SOURCES.iter().any(|s| value.strip_prefix(s).is_some_and(|rest| rest.starts_with(':')));
    // Text around a reference (`Bearer ${env:NAME}`) is shown unless a word of it is long enough for a secret.
    let filled =
        value.contains("${") && outside_references(value).split_whitespace().all(|word| word.len() < 8);
    reference || filled || value.is_empty() || value.starts_with(['{', '[', '|', '>', '#', '&', '*'])
}

/// A text without its `${…}` parts.
fn outside_references(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${") {
        out.push_str(before);
        rest = from.split_once('}').map_or("", |(_, after)| after);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, hidden: &[&str]) {
        let found: Vec<&str> = suspects(line).iter().map(|s| &line[s.start..s.end]).collect();
        assert_eq!(found, hidden, "{line}");
    }

    #[test]
    fn values_of_telling_keys_are_suspect() {
        check("api_key: sk-123", &["sk-123"]);
        check("  - { name: a, key: \"sk 1\", other: 2 }", &["\"sk 1\""]);
        check("  Authorization: Bearer abc", &["Bearer abc"]);
        check("  \"X-Api-Key\": abc", &["abc"]);
        check("apikey: 'unclosed", &["'unclosed"]);
        check("Authorization: Bearer sk-12345 ${env:KEY}", &["Bearer sk-12345 ${env:KEY}"]);
    }

    #[test]
    fn references_sections_and_other_keys_are_shown() {
        check("api_key: env:OPENAI_API_KEY", &[]);
        check("api_key: \"file:/run/key\"", &[]);
        check("max_tokens: 12", &[]);
        check("{ Authorization: Bearer ${env:KEY}, a: b }", &[]);
        check("keys:", &[]);
        check("key: [", &[]);
        check("url: http://x:80/", &[]);
    }

    #[test]
    fn only_known_sources_make_a_reference() {
        assert!(reference("env:NAME").is_some());
        for bad in ["sk-123", "vault:x", "https://user:pw@host", "env:"] {
            assert!(reference(bad).is_none(), "{bad}");
        }
    }
}
