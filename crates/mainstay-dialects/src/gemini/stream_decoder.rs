//! Reads a streamed answer: each frame is an answer of its own, with more of the content.

use mainstay_core::Result;
use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use serde_json::Value;

use super::{error, finish_reason, parts, usage};
use crate::codec::StreamDecoder;
use crate::failure;
use crate::sse::Frame;

/// Reads a stream. Without a finish reason, or a reason why the prompt was blocked, it was cut.
#[derive(Debug, Default)]
pub struct Decoder {
    id: String,
    started: bool,
    calls: u32,
    usage: Option<Usage>,
    /// Held back: words may follow it, and whether there are calls decides what it means.
    finish: Option<String>,
    blocked: bool,
}

impl Decoder {
    /// Takes a whole answer.
    pub(super) fn whole(&mut self, wire: &Value, out: &mut Vec<ModelEvent>) -> Result<()> {
        self.answer(wire, out)?;
        self.end(out)
    }

    fn answer(&mut self, wire: &Value, out: &mut Vec<ModelEvent>) -> Result<()> {
        if let Some(fault) = wire.get("error") {
            out.extend(self.usage.take().map(ModelEvent::Usage));
            return Err(error::in_stream(fault));
        }
        if !std::mem::replace(&mut self.started, true) {
            self.id = wire["responseId"].as_str().unwrap_or_default().to_owned();
            let model = wire["modelVersion"].as_str().unwrap_or_default().to_owned();
            out.push(ModelEvent::Start { id: self.id.clone(), model });
        }
        self.usage = usage::read(&wire["usageMetadata"]).or(self.usage);
        self.blocked |= wire["promptFeedback"]["blockReason"].is_string();
        let candidates = wire["candidates"].as_array().into_iter().flatten();
        for candidate in candidates.filter(|c| c["index"].as_u64().unwrap_or(0) == 0) {
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                parts::read(part, &self.id, &mut self.calls, out);
            }
            if let Some(word) = candidate["finishReason"].as_str() {
                self.finish = Some(word.to_owned());
            }
        }
        Ok(())
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<ModelEvent>) -> Result<()> {
        let Some(data) = frame.data() else { return Ok(()) };
        let wire = serde_json::from_slice(&data).map_err(|e| failure::bad_json(&e))?;
        self.answer(&wire, out)
    }

    /// Never before the end: usage may follow the finish reason.
    fn done(&self) -> bool {
        false
    }

    fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<()> {
        out.extend(self.usage.take().map(ModelEvent::Usage));
        let reason = match self.finish.take() {
            Some(word) => finish_reason::read(&word, self.calls > 0),
            None if self.blocked => FinishReason::ContentFilter,
            None => return Err(failure::bad_response("the answer ended without its finish reason")),
        };
        out.push(ModelEvent::Finish(reason));
        Ok(())
    }
}
