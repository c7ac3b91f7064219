//! Writes a streamed answer. Blocks never interleave: what comes for another call while one is open waits.
//!
//! ```text
//!   message_start ( content_block_start content_block_delta* content_block_stop )* message_delta message_stop
//! ```

use bytes::Bytes;
use mainstay_core::message::Reasoning;
use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use serde_json::{Value, json};

use super::response::{carrier, thinking};
use super::{DIALECT, stop_reason, usage};
use crate::codec::{ReplyOptions, StreamEncoder};
use crate::{ids, origin, sse};

/// Writes a stream.
#[derive(Debug)]
pub struct Encoder {
    id: String,
    model: String,
    started: bool,
    open: Option<Open>,
    next_index: u32,
    /// What follows the open call. No event says that a call is over, so these wait for the end.
    waiting: Vec<Waiting>,
    has_calls: bool,
    usage: Usage,
    finish: Option<FinishReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Signed,
    Tool(u32),
}

#[derive(Debug)]
enum Waiting {
    Text(String),
    Reasoning(Reasoning),
    Tool { index: u32, id: String, name: String, opaque: Option<String>, arguments: String },
}

impl Encoder {
    /// Starts writing.
    #[must_use]
    pub fn new(options: ReplyOptions) -> Self {
        Self {
            id: options.id,
            model: String::new(),
            started: false,
            open: None,
            next_index: 0,
            waiting: Vec::new(),
            has_calls: false,
            usage: Usage::default(),
            finish: None,
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
            ModelEvent::Usage(usage) => self.usage = *usage,
            ModelEvent::Finish(reason) => self.finish = Some(reason.clone()),
            ModelEvent::ToolCallDelta { index, arguments } => self.arguments(*index, arguments, out),
            _ if self.must_wait() => self.wait(event),
            ModelEvent::Text(text) => self.text(text, out),
            ModelEvent::Reasoning(piece) => self.reasoning(piece, out),
            ModelEvent::ToolCallStart { index, id, name, opaque } => {
                self.call(*index, id, name, opaque.as_deref(), out);
            }
        }
    }

    fn must_wait(&self) -> bool {
        matches!(self.open, Some(Open::Tool(_)))
    }

    fn wait(&mut self, event: &ModelEvent) {
        match (event, self.waiting.last_mut()) {
            (ModelEvent::Text(text), Some(Waiting::Text(so_far))) => so_far.push_str(text),
            (ModelEvent::Text(text), _) => self.waiting.push(Waiting::Text(text.clone())),
            (ModelEvent::Reasoning(piece), Some(Waiting::Reasoning(so_far)))
                if so_far.signature.is_none() && !piece.redacted =>
            {
                so_far.text.push_str(&piece.text);
                so_far.signature.clone_from(&piece.signature);
            }
            (ModelEvent::Reasoning(piece), _) => self.waiting.push(Waiting::Reasoning(piece.clone())),
            (ModelEvent::ToolCallStart { index, id, name, opaque }, _) => {
                let (id, name, opaque) = (id.clone(), name.clone(), opaque.clone());
                self.waiting.push(Waiting::Tool {
                    index: *index,
                    id,
                    name,
                    opaque,
                    arguments: String::new(),
                });
            }
            _ => {}
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let message = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage::write(&self.usage),
        });
        write(out, &json!({"type": "message_start", "message": message}));
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.open != Some(Open::Text) {
            self.begin(Open::Text, &json!({"type": "text", "text": ""}), out);
        }
        self.delta(&json!({"type": "text_delta", "text": text}), out);
    }

    fn reasoning(&mut self, piece: &Reasoning, out: &mut Vec<u8>) {
        if piece.redacted {
            self.whole(&thinking(piece), out);
            return;
        }
        if self.open != Some(Open::Thinking) {
            let block = json!({"type": "thinking", "thinking": "", "signature": ""});
            self.begin(Open::Thinking, &block, out);
        }
        if !piece.text.is_empty() {
            self.delta(&json!({"type": "thinking_delta", "thinking": piece.text}), out);
        }
        if let Some(marked) = &piece.signature {
            self.sign(origin::to_caller(DIALECT, marked), out);
        }
    }

    fn sign(&mut self, signature: &str, out: &mut Vec<u8>) {
        self.delta(&json!({"type": "signature_delta", "signature": signature}), out);
        self.open = Some(Open::Signed);
        self.close(out);
    }

    fn call(&mut self, index: u32, id: &str, name: &str, opaque: Option<&str>, out: &mut Vec<u8>) {
        self.has_calls = true;
        if let Some(marked) = opaque {
            self.whole(&carrier(marked), out);
        }
        let block = json!({"type": "tool_use", "id": ids::plain(id), "name": name, "input": {}});
        self.begin(Open::Tool(index), &block, out);
    }

    fn arguments(&mut self, wanted: u32, piece: &str, out: &mut Vec<u8>) {
        if self.open == Some(Open::Tool(wanted)) {
            self.delta(&json!({"type": "input_json_delta", "partial_json": piece}), out);
            return;
        }
        for waiting in self.waiting.iter_mut().rev() {
            if let Waiting::Tool { index, arguments, .. } = waiting
                && *index == wanted
            {
                arguments.push_str(piece);
                return;
            }
        }
    }

    fn begin(&mut self, kind: Open, block: &Value, out: &mut Vec<u8>) {
        self.start(out);
        self.close(out);
        self.open = Some(kind);
        let index = self.next_index;
        write(out, &json!({"type": "content_block_start", "index": index, "content_block": block}));
    }

    fn delta(&self, delta: &Value, out: &mut Vec<u8>) {
        write(out, &json!({"type": "content_block_delta", "index": self.next_index, "delta": delta}));
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open == Some(Open::Thinking) {
            return self.sign(origin::UNSIGNED, out);
        }
        if self.open.take().is_some() {
            write(out, &json!({"type": "content_block_stop", "index": self.next_index}));
            self.next_index += 1;
        }
    }

    /// A block that has no deltas.
    fn whole(&mut self, block: &Value, out: &mut Vec<u8>) {
        self.begin(Open::Text, block, out);
        self.close(out);
    }

    fn release(&mut self, waiting: Waiting, out: &mut Vec<u8>) {
        match waiting {
            Waiting::Text(text) => self.text(&text, out),
            Waiting::Reasoning(stretch) => self.reasoning(&stretch, out),
            Waiting::Tool { index, id, name, opaque, arguments } => {
                self.call(index, &id, &name, opaque.as_deref(), out);
                if !arguments.is_empty() {
                    self.delta(&json!({"type": "input_json_delta", "partial_json": arguments}), out);
                }
            }
        }
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
        self.start(&mut out);
        self.close(&mut out);
        for waiting in std::mem::take(&mut self.waiting) {
            self.release(waiting, &mut out);
        }
        self.close(&mut out);
        let fallback = if self.has_calls { FinishReason::ToolCalls } else { FinishReason::Stop };
        let reason = stop_reason::write(self.finish.as_ref().unwrap_or(&fallback));
        let delta = json!({"stop_reason": reason, "stop_sequence": null});
        write(
            &mut out,
            &json!({"type": "message_delta", "delta": delta, "usage": usage::write(&self.usage)}),
        );
        write(&mut out, &json!({"type": "message_stop"}));
        out.into()
    }
}

fn write(out: &mut Vec<u8>, event: &Value) {
    sse::write(out, event["type"].as_str(), event.to_string().as_bytes());
}
