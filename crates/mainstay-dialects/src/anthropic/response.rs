//! Whole answers, both ways.

use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::message::{Part, Reasoning, ToolCall};
use mainstay_core::model::{Completion, ModelEvent, Usage};
use serde_json::{Value, json};

use super::stream_decoder::Block;
use super::{DIALECT, RAW_ARGUMENTS, error, stop_reason, usage};
use crate::codec::{Hints, ReplyOptions};
use crate::{failure, ids, origin};

/// Reads a whole answer; see [`crate::Codec::decode_response`].
pub fn decode_response(body: &[u8], hints: &Hints) -> Result<Vec<ModelEvent>> {
    let wire: Value = serde_json::from_slice(body).map_err(|e| failure::bad_json(&e))?;
    if wire["type"] == "error" {
        return Err(error::in_stream(&wire["error"]));
    }
    let content = wire["content"].as_array().ok_or_else(|| failure::bad_response("it has no content"))?;
    let text = |key: &str| wire[key].as_str().unwrap_or_default().to_owned();
    let mut out = vec![ModelEvent::Start { id: text("id"), model: text("model") }];
    let mut calls = 0;
    for block in content {
        Block::open(block, hints, &mut calls, &mut out)?.close(&mut out);
    }
    let mut used = Usage::default();
    usage::merge(&mut used, &wire["usage"]);
    out.push(ModelEvent::Usage(used));
    let word = wire["stop_reason"].as_str().unwrap_or("end_turn");
    out.push(ModelEvent::Finish(stop_reason::read(structured(word, calls, hints))));
    Ok(out)
}

/// An answer by a forced tool is an answer, not a call.
pub(super) fn structured<'a>(word: &'a str, calls: u32, hints: &Hints) -> &'a str {
    if word == "tool_use" && calls == 0 && hints.structured_tool.is_some() { "end_turn" } else { word }
}

/// Writes a whole answer; see [`crate::Codec::encode_response`].
pub fn encode_response(completion: &Completion, options: &ReplyOptions) -> Bytes {
    let id = if completion.id.is_empty() { &options.id } else { &completion.id };
    let content: Vec<Value> = completion.message.parts.iter().flat_map(blocks).collect();
    let body = json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": content,
        "stop_reason": stop_reason::write(&completion.finish),
        "stop_sequence": null,
        "usage": usage::write(&completion.usage),
    });
    Bytes::from(body.to_string())
}

/// The blocks of a part: a call with a vendor's value has a carrier before it.
fn blocks(part: &Part) -> Vec<Value> {
    match part {
        Part::Text(text) if !text.is_empty() => vec![json!({"type": "text", "text": text})],
        Part::Reasoning(stretch) => vec![thinking(stretch)],
        Part::ToolCall(call) => {
            let carrier = call.opaque.as_deref().map(carrier);
            let id = ids::plain(&call.id);
            let block = json!({"type": "tool_use", "id": id, "name": call.name, "input": input(call)});
            carrier.into_iter().chain([block]).collect()
        }
        Part::Opaque { dialect, value } if *dialect == DIALECT.0 => vec![value.clone()],
        _ => Vec::new(),
    }
}

/// The block that carries a call's vendor value through clients: they send such blocks back unread.
pub(super) fn carrier(marked: &str) -> Value {
    json!({"type": "redacted_thinking", "data": origin::to_carrier(marked)})
}

/// Reasoning for a caller.
pub(super) fn thinking(stretch: &Reasoning) -> Value {
    let value = stretch.signature.as_deref().map(|marked| origin::to_caller(DIALECT, marked));
    let value = value.unwrap_or(origin::UNSIGNED);
    if stretch.redacted {
        json!({"type": "redacted_thinking", "data": value})
    } else {
        json!({"type": "thinking", "thinking": stretch.text, "signature": value})
    }
}

/// A call's arguments as the object that the dialect demands.
pub(super) fn input(call: &ToolCall) -> Value {
    match call.arguments_object() {
        Some(object) => object.into(),
        None => json!({RAW_ARGUMENTS: call.arguments}),
    }
}
