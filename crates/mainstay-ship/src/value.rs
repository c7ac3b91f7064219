//! Small helpers around JSON values, which every structured file is made of before it is written.

use serde_json::{Map, Value};

/// The objects and lists that say something: `null` entries, and maps and lists that became empty by that, are left
/// out. An empty map or list that was written as such stays.
pub(crate) fn dense(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, dense(value)))
                .collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.into_iter().filter(|item| !item.is_null()).map(dense).collect())
        }
        other => other,
    }
}

/// A map of texts, in the order given.
pub(crate) fn texts<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
    let pairs = pairs.into_iter().map(|(key, value)| (key.into(), Value::String(value.into())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_says_nothing_is_left_out() {
        let sparse = json!({ "a": null, "b": { "c": null, "d": 1 }, "e": [null, 2], "f": {} });
        assert_eq!(dense(sparse), json!({ "b": { "d": 1 }, "e": [2], "f": {} }));
    }
}
