//! Reads a streamed answer, chunk by chunk; a whole answer is one chunk.

use mainstay_core::Result;
use mainstay_core::message::Reasoning;
use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use serde::Deserialize;
use serde_json::Value;

use super::decode_request::{call_signature, read_details};
use super::{DIALECT, error, finish, usage};
use crate::codec::StreamDecoder;
use crate::sse::Frame;
use crate::{failure, ids, origin};

/// Most tool calls of one answer.
const CALLS_MAX: usize = 512;

/// A chunk of a stream, or a whole answer.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    id: Option<String>,
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    usage: Option<usage::Wire>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    /// What is new in a stream.
    delta: Option<Delta>,
    /// What a whole answer says. Some servers give both: in a stream the message so far, in an answer an empty delta.
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<Value>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<Fragment>>,
}

#[derive(Debug, Deserialize)]
struct Fragment {
    index: Option<u32>,
    id: Option<String>,
    #[serde(default)]
    function: Function,
    extra_content: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<Value>,
}

/// A tool call so far.
#[derive(Debug, Default)]
struct Call {
    wire_index: u32,
    id: String,
    name: String,
    opaque: Option<String>,
    /// Argument text that came before the name.
    early: String,
    started: bool,
}

/// Reads a stream. Two things may be missing from compatible servers' streams without harm: `[DONE]` after a finish
/// reason, and the finish reason before `[DONE]`. A stream with neither was cut.
#[derive(Debug, Default)]
pub struct Decoder {
    id: String,
    model: String,
    started: bool,
    refused: bool,
    /// Reasoning came in readable form: then the texts of its details repeat it.
    readable: bool,
    calls: Vec<Call>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    closed: bool,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<ModelEvent>) -> Result<()> {
        let Some(data) = frame.data() else { return Ok(()) };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.closed = true;
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        self.chunk(serde_json::from_slice(data).map_err(|e| failure::bad_json(&e))?, out)
    }

    fn done(&self) -> bool {
        self.closed
    }

    fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<()> {
        if !self.closed && self.finish.is_none() {
            out.extend(self.usage.take().map(ModelEvent::Usage));
            return Err(failure::bad_response("the stream ended without its closing event"));
        }
        self.start(out);
        for place in 0..self.calls.len() {
            self.begin_call(place, out);
        }
        if self.finish.is_none() {
            self.end_with("stop", out);
        }
        out.extend(self.usage.take().map(ModelEvent::Usage));
        Ok(())
    }
}

