//! Tool calls in an answer: `<tool_call>{"name": …, "arguments": …}</tool_call>`, the form that the field's small
//! models are trained on. A block may hold a list of calls. What is not a call after all is text.

use mainstay_core::model::ModelEvent;
use serde_json::Value;

use super::overlap;

/// Begins a call.
pub(crate) const CALL_START: &str = "<tool_call>";
/// Ends a call.
pub(crate) const CALL_END: &str = "</tool_call>";

/// The calls so far, and what may become one.
#[derive(Debug)]
pub(super) struct Calls {
    id_prefix: String,
    held: String,
    inside: bool,
    count: u32,
}

impl Calls {
    /// Calls get the ids `{id_prefix}0`, `{id_prefix}1`, ….
    pub(super) fn new(id_prefix: String) -> Self {
        Self { id_prefix, held: String::new(), inside: false, count: 0 }
    }

    /// Calls made.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Takes more text.
    pub(super) fn push(&mut self, text: &str, events: &mut Vec<ModelEvent>) {
        self.held.push_str(text);
        loop {
            let mark = if self.inside { CALL_END } else { CALL_START };
            let Some(at) = self.held.find(mark) else { break };
            let rest = self.held.split_off(at + mark.len());
            let mut before = std::mem::replace(&mut self.held, rest);
            before.truncate(at);
            if self.inside {
                self.close(&before, CALL_END, events);
            } else {
                self.say(before, events);
            }
            self.inside = !self.inside;
        }
        if !self.inside {
            let keep = overlap(&self.held, CALL_START);
            let rest = self.held.split_off(self.held.len() - keep);
            let text = std::mem::replace(&mut self.held, rest);
            self.say(text, events);
        }
    }

    /// What was held back. Models often end right after the JSON, so a block need not be closed.
    pub(super) fn finish(&mut self, events: &mut Vec<ModelEvent>) {
        let held = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.inside) {
            self.close(&held, "", events);
        } else {
            self.say(held, events);
        }
    }

    fn say(&self, text: String, events: &mut Vec<ModelEvent>) {
        // White space between and after calls is layout.
        let layout = self.count > 0 && text.trim().is_empty();
        if !text.is_empty() && !layout {
            events.push(ModelEvent::Text(text));
        }
    }

    fn close(&mut self, block: &str, end: &str, events: &mut Vec<ModelEvent>) {
        let Some(calls) = calls_of(block) else {
            self.say(format!("{CALL_START}{block}{end}"), events);
            return;
        };
        for (name, arguments) in calls {
            let (index, id) = (self.count, format!("{}{}", self.id_prefix, self.count));
            self.count += 1;
            events.push(ModelEvent::ToolCallStart { index, id, name, opaque: None });
            events.push(ModelEvent::ToolCallDelta { index, arguments });
        }
    }
}

/// Names and arguments of a block, if it is one or several calls.
fn calls_of(block: &str) -> Option<Vec<(String, String)>> {
    let value: Value = serde_json::from_str(block.trim()).ok()?;
    let calls = match value {
        Value::Array(calls) => calls,
        one => vec![one],
    };
    let calls: Option<Vec<_>> = calls.iter().map(call_of).collect();
    calls.filter(|calls| !calls.is_empty())
}

fn call_of(call: &Value) -> Option<(String, String)> {
    let name = call.get("name")?.as_str().filter(|name| !name.is_empty())?;
    let arguments = match call.get("arguments").or_else(|| call.get("parameters")) {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    Some((name.to_owned(), arguments))
}
