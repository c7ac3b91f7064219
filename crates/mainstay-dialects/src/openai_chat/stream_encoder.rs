//! Writes a streamed answer: the role first, then deltas, the finish reason, usage if asked for, `[DONE]`.

use bytes::Bytes;
use mainstay_core::message::Reasoning;
use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use serde_json::{Value, json};

use super::encode_request::detail;
use super::response::{note_lost_reason, reply_call};
use super::{DIALECT, finish, usage};
use crate::codec::{ReplyOptions, StreamEncoder};
use crate::{origin, sse};

/// Writes a stream. All chunks carry the same id, time and model.
#[derive(Debug)]
pub struct Encoder {
    options: ReplyOptions,
    id: String,
    model: String,
    started: bool,
    has_calls: bool,
    finished: bool,
    usage: Option<Usage>,
    /// The stretch of reasoning being written: its signature goes out with its whole text.
    stretch: Reasoning,
    stretches: usize,
}

impl Encoder {
    /// Starts writing.
    #[must_use]
    pub fn new(options: ReplyOptions) -> Self {
        Self {
            id: options.id.clone(),
            options,
            model: String::new(),
            started: false,
            has_calls: false,
            finished: false,
            usage: None,
            stretch: Reasoning::default(),
            stretches: 0,
        }
    }

    fn event(&mut self, event: &ModelEvent, out: &mut Vec<u8>) {
        match event {
            ModelEvent::Start { id, model } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                self.model.clone_from(model);
                self.start(out);
            }
            ModelEvent::Text(text) => self.delta(json!({"content": text}), out),
            ModelEvent::Reasoning(piece) => self.reasoning(piece, out),
            ModelEvent::ToolCallStart { index, id, name, opaque } => {
                self.has_calls = true;
                let function = json!({"name": name, "arguments": ""});
                let call = json!({"index": index, "id": id, "type": "function", "function": function});
                let call = reply_call(call, opaque.as_deref());
                self.delta(json!({"tool_calls": [call]}), out);
            }
            ModelEvent::ToolCallDelta { index, arguments } => {
                let call = json!({"index": index, "function": {"arguments": arguments}});
                self.delta(json!({"tool_calls": [call]}), out);
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Finish(reason) => self.finish(reason, out),
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            self.chunk(json!({"role": "assistant", "content": ""}), None, out);
        }
    }

    fn delta(&mut self, delta: Value, out: &mut Vec<u8>) {
        self.start(out);
        self.chunk(delta, None, out);
    }

    fn reasoning(&mut self, piece: &Reasoning, out: &mut Vec<u8>) {
        if !piece.text.is_empty() {
            self.delta(json!({"reasoning_content": piece.text}), out);
        }
        self.stretch.text.push_str(&piece.text);
        let Some(marked) = &piece.signature else { return };
        let stretch = Reasoning { redacted: piece.redacted, ..std::mem::take(&mut self.stretch) };
        let entry = detail(&stretch, self.stretches, origin::to_caller(DIALECT, marked));
        self.stretches += 1;
        self.delta(json!({"reasoning_details": [entry]}), out);
    }

    fn finish(&mut self, reason: &FinishReason, out: &mut Vec<u8>) {
        self.start(out);
        if !std::mem::replace(&mut self.finished, true) {
            self.chunk(json!({}), Some(reason), out);
        }
    }

    fn chunk(&self, delta: Value, reason: Option<&FinishReason>, out: &mut Vec<u8>) {
        let word = reason.map(finish::write);
        let mut choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": word});
        if let Some(reason) = reason {
            note_lost_reason(reason, &mut choice);
        }
        self.write(json!([choice]), Value::Null, out);
    }

    fn write(&self, choices: Value, usage: Value, out: &mut Vec<u8>) {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.options.created_s,
            "model": self.model,
            "choices": choices,
        });
        if self.options.include_usage {
            chunk["usage"] = usage;
        }
        sse::write(out, None, chunk.to_string().as_bytes());
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &ModelEvent) -> Bytes {
        let mut out = Vec::new();
        self.event(event, &mut out);
        out.into()
    }

    fn end(&mut self) -> Bytes {
        let mut out = Vec::new();
        let fallback = if self.has_calls { FinishReason::ToolCalls } else { FinishReason::Stop };
        self.finish(&fallback, &mut out);
        if let (true, Some(usage)) = (self.options.include_usage, self.usage) {
            self.write(json!([]), usage::write(&usage), &mut out);
        }
        sse::write(&mut out, None, b"[DONE]");
        out.into()
    }
}
