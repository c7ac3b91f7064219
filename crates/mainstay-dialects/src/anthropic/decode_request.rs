//! Reads a messages request.

use mainstay_core::Result;
use mainstay_core::message::{Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult};
use mainstay_core::model::{ModelRequest, ResponseFormat, Rest, ToolChoice};
use mainstay_core::tool::ToolSpec;
use serde_json::{Map, Value};

use super::{DIALECT, RAW_ARGUMENTS};
use crate::object::{Object, missing, wrong};
use crate::{origin, rest};

/// Name given to a schema, for dialects that want one.
const SCHEMA_NAME: &str = "answer";

/// Reads a request; see [`crate::Codec::decode_request`].
pub fn decode_request(body: &[u8]) -> Result<ModelRequest> {
    let mut top = Object::parse(body)?;
    let mut rest = Map::new();
    let model = top.require_string("model")?;
    let max_tokens = top.count("max_tokens")?.ok_or_else(|| missing("max_tokens"))?;
    let mut messages = Vec::from_iter(system(&mut top, &mut rest)?);
    if top.peek("messages").is_none() {
        return Err(missing("messages"));
    }
    for wire in top.objects("messages")? {
        message(wire, &mut messages, &mut rest)?;
    }
    let tools = tools(&mut top, &mut rest)?;
    let (tool_choice, parallel_tool_calls) = tool_choice(&mut top)?;
    let (effort, response_format) = output_config(&mut top, &mut rest)?;
    let request = ModelRequest {
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        max_tokens: Some(max_tokens),
        max_tokens_default: None,
        temperature: top.number("temperature", 0.0, 1.0)?,
        top_p: top.number("top_p", 0.0, 1.0)?,
        stop: top.strings("stop_sequences")?,
        seed: None,
        response_format,
        reasoning_effort: effort.or(thinking(&mut top)?),
        stream: top.boolean("stream")?.unwrap_or(false),
        rest: Rest::default(),
    };
    top.leave(&mut rest);
    Ok(ModelRequest { rest: rest::of(DIALECT, rest), ..request })
}

fn system(top: &mut Object, rest: &mut Map<String, Value>) -> Result<Option<Message>> {
    let parts = match top.peek("system") {
        None => return Ok(None),
        Some(Value::String(_)) => vec![Part::Text(top.require_string("system")?)],
        Some(_) => top.objects("system")?.into_iter().map(|b| text_block(b, rest)).collect::<Result<_>>()?,
    };
    Ok(Some(Message { role: Role::System, parts }))
}

fn text_block(mut wire: Object, rest: &mut Map<String, Value>) -> Result<Part> {
    let text = wire.require_string("text")?;
    wire.take("type");
    wire.leave(rest);
    Ok(Part::Text(text))
}

/// One wire message: results of tools, which stand in a user's turn, become a message of their own.
fn message(mut wire: Object, out: &mut Vec<Message>, rest: &mut Map<String, Value>) -> Result<()> {
    let role = match wire.require_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(wrong(&wire.at("role"), "`user` or `assistant`")),
    };
    let parts = content(&mut wire, rest)?;
    wire.leave(rest);
    let (results, others): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|p| matches!(p, Part::ToolResult(_)));
    let only_results = !results.is_empty() && others.is_empty();
    if !results.is_empty() {
        out.push(Message { role: Role::Tool, parts: results });
    }
    if !only_results {
        out.push(Message { role, parts: others });
    }
    Ok(())
}

fn content(wire: &mut Object, rest: &mut Map<String, Value>) -> Result<Vec<Part>> {
    match wire.peek("content") {
        None => return Err(missing(&wire.at("content"))),
        Some(Value::String(_)) => return Ok(vec![Part::Text(wire.require_string("content")?)]),
        Some(_) => {}
    }
    let (mut parts, mut carried) = (Vec::new(), None);
    for mut block in wire.objects("content")? {
        let data = block.peek("data").and_then(Value::as_str).and_then(origin::from_carrier);
        if let Some(opaque) = data.map(str::to_owned) {
            carried = Some(opaque);
            continue;
        }
        let opaque = carried.take();
        let part = match block.peek("type").and_then(Value::as_str) {
            Some("tool_use") => tool_use(&mut block, opaque)?,
            Some(_) => self::block(&mut block, rest)?,
            None => return Err(missing(&block.at("type"))),
        };
        if !matches!(part, Part::Opaque { .. }) {
            block.take("type");
            block.leave(rest);
        }
        parts.push(part);
    }
    Ok(parts)
}

fn block(wire: &mut Object, rest: &mut Map<String, Value>) -> Result<Part> {
    let kind = wire.peek("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "text" => Ok(Part::Text(wire.require_string("text")?)),
        "thinking" => {
            let signature = wire.string("signature")?.filter(|s| !s.is_empty() && s != origin::UNSIGNED);
            let signature = signature.map(|s| origin::from_caller(DIALECT, &s));
            Ok(Part::Reasoning(Reasoning {
                text: wire.require_string("thinking")?,
                signature,
                redacted: false,
            }))
        }
        "redacted_thinking" => {
            let data = origin::from_caller(DIALECT, &wire.require_string("data")?);
            Ok(Part::Reasoning(Reasoning { text: String::new(), signature: Some(data), redacted: true }))
        }
        "tool_result" => tool_result(wire, rest),
        "image" | "document" => {
            let source = wire.peek("source");
            let plain =
                source.filter(|source| source["type"] == "text").and_then(|source| source["data"].as_str());
            if let Some(text) = plain.map(str::to_owned) {
                wire.take("source");
                return Ok(Part::Text(text));
            }
            match source.and_then(media) {
                Some(media) => {
                    wire.take("source");
                    Ok(if kind == "image" { Part::Image(media) } else { Part::Document(media) })
                }
                None => Ok(opaque(wire)),
            }
        }
        _ => Ok(opaque(wire)),
    }
}

