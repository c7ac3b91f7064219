//! A conversation component without a model: it answers with what it was asked, and calls the tools that it is given.
//! For tests and first steps.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::conversation::Conversation;
use mainstay_core::message::{Message, Part, Role, ToolCall};
use mainstay_core::model::{Completion, FinishReason, ModelRequest, ToolChoice, Usage};
use mainstay_core::{Ctx, Result};

use super::{Def, Endpoint};

/// The type.
pub const DEF: Def = Def {
    kind: "conversation.echo",
    aliases: &[],
    versions: &["v1"],
    about: "No model: it answers with what it was asked.",
    settings: &[],
    check: |_| Vec::new(),
    open: |_| Box::pin(async { Ok(Arc::new(Endpoint::Own(Arc::new(Echo)))) }),
};

struct Echo;

/// What a message says, a line a part.
fn lines(message: &Message) -> impl Iterator<Item = String> {
    message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.clone()),
        Part::ToolResult(result) => {
            let name = result.name.as_deref().unwrap_or_default();
            Some(format!(
                "Tool Response for tool ID '{}' with name '{name}': {}",
                result.call_id, result.content
            ))
        }
        _ => None,
    })
}

/// Words, which stand for tokens.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

#[async_trait]
impl Conversation for Echo {
    async fn converse(&self, _: &Ctx, request: ModelRequest) -> Result<Completion> {
        let text = request.messages.iter().flat_map(lines).collect::<Vec<_>>().join("\n");
        let count = words(&text);
        let mut parts = vec![Part::Text(text)];
        let is_called = |name: &str| match &request.tool_choice {
            ToolChoice::None => false,
            ToolChoice::Tool(chosen) => chosen == name,
            ToolChoice::Auto | ToolChoice::Required => true,
        };
        for (index, tool) in request.tools.iter().filter(|tool| is_called(&tool.name)).enumerate() {
            let arguments = tool.parameters.get("properties").and_then(|properties| properties.as_object());
            // The names of the arguments stand for them.
            let arguments = arguments.into_iter().flatten().map(|(name, _)| name.as_str());
            let arguments = arguments.collect::<Vec<_>>().join(",");
            let (id, name) = (index.to_string(), tool.name.clone());
            parts.push(Part::ToolCall(ToolCall { id, name, arguments, opaque: None }));
        }
        let finish = if parts.len() > 1 { FinishReason::ToolCalls } else { FinishReason::Stop };
        Ok(Completion {
            id: String::new(),
            model: "echo".to_owned(),
            message: Message { role: Role::Assistant, parts },
            finish,
            usage: Usage { input_uncached: count, output: count, ..Usage::default() },
        })
    }
}
