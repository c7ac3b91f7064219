//! Reads a generate request. Model and streaming are in the path: the front sets them.

use std::collections::{HashMap, VecDeque};

use mainstay_core::Result;
use mainstay_core::message::{Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult};
use mainstay_core::model::{ModelRequest, ResponseFormat, Rest, ToolChoice};
use mainstay_core::tool::ToolSpec;
use serde_json::{Map, Value, json};

use super::{DIALECT, MADE_UP_ID};
use crate::object::{Object, missing, wrong};
use crate::{ids, origin, rest};

/// Name given to a schema, for dialects that want one.
const SCHEMA_NAME: &str = "answer";

/// Fields whose value is the caller's own: its keys stay as they are.
const CALLERS_OWN: &[&str] = &[
    "args",
    "response",
    "parameters",
    "parametersJsonSchema",
    "responseSchema",
    "responseJsonSchema",
    "labels",
];

/// Deepest body, in containers; the limit of `serde_json`.
const DEPTH_MAX: u32 = 128;

/// Reads a request; see [`crate::Codec::decode_request`].
pub fn decode_request(body: &[u8]) -> Result<ModelRequest> {
    let fields = Object::parse(body)?.into_fields();
    let mut top = Object::of(camel(Value::Object(fields), 0), String::new())?;
    let mut rest = Map::new();
    let mut messages = Vec::from_iter(system(&mut top, &mut rest)?);
    if top.peek("contents").is_none() {
        return Err(missing("contents"));
    }
    let mut calls = OpenCalls::default();
    for content in top.objects("contents")? {
        message(content, &mut calls, &mut messages, &mut rest)?;
    }
    let tools = tools(&mut top, &mut rest)?;
    let tool_choice = tool_choice(&mut top)?;
    let model = top.string("model")?.unwrap_or_default();
    let request = ModelRequest {
        model: model.trim_start_matches("models/").to_owned(),
        messages,
        tools,
        tool_choice,
        ..settings(&mut top, &mut rest)?
    };
    top.leave(&mut rest);
    Ok(ModelRequest { rest: rest::of(DIALECT, rest), ..request })
}

/// Both spellings of protobuf's JSON form are accepted by the service; we read one.
fn camel(value: Value, depth: u32) -> Value {
    match value {
        Value::Object(fields) if depth < DEPTH_MAX => {
            let one = |(key, value): (String, Value)| {
                let key = camel_key(key);
                let value = if CALLERS_OWN.contains(&key.as_str()) { value } else { camel(value, depth + 1) };
                (key, value)
            };
            fields.into_iter().map(one).collect()
        }
        Value::Array(items) if depth < DEPTH_MAX => {
            items.into_iter().map(|item| camel(item, depth + 1)).collect()
        }
        value => value,
    }
}

