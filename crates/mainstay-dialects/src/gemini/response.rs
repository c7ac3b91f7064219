//! Whole answers, both ways.

use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::message::Part;
use mainstay_core::model::{Completion, FinishReason, ModelEvent};
use serde_json::{Value, json};

use super::parts::{write_call, write_reasoning};
use super::stream_decoder::Decoder;
use super::{DIALECT, finish_reason, usage};
use crate::codec::{Hints, ReplyOptions};
use crate::failure;

/// Reads a whole answer; see [`crate::Codec::decode_response`].
pub fn decode_response(body: &[u8], _hints: &Hints) -> Result<Vec<ModelEvent>> {
    let wire: Value = serde_json::from_slice(body).map_err(|e| failure::bad_json(&e))?;
    let mut out = Vec::new();
    Decoder::default().whole(&wire, &mut out)?;
    Ok(out)
}

/// Writes a whole answer; see [`crate::Codec::encode_response`].
pub fn encode_response(completion: &Completion, options: &ReplyOptions) -> Bytes {
    let parts: Vec<Value> = completion.message.parts.iter().filter_map(part).collect();
    let mut candidate = json!({
        "content": {"parts": parts, "role": "model"},
        "finishReason": finish_reason::write(&completion.finish),
        "index": 0,
    });
    note_lost_reason(&completion.finish, &mut candidate);
    let id = if completion.id.is_empty() { &options.id } else { &completion.id };
    let body = json!({
        "candidates": [candidate],
        "usageMetadata": usage::write(&completion.usage),
        "modelVersion": completion.model,
        "responseId": id,
    });
    Bytes::from(body.to_string())
}

fn part(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) => (!text.is_empty()).then(|| json!({"text": text})),
        Part::ToolCall(call) => Some(write_call(call)),
        Part::Reasoning(stretch) => Some(write_reasoning(stretch)),
        Part::Opaque { dialect, value } if *dialect == DIALECT.0 => Some(value.clone()),
        _ => None,
    }
}

/// Where the dialect's word says less than the provider's, the provider's stands beside it.
pub(super) fn note_lost_reason(reason: &FinishReason, candidate: &mut Value) {
    if matches!(reason, FinishReason::Pause | FinishReason::Other(_)) {
        candidate["finishMessage"] = reason.as_str().into();
    }
}