impl Decoder {
    /// Takes a whole answer.
    pub(super) fn whole(&mut self, mut answer: Chunk, out: &mut Vec<ModelEvent>) -> Result<()> {
        if answer.error.is_none() && answer.choices.as_ref().is_none_or(Vec::is_empty) {
            return Err(failure::bad_response("it has no choices"));
        }
        for choice in answer.choices.iter_mut().flatten() {
            choice.delta = choice.message.take().or(choice.delta.take());
            let Some(delta) = &mut choice.delta else { continue };
            // A whole answer's details tell its stretches apart, which its readable form does not.
            if delta.reasoning_details.as_ref().is_some_and(|details| !details.is_empty()) {
                (delta.reasoning_content, delta.reasoning) = (None, None);
            }
            for (place, call) in delta.tool_calls.iter_mut().flatten().enumerate() {
                call.index = u32::try_from(place).ok();
            }
        }
        self.chunk(answer, out)?;
        self.closed = true;
        self.end(out)
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<ModelEvent>) -> Result<()> {
        if let Some(wire) = chunk.error {
            out.extend(self.usage.take().map(ModelEvent::Usage));
            return Err(error::in_stream(&wire));
        }
        if let Some(id) = chunk.id.filter(|id| !id.is_empty()) {
            self.id = id;
        }
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = model;
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(usage::read) {
            self.usage = Some(usage);
        }
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index == 0 {
                self.start(out);
                self.delta(choice.delta.or(choice.message).unwrap_or_default(), out)?;
                if let Some(word) = choice.finish_reason.filter(|word| !word.is_empty()) {
                    self.end_with(&word, out);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, out: &mut Vec<ModelEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            out.push(ModelEvent::Start { id: self.id.clone(), model: self.model.clone() });
        }
    }

    fn end_with(&mut self, word: &str, out: &mut Vec<ModelEvent>) {
        if self.finish.is_none() {
            let reason = finish::read(word, !self.calls.is_empty(), self.refused);
            self.finish = Some(reason.clone());
            out.push(ModelEvent::Finish(reason));
        }
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<ModelEvent>) -> Result<()> {
        self.reasoning(&delta, out);
        content(delta.content, out);
        if let Some(text) = delta.refusal.filter(|text| !text.is_empty()) {
            self.refused = true;
            out.push(ModelEvent::Text(text));
        }
        delta.tool_calls.into_iter().flatten().try_for_each(|fragment| self.fragment(fragment, out))
    }

    /// Readable reasoning under either name; details for what has to go back.
    fn reasoning(&mut self, delta: &Delta, out: &mut Vec<ModelEvent>) {
        let readable = delta.reasoning_content.as_ref().or(delta.reasoning.as_ref());
        if let Some(text) = readable.filter(|text| !text.is_empty()) {
            self.readable = true;
            reasoned(text.clone(), out);
        }
        let details = delta.reasoning_details.as_deref().unwrap_or_default();
        for mut stretch in read_details(details, |value| origin::from_provider(DIALECT, value)) {
            if self.readable {
                stretch.text.clear();
            }
            if stretch.signature.is_some() || !stretch.text.is_empty() {
                out.push(ModelEvent::Reasoning(stretch));
            }
        }
    }

    fn fragment(&mut self, fragment: Fragment, out: &mut Vec<ModelEvent>) -> Result<()> {
        let place = self.place_of(&fragment)?;
        let call = &mut self.calls[place];
        if let Some(id) = fragment.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        if let Some(name) = fragment.function.name.filter(|_| !call.started) {
            call.name.push_str(&name);
        }
        call.opaque = fragment.extra_content.as_ref().and_then(call_signature).or_else(|| call.opaque.take());
        let arguments = match fragment.function.arguments {
            Some(Value::String(text)) => text,
            Some(Value::Null) | None => String::new(),
            Some(object) => object.to_string(),
        };
        if call.started {
            if !arguments.is_empty() {
                out.push(ModelEvent::ToolCallDelta { index: index(place), arguments });
            }
            return Ok(());
        }
        call.early.push_str(&arguments);
        if !call.name.is_empty() {
            self.begin_call(place, out);
        }
        Ok(())
    }

    /// The call that a fragment belongs to. An index that comes again with another id is another call (seen from
    /// compatible servers that index everything with 0); without an index, an id begins a call.
    fn place_of(&mut self, fragment: &Fragment) -> Result<usize> {
        let id = fragment.id.as_deref().filter(|id| !id.is_empty());
        let same_id = |call: &Call| id.is_none_or(|id| call.id.is_empty() || call.id == id);
        let found = match fragment.index {
            Some(index) => self.calls.iter().rposition(|call| call.wire_index == index && same_id(call)),
            None => self.calls.iter().rposition(same_id),
        };
        if let Some(place) = found {
            return Ok(place);
        }
        if self.calls.len() >= CALLS_MAX {
            return Err(failure::bad_response("it has too many tool calls"));
        }
        let wire_index = fragment.index.unwrap_or_else(|| index(self.calls.len()));
        self.calls.push(Call { wire_index, ..Call::default() });
        Ok(self.calls.len() - 1)
    }

    fn begin_call(&mut self, place: usize, out: &mut Vec<ModelEvent>) {
        let call = &mut self.calls[place];
        if std::mem::replace(&mut call.started, true) {
            return;
        }
        if call.id.is_empty() {
            call.id = ids::made_up("call_", &[&self.id, &place.to_string(), &call.name]);
        }
        let (id, name, opaque) = (call.id.clone(), call.name.clone(), call.opaque.take());
        let arguments = std::mem::take(&mut call.early);
        out.push(ModelEvent::ToolCallStart { index: index(place), id, name, opaque });
        if !arguments.is_empty() {
            out.push(ModelEvent::ToolCallDelta { index: index(place), arguments });
        }
    }
}

fn index(place: usize) -> u32 {
    u32::try_from(place).expect("calls are bounded")
}

/// Text; compatible servers may send it in parts, some of them reasoning.
fn content(content: Option<Value>, out: &mut Vec<ModelEvent>) {
    match content {
        Some(Value::String(text)) if !text.is_empty() => out.push(ModelEvent::Text(text)),
        Some(Value::Array(parts)) => {
            for part in parts {
                match &part["text"] {
                    Value::String(text) if !text.is_empty() => out.push(ModelEvent::Text(text.clone())),
                    _ => {
                        let pieces = part["thinking"].as_array().into_iter().flatten();
                        let text: String = pieces.filter_map(|piece| piece["text"].as_str()).collect();
                        reasoned(text, out);
                    }
                }
            }
        }
        _ => {}
    }
}

fn reasoned(text: String, out: &mut Vec<ModelEvent>) {
    if !text.is_empty() {
        out.push(ModelEvent::Reasoning(Reasoning { text, ..Reasoning::default() }));
    }
}
