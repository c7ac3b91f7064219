//! A request as one text for the model: messages in the template's form, tools shown by the template or by words of our
//! own, and the first words of the answer where the request leaves no choice.

use mainstay_core::message::{Message, Part, Role, ToolCall};
use mainstay_core::model::{ModelRequest, ResponseFormat, ToolChoice};
use mainstay_core::tool::ToolSpec;
use mainstay_core::{Error, Result, codes};
use serde_json::{Value, json};

use crate::answer::{CALL_END, CALL_START};
use crate::template::Template;

/// What the model reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// The conversation up to the answer.
    pub(crate) text: String,
    /// How the answer is made to begin; part of the answer, though the model did not choose it.
    pub(crate) forced: String,
    /// Whether the answer may call tools.
    pub(crate) calls_tools: bool,
}

/// What of a model a prompt depends on.
pub(crate) struct Dialogue<'a> {
    pub(crate) template: &'a Template,
    /// Texts of control tokens, which callers may not speak.
    pub(crate) controls: &'a [String],
    pub(crate) begin_and_end: (&'a str, &'a str),
}

impl Dialogue<'_> {
    /// Renders a request.
    pub(crate) fn prompt(&self, request: &ModelRequest) -> Result<Prompt> {
        refuse_unsupported(request)?;
        let tools: &[ToolSpec] = match request.tool_choice {
            ToolChoice::None => &[],
            _ => &request.tools,
        };
        let mut messages = Vec::with_capacity(request.messages.len() + 1);
        for message in &request.messages {
            self.append(message, &mut messages)?;
        }
        let listed = Value::Array(tools.iter().map(tool).collect());
        let by_template = self.template.shows_tools && !tools.is_empty();
        if !tools.is_empty() && !by_template {
            instruct(&mut messages, &listed);
        }
        let text = self.template.render(&messages, by_template.then_some(&listed), self.begin_and_end)?;
        let forced = if tools.is_empty() { String::new() } else { forced(&request.tool_choice, tools) };
        Ok(Prompt { text, forced, calls_tools: !tools.is_empty() })
    }

    fn append(&self, message: &Message, out: &mut Vec<Value>) -> Result<()> {
        let mut results = Vec::new();
        for part in &message.parts {
            match part {
                Part::Image(_) | Part::Document(_) => {
                    return Err(unsupported("pictures and documents", "messages"));
                }
                Part::ToolResult(result) => results.push(self.clean(&result.content)),
                _ => {}
            }
        }
        let text = self.clean(&message.joined_text());
        let calls: Vec<&ToolCall> = message.tool_calls().collect();
        match message.role {
            Role::System => out.push(json!({"role": "system", "content": text})),
            Role::Assistant => out.push(self.assistant(text, &calls)),
            Role::User | Role::Tool => {
                out.extend(results.into_iter().map(|result| self.tool_result(&result)));
                if message.role == Role::User && !text.is_empty() {
                    out.push(json!({"role": "user", "content": text}));
                }
            }
        }
        Ok(())
    }

    fn assistant(&self, text: String, calls: &[&ToolCall]) -> Value {
        if calls.is_empty() {
            return json!({"role": "assistant", "content": text});
        }
        if self.template.shows_tool_calls {
            let calls: Vec<Value> = calls.iter().map(|call| self.function(call)).collect();
            let calls: Vec<Value> =
                calls.into_iter().map(|f| json!({"type": "function", "function": f})).collect();
            return json!({"role": "assistant", "content": text, "tool_calls": calls});
        }
        let spoken = calls.iter().map(|call| format!("{CALL_START}\n{}\n{CALL_END}", self.function(call)));
        let content: Vec<String> = Some(text).filter(|t| !t.is_empty()).into_iter().chain(spoken).collect();
        json!({"role": "assistant", "content": content.join("\n")})
    }

    fn function(&self, call: &ToolCall) -> Value {
        let arguments = match call.arguments_object() {
            Some(object) => Value::Object(object),
            None => Value::String(call.arguments.clone()),
        };
        let function = json!({"name": call.name, "arguments": arguments}).to_string();
        // Cleaning the text keeps it JSON: control tokens are plain characters inside strings.
        serde_json::from_str(&self.clean(&function)).unwrap_or(Value::Null)
    }

    fn tool_result(&self, content: &str) -> Value {
        if self.template.knows_tool_role {
            json!({"role": "tool", "content": content})
        } else {
            json!({"role": "user", "content": format!("<tool_response>\n{content}\n</tool_response>")})
        }
    }

    /// A caller's text with every control token's text broken by an invisible character, so that nobody can end a turn
    /// or speak for another from within a message.
    fn clean(&self, text: &str) -> String {
        const INVISIBLE: char = '\u{200B}';
        let mut clean = text.to_owned();
        for control in &self.controls.iter().filter(|c| c.len() > 1).collect::<Vec<_>>() {
            if clean.contains(control.as_str()) {
                let mut characters = control.chars();
                let first: String = characters.next().into_iter().collect();
                clean =
                    clean.replace(control.as_str(), &format!("{first}{INVISIBLE}{}", characters.as_str()));
            }
        }
        clean
    }
}

