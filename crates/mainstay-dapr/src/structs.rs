//! JSON as google.protobuf has it. Numbers there are 64-bit floats, whatever they were.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::Value;

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
