//! The scripted provider says and fails as told.

use futures_util::StreamExt;
use mainstay_core::message::{Message, Role, ToolResult};
use mainstay_core::model::{Assembler, Completion, FinishReason, ModelEvent};
use serde_json::json;

use super::*;
use mainstay_core::message::Part;

fn provider(settings: Value) -> Scripted {
    assert_eq!(check(&settings), [], "the settings must be sound");
    let settings: Settings = serde_json::from_value(settings).unwrap();
    Scripted { script: Script::new(settings.replies, settings.tokens_per_second) }
}

fn asking(messages: Vec<Message>) -> ModelRequest {
    ModelRequest { model: "m".into(), messages, ..ModelRequest::default() }
}

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

async fn answer(provider: &Scripted, messages: Vec<Message>) -> Result<Completion> {
    let mut stream = provider.complete(&Ctx::system(), asking(messages)).await?;
    let mut assembler = Assembler::default();
    while let Some(event) = stream.next().await {
        assembler.push(&event?);
    }
    Ok(assembler.finish())
}

#[tokio::test]
async fn without_a_script_it_repeats_the_question_and_says_what_it_is() {
    let done = answer(&provider(json!({})), vec![user("hi there")]).await.unwrap();
    assert_eq!(done.message.joined_text(), "This is the scripted provider, not a model. You said: hi there");
    assert_eq!((done.usage.input_uncached, done.usage.output, done.finish), (2, 12, FinishReason::Stop));
}

#[tokio::test]
async fn the_first_fitting_reply_is_used_as_often_as_it_says() {
    let script = json!({"replies": [{"when": "WEATHER", "times": 1, "text": "rain"}, {"text": "else"}]});
    let provider = provider(script);
    let mut said = Vec::new();
    for question in ["the weather?", "the weather?", "other"] {
        said.push(answer(&provider, vec![user(question)]).await.unwrap().message.joined_text());
    }
    assert_eq!(said, ["rain", "else", "else"]);
}

#[tokio::test]
async fn tools_are_called_before_they_answer_and_not_again() {
    let script = json!({"replies": [
        {"text": "let me see", "tool_calls": [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": "{broken"}]},
        {"text": "it said {tool}"}]});
    let provider = provider(script);
    let first = answer(&provider, vec![user("go")]).await.unwrap();
    let calls: Vec<_> = first.message.tool_calls().map(|c| (c.name.as_str(), c.arguments.as_str())).collect();
    assert_eq!(calls, [("a", "{\"x\":1}"), ("b", "{broken")]);
    assert_eq!(first.finish, FinishReason::ToolCalls);
    let result = ToolResult { call_id: "c".into(), name: None, content: "42".into(), is_error: false };
    let after = Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] };
    let second = answer(&provider, vec![user("go"), first.message, after]).await.unwrap();
    assert_eq!(second.message.joined_text(), "it said 42");
}

#[tokio::test]
async fn troubles_have_their_codes() {
    let cases = [
        (json!({"status": {"code": 429, "retry_after_ms": 1500}}), &codes::PROVIDER_RATE_LIMITED),
        (json!({"status": {"code": 500}}), &codes::PROVIDER_UNAVAILABLE),
        (json!({"status": {"code": 401}}), &codes::PROVIDER_AUTH),
        (json!({"status": {"code": 404}}), &codes::PROVIDER_MODEL_NOT_FOUND),
        (json!({"quota": {}}), &codes::PROVIDER_QUOTA),
        (json!({"content_filter": {}}), &codes::PROVIDER_CONTENT_FILTER),
        (json!({"cut": {"after_tokens": 1}}), &codes::PROVIDER_BAD_RESPONSE),
    ];
    for (fault, code) in cases {
        let provider = provider(json!({"replies": [{"text": "one two three", "fault": fault}]}));
        let error = answer(&provider, vec![user("x")]).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
}

#[tokio::test]
async fn a_bound_on_tokens_cuts_the_answer_short() {
    let provider = provider(json!({"replies": [{"text": "one two three"}]}));
    let request = ModelRequest { max_tokens: Some(2), ..asking(vec![user("x")]) };
    let events: Vec<_> =
        provider.complete(&Ctx::system(), request).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(events.last(), Some(&ModelEvent::Finish(FinishReason::Length)));
    assert_eq!(events.iter().filter(|e| matches!(e, ModelEvent::Text(_))).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_come_at_the_rate_asked_for() {
    let provider = provider(json!({"tokens_per_second": 10, "replies": [{"text": "a b c d e"}]}));
    let before = tokio::time::Instant::now();
    answer(&provider, vec![user("x")]).await.unwrap();
    assert_eq!(before.elapsed().as_millis(), 500);
}

#[test]
fn a_reply_that_says_nothing_is_a_fault() {
    let faults = check(&json!({"replies": [{"text": "x"}, {"when": "y"}]}));
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].pointer, "/replies/1");
}
