//! Values in a `google.protobuf.Any`: the wrappers of plain values, and JSON as google.protobuf has it.

use prost::Message;
use prost_types::{Any, ListValue, Struct};
use serde_json::Value;

use mainstay_dapr::structs;

/// The value; none for a type that holds none, or for bytes that are none of it.
pub(super) fn value(any: &Any) -> Option<Value> {
    let bytes = any.value.as_slice();
    let kind = any.type_url.rsplit('/').next()?.strip_prefix("google.protobuf.")?;
    Some(match kind {
        "StringValue" => String::decode(bytes).ok()?.into(),
        "BoolValue" => bool::decode(bytes).ok()?.into(),
        "DoubleValue" => f64::decode(bytes).ok()?.into(),
        "FloatValue" => f64::from(f32::decode(bytes).ok()?).into(),
        "Int32Value" => i32::decode(bytes).ok()?.into(),
        "Int64Value" => i64::decode(bytes).ok()?.into(),
        "UInt32Value" => u32::decode(bytes).ok()?.into(),
        "UInt64Value" => u64::decode(bytes).ok()?.into(),
        "Value" => structs::json_value(prost_types::Value::decode(bytes).ok()?),
        "ListValue" => structs::json_list(ListValue::decode(bytes).ok()?),
        "Struct" => structs::json(Struct::decode(bytes).ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_values_come_out_of_their_wrappers() {
        let check = |kind: &str, message: Vec<u8>, expect: Option<Value>| {
            let any = Any { type_url: format!("type.googleapis.com/google.protobuf.{kind}"), value: message };
            assert_eq!(value(&any), expect, "{kind}");
        };
        check("Int64Value", 5_i64.encode_to_vec(), Some(json!(5)));
        check("StringValue", "x".to_owned().encode_to_vec(), Some(json!("x")));
        check("DoubleValue", 0.5_f64.encode_to_vec(), Some(json!(0.5)));
        check("BoolValue", true.encode_to_vec(), Some(json!(true)));
        let list = structs::of([("a".to_owned(), json!([1, {"b": null}]))].into());
        check("Struct", list.encode_to_vec(), Some(json!({"a": [1, {"b": null}]})));
        check("Duration", Vec::new(), None);
        check("Int64Value", vec![255], None);
    }
}
