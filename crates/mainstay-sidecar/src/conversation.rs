//! Conversations. Bodies are protobuf's JSON of the messages that gRPC has: what is empty is left out, 64-bit numbers
//! are texts.

mod wire;

use mainstay_blocks::conversation::{self, Request};
use mainstay_core::model::{Completion, Usage};
use mainstay_dapr::Fault;
use serde_json::{Map, Value, json};

use crate::answer;
use crate::call::{Call, Result};
use crate::routes::{POST, Route};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        methods: POST,
        path: "conversation/{name}/converse",
        versions: &["v1.0-alpha1"],
        open: false,
        handler: |call| Box::pin(alpha1(call)),
    },
    Route {
        methods: POST,
        path: "conversation/{name}/converse",
        versions: &["v1.0-alpha2"],
        open: false,
        handler: |call| Box::pin(alpha2(call)),
    },
];

async fn alpha1(call: Call) -> Result {
    let asked: wire::Alpha1 = call.json()?;
    let (context, parameters) = (asked.context_id.clone(), asked.parameters.clone());
    let done = converse(&call, asked.into_request()).await?;
    let mut output = json!({"result": done.message.joined_text()});
    if !parameters.is_empty() {
        output["parameters"] = parameters.into_iter().collect::<Map<_, _>>().into();
    }
    Ok(answer::json(&with_context("contextID", context, output)))
}

async fn alpha2(call: Call) -> Result {
    let asked: wire::Alpha2 = call.json()?;
    let context = asked.context_id.clone();
    let request = asked.into_request().map_err(|why| {
        let message = format!("failed conversing with component {}: {why}", call.param("name"));
        Fault { code: "ERR_CONVERSATION_INVALID_PARMS", ..Fault::malformed(&message) }
    })?;
    let done = converse(&call, request).await?;
    Ok(answer::json(&with_context("contextId", context, output(&done))))
}

async fn converse(call: &Call, request: Request) -> Result<Completion> {
    let name = call.param("name");
    let done = conversation::converse(call.blocks(), &call.ctx, name, request).await;
    done.map_err(|error| mainstay_dapr::conversation::fault(name, &error))
}

fn with_context(name: &str, context: String, output: Value) -> Value {
    let mut body = json!({"outputs": [output]});
    if !context.is_empty() {
        body[name] = context.into();
    }
    body
}

fn output(done: &Completion) -> Value {
    let mut message = Map::new();
    let text = done.message.joined_text();
    if !text.is_empty() {
        message.insert("content".to_owned(), text.into());
    }
    let calls: Vec<Value> = done
        .message
        .tool_calls()
        .map(|call| {
            let mut shown = json!({"function": {"name": call.name, "arguments": call.arguments}});
            if !call.id.is_empty() {
                shown["id"] = call.id.as_str().into();
            }
            shown
        })
        .collect();
    if !calls.is_empty() {
        message.insert("toolCalls".to_owned(), calls.into());
    }
    let mut output = json!({"choices": [{"finishReason": done.finish.as_str(), "message": message}]});
    if !done.model.is_empty() {
        output["model"] = done.model.as_str().into();
    }
    if done.usage.total() > 0 {
        output["usage"] = usage(&done.usage);
    }
    output
}

fn usage(usage: &Usage) -> Value {
    let mut shown = json!({
        "completionTokens": usage.output_total().to_string(),
        "promptTokens": usage.input_total().to_string(),
        "totalTokens": usage.total().to_string(),
    });
    if usage.reasoning > 0 {
        shown["completionTokensDetails"] = json!({"reasoningTokens": usage.reasoning.to_string()});
    }
    if usage.cache_read > 0 {
        shown["promptTokensDetails"] = json!({"cachedTokens": usage.cache_read.to_string()});
    }
    shown
}