fn camel_key(key: String) -> String {
    if !key.contains('_') {
        return key;
    }
    let mut words = key.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

fn system(top: &mut Object, rest: &mut Map<String, Value>) -> Result<Option<Message>> {
    let parts = match top.peek("systemInstruction") {
        None => return Ok(None),
        Some(Value::String(_)) => vec![Part::Text(top.require_string("systemInstruction")?)],
        Some(_) => {
            let mut content = top.object("systemInstruction")?.ok_or_else(|| missing("systemInstruction"))?;
            let mut parts = Vec::new();
            for mut part in content.objects("parts")? {
                parts.push(Part::Text(part.require_string("text")?));
                part.leave(rest);
            }
            parts
        }
    };
    Ok(Some(Message { role: Role::System, parts }))
}

/// Calls that wait for their answers: both sides may lack ids, then order and name decide.
#[derive(Default)]
struct OpenCalls {
    made: u32,
    /// The ids of those that wait, by their number.
    waiting: HashMap<u32, String>,
    /// Numbers by id and by name, oldest first; those of answered calls are passed over.
    by_id: HashMap<String, VecDeque<u32>>,
    by_name: HashMap<String, VecDeque<u32>>,
}

impl OpenCalls {
    fn call(&mut self, id: Option<String>, name: &str) -> String {
        let number = self.made;
        let id = id.unwrap_or_else(|| ids::made_up(MADE_UP_ID, &["request", &number.to_string(), name]));
        self.made += 1;
        self.waiting.insert(number, id.clone());
        self.by_id.entry(id.clone()).or_default().push_back(number);
        self.by_name.entry(name.to_owned()).or_default().push_back(number);
        id
    }

    fn answer(&mut self, id: Option<String>, name: &str) -> String {
        let fitting = match &id {
            Some(id) => self.by_id.get_mut(id),
            None => self.by_name.get_mut(name),
        };
        let mut numbers = fitting.into_iter().flat_map(|queue| std::iter::from_fn(|| queue.pop_front()));
        let found = numbers.find_map(|number| self.waiting.remove(&number));
        found.or(id).unwrap_or_else(|| name.to_owned())
    }
}

fn message(
    mut wire: Object,
    calls: &mut OpenCalls,
    out: &mut Vec<Message>,
    rest: &mut Map<String, Value>,
) -> Result<()> {
    let role = match wire.string("role")?.as_deref() {
        Some("user" | "function") | None => Role::User,
        Some("model") => Role::Assistant,
        Some(_) => return Err(wrong(&wire.at("role"), "`user` or `model`")),
    };
    let (mut results, mut others) = (Vec::new(), Vec::new());
    for part in wire.objects("parts")? {
        for part in self::part(part, calls, rest)? {
            let side = if matches!(part, Part::ToolResult(_)) { &mut results } else { &mut others };
            side.push(part);
        }
    }
    wire.leave(rest);
    let only_results = !results.is_empty() && others.is_empty();
    if !results.is_empty() {
        out.push(Message { role: Role::Tool, parts: results });
    }
    if !only_results {
        out.push(Message { role, parts: others });
    }
    Ok(())
}

/// One wire part; a text with a signature gives two.
fn part(mut wire: Object, calls: &mut OpenCalls, rest: &mut Map<String, Value>) -> Result<Vec<Part>> {
    let signature = wire.string("thoughtSignature")?.filter(|s| !s.is_empty());
    let signature = signature.map(|s| origin::from_base64_caller(DIALECT, &s));
    let redacted = signature.as_ref().is_some_and(|(_, redacted)| *redacted);
    let signature = signature.map(|(marked, _)| marked);
    let thought = wire.boolean("thought")?.unwrap_or(false);
    let part = if let Some(text) = wire.string("text")? {
        wire.leave(rest);
        return Ok(texts(text, thought, Reasoning { signature, redacted, ..Reasoning::default() }));
    } else if let Some(mut call) = wire.object("functionCall")? {
        let name = call.require_string("name")?;
        let id = calls.call(call.string("id")?.filter(|id| !id.is_empty()), &name);
        let arguments = call.take("args").map_or_else(|| "{}".to_owned(), |args| args.to_string());
        Part::ToolCall(ToolCall { id, name, arguments, opaque: signature })
    } else if let Some(mut answer) = wire.object("functionResponse")? {
        let name = answer.require_string("name")?;
        let call_id = calls.answer(answer.string("id")?.filter(|id| !id.is_empty()), &name);
        let (content, is_error) = said(answer.take("response").unwrap_or_else(|| json!({})));
        answer.leave(rest);
        Part::ToolResult(ToolResult { call_id, name: Some(name), content, is_error })
    } else if let Some(mut blob) = wire.object("inlineData")? {
        media(blob.require_string("mimeType")?, MediaSource::Base64(blob.require_string("data")?))
    } else if let Some(mut file) = wire.object("fileData")? {
        let media_type = file.string("mimeType")?.unwrap_or_default();
        media(media_type, MediaSource::Url(file.require_string("fileUri")?))
    } else {
        Part::Opaque { dialect: DIALECT.0.to_owned(), value: Value::Object(wire.into_fields()) }
    };
    Ok(vec![part])
}

/// A thought, or a text; a text's signature stands after it.
fn texts(text: String, thought: bool, mark: Reasoning) -> Vec<Part> {
    if thought {
        return vec![Part::Reasoning(Reasoning { text, ..mark })];
    }
    let is_marked = mark.signature.is_some();
    let text = (!is_marked || !text.is_empty()).then_some(Part::Text(text));
    text.into_iter().chain(is_marked.then_some(Part::Reasoning(mark))).collect()
}

fn media(media_type: String, source: MediaSource) -> Part {
    let is_image = media_type.starts_with("image/");
    let media = Media { media_type, source };
    if is_image { Part::Image(media) } else { Part::Document(media) }
}

/// What a function said: its text where the object is but a wrapper, else the object as JSON.
fn said(response: Value) -> (String, bool) {
    if let Some(fields) = response.as_object().filter(|fields| fields.len() == 1) {
        for (key, is_error) in [("result", false), ("output", false), ("error", true)] {
            if let Some(text) = fields.get(key).and_then(Value::as_str) {
                return (text.to_owned(), is_error);
            }
        }
    }
    (response.to_string(), false)
}

/// Declared functions; the vendor's own tools stay in `rest` for a provider of this dialect.
fn tools(top: &mut Object, rest: &mut Map<String, Value>) -> Result<Vec<ToolSpec>> {
    let (mut tools, mut others) = (Vec::new(), Vec::new());
    for mut tool in top.objects("tools")? {
        for mut function in tool.objects("functionDeclarations")? {
            let schema =
                function.take("parametersJsonSchema").or(function.take("parameters").map(lower_types));
            tools.push(ToolSpec {
                name: function.require_string("name")?,
                description: function.string("description")?.unwrap_or_default(),
                parameters: schema.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
                strict: None,
            });
            function.leave(rest);
        }
        let native = tool.into_fields();
        if !native.is_empty() {
            others.push(Value::Object(native));
        }
    }
    if !others.is_empty() {
        rest.insert("tools".to_owned(), others.into());
    }
    Ok(tools)
}

/// The dialect writes schema types in capitals (`STRING`); JSON Schema does not.
fn lower_types(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let one = |(key, value): (String, Value)| match value {
                Value::String(kind) if key == "type" => (key, Value::String(kind.to_ascii_lowercase())),
                value => (key, lower_types(value)),
            };
            fields.into_iter().map(one).collect()
        }
        Value::Array(items) => items.into_iter().map(lower_types).collect(),
        value => value,
    }
}

