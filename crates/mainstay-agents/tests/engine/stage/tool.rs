//! Tools that answer by a rule.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::tool::{ToolInvocation, ToolOutput, ToolSource, ToolSpec};
use mainstay_core::{Ctx, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};

type Answering = Pin<Box<dyn Future<Output = Result<ToolOutput>> + Send>>;
type Rule = Box<dyn Fn(ToolInvocation) -> Answering + Send + Sync>;

/// A source of one tool.
pub(crate) struct Tool {
    spec: ToolSpec,
    rule: Rule,
    /// What it was called with.
    pub(crate) called: Mutex<Vec<ToolInvocation>>,
    /// How often it was asked what it offers.
    pub(crate) listed: Mutex<usize>,
}

/// A tool called `look` with one argument, `at`, a whole number.
pub(crate) fn look<F>(rule: impl Fn(ToolInvocation) -> F + Send + Sync + 'static) -> Arc<Tool>
where
    F: Future<Output = Result<ToolOutput>> + Send + 'static,
{
    tool(json!({ "type": "object", "properties": { "at": { "type": "integer" } }, "required": ["at"] }), rule)
}

pub(crate) fn tool<F>(
    parameters: Value,
    rule: impl Fn(ToolInvocation) -> F + Send + Sync + 'static,
) -> Arc<Tool>
where
    F: Future<Output = Result<ToolOutput>> + Send + 'static,
{
    let (name, description) = ("look".to_owned(), "looks".to_owned());
    Arc::new(Tool {
        spec: ToolSpec { name, description, parameters, strict: None },
        rule: Box::new(move |call| Box::pin(rule(call))),
        called: Mutex::default(),
        listed: Mutex::default(),
    })
}

/// A tool that says what it was given.
pub(crate) fn mirror() -> Arc<Tool> {
    look(|call| async move { said(&call.arguments["at"].to_string()) })
}

pub(crate) fn said(content: &str) -> Result<ToolOutput> {
    Ok(ToolOutput { content: content.to_owned(), is_error: false })
}

#[async_trait]
impl ToolSource for Tool {
    async fn tools(&self, _: &Ctx) -> Result<Vec<ToolSpec>> {
        *self.listed.lock() += 1;
        Ok(vec![self.spec.clone()])
    }

    async fn call(&self, _: &Ctx, call: &ToolInvocation) -> Result<ToolOutput> {
        self.called.lock().push(call.clone());
        (self.rule)(call.clone()).await
    }
}
