//! Reads a chat request.

use mainstay_core::Result;
use mainstay_core::message::{Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult};
use mainstay_core::model::{ModelRequest, ResponseFormat, ToolChoice};
use mainstay_core::tool::ToolSpec;
use serde_json::{Map, Value, json};

use super::DIALECT;
use crate::object::{Object, missing, wrong};
use crate::{gemini, origin, rest};

/// Most texts in `stop`.
const STOPS_MAX: usize = 16;

/// Reads a request; see [`crate::Codec::decode_request`].
pub fn decode_request(body: &[u8]) -> Result<ModelRequest> {
    let mut top = Object::parse(body)?;
    let mut rest = Map::new();
    let model = top.require_string("model")?;
    let messages = messages(&mut top, &mut rest)?;
    let tools = tools(&mut top, &mut rest)?;
    if top.count("n")?.is_some_and(|n| n > 1) {
        return Err(wrong("n", "1: this model's provider gives one answer a request"));
    }
    let bound = top.count("max_completion_tokens")?;
    let older_bound = top.count("max_tokens")?;
    top.take("stream_options");
    let request = ModelRequest {
        model,
        messages,
        tools,
        tool_choice: tool_choice(&mut top, &mut rest)?,
        parallel_tool_calls: top.boolean("parallel_tool_calls")?,
        max_tokens: bound.or(older_bound),
        max_tokens_default: None,
        temperature: top.number("temperature", 0.0, 2.0)?,
        top_p: top.number("top_p", 0.0, 1.0)?,
        stop: stop(&mut top)?,
        seed: top.integer("seed")?,
        response_format: response_format(&mut top)?,
        reasoning_effort: top.string("reasoning_effort")?,
        stream: top.boolean("stream")?.unwrap_or(false),
        rest: mainstay_core::model::Rest::default(),
    };
    top.leave(&mut rest);
    Ok(ModelRequest { rest: rest::of(DIALECT, rest), ..request })
}

fn messages(top: &mut Object, rest: &mut Map<String, Value>) -> Result<Vec<Message>> {
    if top.peek("messages").is_none() {
        return Err(missing("messages"));
    }
    let messages = top.objects("messages")?;
    if messages.is_empty() {
        return Err(wrong("messages", "a list of at least one message"));
    }
    messages.into_iter().map(|m| message(m, rest)).collect()
}

fn message(mut wire: Object, rest: &mut Map<String, Value>) -> Result<Message> {
    let role = wire.require_string("role")?;
    let (role, parts) = match role.as_str() {
        "system" | "developer" => (Role::System, content(&mut wire, rest)?),
        "user" => (Role::User, content(&mut wire, rest)?),
        "assistant" => (Role::Assistant, assistant(&mut wire, rest)?),
        "tool" | "function" => (Role::Tool, vec![tool_result(&mut wire, rest)?]),
        _ => {
            let roles = "one of `system`, `developer`, `user`, `assistant`, `tool`";
            return Err(wrong(&wire.at("role"), roles));
        }
    };
    wire.leave(rest);
    Ok(Message { role, parts })
}

fn content(wire: &mut Object, rest: &mut Map<String, Value>) -> Result<Vec<Part>> {
    match wire.peek("content") {
        None => Err(missing(&wire.at("content"))),
        Some(Value::String(_)) => Ok(vec![Part::Text(wire.require_string("content")?)]),
        Some(_) => wire.objects("content")?.into_iter().map(|p| part(p, rest)).collect(),
    }
}

fn part(mut wire: Object, rest: &mut Map<String, Value>) -> Result<Part> {
    let part = match wire.peek("type").and_then(Value::as_str) {
        Some("text") => Part::Text(wire.require_string("text")?),
        Some("refusal") => Part::Text(wire.require_string("refusal")?),
        Some("image_url") => {
            let mut image = wire.object("image_url")?.ok_or_else(|| missing(&wire.at("image_url")))?;
            let url = image.require_string("url")?;
            image.leave(rest);
            Part::Image(media(url))
        }
        Some("file") if wire.peek("file").is_some_and(|file| file["file_data"].is_string()) => {
            let mut file = wire.object("file")?.ok_or_else(|| missing(&wire.at("file")))?;
            let data = file.require_string("file_data")?;
            file.leave(rest);
            Part::Document(media(data))
        }
        Some(_) => {
            return Ok(Part::Opaque { dialect: DIALECT.0.into(), value: wire.into_fields().into() });
        }
        None => return Err(missing(&wire.at("type"))),
    };
    wire.take("type");
    wire.leave(rest);
    Ok(part)
}

/// Content where the address is a data URL, else the address.
pub(super) fn media(url: String) -> Media {
    let content = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match content {
        Some((media_type, data)) => {
            Media { media_type: media_type.to_owned(), source: MediaSource::Base64(data.to_owned()) }
        }
        None => Media { media_type: String::new(), source: MediaSource::Url(url) },
    }
}

fn assistant(wire: &mut Object, rest: &mut Map<String, Value>) -> Result<Vec<Part>> {
    let mut parts = reasoning(wire)?;
    if wire.peek("content").is_some() {
        let said = content(wire, rest)?;
        parts.extend(said.into_iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty())));
    }
    if let Some(refusal) = wire.string("refusal")? {
        parts.push(Part::Text(refusal));
    }
    for call in wire.objects("tool_calls")? {
        parts.push(tool_call(call, rest)?);
    }
    Ok(parts)
}

