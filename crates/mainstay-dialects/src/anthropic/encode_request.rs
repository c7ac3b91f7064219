//! Writes a messages request.

use std::borrow::Cow;

use bytes::Bytes;
use mainstay_core::message::{Media, MediaSource, Part, Reasoning, ToolResult};
use mainstay_core::model::{ModelRequest, ResponseFormat, ToolChoice};
use mainstay_core::tool::ToolSpec;
use serde_json::{Map, Value, json};

use super::DIALECT;
use super::generation::Generation;
use super::response::input;
use crate::codec::{EncodeOptions, Encoded, Hints};
use crate::turns::{Turn, turns};
use crate::{ids, origin, rest};

/// Smallest thinking budget that the service takes, in tokens.
const BUDGET_MIN: u32 = 1024;

/// Writes a request; see [`crate::Codec::encode_request`].
pub fn encode_request(request: &ModelRequest, options: &EncodeOptions) -> Encoded {
    let wanted = request.max_tokens.or(request.max_tokens_default);
    let max_tokens = wanted.unwrap_or(options.max_tokens_default);
    let mut writer = Writer {
        request,
        generation: Generation::of(&request.model),
        out: Map::new(),
        dropped: Vec::new(),
        hints: Hints::default(),
    };
    writer.put("model", request.model.clone());
    writer.put("max_tokens", max_tokens);
    let conversation = turns(&request.messages);
    if !conversation.system.is_empty() {
        let blocks = conversation.system.iter().filter(|text| !text.is_empty());
        let blocks: Vec<Value> = blocks.map(|text| json!({"type": "text", "text": text})).collect();
        writer.put("system", blocks);
    }
    let messages: Vec<Value> = conversation.turns.iter().filter_map(|turn| writer.turn(turn)).collect();
    writer.put("messages", messages);
    writer.tools();
    writer.response_format();
    let thinks = writer.effort(max_tokens, conversation.turns.iter().rfind(|turn| turn.by_model));
    writer.sampling(thinks);
    if request.stream {
        writer.put("stream", true);
    }
    let Writer { mut out, mut dropped, hints, .. } = writer;
    rest::carry(&request.rest, DIALECT, &mut out, &mut dropped);
    let body = serde_json::to_vec(&out).expect("a JSON value is always JSON");
    Encoded { body: Bytes::from(body), dropped, hints }
}

struct Writer<'a> {
    request: &'a ModelRequest,
    generation: Generation,
    out: Map<String, Value>,
    dropped: Vec<String>,
    hints: Hints,
}

