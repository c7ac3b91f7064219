//! An answer in one piece: JSON, or plain text.

use mainstay_core::Result;
use mainstay_core::app::{AppEvent, AppOutput};
use mainstay_core::model::Usage;
use serde_json::{Map, Value};

use super::broken;

/// Names under which services put the answer.
const ANSWERS: [&str; 4] = ["answer", "response", "output", "text"];
/// Fields that say nothing that the run does not know.
const ECHOED: [&str; 10] = [
    "id",
    "run_id",
    "session_id",
    "request_id",
    "timestamp",
    "created_at",
    "latency_ms",
    "query",
    "stream",
    "success",
];
/// The event for what an app says besides its answer (sources, steps, …).
const BESIDES: &str = "app.output";

/// The events of a JSON answer: what it says besides, then `Done`. Errors: `APP_FAILED`.
pub(crate) fn json(value: Value) -> Result<Vec<AppEvent>> {
    match value {
        Value::String(answer) => Ok(vec![AppEvent::Done(AppOutput { answer, ..AppOutput::default() })]),
        Value::Object(mut fields) => {
            let output = take_output(&mut fields);
            if output.answer.is_none() {
                return Err(no_answer(&fields));
            }
            let mut events = Vec::from_iter(besides(fields));
            events.push(AppEvent::Done(output.finish(false)));
            Ok(events)
        }
        _ => Err(broken("is JSON but neither text nor an object")),
    }
}

/// The event of a plain answer.
pub(crate) fn text(answer: String) -> AppEvent {
    AppEvent::Done(AppOutput { answer, ..AppOutput::default() })
}

fn no_answer(fields: &Map<String, Value>) -> mainstay_core::Error {
    if fields.get("error").is_some_and(|error| !error.is_null()) {
        return broken("is an error in a response of status 200");
    }
    broken("has none of `answer`, `response`, `output` and `text`")
}

/// What an object says of the answer, as far as it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    pub(crate) answer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Option<Usage>,
}

impl Parts {
    /// Takes what `later` says over what was said before.
    pub(crate) fn merge(&mut self, later: Self) {
        self.answer = later.answer.or(self.answer.take());
        self.model = later.model.or(self.model.take());
        self.finish_reason = later.finish_reason.or(self.finish_reason.take());
        self.usage = later.usage.or(self.usage);
    }

    /// The output; without the answer where it came `in_pieces` already.
    pub(crate) fn finish(self, in_pieces: bool) -> AppOutput {
        AppOutput {
            answer: self.answer.filter(|_| !in_pieces).unwrap_or_default(),
            model: self.model,
            finish_reason: self.finish_reason,
            usage: self.usage,
        }
    }
}

/// Takes the answer's fields out of an object.
pub(crate) fn take_output(fields: &mut Map<String, Value>) -> Parts {
    let mut answer = None;
    for name in ANSWERS {
        let value = fields.get(name).filter(|value| !value.is_null());
        if answer.is_none() && value.is_some() {
            answer = fields.shift_remove(name).map(plain);
        }
    }
    let usage = fields.shift_remove("usage").and_then(|usage| read_usage(&usage));
    let tokens_used = fields.shift_remove("tokens_used").and_then(|tokens| tokens.as_u64());
    Parts {
        answer,
        model: take_text(fields, "model"),
        finish_reason: take_text(fields, "finish_reason"),
        // A total says nothing of its classes; as output it keeps the total right.
        usage: usage.or(tokens_used.map(|output| Usage { output, ..Usage::default() })).map(Usage::clamped),
    }
}

/// What an object says besides, as an event; `None` when that is nothing.
pub(crate) fn besides(mut fields: Map<String, Value>) -> Option<AppEvent> {
    fields.retain(|name, value| !value.is_null() && !ECHOED.contains(&name.as_str()));
    (!fields.is_empty()).then(|| AppEvent::Custom { name: BESIDES.to_owned(), data: Value::Object(fields) })
}

/// A text as it is, anything else as JSON.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    let text = fields.get(name)?.as_str()?.to_owned();
    fields.shift_remove(name);
    Some(text)
}

fn read_usage(usage: &Value) -> Option<Usage> {
    let count = |names: [&str; 2]| names.into_iter().find_map(|name| usage.get(name)?.as_u64());
    let input = count(["input_tokens", "prompt_tokens"]);
    let output = count(["output_tokens", "completion_tokens"]);
    let total = usage.get("total_tokens").and_then(Value::as_u64);
    match (input, output, total) {
        (None, None, None) => None,
        (None, None, Some(output)) => Some(Usage { output, ..Usage::default() }),
        _ => Some(Usage {
            input_uncached: input.unwrap_or_default(),
            output: output.unwrap_or_default(),
            ..Usage::default()
        }),
    }
}

#[cfg(test)]
mod tests;
