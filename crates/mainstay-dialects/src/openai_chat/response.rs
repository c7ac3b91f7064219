//! Whole answers, both ways.

use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::model::{Completion, FinishReason, ModelEvent};
use serde_json::{Map, Value, json};

use super::encode_request::{tool_call, write_reasoning};
use super::stream_decoder::Decoder;
use super::{DIALECT, finish, usage};
use crate::codec::{Hints, ReplyOptions};
use crate::{failure, gemini, origin};

/// Reads a whole answer; see [`crate::Codec::decode_response`].
pub fn decode_response(body: &[u8], _hints: &Hints) -> Result<Vec<ModelEvent>> {
    let mut events = Vec::new();
    let answer = serde_json::from_slice(body).map_err(|e| failure::bad_json(&e))?;
    Decoder::default().whole(answer, &mut events)?;
    Ok(events)
}

/// Writes a whole answer; see [`crate::Codec::encode_response`].
pub fn encode_response(completion: &Completion, options: &ReplyOptions) -> Bytes {
    let message = &completion.message;
    let text = message.joined_text();
    let calls: Vec<Value> =
        message.tool_calls().map(|call| reply_call(tool_call(call), call.opaque.as_deref())).collect();
    let mut out = Map::new();
    out.insert("role".to_owned(), "assistant".into());
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
    out.insert("content".to_owned(), content);
    out.insert("refusal".to_owned(), Value::Null);
    write_reasoning(message, |marked| Some(origin::to_caller(DIALECT, marked).to_owned()), &mut out);
    if !calls.is_empty() {
        out.insert("tool_calls".to_owned(), calls.into());
    }
    let id = if completion.id.is_empty() { &options.id } else { &completion.id };
    let mut choice = json!({
        "index": 0,
        "message": out,
        "logprobs": null,
        "finish_reason": finish::write(&completion.finish),
    });
    if is_lost(&completion.finish) {
        choice["native_finish_reason"] = completion.finish.as_str().into();
    }
    let body = json!({
        "id": id,
        "object": "chat.completion",
        "created": options.created_s,
        "model": completion.model,
        "choices": [choice],
        "usage": usage::write(&completion.usage),
    });
    Bytes::from(body.to_string())
}

/// Adds a call's vendor value: Google's in the extension it documents.
pub(super) fn reply_call(mut call: Value, opaque: Option<&str>) -> Value {
    if let Some(signature) = opaque.and_then(|marked| origin::to_provider(gemini::DIALECT, marked)) {
        call["extra_content"] = json!({"google": {"thought_signature": signature}});
    }
    call
}

/// Whether the dialect's word says less than the provider's: then the provider's stands beside it.
pub(super) fn is_lost(reason: &FinishReason) -> bool {
    matches!(reason, FinishReason::Pause | FinishReason::Other(_))
}
