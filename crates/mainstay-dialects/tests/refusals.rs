//! A request that a front cannot read is refused with the field at fault.

use mainstay_core::provider::Dialect;
use mainstay_dialects::{ALL, find};

/// The body is refused, and the error names this field.
fn check(dialect: &'static str, field: &str, body: &str) {
    let codec = find(Dialect(dialect)).expect("the dialect is in the list");
    let error = (codec.decode_request)(body.as_bytes()).expect_err(body);
    assert_eq!((error.code().id, error.field().unwrap_or_default()), ("INVALID_FIELD", field), "{body}");
}

#[test]
fn what_is_no_json_object_is_refused_with_its_place() {
    for codec in ALL {
        let error = (codec.decode_request)(b"{\n\"a\": nope}").unwrap_err();
        assert_eq!(error.code().id, "INVALID_JSON");
        assert!(error.message().ends_with("at line 2, column 7"), "{}", error.message());
        assert_eq!((codec.decode_request)(b"[]").unwrap_err().code().id, "INVALID_FIELD");
        assert_eq!((codec.decode_request)(b"").unwrap_err().code().id, "INVALID_JSON");
        assert_eq!((codec.decode_request)(b"{} {}").unwrap_err().code().id, "INVALID_JSON");
    }
}

#[test]
fn openai_chat_names_the_field() {
    let with = |message: &str| format!(r#"{{"model":"m","messages":[{message}]}}"#);
    let user = r#"{"role":"user","content":"x"}"#;
    let and = |field: &str| format!(r#"{{"model":"m","messages":[{user}],{field}}}"#);
    for (field, body) in [
        ("model", r#"{"messages":[]}"#.to_owned()),
        ("messages", r#"{"model":"m"}"#.to_owned()),
        ("messages", r#"{"model":"m","messages":[]}"#.to_owned()),
        ("messages", r#"{"model":"m","messages":"x"}"#.to_owned()),
        ("messages.0", with("3")),
        ("messages.0.role", with(r#"{"content":"x"}"#)),
        ("messages.0.role", with(r#"{"role":"robot","content":"x"}"#)),
        ("messages.0.content", with(r#"{"role":"user"}"#)),
        ("messages.0.content", with(r#"{"role":"user","content":3}"#)),
        ("messages.0.content.0.type", with(r#"{"role":"user","content":[{}]}"#)),
        (
            "messages.0.content.0.image_url.url",
            with(r#"{"role":"user","content":[{"type":"image_url","image_url":{}}]}"#),
        ),
        ("messages.0.tool_call_id", with(r#"{"role":"tool","content":"x"}"#)),
        (
            "messages.0.tool_calls.0.function.name",
            with(r#"{"role":"assistant","tool_calls":[{"id":"a","function":{}}]}"#),
        ),
        ("temperature", and(r#""temperature":2.5"#)),
        ("temperature", and(r#""temperature":"hot""#)),
        ("max_tokens", and(r#""max_tokens":0"#)),
        ("n", and(r#""n":2"#)),
        ("stop.1", and(r#""stop":["a",1]"#)),
        ("stream", and(r#""stream":"yes""#)),
        ("tools.0.function.name", and(r#""tools":[{"type":"function","function":{}}]"#)),
        ("tool_choice", and(r#""tool_choice":"perhaps""#)),
        ("response_format.type", and(r#""response_format":{"type":"xml"}"#)),
        (
            "response_format.json_schema.schema",
            and(r#""response_format":{"type":"json_schema","json_schema":{"name":"a"}}"#),
        ),
    ] {
        check("openai_chat", field, &body);
    }
}

#[test]
fn anthropic_names_the_field() {
    let with = |message: &str| format!(r#"{{"model":"m","max_tokens":9,"messages":[{message}]}}"#);
    let and = |field: &str| format!(r#"{{"model":"m","max_tokens":9,"messages":[],{field}}}"#);
    for (field, body) in [
        ("model", r#"{"max_tokens":9,"messages":[]}"#.to_owned()),
        ("max_tokens", r#"{"model":"m","messages":[]}"#.to_owned()),
        ("messages", r#"{"model":"m","max_tokens":9}"#.to_owned()),
        ("messages.0.role", with(r#"{"role":"tool","content":"x"}"#)),
        ("messages.0.content", with(r#"{"role":"user"}"#)),
        ("messages.0.content.0.text", with(r#"{"role":"user","content":[{"type":"text"}]}"#)),
        ("messages.0.content.0.tool_use_id", with(r#"{"role":"user","content":[{"type":"tool_result"}]}"#)),
        (
            "messages.0.content.0.input",
            with(r#"{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"x","input":"s"}]}"#),
        ),
        ("system.0.text", and(r#""system":[{"type":"text"}]"#)),
        ("temperature", and(r#""temperature":1.5"#)),
        ("tools.0.input_schema", and(r#""tools":[{"name":"x"}]"#)),
        ("tool_choice.type", and(r#""tool_choice":{"type":"perhaps"}"#)),
        ("thinking.budget_tokens", and(r#""thinking":{"type":"enabled"}"#)),
        ("output_config.format.type", and(r#""output_config":{"format":{"type":"xml"}}"#)),
    ] {
        check("anthropic", field, &body);
    }
}

#[test]
fn gemini_names_the_field() {
    let with = |part: &str| format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#);
    let and = |field: &str| format!(r#"{{"contents":[],{field}}}"#);
    for (field, body) in [
        ("contents", "{}".to_owned()),
        ("contents.0.role", r#"{"contents":[{"role":"assistant","parts":[]}]}"#.to_owned()),
        ("contents.0.parts.0", with("3")),
        ("contents.0.parts.0.text", with(r#"{"text":3}"#)),
        ("contents.0.parts.0.functionCall.name", with(r#"{"functionCall":{}}"#)),
        ("contents.0.parts.0.inlineData.mimeType", with(r#"{"inline_data":{"data":"x"}}"#)),
        ("systemInstruction.parts.0.text", and(r#""systemInstruction":{"parts":[{}]}"#)),
        ("generationConfig.candidateCount", and(r#""generationConfig":{"candidateCount":2}"#)),
        ("generationConfig.temperature", and(r#""generation_config":{"temperature":3}"#)),
        ("generationConfig.responseMimeType", and(r#""generationConfig":{"responseMimeType":"text/xml"}"#)),
        (
            "toolConfig.functionCallingConfig.mode",
            and(r#""toolConfig":{"functionCallingConfig":{"mode":"PERHAPS"}}"#),
        ),
        ("tools.0.functionDeclarations.0.name", and(r#""tools":[{"functionDeclarations":[{}]}]"#)),
    ] {
        check("gemini", field, &body);
    }
}
