//! Conversations.

mod any;

use std::collections::BTreeMap;

use mainstay_blocks::conversation::{self, Request};
use mainstay_core::message::{Message, Part, Role, ToolCall, ToolResult};
use mainstay_core::model::{Completion, Usage};
use mainstay_core::tool::ToolSpec;
use mainstay_proto::runtime::v1 as wire;
use prost_types::Any;
use serde_json::{Value, json};
use tonic::Status;
use wire::conversation_message::MessageTypes;

use crate::call::{self, Call, Result};
use mainstay_dapr::structs;

pub(crate) async fn alpha1(
    call: &Call,
    asked: wire::ConversationRequest,
) -> Result<wire::ConversationResponse> {
    let message = |input: wire::ConversationInput| {
        let role = mainstay_dapr::conversation::role(input.role.as_deref().unwrap_or_default());
        (Message::text(role, input.content), input.scrub_pii.unwrap_or_default())
    };
    let request = Request {
        messages: asked.inputs.into_iter().map(message).collect(),
        scrub_answer: asked.scrub_pii.unwrap_or_default(),
        temperature: asked.temperature,
        parameters: parameters(&asked.parameters)?,
        ..Request::default()
    };
    let done = converse(call, &asked.name, request).await?;
    let output =
        wire::ConversationResult { result: done.message.joined_text(), parameters: asked.parameters };
    let context_id = asked.context_id.filter(|id| !id.is_empty());
    Ok(wire::ConversationResponse { context_id, outputs: vec![output] })
}

pub(crate) async fn alpha2(
    call: &Call,
    asked: wire::ConversationRequestAlpha2,
) -> Result<wire::ConversationResponseAlpha2> {
    let mut messages = Vec::new();
    for input in asked.inputs {
        let scrub = input.scrub_pii.unwrap_or_default();
        for said in input.messages {
            let said = said.message_types.ok_or_else(|| refused("message type cannot be nil"))?;
            messages.push((message(said)?, scrub));
        }
    }
    let request = Request {
        messages,
        scrub_answer: asked.scrub_pii.unwrap_or_default(),
        temperature: asked.temperature,
        tools: asked.tools.into_iter().filter_map(tool).collect(),
        tool_choice: asked.tool_choice.unwrap_or_default(),
        response_format: asked.response_format.map(structs::json),
        parameters: parameters(&asked.parameters)?,
    };
    let done = converse(call, &asked.name, request).await?;
    let context_id = asked.context_id.filter(|id| !id.is_empty());
    Ok(wire::ConversationResponseAlpha2 { context_id, outputs: vec![output(&done)] })
}

async fn converse(call: &Call, name: &str, request: Request) -> Result<Completion> {
    let done = conversation::converse(call.blocks(), &call.ctx, name, request).await;
    done.map_err(|error| call::failed(&mainstay_dapr::conversation::fault(name, &error), &error))
}

fn refused(why: &str) -> Status {
    Status::invalid_argument(format!("failed conversing with component: {why}"))
}

fn parameters(asked: &BTreeMap<String, Any>) -> Result<BTreeMap<String, Value>> {
    let read = |(name, any): (&String, &Any)| match any::value(any) {
        Some(value) => Ok((name.clone(), value)),
        None => Err(refused(&format!("the parameter `{name}` cannot be read"))),
    };
    asked.iter().map(read).collect()
}

fn message(said: MessageTypes) -> Result<Message> {
    let texts = |role, content: Vec<wire::ConversationMessageContent>| Message {
        role,
        parts: content.into_iter().map(|content| Part::Text(content.text)).collect(),
    };
    Ok(match said {
        MessageTypes::OfDeveloper(said) => texts(Role::System, said.content),
        MessageTypes::OfSystem(said) => texts(Role::System, said.content),
        MessageTypes::OfUser(said) => texts(Role::User, said.content),
        MessageTypes::OfAssistant(said) => {
            let mut message = texts(Role::Assistant, said.content);
            for call in said.tool_calls {
                let Some(wire::conversation_tool_calls::ToolTypes::Function(function)) = call.tool_types
                else {
                    return Err(refused("tool types cannot be nil"));
                };
                let wire::ConversationToolCallsOfFunction { name, arguments } = function;
                let id = call.id.unwrap_or_default();
                message.parts.push(Part::ToolCall(ToolCall { id, name, arguments, opaque: None }));
            }
            message
        }
        MessageTypes::OfTool(said) => {
            let texts: Vec<String> = said.content.into_iter().map(|content| content.text).collect();
            let result = ToolResult {
                call_id: said.tool_id.unwrap_or_default(),
                name: Some(said.name),
                content: texts.join("\n"),
                is_error: false,
            };
            Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
        }
    })
}

fn tool(tool: wire::ConversationTools) -> Option<ToolSpec> {
    let wire::conversation_tools::ToolTypes::Function(function) = tool.tool_types?;
    let none = || json!({"type": "object", "properties": {}});
    Some(ToolSpec {
        name: function.name,
        description: function.description.unwrap_or_default(),
        parameters: function.parameters.map_or_else(none, structs::json),
        strict: None,
    })
}

fn output(done: &Completion) -> wire::ConversationResultAlpha2 {
    let call = |call: &ToolCall| wire::ConversationToolCalls {
        id: Some(call.id.clone()).filter(|id| !id.is_empty()),
        tool_types: Some(wire::conversation_tool_calls::ToolTypes::Function(
            wire::ConversationToolCallsOfFunction {
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            },
        )),
    };
    let message = wire::ConversationResultMessage {
        content: done.message.joined_text(),
        tool_calls: done.message.tool_calls().map(call).collect(),
    };
    let choice = wire::ConversationResultChoices {
        finish_reason: done.finish.as_str().to_owned(),
        index: 0,
        message: Some(message),
    };
    wire::ConversationResultAlpha2 {
        choices: vec![choice],
        model: Some(done.model.clone()).filter(|model| !model.is_empty()),
        usage: (done.usage.total() > 0).then(|| usage(&done.usage)),
    }
}

fn usage(usage: &Usage) -> wire::ConversationResultAlpha2CompletionUsage {
    wire::ConversationResultAlpha2CompletionUsage {
        completion_tokens: usage.output_total(),
        prompt_tokens: usage.input_total(),
        total_tokens: usage.total(),
        completion_tokens_details: (usage.reasoning > 0).then(|| {
            wire::ConversationResultAlpha2CompletionUsageCompletionTokensDetails {
                reasoning_tokens: usage.reasoning,
                ..Default::default()
            }
        }),
        prompt_tokens_details: (usage.cache_read > 0).then(|| {
            wire::ConversationResultAlpha2CompletionUsagePromptTokensDetails {
                cached_tokens: usage.cache_read,
                ..Default::default()
            }
        }),
    }
}
