//! JSON Patch (RFC 6902): the operations that make one value of another. Lists that differ in length are replaced whole,
//! so that an overlay stays readable; what a spec asks to be changed is in `patched`.

use serde_json::{Value, json};

/// The operations that make `to` of `from`. Lists of different lengths are replaced whole.
pub(crate) fn operations(from: &Value, to: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    walk("", from, to, &mut operations);
    operations
}

fn walk(at: &str, from: &Value, to: &Value, operations: &mut Vec<Value>) {
    match (from, to) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, old) in a {
                let path = format!("{at}/{}", escaped(key));
                match b.get(key) {
                    Some(new) => walk(&path, old, new, operations),
                    None => operations.push(json!({ "op": "remove", "path": path })),
                }
            }
            for (key, new) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                operations
                    .push(json!({ "op": "add", "path": format!("{at}/{}", escaped(key)), "value": new }));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (old, new)) in a.iter().zip(b).enumerate() {
                walk(&format!("{at}/{n}"), old, new, operations);
            }
        }
        (a, b) if a != b => operations.push(json!({ "op": "replace", "path": at, "value": b })),
        _ => {}
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_an_operation_each() {
        let from = json!({ "a": 1, "b": { "x/y": 1 }, "c": [1, 2], "d": [1], "e": 5 });
        let to = json!({ "a": 1, "b": { "x/y": 2 }, "c": [1, 3], "d": [1, 2], "f": 6 });
        let expect = [
            json!({ "op": "replace", "path": "/b/x~1y", "value": 2 }),
            json!({ "op": "replace", "path": "/c/1", "value": 3 }),
            json!({ "op": "replace", "path": "/d", "value": [1, 2] }),
            json!({ "op": "remove", "path": "/e" }),
            json!({ "op": "add", "path": "/f", "value": 6 }),
        ];
        assert_eq!(operations(&from, &to), expect);
        assert_eq!(operations(&to, &to), Vec::<Value>::new());
    }
}