/// A block this version does not translate, kept whole.
fn opaque(wire: &mut Object) -> Part {
    Part::Opaque { dialect: DIALECT.0.to_owned(), value: Value::Object(wire.clone_fields()) }
}

fn media(source: &Value) -> Option<Media> {
    let text = |key: &str| source[key].as_str().map(str::to_owned);
    match source["type"].as_str()? {
        "base64" => {
            Some(Media { media_type: text("media_type")?, source: MediaSource::Base64(text("data")?) })
        }
        "url" => Some(Media { media_type: String::new(), source: MediaSource::Url(text("url")?) }),
        _ => None,
    }
}

fn tool_use(wire: &mut Object, opaque: Option<String>) -> Result<Part> {
    let input = wire.object("input")?.map(Object::into_fields).unwrap_or_default();
    let raw = input.get(RAW_ARGUMENTS).and_then(Value::as_str).filter(|_| input.len() == 1);
    let arguments = raw.map_or_else(|| Value::Object(input.clone()).to_string(), str::to_owned);
    let (id, name) = (wire.require_string("id")?, wire.require_string("name")?);
    Ok(Part::ToolCall(ToolCall { id, name, arguments, opaque }))
}

fn tool_result(wire: &mut Object, rest: &mut Map<String, Value>) -> Result<Part> {
    let call_id = wire.require_string("tool_use_id")?;
    let is_error = wire.boolean("is_error")?.unwrap_or(false);
    let content = match wire.peek("content") {
        None => String::new(),
        Some(Value::String(_)) => wire.require_string("content")?,
        Some(_) => {
            let mut texts = Vec::new();
            for mut block in wire.objects("content")? {
                texts.extend(block.string("text")?);
                if block.peek("type").and_then(Value::as_str) == Some("text") {
                    block.take("type");
                }
                block.leave(rest);
            }
            texts.join("\n")
        }
    };
    Ok(Part::ToolResult(ToolResult { call_id, name: None, content, is_error }))
}

/// Tools with a schema of the caller's; the vendor's own tools stay in `rest` for a provider of this dialect.
fn tools(top: &mut Object, rest: &mut Map<String, Value>) -> Result<Vec<ToolSpec>> {
    let (mut tools, mut others) = (Vec::new(), Vec::new());
    for mut tool in top.objects("tools")? {
        if !matches!(tool.peek("type").and_then(Value::as_str), None | Some("custom")) {
            others.push(Value::Object(tool.into_fields()));
            continue;
        }
        tools.push(ToolSpec {
            name: tool.require_string("name")?,
            description: tool.string("description")?.unwrap_or_default(),
            parameters: tool.require("input_schema")?,
            strict: tool.boolean("strict")?,
        });
        tool.take("type");
        tool.leave(rest);
    }
    if !others.is_empty() {
        rest.insert("tools".to_owned(), others.into());
    }
    Ok(tools)
}

fn tool_choice(top: &mut Object) -> Result<(ToolChoice, Option<bool>)> {
    let Some(mut wire) = top.object("tool_choice")? else { return Ok((ToolChoice::Auto, None)) };
    let choice = match wire.require_string("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(wire.require_string("name")?),
        _ => return Err(wrong("tool_choice.type", "one of `auto`, `any`, `tool`, `none`")),
    };
    Ok((choice, wire.boolean("disable_parallel_tool_use")?.map(|disabled| !disabled)))
}

fn output_config(
    top: &mut Object,
    rest: &mut Map<String, Value>,
) -> Result<(Option<String>, ResponseFormat)> {
    let Some(mut config) = top.object("output_config")? else { return Ok((None, ResponseFormat::Text)) };
    let effort = config.string("effort")?;
    let mut response_format = ResponseFormat::Text;
    if let Some(mut format) = config.object("format")? {
        if format.require_string("type")? != "json_schema" {
            return Err(wrong("output_config.format.type", "`json_schema`"));
        }
        let (name, schema) = (SCHEMA_NAME.to_owned(), format.require("schema")?);
        response_format = ResponseFormat::JsonSchema { name, schema, strict: true };
    }
    let others = config.into_fields();
    if !others.is_empty() {
        rest.insert("output_config".to_owned(), others.into());
    }
    Ok((effort, response_format))
}

/// A budget of thinking, in the field's words.
fn thinking(top: &mut Object) -> Result<Option<String>> {
    let Some(mut wire) = top.object("thinking")? else { return Ok(None) };
    let effort = match wire.require_string("type")?.as_str() {
        "disabled" => "none",
        "adaptive" => "high",
        "enabled" => match wire.count("budget_tokens")?.ok_or_else(|| missing("thinking.budget_tokens"))? {
            0..=4095 => "low",
            4096..=12_287 => "medium",
            _ => "high",
        },
        _ => return Err(wrong("thinking.type", "one of `enabled`, `adaptive`, `disabled`")),
    };
    Ok(Some(effort.to_owned()))
}
