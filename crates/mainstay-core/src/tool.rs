//! Tools: what an agent may call.

use async_trait::async_trait;
use serde_json::Value;

use crate::{Ctx, Result, RunId};

/// A tool as a model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name, unique within an agent.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments (an object).
    pub parameters: Value,
    /// Whether the provider must hold the arguments to the schema; its default when absent.
    pub strict: Option<bool>,
}

/// One call of a tool.
#[derive(Clone, Debug)]
pub struct ToolInvocation {
    /// The run it belongs to.
    pub run: RunId,
    /// The tool's name.
    pub name: String,
    /// Arguments that fit the tool's schema (the engine has checked).
    pub arguments: serde_json::Map<String, Value>,
    /// The same for every attempt of this call, so that the other side can deduplicate.
    pub idempotency_key: String,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// The answer, as text for the model.
    pub content: String,
    /// Whether the tool says it failed; the model sees the content either way.
    pub is_error: bool,
}

/// The port of one source of tools (an HTTP endpoint, an MCP server, …).
#[async_trait]
pub trait ToolSource: Send + Sync {
    /// The tools on offer, in a stable order. Errors: `TOOL_UNAVAILABLE`.
    async fn tools(&self, ctx: &Ctx) -> Result<Vec<ToolSpec>>;

    /// Calls a tool once; never retries. Bounded by its own timeout and the context's deadline, whichever is sooner.
    /// Cancel by dropping: the other side may or may not have acted, which the idempotency key is for.
    /// Errors: `TOOL_NOT_FOUND`, `TOOL_ADDRESS_REFUSED`, `TOOL_RESPONSE_TOO_LARGE`, `TOOL_TIMEOUT`,
    /// `TOOL_UNAVAILABLE`. An answer that reports failure is `Ok` with `is_error`.
    async fn call(&self, ctx: &Ctx, call: &ToolInvocation) -> Result<ToolOutput>;

    /// Whether the server that the tools stand on answers; `None` where there is none, or no way to ask it without an
    /// effect. Bounded by the context's deadline. Errors: `TOOL_UNAVAILABLE`, `TOOL_TIMEOUT`, `TOOL_ADDRESS_REFUSED`.
    async fn ready(&self, _: &Ctx) -> Option<Result<()>> {
        None
    }
}