/// `reasoning_details`, which carry signatures, hold over `reasoning_content`, which is their readable part.
fn reasoning(wire: &mut Object) -> Result<Vec<Part>> {
    let details = wire.array("reasoning_details")?.unwrap_or_default();
    let plain = wire.string("reasoning_content")?;
    let parts: Vec<Part> = read_details(&details, |value| origin::from_caller(DIALECT, value))
        .into_iter()
        .map(Part::Reasoning)
        .collect();
    let readable = plain.filter(|text| parts.is_empty() && !text.is_empty());
    let readable = readable.map(|text| Part::Reasoning(Reasoning { text, ..Reasoning::default() }));
    Ok(parts.into_iter().chain(readable).collect())
}

/// Entries of `reasoning_details`; `mark` makes the canonical form of what the vendor wants back.
pub(super) fn read_details(details: &[Value], mark: impl Fn(&str) -> String) -> Vec<Reasoning> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let read = |entry: &Value| match entry["type"].as_str() {
        Some("reasoning.encrypted") => {
            let signature = entry["data"].as_str().map(&mark);
            signature.map(|s| Reasoning { text: String::new(), signature: Some(s), redacted: true })
        }
        Some("reasoning.text") => {
            let signature = entry["signature"].as_str().map(&mark);
            Some(Reasoning { text: text(&entry["text"]), signature, redacted: false })
        }
        Some("reasoning.summary") => {
            Some(Reasoning { text: text(&entry["summary"]), signature: None, redacted: false })
        }
        _ => None,
    };
    details.iter().filter_map(read).collect()
}

fn tool_call(mut wire: Object, rest: &mut Map<String, Value>) -> Result<Part> {
    if wire.peek("function").is_none() {
        return Ok(Part::Opaque { dialect: DIALECT.0.into(), value: wire.into_fields().into() });
    }
    let id = wire.require_string("id")?;
    let opaque = wire.take("extra_content").as_ref().and_then(call_signature);
    let mut function = wire.object("function")?.ok_or_else(|| missing(&wire.at("function")))?;
    let name = function.require_string("name")?;
    let arguments = function.string("arguments")?.unwrap_or_default();
    function.leave(rest);
    wire.take("type");
    wire.leave(rest);
    Ok(Part::ToolCall(ToolCall { id, name, arguments, opaque }))
}

/// The thought signature in the extension that Google's OpenAI-compatible endpoint documents.
pub(super) fn call_signature(extra: &Value) -> Option<String> {
    let signature = extra["google"]["thought_signature"].as_str()?;
    Some(origin::from_caller(gemini::DIALECT, signature))
}

fn tool_result(wire: &mut Object, rest: &mut Map<String, Value>) -> Result<Part> {
    let name = wire.string("name")?;
    let call_id = match (wire.string("tool_call_id")?, &name) {
        (Some(id), _) => id,
        // The role `function` of old answered by the function's name.
        (None, Some(name)) => name.clone(),
        (None, None) => return Err(missing(&wire.at("tool_call_id"))),
    };
    let path = wire.at("content");
    let mut said = String::new();
    for (place, part) in content(wire, rest)?.into_iter().enumerate() {
        match part {
            Part::Text(text) => said.push_str(&text),
            _ => return Err(wrong(&format!("{path}.{place}"), "text: tools answer in text")),
        }
    }
    Ok(Part::ToolResult(ToolResult { call_id, name, content: said, is_error: false }))
}

/// Function tools; tools of other types stay in `rest` for a provider of this dialect.
fn tools(top: &mut Object, rest: &mut Map<String, Value>) -> Result<Vec<ToolSpec>> {
    let (mut tools, mut others) = (Vec::new(), Vec::new());
    for mut tool in top.objects("tools")? {
        if tool.peek("type").and_then(Value::as_str) != Some("function") {
            others.push(Value::Object(tool.into_fields()));
            continue;
        }
        let mut function = tool.object("function")?.ok_or_else(|| missing(&tool.at("function")))?;
        tools.push(ToolSpec {
            name: function.require_string("name")?,
            description: function.string("description")?.unwrap_or_default(),
            parameters: function.take("parameters").unwrap_or_else(no_parameters),
            strict: function.boolean("strict")?,
        });
        function.leave(rest);
    }
    if !others.is_empty() {
        rest.insert("tools".to_owned(), others.into());
    }
    Ok(tools)
}

fn no_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}

fn tool_choice(top: &mut Object, rest: &mut Map<String, Value>) -> Result<ToolChoice> {
    let wanted = "`auto`, `none`, `required` or a function";
    match top.take("tool_choice") {
        None => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(wrong("tool_choice", wanted)),
        },
        Some(value) => match value["function"]["name"].as_str() {
            Some(name) => Ok(ToolChoice::Tool(name.to_owned())),
            None if value["type"].is_string() => {
                rest.insert("tool_choice".to_owned(), value);
                Ok(ToolChoice::Auto)
            }
            None => Err(wrong("tool_choice", wanted)),
        },
    }
}

fn stop(top: &mut Object) -> Result<Vec<String>> {
    let stops = match top.peek("stop") {
        Some(Value::String(_)) => vec![top.require_string("stop")?],
        _ => top.strings("stop")?,
    };
    if stops.len() > STOPS_MAX {
        return Err(wrong("stop", &format!("a list of at most {STOPS_MAX} texts")));
    }
    Ok(stops)
}

fn response_format(top: &mut Object) -> Result<ResponseFormat> {
    let Some(mut format) = top.object("response_format")? else { return Ok(ResponseFormat::Text) };
    match format.require_string("type")?.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => {
            let path = format.at("json_schema");
            let mut schema = format.object("json_schema")?.ok_or_else(|| missing(&path))?;
            Ok(ResponseFormat::JsonSchema {
                name: schema.require_string("name")?,
                schema: schema.require("schema")?,
                strict: schema.boolean("strict")?.unwrap_or(false),
            })
        }
        _ => Err(wrong("response_format.type", "one of `text`, `json_object`, `json_schema`")),
    }
}
