//! Runs as callers read them.

use mainstay_core::clock::rfc3339;
use mainstay_core::model::Usage;
use mainstay_core::run::{Run, RunError, RunStatus};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::ask::Begun;
use crate::error::page;
use crate::message::MessageView;

/// A run, as far as it has come.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunView {
    /// Its id.
    id: String,
    /// The agent that was asked.
    agent: String,
    /// The conversation it belongs to.
    session_id: Option<String>,
    status: StatusWord,
    /// Whether nobody waits for it.
    background: bool,
    /// The answer, once there is one.
    answer: Option<String>,
    /// The same as `answer`.
    response: Option<String>,
    /// The model that answered, as its provider names it.
    model: Option<String>,
    /// Why it ended: `stop`, `length`, `steps_max`, a fallback's own word, …
    finish_reason: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RunErrorView>,
    /// Input and output tokens together.
    tokens_used: u64,
    usage: UsageView,
    /// Model calls made.
    steps: u32,
    /// From the run's creation to its last change, in milliseconds.
    latency_ms: u64,
    /// When it was created.
    created_at: String,
    /// When it last changed.
    timestamp: String,
    /// The caller's own labels.
    #[serde(skip_serializing_if = "Value::is_null")]
    metadata: Value,
}

/// Where a run stands. The last four are final.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusWord {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    Interrupted,
}

/// Why a run did not complete.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunErrorView {
    /// A stable code; its page says what to do.
    code: String,
    message: String,
    /// The path of the code's page.
    docs: String,
}

/// Tokens of all model calls.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UsageView {
    /// All input, cached or not.
    input_tokens: u64,
    /// All output, reasoning included.
    output_tokens: u64,
    total_tokens: u64,
    /// Of the input: read from the provider's prompt cache.
    cache_read_tokens: u64,
    /// Of the input: written to the provider's prompt cache.
    cache_write_tokens: u64,
    /// Of the output: reasoning.
    reasoning_tokens: u64,
}

/// A run with what was asked and said.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunDetail {
    #[serde(flatten)]
    run: RunView,
    input: InputView,
    /// What the run added to the conversation.
    messages: Vec<MessageView>,
}

/// What was asked.
#[derive(Serialize, JsonSchema)]
struct InputView {
    query: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    context: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
}

/// A run that has begun in the background.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StartedView {
    /// The run's id.
    id: String,
    agent: String,
    session_id: Option<String>,
    /// Always true.
    background: bool,
    links: Links,
}

/// Where to read more.
#[derive(Serialize, JsonSchema)]
struct Links {
    run: String,
    events: String,
    cancel: String,
}

impl RunView {
    pub(crate) fn new(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            agent: run.agent.to_string(),
            session_id: run.session.as_ref().map(ToString::to_string),
            status: run.status.into(),
            background: run.background,
            answer: run.answer.clone(),
            response: run.answer.clone(),
            model: run.model.clone(),
            finish_reason: run.finish_reason.clone(),
            error: run.error.as_ref().map(RunErrorView::new),
            tokens_used: run.usage.total(),
            usage: run.usage.into(),
            steps: run.steps,
            latency_ms: latency_ms(run),
            created_at: rfc3339(run.created_ms),
            timestamp: rfc3339(run.updated_ms),
            metadata: run.input.metadata.clone(),
        }
    }
}

/// From the run's creation to its last change.
pub(crate) fn latency_ms(run: &Run) -> u64 {
    run.updated_ms.saturating_sub(run.created_ms)
}

impl RunDetail {
    pub(crate) fn new(run: Run) -> Self {
        let view = RunView::new(&run);
        let input = InputView {
            query: run.input.query,
            context: run.input.context,
            max_tokens: run.input.max_tokens,
            temperature: run.input.temperature,
        };
        Self { run: view, input, messages: run.messages.into_iter().map(MessageView::from).collect() }
    }
}

impl StartedView {
    pub(crate) fn new(begun: &Begun, agent: &str) -> Self {
        let run = format!("/v1/runs/{}", begun.run);
        Self {
            id: begun.run.to_string(),
            agent: agent.to_owned(),
            session_id: begun.session.as_ref().map(ToString::to_string),
            background: true,
            links: Links { events: format!("{run}/events"), cancel: format!("{run}/cancel"), run },
        }
    }
}

impl RunErrorView {
    pub(crate) fn new(error: &RunError) -> Self {
        Self { code: error.code.clone(), message: error.message.clone(), docs: page(&error.code) }
    }
}

impl From<RunStatus> for StatusWord {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued => Self::Queued,
            RunStatus::Running => Self::Running,
            RunStatus::Completed => Self::Completed,
            RunStatus::Failed => Self::Failed,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_total(),
            output_tokens: usage.output_total(),
            total_tokens: usage.total(),
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write_total(),
            reasoning_tokens: usage.reasoning,
        }
    }
}
