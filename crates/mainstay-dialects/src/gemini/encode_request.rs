//! Writes a generate request. The provider puts model and streaming into the path.

use std::collections::HashMap;

use bytes::Bytes;
use mainstay_core::message::{Media, MediaSource, Message, Part, Reasoning, ToolCall, ToolResult};
use mainstay_core::model::{ModelRequest, ResponseFormat, ToolChoice};
use serde_json::{Map, Value, json};

use super::generation::Generation;
use super::parts::{args, call};
use super::{DIALECT, MADE_UP_ID};
use crate::codec::{EncodeOptions, Encoded, Hints};
use crate::turns::{Turn, turns};
use crate::{origin, rest, schema};

/// What the service documents for calls that another model made and that therefore have no signature.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a request; see [`crate::Codec::encode_request`].
pub fn encode_request(request: &ModelRequest, _options: &EncodeOptions) -> Encoded {
    let names = names(&request.messages);
    let mut writer =
        Writer { request, names, generation: Generation::of(&request.model), dropped: Vec::new() };
    let mut out = Map::new();
    let conversation = turns(&request.messages);
    if !conversation.system.is_empty() {
        let parts: Vec<Value> = conversation.system.iter().map(|text| json!({"text": text})).collect();
        out.insert("systemInstruction".to_owned(), json!({"parts": parts}));
    }
    let contents: Vec<Value> = conversation.turns.iter().filter_map(|turn| writer.turn(turn)).collect();
    out.insert("contents".to_owned(), contents.into());
    writer.tools(&mut out);
    let config = writer.config();
    if !config.is_empty() {
        out.insert("generationConfig".to_owned(), config.into());
    }
    let mut dropped = writer.dropped;
    rest::carry(&request.rest, DIALECT, &mut out, &mut dropped);
    let body = serde_json::to_vec(&out).expect("a JSON value is always JSON");
    Encoded { body: Bytes::from(body), dropped, hints: Hints::default() }
}

/// The function of each call, by the call's id; the first call of an id names it.
fn names(messages: &[Message]) -> HashMap<&str, &str> {
    let mut names = HashMap::new();
    for call in messages.iter().flat_map(Message::tool_calls) {
        names.entry(call.id.as_str()).or_insert(call.name.as_str());
    }
    names
}

struct Writer<'a> {
    request: &'a ModelRequest,
    names: HashMap<&'a str, &'a str>,
    generation: Generation,
    dropped: Vec<String>,
}

