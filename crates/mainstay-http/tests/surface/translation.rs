//! The model fronts onto providers of the other dialect: translated both ways.

use mainstay_core::model::{FinishReason, ModelEvent, Usage};
use mainstay_core::{Result, codes};
use serde_json::{Value, json};

use crate::house::House;
use crate::scripted::{Script, error, saying};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn calling() -> Vec<Result<ModelEvent>> {
    vec![
        Ok(ModelEvent::Start { id: "up-2".into(), model: "up-model".into() }),
        Ok(ModelEvent::Text("Looking.".into())),
        Ok(ModelEvent::ToolCallStart { index: 0, id: "call_1".into(), name: "find".into(), opaque: None }),
        Ok(ModelEvent::ToolCallDelta { index: 0, arguments: "{\"city\":".into() }),
        Ok(ModelEvent::ToolCallDelta { index: 0, arguments: "\"Rome\"}".into() }),
        Ok(ModelEvent::Usage(Usage { input_uncached: 7, cache_read: 3, output: 5, ..Usage::default() })),
        Ok(ModelEvent::Finish(FinishReason::ToolCalls)),
    ]
}

fn openai_question(stream: bool) -> Value {
    json!({
        "model": "claude",
        "stream": stream,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}],
        "max_completion_tokens": 99,
        "logit_bias": {"5": 1},
    })
}

#[tokio::test]
async fn an_openai_caller_is_answered_by_an_anthropic_provider() {
    let house = House::new();
    let dropped = ModelEvent::Dropped(vec!["logit_bias".into()]);
    house.anthropic.next(Script::Events(std::iter::once(Ok(dropped)).chain(calling()).collect()));
    let answer = house.post(CHAT, openai_question(false)).await;
    let body = answer.json();
    let choice = &body["choices"][0];
    assert_eq!(
        (&body["object"], &choice["finish_reason"]),
        (&json!("chat.completion"), &json!("tool_calls"))
    );
    assert_eq!(choice["message"]["content"], "Looking.");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        (&call["id"], &call["function"]["arguments"]),
        (&json!("call_1"), &json!("{\"city\":\"Rome\"}"))
    );
    assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["total_tokens"]), (&json!(10), &json!(15)));
    assert_eq!(answer.header("x-mainstay-dropped"), Some("logit_bias"));
    let seen = &house.anthropic.canonical.lock()[0];
    assert_eq!((seen.model.as_str(), seen.max_tokens), ("up/anthropic", Some(99)));
    assert_eq!((seen.messages.len(), seen.tools.len()), (2, 1));
}

#[tokio::test]
async fn an_openai_caller_streams_from_an_anthropic_provider() {
    let house = House::new();
    house.anthropic.next(Script::Events(calling()));
    let mut question = openai_question(true);
    question["stream_options"] = json!({"include_usage": true});
    let answer = house.post(CHAT, question).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = answer.events();
    assert_eq!(events.last().unwrap().data, "[DONE]");
    let chunks: Vec<Value> = events[..events.len() - 1].iter().map(|event| event.json()).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let arguments: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, "{\"city\":\"Rome\"}");
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["prompt_tokens"]), (&json!([]), &json!(10)));
}

#[tokio::test]
async fn usage_comes_in_a_stream_only_if_asked_for() {
    let house = House::new();
    house.anthropic.next(Script::Events(saying(&["Hi"])));
    let answer = house.post(CHAT, openai_question(true)).await;
    assert!(!answer.body.contains("prompt_tokens"), "{}", answer.body);
}

fn anthropic_question(stream: bool) -> Value {
    json!({
        "model": "gpt",
        "stream": stream,
        "max_tokens": 77,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Where?"}]}],
        "tools": [{"name": "find", "input_schema": {"type": "object"}}],
    })
}

#[tokio::test]
async fn an_anthropic_caller_is_answered_by_an_openai_provider() {
    let house = House::new();
    house.openai.next(Script::Events(calling()));
    let answer = house.post(MESSAGES, anthropic_question(false)).await;
    let body = answer.json();
    assert_eq!((&body["type"], &body["stop_reason"]), (&json!("message"), &json!("tool_use")));
    assert_eq!(body["content"][0], json!({"type": "text", "text": "Looking."}));
    assert_eq!(
        (&body["content"][1]["type"], &body["content"][1]["input"]),
        (&json!("tool_use"), &json!({"city": "Rome"}))
    );
    // Anthropic's input tokens exclude the cached ones.
    assert_eq!(
        (&body["usage"]["input_tokens"], &body["usage"]["cache_read_input_tokens"]),
        (&json!(7), &json!(3))
    );
    let seen = &house.openai.canonical.lock()[0];
    assert_eq!((seen.model.as_str(), seen.max_tokens, seen.messages.len()), ("up/openai", Some(77), 2));
}

#[tokio::test]
async fn an_anthropic_caller_streams_from_an_openai_provider() {
    let house = House::new();
    house.openai.next(Script::Events(calling()));
    let answer = house.post(MESSAGES, anthropic_question(true)).await;
    let events = answer.events();
    let names: Vec<&str> = events.iter().map(|event| event.name()).collect();
    assert_eq!(
        (names[0], names[names.len() - 2], names[names.len() - 1]),
        ("message_start", "message_delta", "message_stop")
    );
    assert_eq!(names.iter().filter(|name| **name == "content_block_start").count(), 2);
    assert!(events.iter().all(|event| event.json()["type"] == event.name()));
}

#[tokio::test]
async fn a_translated_stream_that_breaks_ends_in_the_fronts_own_error() {
    let house = House::new();
    let broken = || {
        let mut events = saying(&["half"]);
        events.truncate(2);
        events.push(Err(error(&codes::PROVIDER_UNAVAILABLE)));
        events
    };
    house.openai.next(Script::Events(broken()));
    let event = house.post(MESSAGES, anthropic_question(true)).await.events().pop().unwrap();
    assert_eq!((event.name(), &event.json()["type"]), ("error", &json!("error")));
    house.anthropic.next(Script::Events(broken()));
    let answer = house.post(CHAT, openai_question(true)).await;
    assert_eq!(answer.events().pop().unwrap().json()["error"]["type"], "server_error");
    assert!(!answer.body.contains("[DONE]") && !answer.body.contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn a_translated_stream_that_falls_silent_ends_in_the_fronts_own_error() {
    let house = House::new();
    house.anthropic.next(Script::Stall("half"));
    let answer = house.post(CHAT, openai_question(true)).await;
    assert_eq!(answer.events().pop().unwrap().json()["error"]["code"], "PROVIDER_TIMEOUT");
    assert!(answer.body.contains("half") && !answer.body.contains("[DONE]"), "{}", answer.body);
}

#[tokio::test]
async fn a_conversation_with_another_vendors_signatures_is_translated_even_for_its_own_dialect() {
    let house = House::new();
    let mut question = anthropic_question(false);
    question["model"] = json!("claude");
    question["messages"] = json!([
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "mainstay:gemini:abc"},
            {"type": "text", "text": "There."},
        ]},
        {"role": "user", "content": "Sure?"},
    ]);
    assert_eq!(house.post(MESSAGES, question).await.status.as_u16(), 200);
    assert!(house.anthropic.wire.lock().is_empty());
    assert_eq!(house.anthropic.canonical.lock()[0].messages.len(), 4);
}

#[tokio::test]
async fn a_field_that_does_not_fit_is_named_in_translation() {
    let house = House::new();
    let mut question = openai_question(false);
    question["messages"][1]["role"] = json!("wizard");
    let answer = house.post(CHAT, question).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status.as_u16(), &error["param"]), (400, &json!("messages.1.role")));
}
