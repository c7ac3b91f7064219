//! Text forms of what the goldens compare.

use std::fmt::Write as _;

use mainstay_core::model::{ModelEvent, ModelRequest, ResponseFormat};
use serde_json::{Value, json};

/// A request, without the fields that say nothing.
pub(crate) fn request(request: &ModelRequest) -> String {
    let tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| {
            json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": tool.strict})
        })
        .collect();
    let format = match &request.response_format {
        ResponseFormat::Text => Value::Null,
        ResponseFormat::JsonObject => json!("JsonObject"),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            json!({"name": name, "schema": schema, "strict": strict})
        }
    };
    let mut out = json!({
        "model": request.model,
        "messages": request.messages,
        "tools": tools,
        "tool_choice": format!("{:?}", request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": request.stop,
        "seed": request.seed,
        "response_format": format,
        "reasoning_effort": request.reasoning_effort,
        "stream": request.stream,
        "rest": request.rest.fields,
    });
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    out.as_object_mut().unwrap().retain(|_, value| says_something(value));
    self::json(&out)
}

/// JSON, indented, with a newline at the end.
pub(crate) fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Events, one a line.
pub(crate) fn events(events: &[ModelEvent]) -> String {
    events.iter().fold(String::new(), |mut out, event| {
        writeln!(out, "{event:?}").unwrap();
        out
    })
}

/// The members and messages of `other` that `base` has not.
pub(crate) fn differences(title: &str, base: &Value, other: &Value) -> String {
    let mut out = String::new();
    for (key, value) in other.as_object().unwrap().iter().filter(|(key, value)| base[key.as_str()] != **value)
    {
        let Value::Array(items) = value else {
            writeln!(out, "{title} `{key}`: {value}").unwrap();
            continue;
        };
        for item in items.iter().filter(|item| !base[key].as_array().is_some_and(|have| have.contains(item)))
        {
            writeln!(out, "{title} in `{key}`: {item}").unwrap();
        }
    }
    out
}
