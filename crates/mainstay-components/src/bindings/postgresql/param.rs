//! A JSON value for a place in a statement, sent as text: the server reads it as whatever the place wants.

use std::error::Error;

use bytes::BytesMut;
use serde_json::Value;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

/// The value.
#[derive(Debug)]
pub(super) struct Param(pub(super) Value);

impl ToSql for Param {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match text(&self.0, kind) {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The text of a value for a place of this type; `None` for null.
fn text(value: &Value, kind: &Type) -> Option<String> {
    let is_json = matches!(*kind, Type::JSON | Type::JSONB);
    Some(match value {
        Value::Null => return None,
        _ if is_json => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => match kind.kind() {
            Kind::Array(of) => list(items, of),
            _ => value.to_string(),
        },
        // Other languages write whole numbers with a point.
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    })
}

/// A list as PostgreSQL writes one: `{"a","b",NULL}`.
fn list(items: &[Value], of: &Type) -> String {
    let item = |item: &Value| match (item, text(item, of)) {
        (_, None) => "NULL".to_owned(),
        (Value::Array(_), Some(text)) => text,
        (_, Some(text)) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_written_as_its_place_reads_it() {
        let check = |value: Value, kind: Type, expect: Option<&str>| {
            assert_eq!(text(&value, &kind).as_deref(), expect, "{value}");
        };
        check(json!(null), Type::INT4, None);
        check(json!(5.0), Type::INT4, Some("5"));
        check(json!(5.25), Type::FLOAT8, Some("5.25"));
        check(json!("it's"), Type::TEXT, Some("it's"));
        check(json!("x"), Type::JSONB, Some("\"x\""));
        check(json!({"a": [1]}), Type::JSON, Some(r#"{"a":[1]}"#));
        check(json!(["a\"b", null]), Type::TEXT_ARRAY, Some(r#"{"a\"b",NULL}"#));
        check(json!([1, 2]), Type::TEXT, Some("[1,2]"));
    }
}
