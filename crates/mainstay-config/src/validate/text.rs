//! Texts: length, pattern, durations and sizes within bounds, references to secrets.

use mainstay_core::codes;
use serde_json::Value as Json;

use super::{At, Schema, Walk};
use crate::diagnostic::short;
use crate::node::{Node, Value};
use crate::place::Span;
use crate::quantity::{Size, Time};
use crate::secret;

/// What a name is made of.
pub(super) const NAME_HELP: &str = "letters, digits, `.`, `_` and `-`, a letter or digit first, 63 at most";

impl Walk<'_, '_> {
    pub(super) fn text(&mut self, text: &str, span: Span, schema: &Schema, at: &At) -> Option<Json> {
        let characters = text.chars().count();
        self.count(characters, ("minLength", "maxLength"), "characters", span, schema, at);
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str).filter(|p| !self.matches(p, text))
        {
            let message =
                match schema.get("title").and_then(Json::as_str).filter(|_| schema.contains_key("x-form")) {
                    Some(noun) => format!("{} must be a {noun}, and `{}` is none", at.name(), short(text)),
                    None => format!("{} cannot be `{}`", at.name(), short(text)),
                };
            let help = pattern_help(schema, pattern);
            self.faults.at(span, &codes::CONFIG_VALUE, message, Some(help));
            return None;
        }
        self.bounded(text, span, schema, at).then(|| text.into())
    }

    /// `x-minimum` and `x-maximum` of a duration or size.
    fn bounded(&mut self, text: &str, span: Span, schema: &Schema, at: &At) -> bool {
        let form = schema.get("x-form").and_then(Json::as_str);
        let Some(measure) = form.and_then(measure) else { return true };
        let Some(given) = measure(text) else {
            let message = format!("{} is larger than can be counted", at.name());
            self.faults.at(span, &codes::CONFIG_VALUE, message, None);
            return false;
        };
        self.within(given, text, measure, span, schema, at)
    }

    pub(super) fn within(
        &mut self,
        given: u128,
        shown: &str,
        measure: Measure,
        span: Span,
        schema: &Schema,
        at: &At,
    ) -> bool {
        let bound = |keyword: &str| schema.get(keyword).and_then(Json::as_str);
        let low = bound("x-minimum").filter(|least| measure(least).is_some_and(|least| given < least));
        let high = bound("x-maximum").filter(|most| measure(most).is_some_and(|most| given > most));
        let (Some(limit), word) = (low.or(high), if low.is_some() { "least" } else { "most" }) else {
            return true;
        };
        let message = format!("{} must be `{limit}` at {word}, and is `{}`", at.name(), short(shown));
        self.faults.at(span, &codes::CONFIG_VALUE, message, None);
        false
    }

    /// A place for a reference to a secret. Whatever else stands here may be the secret: it is never shown.
    pub(super) fn secret(&mut self, node: &Node, at: &At) -> Option<Json> {
        match &node.value {
            Value::Text(text) if secret::reference(text).is_some() => Some(text.clone().into()),
            Value::Null => {
                let message = format!("{} has no value; it must be a reference to a secret", at.name());
                self.faults.at(at.key, &codes::CONFIG_VALUE, message, Some(secret::HELP.to_owned()));
                None
            }
            _ => {
                self.faults.secrets.push(node.span);
                let message =
                    format!("{} must refer to a secret, and something else stands there", at.name());
                self.faults.at(
                    node.span,
                    &codes::CONFIG_SECRET_LITERAL,
                    message,
                    Some(secret::HELP.to_owned()),
                );
                None
            }
        }
    }
}

/// Turns a text of a form into what its bounds compare.
pub(super) type Measure = fn(&str) -> Option<u128>;

fn measure(form: &str) -> Option<Measure> {
    match form {
        "duration" => Some(|text| Time::parse(text).map(|time| time.0.as_millis())),
        "size" => Some(size),
        _ => None,
    }
}

pub(super) fn size(text: &str) -> Option<u128> {
    Size::parse(text).map(|size| u128::from(size.0))
}

/// "write it like …", from the schema's examples.
pub(super) fn example_help(schema: &Schema) -> Option<String> {
    let examples = schema.get("examples")?.as_array()?;
    let shown: Vec<String> = examples
        .iter()
        .take(4)
        .map(|example| format!("`{}`", example.as_str().map_or_else(|| example.to_string(), str::to_owned)))
        .collect();
    (!shown.is_empty()).then(|| format!("write it like {}", shown.join(", ")))
}

fn pattern_help(schema: &Schema, pattern: &str) -> String {
    if let Some(help) = example_help(schema) {
        return help;
    }
    match schema.get("x-form").and_then(Json::as_str) {
        Some("name") => NAME_HELP.to_owned(),
        Some("path") => "begin it with `/`, without spaces".to_owned(),
        _ => format!("it must match `{pattern}`"),
    }
}
