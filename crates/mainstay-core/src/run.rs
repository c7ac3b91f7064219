//! Runs and sessions: what happened, in order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codes::Code;
use crate::message::Message;
use crate::model::Usage;
use crate::{Error, Name, Result, RunId, SessionId, codes};

/// Arrays and objects that a value of the caller's or the app's own may nest: `1` has none, `[[]]` has two.
pub const DEPTH_MAX: usize = 64;

/// One invocation of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The agent invoked.
    pub agent: Name,
    /// The conversation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether the caller went away on purpose.
    #[serde(default)]
    pub background: bool,
    /// Label of who asked.
    pub principal: String,
    /// Creation, Unix milliseconds.
    pub created_ms: u64,
    /// Last change of status, Unix milliseconds.
    pub updated_ms: u64,
    /// What was asked.
    pub input: RunInput,
    /// Messages the run added to the conversation (assistant and tool), in order; complete when the run is.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The model that answered, as returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why it ended: a model's finish reason, `steps_max`, or a fallback's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// What went wrong, for `Failed`, `Cancelled` and `Interrupted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// Tokens of all model calls.
    #[serde(default)]
    pub usage: Usage,
    /// Model calls made.
    #[serde(default)]
    pub steps: u32,
}

/// What was asked of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunInput {
    /// The question.
    pub query: String,
    /// Context beside the question: text, or any JSON for an app.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub context: Value,
    /// Most tokens of output, if the caller bounds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature, if the caller sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The caller's own labels, kept and returned.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub metadata: Value,
}

impl RunInput {
    /// Checks the values that are the caller's own. Errors: `INVALID_FIELD` naming the one that nests more than
    /// [`DEPTH_MAX`].
    pub fn check(&self) -> Result<()> {
        check_depth("context", &self.context, DEPTH_MAX)?;
        check_depth("metadata", &self.metadata, DEPTH_MAX)
    }
}

/// Errors: `INVALID_FIELD` naming `field` when the value nests more than `depth_max`.
pub(crate) fn check_depth(field: &str, value: &Value, depth_max: usize) -> Result<()> {
    if nests_within(value, depth_max) {
        return Ok(());
    }
    let what = format!("read `{field}`: it nests more than {depth_max} arrays and objects");
    Err(Error::new(&codes::INVALID_FIELD, what).with_field(field))
}

/// Whether the value nests at most `depth_max` arrays and objects.
#[must_use]
pub fn nests_within(value: &Value, depth_max: usize) -> bool {
    match value {
        Value::Array(items) => depth_max > 0 && items.iter().all(|item| nests_within(item, depth_max - 1)),
        Value::Object(fields) => {
            depth_max > 0 && fields.values().all(|value| nests_within(value, depth_max - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Where a run stands. The last four are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Waits for its session.
    Queued,
    /// At work.
    Running,
    /// Answered.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended by its caller.
    Cancelled,
    /// Cut by a crash or a shutdown.
    Interrupted,
}

impl RunStatus {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The status in one word, as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a run failed: safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// An API error code.
    pub code: String,
    /// The external message.
    pub message: String,
    /// After which a new attempt may succeed, in milliseconds, where the other side said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What the caller, or who runs the service, can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl RunError {
    /// An error with a code and a message.
    pub fn new(code: &Code, message: impl Into<String>) -> Self {
        Self { code: code.id.to_owned(), message: message.into(), retry_after_ms: None, help: None }
    }
}

impl From<&Error> for RunError {
    fn from(error: &Error) -> Self {
        let wait = error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let help = error.help().map(str::to_owned);
        Self { retry_after_ms: wait, help, ..Self::new(error.code(), error.message()) }
    }
}

/// One thing that happened in a run. Numbers start at 1 and have no gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// Its number within the run; the SSE id.
    pub seq: u64,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// What.
    pub kind: RunEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEventKind {
    /// The run left the queue.
    Started,
    /// More of the answer.
    Text {
        /// The piece.
        delta: String,
    },
    /// More reasoning.
    Reasoning {
        /// The piece.
        delta: String,
    },
    /// The model asked for a tool.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// Arguments as the model wrote them.
        arguments: String,
    },
    /// A tool answered.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// What it said.
        content: String,
        /// Whether it failed.
        is_error: bool,
    },
    /// A model call ended.
    Step {
        /// Its number, from 1.
        step: u32,
        /// The model as returned.
        model: String,
        /// Its finish reason.
        finish_reason: String,
        /// Its tokens.
        usage: Usage,
    },
    /// An event of the app's own.
    Custom {
        /// Its name.
        name: String,
        /// Its content.
        data: Value,
    },
    /// The last event of a run that was answered.
    Completed {
        /// Why it ended.
        finish_reason: String,
        /// The whole answer.
        answer: String,
        /// Tokens of all model calls.
        usage: Usage,
    },
    /// The last event of a run that failed.
    Failed(RunError),
    /// The last event of a run that its caller ended.
    Cancelled(RunError),
    /// The last event of a run that a crash or shutdown cut.
    Interrupted(RunError),
}

impl RunEventKind {
    /// The event's name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Started => "run.started",
            Self::Text { .. } => "message.delta",
            Self::Reasoning { .. } => "reasoning.delta",
            Self::ToolCall { .. } => "tool.call",
            Self::ToolResult { .. } => "tool.result",
            Self::Step { .. } => "step.completed",
            Self::Custom { name, .. } => name,
            Self::Completed { .. } => "run.completed",
            Self::Failed(_) => "run.failed",
            Self::Cancelled(_) => "run.cancelled",
            Self::Interrupted(_) => "run.interrupted",
        }
    }

    /// Whether this is a run's last event.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed(_) | Self::Cancelled(_) | Self::Interrupted(_))
    }
}

/// A conversation: the runs that share a session id, in order of creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The agent of its first run.
    pub agent: Name,
    /// Label of who asked its first run.
    pub principal: String,
    /// When its first run was created, Unix milliseconds.
    pub created_ms: u64,
    /// When its last run changed, Unix milliseconds.
    pub updated_ms: u64,
    /// How many runs it has.
    pub runs: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(depth: usize) -> Value {
        (0..depth)
            .fold(Value::Null, |inner, n| if n % 2 == 0 { json!([1, inner]) } else { json!({ "a": inner }) })
    }

    #[test]
    fn a_value_may_nest_up_to_its_bound_and_no_deeper() {
        assert!(nests_within(&json!("[[["), 0) && !nests_within(&json!([]), 0));
        let input = |context, metadata| RunInput { context, metadata, ..RunInput::default() };
        assert!(input(nested(DEPTH_MAX), nested(DEPTH_MAX)).check().is_ok());
        let deep = nested(DEPTH_MAX + 1);
        for (input, field) in
            [(input(deep.clone(), Value::Null), "context"), (input(Value::Null, deep), "metadata")]
        {
            let error = input.check().unwrap_err();
            assert_eq!((error.code(), error.field()), (&codes::INVALID_FIELD, Some(field)));
        }
    }
}