impl Writer<'_> {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.out.insert(key.to_owned(), value.into());
    }

    fn drop_field(&mut self, name: &str) {
        self.dropped.push(name.to_owned());
    }

    /// A turn; none when it is empty, for the service refuses empty text and empty turns.
    fn turn(&mut self, turn: &Turn<'_>) -> Option<Value> {
        let blocks: Vec<Value> = turn.parts.iter().filter_map(|part| self.block(part)).collect();
        let role = if turn.by_model { "assistant" } else { "user" };
        (!blocks.is_empty()).then(|| json!({"role": role, "content": blocks}))
    }

    fn block(&mut self, part: &Part) -> Option<Value> {
        match part {
            Part::Text(text) => (!text.is_empty()).then(|| json!({"type": "text", "text": text})),
            Part::Image(media) => Some(json!({"type": "image", "source": source(media)})),
            Part::Document(media) => Some(json!({"type": "document", "source": source(media)})),
            Part::ToolCall(call) => {
                let id = ids::plain(&call.id);
                Some(json!({"type": "tool_use", "id": id, "name": call.name, "input": input(call)}))
            }
            Part::ToolResult(result) => Some(tool_result(result)),
            Part::Reasoning(stretch) => reasoning(stretch),
            Part::Opaque { dialect, value } if *dialect == DIALECT.0 => Some(value.clone()),
            Part::Opaque { value, .. } => {
                let kind = value["type"].as_str().unwrap_or("part");
                self.drop_field(&format!("messages.{kind}"));
                None
            }
        }
    }

    fn tools(&mut self) {
        if self.request.tools.is_empty() {
            return;
        }
        let strict = self.generation.has_output_format();
        let tools: Vec<Value> = self.request.tools.iter().map(|t| tool(t, strict)).collect();
        self.put("tools", tools);
        let mut choice = match &self.request.tool_choice {
            ToolChoice::Auto => json!({"type": "auto"}),
            ToolChoice::None => json!({"type": "none"}),
            ToolChoice::Required => json!({"type": "any"}),
            ToolChoice::Tool(name) => json!({"type": "tool", "name": name}),
        };
        let parallel = self.request.parallel_tool_calls;
        if self.request.tool_choice == ToolChoice::Auto && parallel.is_none() {
            return;
        }
        if let Some(parallel) = parallel.filter(|_| self.request.tool_choice != ToolChoice::None) {
            choice["disable_parallel_tool_use"] = (!parallel).into();
        }
        self.put("tool_choice", choice);
    }

    /// A schema goes where the model has a place for it; an older one is made to call a tool of that schema.
    fn response_format(&mut self) {
        match &self.request.response_format {
            ResponseFormat::Text => {}
            ResponseFormat::JsonObject => self.drop_field("response_format"),
            ResponseFormat::JsonSchema { schema, .. } if self.generation.has_output_format() => {
                self.put("output_config", json!({"format": {"type": "json_schema", "schema": schema}}));
            }
            ResponseFormat::JsonSchema { name, schema, .. } => {
                let tool = json!({"name": name, "description": "Gives the answer in its form.", "input_schema": schema});
                match self.out.get_mut("tools") {
                    Some(Value::Array(tools)) => {
                        tools.push(tool);
                        self.put("tool_choice", json!({"type": "any"}));
                    }
                    _ => {
                        self.put("tools", vec![tool]);
                        self.put("tool_choice", json!({"type": "tool", "name": name}));
                    }
                }
                self.hints.structured_tool = Some(name.clone());
            }
        }
    }

    /// Thinking, by the model's age. Returns whether it is on.
    fn effort(&mut self, max_tokens: u32, last_turn: Option<&Turn<'_>>) -> bool {
        let Some(effort) = self.request.reasoning_effort.as_deref().filter(|e| *e != "none") else {
            return false;
        };
        let effort = if effort == "minimal" { "low" } else { effort };
        let known = matches!(effort, "low" | "medium" | "high" | "xhigh" | "max");
        let forced = matches!(self.out.get("tool_choice"), Some(choice) if choice["type"] == "any" || choice["type"] == "tool");
        if !known
            || !self.generation.has_thinking()
            || forced
            || last_turn.is_some_and(calls_without_thinking)
        {
            self.drop_field("reasoning_effort");
            return false;
        }
        if self.generation.has_effort() {
            let mut config = self.out.shift_remove("output_config").unwrap_or_else(|| json!({}));
            config["effort"] = effort.into();
            self.put("output_config", config);
            self.put("thinking", json!({"type": "adaptive"}));
            return true;
        }
        let wanted: u32 = match effort {
            "low" => 2048,
            "medium" => 8192,
            _ => 16_384,
        };
        // The budget is part of the output bound, and some output must remain.
        let budget = wanted.min(max_tokens / 2);
        if budget < BUDGET_MIN {
            self.drop_field("reasoning_effort");
            return false;
        }
        self.put("thinking", json!({"type": "enabled", "budget_tokens": budget}));
        true
    }

    /// Temperature goes to 1 here, not to 2, and not together with thinking or (lately) `top_p`.
    fn sampling(&mut self, thinks: bool) {
        let (temperature, top_p) = (self.request.temperature, self.request.top_p);
        match temperature {
            Some(_) if thinks => self.drop_field("temperature"),
            Some(warm) => {
                if warm > 1.0 {
                    self.drop_field("temperature");
                }
                self.put("temperature", warm.min(1.0));
            }
            None => {}
        }
        let alone = temperature.is_none() || !self.generation.takes_one_sampling_setting();
        match top_p {
            Some(p) if alone && !thinks => self.put("top_p", p),
            Some(_) => self.drop_field("top_p"),
            None => {}
        }
        if !self.request.stop.is_empty() {
            self.put("stop_sequences", self.request.stop.clone());
        }
        if self.request.seed.is_some() {
            self.drop_field("seed");
        }
    }
}

/// The service refuses to think on after a call whose turn has no thinking of its own (another vendor made it).
fn calls_without_thinking(turn: &Turn<'_>) -> bool {
    let calls = turn.parts.iter().any(|part| matches!(part.as_ref(), Part::ToolCall(_)));
    let own = |part: &Cow<'_, Part>| matches!(part.as_ref(), Part::Reasoning(r) if reasoning(r).is_some());
    calls && !turn.parts.iter().any(own)
}

/// Thinking goes back only with this vendor's signature.
fn reasoning(stretch: &Reasoning) -> Option<Value> {
    let own = origin::to_provider(DIALECT, stretch.signature.as_deref()?)?;
    Some(if stretch.redacted {
        json!({"type": "redacted_thinking", "data": own})
    } else {
        json!({"type": "thinking", "thinking": stretch.text, "signature": own})
    })
}

fn tool_result(result: &ToolResult) -> Value {
    let mut out =
        json!({"type": "tool_result", "tool_use_id": ids::plain(&result.call_id), "content": result.content});
    if result.is_error {
        out["is_error"] = true.into();
    }
    out
}

fn source(media: &Media) -> Value {
    match &media.source {
        MediaSource::Url(url) => json!({"type": "url", "url": url}),
        MediaSource::Base64(data) => json!({"type": "base64", "media_type": media.media_type, "data": data}),
    }
}

fn tool(tool: &ToolSpec, strict: bool) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), tool.name.clone().into());
    if !tool.description.is_empty() {
        out.insert("description".to_owned(), tool.description.clone().into());
    }
    let mut schema = tool.parameters.clone();
    if let Value::Object(fields) = &mut schema {
        fields.entry("type").or_insert_with(|| "object".into());
    }
    out.insert("input_schema".to_owned(), schema);
    if strict && tool.strict == Some(true) {
        out.insert("strict".to_owned(), true.into());
    }
    out.into()
}
