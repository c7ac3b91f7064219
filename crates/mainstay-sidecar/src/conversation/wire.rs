//! The bodies. Names are taken in both ways that protobuf's JSON has.

use std::collections::BTreeMap;

use mainstay_blocks::conversation::Request;
use mainstay_core::message::{Message, Part, Role, ToolCall, ToolResult};
use mainstay_core::tool::ToolSpec;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::or_default;

/// The older form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Alpha1 {
    #[serde(
        rename = "contextID",
        alias = "contextId",
        alias = "context_id",
        deserialize_with = "or_default"
    )]
    pub(super) context_id: String,
    #[serde(deserialize_with = "or_default")]
    inputs: Vec<Input1>,
    #[serde(deserialize_with = "or_default")]
    pub(super) parameters: BTreeMap<String, Value>,
    #[serde(rename = "scrubPII", alias = "scrubPii", alias = "scrub_pii", deserialize_with = "or_default")]
    scrub_pii: bool,
    temperature: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Input1 {
    #[serde(deserialize_with = "or_default")]
    content: String,
    #[serde(deserialize_with = "or_default")]
    role: String,
    #[serde(rename = "scrubPII", alias = "scrubPii", alias = "scrub_pii", deserialize_with = "or_default")]
    scrub_pii: bool,
}

impl Alpha1 {
    pub(super) fn into_request(self) -> Request {
        let message = |input: Input1| {
            (Message::text(mainstay_dapr::conversation::role(&input.role), input.content), input.scrub_pii)
        };
        Request {
            messages: self.inputs.into_iter().map(message).collect(),
            scrub_answer: self.scrub_pii,
            temperature: self.temperature,
            parameters: plain(self.parameters),
            ..Request::default()
        }
    }
}

/// The present form.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Alpha2 {
    #[serde(alias = "context_id", deserialize_with = "or_default")]
    pub(super) context_id: String,
    #[serde(deserialize_with = "or_default")]
    inputs: Vec<Input2>,
    #[serde(deserialize_with = "or_default")]
    parameters: BTreeMap<String, Value>,
    #[serde(alias = "scrub_pii", deserialize_with = "or_default")]
    scrub_pii: bool,
    temperature: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    tools: Vec<Tool>,
    #[serde(alias = "tool_choice", deserialize_with = "or_default")]
    tool_choice: String,
    #[serde(alias = "response_format")]
    response_format: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Input2 {
    #[serde(deserialize_with = "or_default")]
    messages: Vec<Said>,
    #[serde(alias = "scrub_pii", deserialize_with = "or_default")]
    scrub_pii: bool,
}

/// A message: the first of these that is there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    #[serde(alias = "of_developer")]
    of_developer: Option<Content>,
    #[serde(alias = "of_system")]
    of_system: Option<Content>,
    #[serde(alias = "of_user")]
    of_user: Option<Content>,
    #[serde(alias = "of_assistant")]
    of_assistant: Option<Content>,
    #[serde(alias = "of_tool")]
    of_tool: Option<Content>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    #[serde(deserialize_with = "or_default")]
    content: Vec<Text>,
    #[serde(alias = "tool_calls", deserialize_with = "or_default")]
    tool_calls: Vec<Called>,
    #[serde(alias = "tool_id", deserialize_with = "or_default")]
    tool_id: String,
    #[serde(deserialize_with = "or_default")]
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Text {
    #[serde(deserialize_with = "or_default")]
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Called {
    #[serde(deserialize_with = "or_default")]
    id: String,
    function: Option<CalledFunction>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CalledFunction {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    arguments: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool {
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Function {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    description: String,
    parameters: Option<Value>,
}

impl Alpha2 {
    /// Errors: why it is no request.
    pub(super) fn into_request(self) -> Result<Request, &'static str> {
        let mut messages = Vec::new();
        for input in self.inputs {
            for said in input.messages {
                messages.push((said.into_message()?, input.scrub_pii));
            }
        }
        let tool = |tool: Tool| {
            let Function { name, description, parameters } = tool.function?;
            let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
            Some(ToolSpec { name, description, parameters, strict: None })
        };
        Ok(Request {
            messages,
            scrub_answer: self.scrub_pii,
            temperature: self.temperature,
            tools: self.tools.into_iter().filter_map(tool).collect(),
            tool_choice: self.tool_choice,
            response_format: self.response_format.filter(|format| !format.is_null()),
            parameters: plain(self.parameters),
        })
    }
}

impl Said {
    fn into_message(self) -> Result<Message, &'static str> {
        let texts = |role, content: Content| Message {
            role,
            parts: content.content.into_iter().map(|text| Part::Text(text.text)).collect(),
        };
        if let Some(content) = self.of_developer.or(self.of_system) {
            return Ok(texts(Role::System, content));
        }
        if let Some(content) = self.of_user {
            return Ok(texts(Role::User, content));
        }
        if let Some(mut content) = self.of_assistant {
            let calls = std::mem::take(&mut content.tool_calls);
            let mut message = texts(Role::Assistant, content);
            for call in calls {
                let CalledFunction { name, arguments } = call.function.ok_or("tool types cannot be nil")?;
                message.parts.push(Part::ToolCall(ToolCall { id: call.id, name, arguments, opaque: None }));
            }
            return Ok(message);
        }
        let Content { content, tool_id: call_id, name, .. } =
            self.of_tool.ok_or("message type cannot be nil")?;
        let content = content.into_iter().map(|text| text.text).collect::<Vec<_>>().join("\n");
        let result = ToolResult { call_id, name: Some(name), content, is_error: false };
        Ok(Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] })
    }
}

/// Parameters as plain values: protobuf's JSON writes them with their type.
fn plain(parameters: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let value = |mut value: Value| match value.as_object_mut() {
        Some(typed) if typed.contains_key("@type") => typed.remove("value").unwrap_or(Value::Null),
        _ => value,
    };
    parameters.into_iter().map(|(name, one)| (name, value(one))).collect()
}
