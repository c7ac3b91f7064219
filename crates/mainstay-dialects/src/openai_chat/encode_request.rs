//! Writes a chat request.

use std::collections::HashMap;

use bytes::Bytes;
use mainstay_core::message::{Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult};
use mainstay_core::model::{ModelRequest, ResponseFormat, ToolChoice};
use mainstay_core::tool::ToolSpec;
use serde_json::{Map, Value, json};

use super::DIALECT;
use crate::codec::{EncodeOptions, Encoded, Hints};
use crate::{gemini, origin, rest, turns};

/// Writes a request; see [`crate::Codec::encode_request`].
pub fn encode_request(request: &ModelRequest, options: &EncodeOptions) -> Encoded {
    let mut dropped = Vec::new();
    let mut out = Map::new();
    out.insert("model".to_owned(), request.model.clone().into());
    let mut messages = Vec::new();
    let answers = last_answers(&request.messages);
    for (place, message) in request.messages.iter().enumerate() {
        Writer { place, options, dropped: &mut dropped, out: &mut messages }.message(message);
        if place + 1 < request.messages.len() {
            messages.extend(unanswered(message, place, &answers).map(no_answer));
        }
    }
    out.insert("messages".to_owned(), messages.into());
    tools(request, &mut out);
    settings(request, options, &mut out);
    if request.stream {
        out.insert("stream".to_owned(), true.into());
        out.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    rest::carry(&request.rest, DIALECT, &mut out, &mut dropped);
    let body = serde_json::to_vec(&out).expect("a JSON value is always JSON");
    Encoded { body: Bytes::from(body), dropped, hints: Hints::default() }
}

/// The last message that answers a call, by the call's id.
fn last_answers(messages: &[Message]) -> HashMap<&str, usize> {
    let mut last = HashMap::new();
    for (place, message) in messages.iter().enumerate() {
        for part in &message.parts {
            if let Part::ToolResult(result) = part {
                last.insert(result.call_id.as_str(), place);
            }
        }
    }
    last
}

/// Calls of a message that no later one answers although the conversation goes on (a run that was cut): the service
/// refuses those.
fn unanswered<'a>(
    message: &'a Message,
    place: usize,
    answers: &HashMap<&str, usize>,
) -> impl Iterator<Item = &'a ToolCall> {
    message.tool_calls().filter(move |call| answers.get(call.id.as_str()).is_none_or(|last| *last <= place))
}

fn no_answer(call: &ToolCall) -> Value {
    json!({"role": "tool", "tool_call_id": call.id, "content": turns::NO_ANSWER})
}

fn tools(request: &ModelRequest, out: &mut Map<String, Value>) {
    if !request.tools.is_empty() {
        out.insert("tools".to_owned(), request.tools.iter().map(tool).collect());
    }
    let choice = match &request.tool_choice {
        ToolChoice::Auto => return parallel(request, out),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    };
    if !request.tools.is_empty() {
        out.insert("tool_choice".to_owned(), choice);
    }
    parallel(request, out);
}

/// Refused by the service where there are no tools.
fn parallel(request: &ModelRequest, out: &mut Map<String, Value>) {
    if let Some(parallel) = request.parallel_tool_calls.filter(|_| !request.tools.is_empty()) {
        out.insert("parallel_tool_calls".to_owned(), parallel.into());
    }
}

fn tool(tool: &ToolSpec) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.name.clone().into());
    if !tool.description.is_empty() {
        function.insert("description".to_owned(), tool.description.clone().into());
    }
    function.insert("parameters".to_owned(), tool.parameters.clone());
    if let Some(strict) = tool.strict {
        function.insert("strict".to_owned(), strict.into());
    }
    json!({"type": "function", "function": function})
}

fn settings(request: &ModelRequest, options: &EncodeOptions, out: &mut Map<String, Value>) {
    let bound = if options.legacy_max_tokens { "max_tokens" } else { "max_completion_tokens" };
    let stop = (!request.stop.is_empty()).then(|| json!(request.stop));
    let fields = [
        (bound, request.max_tokens.map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("stop", stop),
        ("seed", request.seed.map(Value::from)),
        ("response_format", response_format(&request.response_format)),
        ("reasoning_effort", request.reasoning_effort.clone().map(Value::from)),
    ];
    out.extend(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
}

fn response_format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
        ResponseFormat::JsonSchema { name, schema, strict } => Some(json!({
            "type": "json_schema",
            "json_schema": {"name": name, "schema": schema, "strict": strict},
        })),
    }
}

/// Writes one canonical message, which may become several.
struct Writer<'a> {
    place: usize,
    options: &'a EncodeOptions,
    dropped: &'a mut Vec<String>,
    out: &'a mut Vec<Value>,
}

