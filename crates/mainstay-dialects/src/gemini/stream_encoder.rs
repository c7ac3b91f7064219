//! Writes a streamed answer. Calls go out whole at the end, in order, with the finish reason and usage.

use bytes::Bytes;
use mainstay_core::message::ToolCall;
use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use serde_json::{Value, json};

use super::parts::{write_call, write_reasoning};
use super::response::note_lost_reason;
use super::{finish_reason, usage};
use crate::codec::{ReplyOptions, StreamEncoder};
use crate::sse;

/// Writes a stream.
#[derive(Debug)]
pub struct Encoder {
    id: String,
    model: String,
    calls: Vec<(u32, ToolCall)>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
}

impl Encoder {
    /// Starts writing.
    #[must_use]
    pub fn new(options: ReplyOptions) -> Self {
        Self { id: options.id, model: String::new(), calls: Vec::new(), usage: None, finish: None }
    }

    fn write(&self, candidate: Value, last: bool) -> Bytes {
        let mut answer = json!({"candidates": [candidate]});
        if let (true, Some(usage)) = (last, self.usage) {
            answer["usageMetadata"] = usage::write(&usage);
        }
        answer["modelVersion"] = self.model.clone().into();
        answer["responseId"] = self.id.clone().into();
        let mut out = Vec::new();
        sse::write(&mut out, None, answer.to_string().as_bytes());
        out.into()
    }

    fn part(&self, part: Value) -> Bytes {
        self.write(json!({"content": {"parts": [part], "role": "model"}, "index": 0}), false)
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &ModelEvent) -> Bytes {
        match event {
            ModelEvent::Dropped(_) | ModelEvent::Alive => {}
            ModelEvent::Start { id, model } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                self.model.clone_from(model);
            }
            ModelEvent::Text(text) => return self.part(json!({"text": text})),
            ModelEvent::Reasoning(piece) => return self.part(write_reasoning(piece)),
            ModelEvent::ToolCallStart { index, id, name, opaque } => {
                let (id, name, opaque) = (id.clone(), name.clone(), opaque.clone());
                self.calls.push((*index, ToolCall { id, name, arguments: String::new(), opaque }));
            }
            ModelEvent::ToolCallDelta { index, arguments } => {
                let call = self.calls.iter_mut().rev().find(|(place, _)| place == index);
                if let Some((_, call)) = call {
                    call.arguments.push_str(arguments);
                }
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Finish(reason) => self.finish = Some(reason.clone()),
        }
        Bytes::new()
    }

    fn end(&mut self) -> Bytes {
        let parts: Vec<Value> = self.calls.iter().map(|(_, call)| write_call(call)).collect();
        let reason = self.finish.clone().unwrap_or(FinishReason::Stop);
        let mut candidate = json!({
            "content": {"parts": parts, "role": "model"},
            "finishReason": finish_reason::write(&reason),
            "index": 0,
        });
        note_lost_reason(&reason, &mut candidate);
        self.write(candidate, true)
    }
}