fn tool_choice(top: &mut Object) -> Result<ToolChoice> {
    let Some(mut config) = top.object("toolConfig")? else { return Ok(ToolChoice::Auto) };
    let Some(mut calling) = config.object("functionCallingConfig")? else { return Ok(ToolChoice::Auto) };
    let mut allowed = calling.strings("allowedFunctionNames")?;
    match calling.string("mode")?.as_deref() {
        None | Some("AUTO" | "VALIDATED" | "MODE_UNSPECIFIED") => Ok(ToolChoice::Auto),
        Some("NONE") => Ok(ToolChoice::None),
        Some("ANY") if allowed.len() == 1 => Ok(ToolChoice::Tool(allowed.remove(0))),
        Some("ANY") => Ok(ToolChoice::Required),
        Some(_) => {
            Err(wrong("toolConfig.functionCallingConfig.mode", "one of `AUTO`, `ANY`, `NONE`, `VALIDATED`"))
        }
    }
}

/// `generationConfig`; what has no canonical form keeps its place in it.
fn settings(top: &mut Object, rest: &mut Map<String, Value>) -> Result<ModelRequest> {
    let Some(mut config) = top.object("generationConfig")? else { return Ok(ModelRequest::default()) };
    if config.count("candidateCount")?.is_some_and(|n| n > 1) {
        let only = "1: this model's provider gives one answer a request";
        return Err(wrong("generationConfig.candidateCount", only));
    }
    let request = ModelRequest {
        max_tokens: config.count("maxOutputTokens")?,
        temperature: config.number("temperature", 0.0, 2.0)?,
        top_p: config.number("topP", 0.0, 1.0)?,
        stop: config.strings("stopSequences")?,
        seed: config.integer("seed")?,
        response_format: response_format(&mut config)?,
        reasoning_effort: effort(&mut config)?,
        rest: Rest::default(),
        ..ModelRequest::default()
    };
    let others = config.into_fields();
    if !others.is_empty() {
        rest.insert("generationConfig".to_owned(), others.into());
    }
    Ok(request)
}

fn response_format(config: &mut Object) -> Result<ResponseFormat> {
    let media_type = config.string("responseMimeType")?;
    let own = config.take("responseSchema").map(lower_types);
    let schema = config.take("responseJsonSchema").or(own);
    match (media_type.as_deref(), schema) {
        (Some("application/json"), Some(schema)) => {
            Ok(ResponseFormat::JsonSchema { name: SCHEMA_NAME.to_owned(), schema, strict: true })
        }
        (Some("application/json"), None) => Ok(ResponseFormat::JsonObject),
        (None | Some("text/plain"), None) => Ok(ResponseFormat::Text),
        _ => Err(wrong("generationConfig.responseMimeType", "`application/json` or `text/plain`")),
    }
}

/// A level or a budget of thinking, in the field's words.
fn effort(config: &mut Object) -> Result<Option<String>> {
    let Some(mut thinking) = config.object("thinkingConfig")? else { return Ok(None) };
    if let Some(level) = thinking.string("thinkingLevel")? {
        return Ok(Some(level.to_ascii_lowercase()));
    }
    let effort = match thinking.integer("thinkingBudget")? {
        None | Some(i64::MIN..=-1) => return Ok(None),
        Some(0) => "none",
        Some(1..=4095) => "low",
        Some(4096..=16_383) => "medium",
        Some(_) => "high",
    };
    Ok(Some(effort.to_owned()))
}