impl Writer<'_> {
    fn message(&mut self, message: &Message) {
        match message.role {
            Role::System => self.out.push(json!({"role": "system", "content": instructions(message)})),
            Role::Assistant => self.assistant(message),
            Role::User | Role::Tool => self.caller(message),
        }
    }

    /// Results first, each a message of its own; what else is said is a user's message.
    fn caller(&mut self, message: &Message) {
        let mut parts = Vec::new();
        for part in &message.parts {
            match part {
                Part::ToolResult(ToolResult { call_id, content, .. }) => {
                    self.out.push(json!({"role": "tool", "tool_call_id": call_id, "content": content}));
                }
                part => parts.extend(self.part(part)),
            }
        }
        match parts.as_slice() {
            [] => {}
            [only] if only["type"] == "text" => {
                self.out.push(json!({"role": "user", "content": only["text"]}));
            }
            _ => self.out.push(json!({"role": "user", "content": parts})),
        }
    }

    fn part(&mut self, part: &Part) -> Option<Value> {
        match part {
            Part::Text(text) => Some(json!({"type": "text", "text": text})),
            Part::Image(media) => Some(json!({"type": "image_url", "image_url": {"url": url(media)}})),
            Part::Document(media @ Media { source: MediaSource::Base64(_), .. }) => {
                Some(json!({"type": "file", "file": {"filename": "document", "file_data": url(media)}}))
            }
            Part::Document(_) => self.drop_part("document"),
            Part::Opaque { dialect, value } if *dialect == DIALECT.0 => Some(value.clone()),
            Part::Opaque { value, .. } => self.drop_part(value["type"].as_str().unwrap_or("part")),
            Part::ToolCall(_) | Part::ToolResult(_) | Part::Reasoning(_) => None,
        }
    }

    fn drop_part(&mut self, kind: &str) -> Option<Value> {
        self.dropped.push(format!("messages.{}.{kind}", self.place));
        None
    }

    fn assistant(&mut self, message: &Message) {
        let text = message.joined_text();
        let mut calls: Vec<Value> = message.tool_calls().map(|call| self.call(call)).collect();
        for part in &message.parts {
            if let Part::Opaque { dialect, value } = part {
                if *dialect == DIALECT.0 && value.get("id").is_some() {
                    calls.push(value.clone());
                } else {
                    self.drop_part(value["type"].as_str().unwrap_or("part"));
                }
            }
        }
        let mut out = Map::new();
        out.insert("role".to_owned(), "assistant".into());
        let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
        out.insert("content".to_owned(), content);
        if self.options.send_reasoning {
            let own = |marked: &str| origin::to_provider(DIALECT, marked).map(str::to_owned);
            write_reasoning(message, own, &mut out);
        }
        if !calls.is_empty() {
            out.insert("tool_calls".to_owned(), calls.into());
        }
        self.out.push(out.into());
    }

    fn call(&self, call: &ToolCall) -> Value {
        let mut out = tool_call(call);
        let signature = call.opaque.as_deref().and_then(|o| origin::to_provider(gemini::DIALECT, o));
        if let Some(signature) = signature.filter(|_| self.options.send_reasoning) {
            out["extra_content"] = json!({"google": {"thought_signature": signature}});
        }
        out
    }
}

/// Instructions as one text, which every compatible server takes; their parts are paragraphs.
fn instructions(message: &Message) -> String {
    let texts = message
        .parts
        .iter()
        .filter_map(|p| if let Part::Text(text) = p { Some(text.as_str()) } else { None });
    texts.collect::<Vec<_>>().join("\n")
}

/// A call without extensions. No arguments are `{}`: the service wants JSON.
pub(super) fn tool_call(call: &ToolCall) -> Value {
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

/// Adds `reasoning_content` (readable) and, where there is something to send back, `reasoning_details`. `own` gives
/// the value to send back, or nothing when it is not for this reader.
pub(super) fn write_reasoning(
    message: &Message,
    own: impl Fn(&str) -> Option<String>,
    out: &mut Map<String, Value>,
) {
    let stretches =
        message.parts.iter().filter_map(|p| if let Part::Reasoning(r) = p { Some(r) } else { None });
    let stretches: Vec<&Reasoning> = stretches.collect();
    let readable: String = stretches.iter().map(|r| r.text.as_str()).collect();
    if !readable.is_empty() {
        out.insert("reasoning_content".to_owned(), readable.into());
    }
    let details: Vec<Value> = stretches
        .iter()
        .enumerate()
        .filter_map(|(i, r)| Some(detail(r, i, &own(r.signature.as_deref()?)?)))
        .collect();
    if !details.is_empty() {
        out.insert("reasoning_details".to_owned(), details.into());
    }
}

/// An entry of `reasoning_details`.
pub(super) fn detail(stretch: &Reasoning, index: usize, value: &str) -> Value {
    if stretch.redacted {
        json!({"type": "reasoning.encrypted", "data": value, "index": index})
    } else {
        json!({"type": "reasoning.text", "text": stretch.text, "signature": value, "index": index})
    }
}

fn url(media: &Media) -> String {
    match &media.source {
        MediaSource::Url(url) => url.clone(),
        MediaSource::Base64(data) => {
            let kind =
                if media.media_type.is_empty() { "application/octet-stream" } else { &media.media_type };
            format!("data:{kind};base64,{data}")
        }
    }
}
