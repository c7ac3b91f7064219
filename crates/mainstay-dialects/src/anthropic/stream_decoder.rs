//! Reads a streamed answer, event by event.

use std::collections::BTreeMap;

use mainstay_core::Result;
use mainstay_core::message::Reasoning;
use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use serde_json::Value;

use super::response::structured;
use super::{DIALECT, error, stop_reason, usage};
use crate::codec::{Hints, StreamDecoder};
use crate::sse::Frame;
use crate::{failure, ids, origin};

/// Most tool calls of one answer.
const CALLS_MAX: u32 = 512;

/// Reads a stream. Without `message_stop` it was cut.
#[derive(Debug)]
pub struct Decoder {
    hints: Hints,
    blocks: BTreeMap<u64, Block>,
    calls: u32,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    started: bool,
    closed: bool,
}

/// A content block being read.
#[derive(Debug)]
pub(super) enum Block {
    Text,
    Thinking,
    /// A call; its input where it came whole at the start, as long as no piece has come.
    Tool {
        index: u32,
        whole: Option<String>,
    },
    /// A call that stands for the answer's schema: its input is the answer's text.
    Answer {
        whole: Option<String>,
    },
    /// A block without a canonical form (server tools and their results).
    Other,
}

impl Decoder {
    /// Starts reading.
    #[must_use]
    pub fn new(hints: Hints) -> Self {
        Self {
            hints,
            blocks: BTreeMap::new(),
            calls: 0,
            usage: None,
            finish: None,
            started: false,
            closed: false,
        }
    }

    fn event(&mut self, wire: &Value, out: &mut Vec<ModelEvent>) -> Result<()> {
        let index = wire["index"].as_u64().unwrap_or(0);
        match wire["type"].as_str().unwrap_or_default() {
            "message_start" => {
                let message = &wire["message"];
                let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
                self.started = true;
                out.push(ModelEvent::Start { id: text("id"), model: text("model") });
                self.used(&message["usage"]);
            }
            "content_block_start" => {
                let block = Block::open(&wire["content_block"], &self.hints, &mut self.calls, out)?;
                self.blocks.insert(index, block);
            }
            "content_block_delta" => {
                let block = self.blocks.get_mut(&index);
                let block = block.ok_or_else(|| failure::bad_response("a delta has no block"))?;
                block.delta(&wire["delta"], out);
            }
            "content_block_stop" => {
                if let Some(block) = self.blocks.remove(&index) {
                    block.close(out);
                }
            }
            "message_delta" => {
                self.used(&wire["usage"]);
                if let Some(word) = wire["delta"]["stop_reason"].as_str() {
                    self.finish = Some(stop_reason::read(structured(word, self.calls, &self.hints)));
                }
            }
            "message_stop" => self.closed = true,
            "error" => {
                out.extend(self.usage.take().map(ModelEvent::Usage));
                return Err(error::in_stream(&wire["error"]));
            }
            // `ping`, and events that this version does not know.
            _ => {}
        }
        Ok(())
    }

    fn used(&mut self, wire: &Value) {
        if wire.is_object() {
            usage::merge(self.usage.get_or_insert_default(), wire);
        }
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<ModelEvent>) -> Result<()> {
        let Some(data) = frame.data() else { return Ok(()) };
        let wire = serde_json::from_slice(&data).map_err(|e| failure::bad_json(&e))?;
        self.event(&wire, out)
    }

    fn done(&self) -> bool {
        self.closed
    }

    fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<()> {
        out.extend(self.usage.take().map(ModelEvent::Usage));
        if !self.closed || !self.started {
            return Err(failure::bad_response("the stream ended without its closing event"));
        }
        let fallback = if self.calls > 0 { FinishReason::ToolCalls } else { FinishReason::Stop };
        out.push(ModelEvent::Finish(self.finish.take().unwrap_or(fallback)));
        Ok(())
    }
}

impl Block {
    /// Begins a block, with what it brings at its start: all of it in a whole answer.
    pub(super) fn open(
        wire: &Value,
        hints: &Hints,
        calls: &mut u32,
        out: &mut Vec<ModelEvent>,
    ) -> Result<Self> {
        let text = |key: &str| wire[key].as_str().unwrap_or_default().to_owned();
        match wire["type"].as_str().unwrap_or_default() {
            "text" => {
                Self::said(text("text"), out);
                Ok(Self::Text)
            }
            "thinking" => {
                thought(text("thinking"), Some(text("signature")), out);
                Ok(Self::Thinking)
            }
            "redacted_thinking" => {
                let signature = Some(origin::from_provider(DIALECT, &text("data")));
                out.push(ModelEvent::Reasoning(Reasoning { text: String::new(), signature, redacted: true }));
                Ok(Self::Other)
            }
            "tool_use" => {
                let input = wire["input"].as_object().filter(|input| !input.is_empty());
                let whole = input.map(|input| Value::Object(input.clone()).to_string());
                let name = text("name");
                if hints.structured_tool.as_ref() == Some(&name) {
                    return Ok(Self::Answer { whole });
                }
                Self::call(text("id"), name, whole, calls, out)
            }
            _ => Ok(Self::Other),
        }
    }

    fn call(
        id: String,
        name: String,
        whole: Option<String>,
        calls: &mut u32,
        out: &mut Vec<ModelEvent>,
    ) -> Result<Self> {
        let index = *calls;
        if index >= CALLS_MAX {
            return Err(failure::bad_response("it has too many tool calls"));
        }
        *calls += 1;
        let id = if id.is_empty() { ids::made_up("toolu_", &[&index.to_string(), &name]) } else { id };
        out.push(ModelEvent::ToolCallStart { index, id, name, opaque: None });
        Ok(Self::Tool { index, whole })
    }

    fn delta(&mut self, wire: &Value, out: &mut Vec<ModelEvent>) {
        let text = |key: &str| wire[key].as_str().unwrap_or_default().to_owned();
        match (wire["type"].as_str().unwrap_or_default(), self) {
            ("text_delta", Self::Text) => Self::said(text("text"), out),
            ("thinking_delta", Self::Thinking) => thought(text("thinking"), None, out),
            ("signature_delta", Self::Thinking) => thought(String::new(), Some(text("signature")), out),
            ("input_json_delta", Self::Tool { index, whole }) => {
                let (index, arguments) = (*index, text("partial_json"));
                if !arguments.is_empty() {
                    *whole = None;
                    out.push(ModelEvent::ToolCallDelta { index, arguments });
                }
            }
            ("input_json_delta", Self::Answer { whole }) => {
                *whole = None;
                Self::said(text("partial_json"), out);
            }
            // Citations, and what belongs to blocks without a canonical form.
            _ => {}
        }
    }

    /// Ends a block: an input that came whole at its start is said now.
    pub(super) fn close(self, out: &mut Vec<ModelEvent>) {
        match self {
            Self::Tool { index, whole: Some(arguments) } => {
                out.push(ModelEvent::ToolCallDelta { index, arguments });
            }
            Self::Answer { whole: Some(text) } => Self::said(text, out),
            _ => {}
        }
    }

    fn said(text: String, out: &mut Vec<ModelEvent>) {
        if !text.is_empty() {
            out.push(ModelEvent::Text(text));
        }
    }
}

fn thought(text: String, signature: Option<String>, out: &mut Vec<ModelEvent>) {
    let signature = signature.filter(|s| !s.is_empty()).map(|s| origin::from_provider(DIALECT, &s));
    if !text.is_empty() || signature.is_some() {
        out.push(ModelEvent::Reasoning(Reasoning { text, signature, redacted: false }));
    }
}
