//! The parts of an answer, both ways: the same in whole answers and in streams.

use mainstay_core::message::{Reasoning, ToolCall};
use mainstay_core::model::ModelEvent;
use serde_json::{Map, Value, json};

use super::{DIALECT, MADE_UP_ID};
use crate::{ids, origin};

/// Reads one part. Calls come whole and may lack an id; `answer` and the call's place make one up.
pub(super) fn read(wire: &Value, answer: &str, calls: &mut u32, out: &mut Vec<ModelEvent>) {
    let signature = wire["thoughtSignature"].as_str().filter(|s| !s.is_empty());
    let signature = signature.map(|s| origin::from_provider(DIALECT, s));
    if let Some(function) = wire.get("functionCall") {
        return read_call(function, answer, signature, calls, out);
    }
    let text = wire["text"].as_str().unwrap_or_default().to_owned();
    if wire["thought"] == true {
        if !text.is_empty() || signature.is_some() {
            out.push(ModelEvent::Reasoning(Reasoning { text, signature, redacted: false }));
        }
        return;
    }
    if !text.is_empty() {
        out.push(ModelEvent::Text(text));
    }
    if signature.is_some() {
        out.push(ModelEvent::Reasoning(Reasoning { text: String::new(), signature, redacted: false }));
    }
}

fn read_call(
    function: &Value,
    answer: &str,
    opaque: Option<String>,
    calls: &mut u32,
    out: &mut Vec<ModelEvent>,
) {
    let index = *calls;
    *calls += 1;
    let name = function["name"].as_str().unwrap_or_default().to_owned();
    let arguments = function.get("args").map_or_else(|| "{}".to_owned(), Value::to_string);
    let id = match function["id"].as_str() {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => ids::made_up(MADE_UP_ID, &[answer, &index.to_string(), &name, &arguments]),
    };
    out.push(ModelEvent::ToolCallStart { index, id, name, opaque });
    out.push(ModelEvent::ToolCallDelta { index, arguments });
}

/// A call's object.
pub(super) fn call(id: Option<&str>, name: &str, args: Value) -> Value {
    let mut out = Map::new();
    if let Some(id) = id {
        out.insert("id".to_owned(), id.into());
    }
    out.insert("name".to_owned(), name.into());
    out.insert("args".to_owned(), args);
    out.into()
}

/// A call's arguments as the object that the dialect demands; text that is none stands under a name of its own.
pub(super) fn args(call: &ToolCall) -> Value {
    call.arguments_object().map_or_else(|| json!({"raw_arguments": call.arguments}), Value::from)
}

/// A call for a caller.
pub(super) fn write_call(called: &ToolCall) -> Value {
    let mut out = json!({"functionCall": call(Some(&called.id), &called.name, args(called))});
    if let Some(marked) = &called.opaque {
        out["thoughtSignature"] = origin::to_base64_caller(DIALECT, marked).into();
    }
    out
}

/// Reasoning for a caller. A signature without text stands on a part of empty text.
pub(super) fn write_reasoning(stretch: &Reasoning) -> Value {
    let mut out = json!({"text": stretch.text});
    if !stretch.text.is_empty() || stretch.redacted {
        out["thought"] = true.into();
    }
    if let Some(marked) = &stretch.signature {
        out["thoughtSignature"] = if stretch.redacted {
            origin::to_base64_redacted(marked).into()
        } else {
            origin::to_base64_caller(DIALECT, marked).into()
        };
    }
    out
}
