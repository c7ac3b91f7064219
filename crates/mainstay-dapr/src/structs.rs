//! JSON as google.protobuf has it. Numbers there are 64-bit floats, whatever they were.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Value};

/// Members as a `Struct`.
#[must_use]
pub fn of(members: BTreeMap<String, Value>) -> Struct {
    Struct { fields: members.into_iter().map(|(name, value)| (name, value_of(value))).collect() }
}

fn value_of(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(value_of).collect() })
        }
        Value::Object(members) => Kind::StructValue(of(members.into_iter().collect())),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A `Struct` as JSON.
#[must_use]
pub fn json(of: Struct) -> Value {
    of.fields.into_iter().map(|(name, value)| (name, json_value(value))).collect::<Map<_, _>>().into()
}

/// A list as JSON.
#[must_use]
pub fn json_list(of: ListValue) -> Value {
    of.values.into_iter().map(json_value).collect()
}

/// A value as JSON; a number that is whole as a whole one.
#[must_use]
pub fn json_value(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and fits")]
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            (number as i64).into()
        }
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => json_list(list),
        Some(Kind::StructValue(members)) => json(members),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_has_its_own() {
        let Value::Object(members) = json!({"a": [null, true, 1.5, "x", {"b": 2}]}) else { unreachable!() };
        let made = of(members.into_iter().collect());
        let Some(Kind::ListValue(list)) = &made.fields["a"].kind else { panic!("{made:?}") };
        let kinds: Vec<_> = list.values.iter().map(|value| value.kind.clone().unwrap()).collect();
        let inner = of(BTreeMap::from([("b".to_owned(), json!(2))]));
        assert_eq!(
            kinds,
            [
                Kind::NullValue(0),
                Kind::BoolValue(true),
                Kind::NumberValue(1.5),
                Kind::StringValue("x".to_owned()),
                Kind::StructValue(inner)
            ]
        );
    }
}
