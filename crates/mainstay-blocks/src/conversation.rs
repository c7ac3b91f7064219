//! The conversation block: what a request must say, what is taken out of it and of its answer, and answers that are
//! kept.

mod kept;
mod parameters;
mod scrub;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::conversation::Conversation;
use mainstay_core::message::{Message, Part};
use mainstay_core::model::{Completion, ModelRequest, ResponseFormat, ToolChoice};
use mainstay_core::tool::ToolSpec;
use mainstay_core::{Ctx, Error, Result, codes};
use serde_json::Value;

use crate::Blocks;
use crate::hub::{Opened, not_found};
use crate::metering::Begun;
use kept::Kept;
use mainstay_core::meter::Block;

/// A conversation component that is open.
pub type Component = Opened<dyn Conversation, Rules>;

/// The rules of a conversation component.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    kept: Option<Arc<Kept>>,
}

impl Rules {
    /// With answers kept for this long, for requests that are the same.
    #[must_use]
    pub fn of(keep: Option<Duration>) -> Self {
        Self { kept: keep.map(|time| Arc::new(Kept::new(time))) }
    }
}

/// What an app asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Messages, and whether what identifies a person is to be taken out of each.
    pub messages: Vec<(Message, bool)>,
    /// Whether that is to be taken out of the answer.
    pub scrub_answer: bool,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// What the model may call.
    pub tools: Vec<ToolSpec>,
    /// `auto`, `none`, `required` or a tool's name; empty for what is usual.
    pub tool_choice: String,
    /// A JSON Schema that the answer must fit.
    pub response_format: Option<Value>,
    /// Settings of the model by their name: `max_tokens`, `top_p`, `stop`, `seed`, …
    pub parameters: BTreeMap<String, Value>,
}

/// Asks the model of a component. Errors: `COMPONENT_NOT_FOUND`; `INVALID_FIELD` with the field `inputs` where there is
/// no message, with another for what does not fit; those of the port.
pub async fn converse(blocks: &Blocks, ctx: &Ctx, component: &str, request: Request) -> Result<Completion> {
    let found = blocks.table().conversations.get(component).cloned();
    let found = found.ok_or_else(|| not_found("conversation component", component))?;
    if request.messages.is_empty() {
        return Err(Error::new(&codes::INVALID_FIELD, "inputs missing").with_field("inputs"));
    }
    let (scrub_answer, asked) = (request.scrub_answer, canonical(request)?);
    let now_ms = blocks.clock().now_ms();
    let key = kept::key(&asked);
    let known = found.rules.kept.as_ref().and_then(|kept| kept.find(key, now_ms));
    let mut answer = match known {
        Some(answer) => answer,
        None => {
            let (port, asked) = (&found.port, &asked);
            let call = |ctx: Ctx| async move { port.converse(&ctx, asked.clone()).await };
            let begun = Begun::new(blocks, Block::Conversation, component, "");
            let answer = begun.ended(found.guard.run(ctx, call).await)?;
            if let Some(kept) = &found.rules.kept {
                kept.keep(key, answer.clone(), now_ms);
            }
            answer
        }
    };
    if scrub_answer {
        scrubbed(&mut answer.message);
    }
    Ok(answer)
}

fn canonical(request: Request) -> Result<ModelRequest> {
    let tool_choice = tool_choice(&request)?;
    let messages = request.messages.into_iter().map(|(mut message, scrub)| {
        if scrub {
            scrubbed(&mut message);
        }
        message
    });
    let mut asked = ModelRequest {
        messages: messages.collect(),
        tools: request.tools,
        tool_choice,
        // Nothing is what this protocol's clients send for nothing.
        temperature: request.temperature.filter(|temperature| *temperature > 0.0),
        response_format: request.response_format.map_or(ResponseFormat::Text, response_format),
        ..ModelRequest::default()
    };
    parameters::apply(request.parameters, &mut asked)?;
    Ok(asked)
}

fn tool_choice(request: &Request) -> Result<ToolChoice> {
    let refused = |message: &str| Err(Error::new(&codes::INVALID_FIELD, message).with_field("tool_choice"));
    match request.tool_choice.as_str() {
        "" | "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" if request.tools.is_empty() => {
            refused("tool choice is `required`, and there are no tools")
        }
        "required" => Ok(ToolChoice::Required),
        name if request.tools.iter().any(|tool| tool.name == name) => Ok(ToolChoice::Tool(name.to_owned())),
        _ => refused("tool choice must be `auto`, `none`, `required` or the name of one of the tools"),
    }
}

/// A schema; with its name and strictness where it comes wrapped as the field's best known API has it.
fn response_format(mut schema: Value) -> ResponseFormat {
    let mut wrapped = schema.get_mut("json_schema").map(Value::take);
    let inner = wrapped.as_mut().and_then(|wrapped| Some((wrapped.get_mut("schema")?.take(), &*wrapped)));
    if let Some((schema, wrapped)) = inner {
        let name = wrapped.get("name").and_then(Value::as_str).unwrap_or("response").to_owned();
        let strict = wrapped.get("strict").and_then(Value::as_bool).unwrap_or(true);
        return ResponseFormat::JsonSchema { name, schema, strict };
    }
    if schema.get("type").and_then(Value::as_str) == Some("json_object") {
        return ResponseFormat::JsonObject;
    }
    let name = schema.get("title").and_then(Value::as_str).unwrap_or("response");
    let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect();
    ResponseFormat::JsonSchema { name, schema, strict: false }
}

fn scrubbed(message: &mut Message) {
    for part in &mut message.parts {
        match part {
            Part::Text(text) => *text = scrub::text(text),
            Part::ToolResult(result) => result.content = scrub::text(&result.content),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
