//! Agents.

use std::time::Duration;

use super::app::Process;
use crate::Name;

/// An agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Run by us, or the user's own service.
    pub kind: AgentKind,
    /// What it is for, shown in the docs; may be empty.
    pub description: String,
    /// What happens when a message comes while its session is busy.
    pub sessions: SessionPolicy,
    /// Runs of this agent at work at once; further ones are refused with 503.
    pub concurrency_max: u32,
    /// Longest run.
    pub timeout: Duration,
    /// What becomes of a run whose caller goes away.
    pub on_disconnect: OnDisconnect,
    /// Answers to give on classified provider failures, first match wins.
    pub fallbacks: Vec<Fallback>,
}

/// How an agent is run.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentKind {
    /// By our loop.
    Declared(Declared),
    /// By the user's own service.
    App(AppPlan),
}

/// An agent that we run.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// The model it asks.
    pub model: Name,
    /// Its instructions, read from the file if the spec names one.
    pub instructions: String,
    /// Tools it may call, by their names in the spec.
    pub tools: Vec<Name>,
    /// Most model calls in a run.
    pub steps_max: u32,
    /// Output tokens of a model call, if bounded.
    pub max_tokens: Option<u32>,
    /// Sampling temperature, if set.
    pub temperature: Option<f64>,
    /// Messages of the session's past that the model sees.
    pub history_messages_max: u32,
    /// Tool calls of one step that run at once.
    pub parallel_tools_max: u32,
}

/// An agent that is the user's own service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPlan {
    /// The service.
    pub process: Process,
    /// Path of the call that answers whole.
    pub invoke_path: String,
    /// Path of the call that streams; the invoke path when absent.
    pub stream_path: Option<String>,
    /// Bytes of its answer, whole or one event.
    pub response_bytes_max: u64,
}

/// What happens when a message comes while its session is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPolicy {
    /// The new message is refused with 409.
    Reject,
    /// It waits its turn; at most so many wait.
    Enqueue {
        /// Waiting runs of one session.
        waiting_max: u32,
    },
    /// The run at work is cancelled and the new one takes its place.
    Interrupt,
}

/// An answer for when the provider fails in a known way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Error codes it answers for, e.g. `PROVIDER_QUOTA`.
    pub on: Vec<String>,
    /// The answer.
    pub answer: String,
    /// The model name to report.
    pub model: String,
    /// The finish reason to report.
    pub finish_reason: String,
}

/// What becomes of a run whose caller goes away before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnDisconnect {
    /// It goes on; the caller can come back to its events.
    #[default]
    Continue,
    /// It is cancelled, and so are its model and tool calls.
    Cancel,
}
