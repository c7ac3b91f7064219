//! The loop of a declared agent: ask the model, run the tools it asks for, feed the results back, until it answers or
//! the bound on steps is met. Retries nothing and knows no vendor.

mod hearing;
mod history;

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use mainstay_core::Result;
use mainstay_core::message::{Message, Part, Role, ToolCall, ToolResult};
use mainstay_core::model::{Completion, FinishReason, ModelRequest};
use mainstay_core::plan::Declared;
use mainstay_core::run::{RunEventKind, RunInput};

pub(crate) use self::history::{Pages, exchange};
use crate::run::life::Assignment;
use crate::run::recorder::Answer;
use crate::tools::{Catalog, Errand};

/// Tool calls of one model call that are run; the model is told that further ones are too many.
const CALLS_PER_STEP_MAX: usize = 128;

/// The finish reason of a run that met its bound on model calls while the model still wanted tools.
const STEPS_MAX: &str = "steps_max";

/// Runs the loop. Errors: those of the model and of listing the tools.
pub(crate) async fn answer(work: &Assignment<'_>) -> Result<Answer> {
    let plan = work.agent.declared()?;
    let catalog = work.agent.catalog(&work.ctx).await?;
    let messages = history::conversation(work, plan).await?;
    let turn = Turn { work, plan, catalog: &catalog, messages, text: String::new(), seen: HashSet::new() };
    turn.run().await
}

struct Turn<'a> {
    work: &'a Assignment<'a>,
    plan: &'a Declared,
    catalog: &'a Catalog,
    messages: Vec<Message>,
    /// The answer so far: what was said since the last tool results.
    text: String,
    /// Ids of calls made: models may use one twice in a run.
    seen: HashSet<String>,
}

impl Turn<'_> {
    async fn run(mut self) -> Result<Answer> {
        for step in 1..=self.plan.steps_max.max(1) {
            let completion = hearing::listen(self.work, self.request()).await?;
            self.text.push_str(&completion.message.joined_text());
            let calls: Vec<ToolCall> = completion.message.tool_calls().cloned().collect();
            let last = step >= self.plan.steps_max;
            if let Some(reason) = end(&completion, !calls.is_empty(), last) {
                self.add(without_calls(completion.message).into_iter().collect());
                return Ok(Answer { text: self.text, finish_reason: reason });
            }
            let mut messages = vec![completion.message];
            if !calls.is_empty() {
                self.text.clear();
                messages.push(Message { role: Role::Tool, parts: self.run_tools(&calls).await });
            }
            self.add(messages);
        }
        unreachable!("the last step ends the run")
    }

    fn request(&self) -> ModelRequest {
        let input = &self.work.live.asked().input;
        ModelRequest {
            model: self.plan.model.as_str().to_owned(),
            messages: self.messages.clone(),
            tools: self.catalog.specs().to_vec(),
            max_tokens: [input.max_tokens, self.plan.max_tokens].into_iter().flatten().min(),
            temperature: input.temperature.or(self.plan.temperature),
            stream: self.work.stream,
            ..ModelRequest::default()
        }
    }

    fn add(&mut self, messages: Vec<Message>) {
        self.work.recorder.messages(messages.clone());
        self.messages.extend(messages);
    }

    /// Runs the calls side by side and returns their results in the calls' order.
    async fn run_tools(&mut self, calls: &[ToolCall]) -> Vec<Part> {
        let recorder = self.work.recorder;
        for call in calls {
            let ToolCall { id, name, arguments, .. } = call.clone();
            recorder.event(RunEventKind::ToolCall { id, name, arguments }).await;
        }
        // A tool may act on the world: that it was asked to is on record before it is.
        recorder.outbox.flush().await;
        let keys: Vec<String> = calls.iter().map(|call| self.key(call)).collect();
        let made: Vec<_> =
            calls.iter().zip(keys).enumerate().map(|(at, (call, key))| self.make(at, call, key)).collect();
        let mut results = stream::iter(made).buffered(self.plan.parallel_tools_max.max(1) as usize);
        let mut parts = Vec::with_capacity(calls.len());
        while let Some(result) = results.next().await {
            let ToolResult { call_id: id, name, content, is_error } = result.clone();
            let name = name.unwrap_or_default();
            recorder.event(RunEventKind::ToolResult { id, name, content, is_error }).await;
            parts.push(Part::ToolResult(result));
        }
        parts
    }

    async fn make(&self, at: usize, call: &ToolCall, idempotency_key: String) -> ToolResult {
        if at >= CALLS_PER_STEP_MAX {
            let content = format!("at most {CALLS_PER_STEP_MAX} tools can be called at once");
            let (call_id, name) = (call.id.clone(), Some(call.name.clone()));
            return ToolResult { call_id, name, content, is_error: true };
        }
        let errand = Errand { run: self.work.live.id(), call, idempotency_key };
        self.catalog.call(&self.work.ctx, self.work.ports.telemetry.as_ref(), errand).await
    }

    /// The same for every attempt of this call, and for no other call of the run.
    fn key(&mut self, call: &ToolCall) -> String {
        let run = self.work.live.id();
        let mut key = format!("{run}:{}", call.id);
        let mut again = 1;
        while !self.seen.insert(key.clone()) {
            again += 1;
            key = format!("{run}:{}#{again}", call.id);
        }
        key
    }
}

/// Why the run ends with this completion, if it does.
fn end(completion: &Completion, calls: bool, last: bool) -> Option<String> {
    match &completion.finish {
        // The calls may be cut short: half an order is not to be carried out.
        FinishReason::Length | FinishReason::ContentFilter => Some(completion.finish.as_str().to_owned()),
        FinishReason::Pause if !last => None,
        _ if calls && !last => None,
        _ if calls => Some(STEPS_MAX.to_owned()),
        FinishReason::Pause => Some(STEPS_MAX.to_owned()),
        reason => Some(reason.as_str().to_owned()),
    }
}

/// The message as it may stand in a conversation that goes on: a call without a result would be refused.
fn without_calls(mut message: Message) -> Option<Message> {
    message.parts.retain(|part| !matches!(part, Part::ToolCall(_)));
    (!message.parts.is_empty()).then_some(message)
}

/// What the caller asked, as the model reads it: the context first, then the question.
fn question(input: &RunInput) -> Message {
    let context = match &input.context {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        json => Some(json.to_string()),
    };
    let context = context.map(|text| Part::Text(format!("Context:\n{text}\n\n")));
    let query = Part::Text(input.query.clone());
    Message { role: Role::User, parts: context.into_iter().chain([query]).collect() }
}