fn refuse_unsupported(request: &ModelRequest) -> Result<()> {
    match request.response_format {
        ResponseFormat::Text => Ok(()),
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. } => {
            Err(unsupported("answers held to JSON", "response_format"))
        }
    }
}

fn unsupported(what: &str, field: &str) -> Error {
    Error::new(&codes::UNSUPPORTED, format!("the local model does not take {what}")).with_field(field)
}

fn tool(tool: &ToolSpec) -> Value {
    let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
    json!({"type": "function", "function": function})
}

/// Shows the tools in the system message, for templates that do not.
fn instruct(messages: &mut Vec<Value>, tools: &Value) {
    let functions = tools.as_array().into_iter().flatten().map(|tool| format!("{}\n", tool["function"]));
    let functions: String = functions.collect();
    let text = format!(
        "You can call functions to help the user. These are the functions:\n<tools>\n{functions}</tools>\n\
         To call a function, answer with its name and its arguments as JSON, in exactly this form:\n\
         {CALL_START}\n{{\"name\": \"function_name\", \"arguments\": {{\"argument\": \"value\"}}}}\n{CALL_END}\n\
         When you have a function's result, or need none, answer the user in words."
    );
    match messages.first_mut().filter(|first| first["role"] == "system") {
        Some(first) => {
            let own = first["content"].as_str().unwrap_or_default();
            first["content"] = Value::String(format!("{own}\n\n{text}"));
        }
        None => messages.insert(0, json!({"role": "system", "content": text})),
    }
}

/// The answer's beginning that makes it a call. Where only one tool can be meant, it goes as far as the first argument
/// that must be there: small models copy the schema otherwise.
fn forced(choice: &ToolChoice, tools: &[ToolSpec]) -> String {
    let named = match (choice, tools) {
        (ToolChoice::Auto | ToolChoice::None, _) => return String::new(),
        (ToolChoice::Tool(name), _) => Some(name),
        (ToolChoice::Required, [only]) => Some(&only.name),
        (ToolChoice::Required, _) => None,
    };
    let Some(name) = named else { return format!("{CALL_START}\n{{\"name\": \"") };
    let begun = tools.iter().find(|tool| tool.name == *name).and_then(first_argument).unwrap_or_default();
    format!("{CALL_START}\n{{\"name\": {}, \"arguments\": {{{begun}", Value::String(name.clone()))
}

fn first_argument(tool: &ToolSpec) -> Option<String> {
    let key = tool.parameters.get("required")?.get(0)?;
    let kind = tool.parameters.get("properties")?.get(key.as_str()?)?.get("type")?;
    Some(format!("{key}: {}", if kind == "string" { "\"" } else { "" }))
}

#[cfg(test)]
mod tests;