impl Writer<'_> {
    /// A turn; none when it is empty, for the service refuses those.
    fn turn(&mut self, turn: &Turn<'_>) -> Option<Value> {
        let mut parts: Vec<Value> = turn.parts.iter().filter_map(|part| self.part(part)).collect();
        if self.generation.wants_signatures() {
            sign(&mut parts);
        }
        let role = if turn.by_model { "model" } else { "user" };
        (!parts.is_empty()).then(|| json!({"role": role, "parts": parts}))
    }

    fn part(&mut self, part: &Part) -> Option<Value> {
        match part {
            Part::Text(text) => (!text.is_empty()).then(|| json!({"text": text})),
            Part::Image(media) | Part::Document(media) => Some(self::media(media)),
            Part::ToolCall(called) => Some(tool_call(called)),
            Part::ToolResult(result) => Some(self.tool_result(result)),
            Part::Reasoning(stretch) => reasoning(stretch),
            Part::Opaque { dialect, value } if *dialect == DIALECT.0 => Some(value.clone()),
            Part::Opaque { value, .. } => {
                self.dropped.push(format!("messages.{}", value["type"].as_str().unwrap_or("part")));
                None
            }
        }
    }

    /// The service matches answers by the function's name, which other dialects leave out.
    fn tool_result(&self, result: &ToolResult) -> Value {
        let called = self.names.get(result.call_id.as_str()).copied();
        let name = called.or(result.name.as_deref()).unwrap_or(&result.call_id);
        let response = match serde_json::from_str(&result.content) {
            Ok(Value::Object(fields)) if !result.is_error => Value::Object(fields),
            _ if result.is_error => json!({"error": result.content}),
            _ => json!({"result": result.content}),
        };
        let mut answer = Map::new();
        if !result.call_id.starts_with(MADE_UP_ID) {
            answer.insert("id".to_owned(), result.call_id.clone().into());
        }
        answer.insert("name".to_owned(), name.into());
        answer.insert("response".to_owned(), response);
        json!({"functionResponse": answer})
    }

    fn tools(&mut self, out: &mut Map<String, Value>) {
        let request = self.request;
        if request.parallel_tool_calls == Some(false) {
            self.dropped.push("parallel_tool_calls".to_owned());
        }
        if request.tools.is_empty() {
            return;
        }
        let declare = |tool: &mainstay_core::tool::ToolSpec| {
            let mut function = json!({"name": tool.name});
            if !tool.description.is_empty() {
                function["description"] = tool.description.clone().into();
            }
            // An object without properties is refused.
            if tool.parameters["properties"].as_object().is_some_and(|p| !p.is_empty()) {
                function["parameters"] = schema::subset(&tool.parameters);
            }
            function
        };
        let functions: Vec<Value> = request.tools.iter().map(declare).collect();
        out.insert("tools".to_owned(), json!([{"functionDeclarations": functions}]));
        let calling = match &request.tool_choice {
            ToolChoice::Auto => return,
            ToolChoice::None => json!({"mode": "NONE"}),
            ToolChoice::Required => json!({"mode": "ANY"}),
            ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        };
        out.insert("toolConfig".to_owned(), json!({"functionCallingConfig": calling}));
    }

    fn config(&mut self) -> Map<String, Value> {
        let request = self.request;
        let (media_type, schema) = match &request.response_format {
            ResponseFormat::Text => (None, None),
            ResponseFormat::JsonObject => (Some("application/json"), None),
            ResponseFormat::JsonSchema { schema, .. } => {
                (Some("application/json"), Some(schema::subset(schema)))
            }
        };
        let fields = [
            ("maxOutputTokens", request.max_tokens.map(Value::from)),
            ("temperature", request.temperature.map(Value::from)),
            ("topP", request.top_p.map(Value::from)),
            ("stopSequences", (!request.stop.is_empty()).then(|| json!(request.stop))),
            ("seed", request.seed.map(Value::from)),
            ("responseMimeType", media_type.map(Value::from)),
            ("responseSchema", schema),
            ("thinkingConfig", self.thinking()),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    fn thinking(&mut self) -> Option<Value> {
        let effort = self.request.reasoning_effort.as_deref()?;
        let (level, budget) = match effort {
            "none" => ("low", 0),
            "minimal" => ("low", 512),
            "low" => ("low", 1024),
            "medium" => ("medium", 8192),
            "high" | "xhigh" | "max" => ("high", 24_576),
            _ => ("", 0),
        };
        if level.is_empty() || !self.generation.has_thinking() {
            self.dropped.push("reasoning_effort".to_owned());
            return None;
        }
        let shown = effort != "none";
        Some(if self.generation.has_levels() {
            json!({"thinkingLevel": level, "includeThoughts": shown})
        } else {
            json!({"thinkingBudget": budget, "includeThoughts": shown})
        })
    }
}

fn tool_call(called: &ToolCall) -> Value {
    let id = Some(called.id.as_str()).filter(|id| !id.starts_with(MADE_UP_ID));
    let mut out = json!({"functionCall": call(id, &called.name, args(called))});
    if let Some(own) = called.opaque.as_deref().and_then(|marked| origin::to_provider(DIALECT, marked)) {
        out["thoughtSignature"] = own.into();
    }
    out
}

/// The first call of a turn must be signed; one from another model says so.
fn sign(parts: &mut [Value]) {
    let first = parts.iter_mut().find(|part| part.get("functionCall").is_some());
    if let Some(part) = first.filter(|part| part.get("thoughtSignature").is_none()) {
        part["thoughtSignature"] = NO_SIGNATURE.into();
    }
}

/// Thoughts go back only with this vendor's signature.
fn reasoning(stretch: &Reasoning) -> Option<Value> {
    let own = origin::to_provider(DIALECT, stretch.signature.as_deref()?)?;
    let mut out = json!({"text": stretch.text, "thoughtSignature": own});
    if !stretch.text.is_empty() {
        out["thought"] = true.into();
    }
    Some(out)
}

fn media(media: &Media) -> Value {
    match &media.source {
        MediaSource::Base64(data) => json!({"inlineData": {"mimeType": media.media_type, "data": data}}),
        MediaSource::Url(url) => {
            let kind = if media.media_type.is_empty() { by_extension(url) } else { &media.media_type };
            json!({"fileData": {"mimeType": kind, "fileUri": url}})
        }
    }
}

/// The service demands a media type, which the addresses of other dialects come without.
fn by_extension(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let extension = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        _ => "image/jpeg",
    }
}
