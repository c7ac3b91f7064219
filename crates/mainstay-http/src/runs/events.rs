//! A run's events as callers read them: the same object in a stream's `data` and in a list.

use bytes::Bytes;
use mainstay_core::clock::rfc3339;
use mainstay_core::run::{RunError, RunEvent, RunEventKind};
use mainstay_core::{Error, RequestId, RunId, SessionId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::view::UsageView;
use crate::error::{ErrorReply, Failure};
use crate::sse::Event;

/// The run whose events are shown, and the request that shows them.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) run: RunId,
    pub(crate) session: Option<SessionId>,
    pub(crate) agent: String,
    pub(crate) request_id: RequestId,
}

/// An event of a run.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EventView {
    run_id: String,
    /// Its number in the run, from 1 without gaps; the event's id in a stream.
    seq: u64,
    /// When it happened.
    timestamp: String,
    #[serde(flatten)]
    what: What,
}

/// What happened.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type")]
enum What {
    /// The run is at work.
    #[serde(rename = "run.started")]
    Started { agent: String, session_id: Option<String> },
    /// More of the answer.
    #[serde(rename = "message.delta")]
    Text { delta: String },
    /// More reasoning.
    #[serde(rename = "reasoning.delta")]
    Reasoning { delta: String },
    /// The model asked for a tool; the arguments are JSON text as the model wrote it.
    #[serde(rename = "tool.call")]
    ToolCall { id: String, name: String, arguments: String },
    /// A tool answered.
    #[serde(rename = "tool.result")]
    ToolResult { id: String, name: String, content: String, is_error: bool },
    /// A model call ended.
    #[serde(rename = "step.completed")]
    Step { step: u32, model: String, finish_reason: String, usage: UsageView },
    /// An event of the app's own; in a stream it goes by its own name.
    #[serde(rename = "custom")]
    Custom { name: String, data: Value },
    /// The run is answered; nothing follows.
    #[serde(rename = "run.completed")]
    Completed { finish_reason: String, answer: String, tokens_used: u64, usage: UsageView },
    /// The run failed; nothing follows.
    #[serde(rename = "run.failed")]
    Failed(Why),
    /// The run was cancelled; nothing follows.
    #[serde(rename = "run.cancelled")]
    Cancelled(Why),
    /// The run was cut by a stop of the server; nothing follows.
    #[serde(rename = "run.interrupted")]
    Interrupted(Why),
}

/// Why a run did not complete.
#[derive(Serialize, JsonSchema)]
struct Why {
    /// A stable code; its page says what to do.
    code: String,
    message: String,
}

/// Names of ours that an app's own event may not go by, for clients act on them.
const RESERVED: [&str; 6] = ["run.", "message", "reasoning.", "tool.", "step.", "error"];

impl Source {
    /// The event as a frame of a stream; sets `ended` when nothing may follow.
    pub(crate) fn frame(&self, event: mainstay_core::Result<RunEvent>, ended: &mut bool) -> Bytes {
        match event {
            Ok(event) => {
                *ended = event.kind.is_final();
                let seq = event.seq;
                let name = name(&event.kind).to_owned();
                let data =
                    serde_json::to_string(&self.view(event)).expect("event types have string keys only");
                Event { id: Some(seq), name: Some(&name), data: &data }.encode()
            }
            Err(error) => {
                *ended = true;
                self.broken(error)
            }
        }
    }

    /// The event as an object.
    pub(crate) fn view(&self, event: RunEvent) -> EventView {
        EventView {
            run_id: self.run.to_string(),
            seq: event.seq,
            timestamp: rfc3339(event.at_ms),
            what: self.what(event.kind),
        }
    }

    /// A frame that says why the stream, not the run, ends here.
    fn broken(&self, error: Error) -> Bytes {
        crate::error::log("event stream", &self.request_id, &error);
        let reply = ErrorReply::new(&Failure::of_run(error, &self.run), &self.request_id);
        let data = serde_json::to_string(&reply).expect("the error types have string keys only");
        Event { id: None, name: Some("error"), data: &data }.encode()
    }

    fn what(&self, kind: RunEventKind) -> What {
        match kind {
            RunEventKind::Started => What::Started {
                agent: self.agent.clone(),
                session_id: self.session.as_ref().map(ToString::to_string),
            },
            RunEventKind::Text { delta } => What::Text { delta },
            RunEventKind::Reasoning { delta } => What::Reasoning { delta },
            RunEventKind::ToolCall { id, name, arguments } => What::ToolCall { id, name, arguments },
            RunEventKind::ToolResult { id, name, content, is_error } => {
                What::ToolResult { id, name, content, is_error }
            }
            RunEventKind::Step { step, model, finish_reason, usage } => {
                What::Step { step, model, finish_reason, usage: usage.into() }
            }
            RunEventKind::Custom { name, data } => What::Custom { name, data },
            RunEventKind::Completed { finish_reason, answer, usage } => {
                What::Completed { finish_reason, answer, tokens_used: usage.total(), usage: usage.into() }
            }
            RunEventKind::Failed(error) => What::Failed(error.into()),
            RunEventKind::Cancelled(error) => What::Cancelled(error.into()),
            RunEventKind::Interrupted(error) => What::Interrupted(error.into()),
        }
    }
}

/// The event's name in a stream. An app's own name is kept unless it could be taken for one of ours or does not fit a
/// line.
fn name(kind: &RunEventKind) -> &str {
    match kind {
        RunEventKind::Custom { name, .. } => {
            let is_free = !RESERVED.iter().any(|reserved| name.starts_with(reserved));
            let fits = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic());
            if is_free && fits { name } else { "custom" }
        }
        other => other.name(),
    }
}

impl From<RunError> for Why {
    fn from(error: RunError) -> Self {
        Self { code: error.code, message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name_given: &str, wanted: &str) {
        let kind = RunEventKind::Custom { name: name_given.to_owned(), data: Value::Null };
        assert_eq!(name(&kind), wanted);
    }

    #[test]
    fn an_apps_event_cannot_pass_for_one_of_ours() {
        check("progress", "progress");
        check("run.completed", "custom");
        check("error", "custom");
        check("a\nevent: run.completed", "custom");
        check("", "custom");
    }
}
