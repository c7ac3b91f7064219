//! Writes a streamed answer: the role first, then deltas, the finish reason, usage if asked for, `[DONE]`.

use bytes::Bytes;
use mainstay_core::message::Reasoning;
use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use serde::Serialize;
use serde_json::json;

use super::encode_request::detail;
use super::response::{is_lost, reply_call};
use super::{DIALECT, finish, usage};
use crate::codec::{ReplyOptions, StreamEncoder};
use crate::{origin, sse};

/// Writes a stream. All chunks carry the same id, time and model.
#[derive(Debug)]
pub struct Encoder {
    options: ReplyOptions,
    id: String,
    model: String,
    head: Vec<u8>,
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
            head: Vec::new(),
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
            ModelEvent::Dropped(_) | ModelEvent::Alive => {}
            ModelEvent::Start { id, model } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                self.model.clone_from(model);
                self.start(out);
            }
            ModelEvent::Text(text) => self.delta(&Said { content: text }, out),
            ModelEvent::Reasoning(piece) => self.reasoning(piece, out),
            ModelEvent::ToolCallStart { index, id, name, opaque } => {
                self.has_calls = true;
                let function = json!({"name": name, "arguments": ""});
                let call = json!({"index": index, "id": id, "type": "function", "function": function});
                let call = reply_call(call, opaque.as_deref());
                self.delta(&json!({"tool_calls": [call]}), out);
            }
            ModelEvent::ToolCallDelta { index, arguments } => {
                let call = json!({"index": index, "function": {"arguments": arguments}});
                self.delta(&json!({"tool_calls": [call]}), out);
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Finish(reason) => self.finish(reason, out),
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            self.make_head();
            self.chunk(&json!({"role": "assistant", "content": ""}), None, out);
        }
    }

    fn delta(&mut self, delta: &impl Serialize, out: &mut Vec<u8>) {
        self.start(out);
        self.chunk(delta, None, out);
    }

    fn reasoning(&mut self, piece: &Reasoning, out: &mut Vec<u8>) {
        if !piece.text.is_empty() {
            self.delta(&json!({"reasoning_content": piece.text}), out);
        }
        self.stretch.text.push_str(&piece.text);
        let Some(marked) = &piece.signature else { return };
        let stretch = Reasoning { redacted: piece.redacted, ..std::mem::take(&mut self.stretch) };
        let entry = detail(&stretch, self.stretches, origin::to_caller(DIALECT, marked));
        self.stretches += 1;
        self.delta(&json!({"reasoning_details": [entry]}), out);
    }

    fn finish(&mut self, reason: &FinishReason, out: &mut Vec<u8>) {
        self.start(out);
        if !std::mem::replace(&mut self.finished, true) {
            self.chunk(&json!({}), Some(reason), out);
        }
    }

    fn chunk(&self, delta: &impl Serialize, reason: Option<&FinishReason>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"[{\"index\":0,\"delta\":");
        serde_json::to_writer(&mut *out, delta).expect("writing to memory does not fail");
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        serde_json::to_writer(&mut *out, &reason.map(finish::write))
            .expect("writing to memory does not fail");
        if let Some(reason) = reason.filter(|reason| is_lost(reason)) {
            out.extend_from_slice(b",\"native_finish_reason\":");
            serde_json::to_writer(&mut *out, reason.as_str()).expect("writing to memory does not fail");
        }
        let usage: &[u8] = if self.options.include_usage { b",\"usage\":null" } else { b"" };
        out.extend_from_slice(b"}]");
        out.extend_from_slice(usage);
        out.extend_from_slice(b"}\n\n");
    }

    /// What all chunks begin with, up to their choices.
    fn make_head(&mut self) {
        let head = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.options.created_s,
            "model": self.model,
            "choices": [],
        });
        self.head = head.to_string().into_bytes();
        self.head.truncate(self.head.len() - b"[]}".len());
    }
}

#[derive(Serialize)]
struct Said<'a> {
    content: &'a str,
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
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&self.head);
            out.extend_from_slice(format!("[],\"usage\":{}}}\n\n", usage::write(&usage)).as_bytes());
        }
        sse::write(&mut out, None, b"[DONE]");
        out.into()
    }
}
