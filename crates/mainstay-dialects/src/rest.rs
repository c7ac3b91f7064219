//! What a request carries beyond the canonical form, on its way to a provider.

use mainstay_core::model::Rest;
use mainstay_core::provider::Dialect;
use serde_json::{Map, Value};

/// Puts the fields of `rest` into a request of the same dialect. Everything else is reported as dropped: fields of
/// another dialect, and details (dotted paths) whose place in the new request is not certain.
pub(crate) fn carry(rest: &Rest, dialect: Dialect, out: &mut Map<String, Value>, dropped: &mut Vec<String>) {
    for (key, value) in &rest.fields {
        if rest.dialect != dialect.0 || key.contains('.') {
            dropped.push(key.clone());
            continue;
        }
        match (out.get_mut(key), value) {
            (Some(Value::Array(have)), Value::Array(more)) if key == "tools" => {
                have.extend(more.iter().cloned())
            }
            (Some(Value::Object(have)), Value::Object(more)) => {
                for (key, value) in more {
                    have.entry(key).or_insert_with(|| value.clone());
                }
            }
            (Some(_), _) => {}
            (None, value) => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The fields of a dialect that nobody took.
pub(crate) fn of(dialect: Dialect, fields: Map<String, Value>) -> Rest {
    if fields.is_empty() { Rest::default() } else { Rest { dialect: dialect.0.to_owned(), fields } }
}
