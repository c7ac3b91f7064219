//! Answers: whole and in pieces, with calls, reasoning, usage and a reason for their end.

use std::sync::Arc;

use futures_util::StreamExt as _;
use mainstay_core::Ctx;
use mainstay_core::message::Part;
use mainstay_core::model::{Completion, FinishReason, ModelEvent, ModelRequest};
use mainstay_core::tool::ToolSpec;
use serde_json::json;

use super::{Behaviour, Open, TEXT, USAGE, answered, promises, request};

promises! {
    an_answer_starts_speaks_and_ends_once,
    a_whole_answer_says_what_a_stream_says,
    usage_comes_once_in_classes_that_add_up,
    a_tool_call_keeps_its_arguments,
    parallel_calls_stay_apart,
    reasoning_is_told_apart_from_text,
    a_bound_on_tokens_ends_with_length,
    a_filtered_answer_says_so,
    answers_of_calls_side_by_side_are_not_mixed_up,
    a_provider_at_work_can_be_told_from_a_silent_one,
}

fn count(events: &[ModelEvent], kind: fn(&ModelEvent) -> bool) -> usize {
    events.iter().filter(|event| kind(event)).count()
}

async fn an_answer_starts_speaks_and_ends_once(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let (events, done) = answered(&rig, request(true)).await;
    assert!(
        matches!(events.first(), Some(ModelEvent::Start { model, .. }) if !model.is_empty()),
        "{events:?}"
    );
    assert_eq!(count(&events, |e| matches!(e, ModelEvent::Start { .. })), 1);
    assert_eq!(count(&events, |e| matches!(e, ModelEvent::Finish(_))), 1);
    assert!(
        count(&events, |e| matches!(e, ModelEvent::Text(_))) > 1,
        "the text came in one piece: {events:?}"
    );
    let last_text = events.iter().rposition(|e| matches!(e, ModelEvent::Text(_)));
    let finish = events.iter().position(|e| matches!(e, ModelEvent::Finish(_)));
    assert!(last_text < finish, "text after the end: {events:?}");
    assert_eq!((done.message.joined_text().as_str(), done.finish), (TEXT, FinishReason::Stop));
}

async fn a_whole_answer_says_what_a_stream_says(open: Open) {
    for name in ["text", "call", "calls"] {
        let rig = open(Behaviour::Says(name)).await;
        let (_, streamed) = answered(&rig, with_tools(true)).await;
        let (_, whole) = answered(&rig, with_tools(false)).await;
        assert_eq!(streamed.message.joined_text(), whole.message.joined_text());
        assert_eq!(calls(&streamed), calls(&whole));
        assert_eq!((streamed.finish, streamed.usage), (whole.finish, whole.usage));
    }
}

async fn usage_comes_once_in_classes_that_add_up(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("text")).await;
        let (events, done) = answered(&rig, request(stream)).await;
        assert_eq!(done.usage, USAGE);
        assert_eq!(count(&events, |e| matches!(e, ModelEvent::Usage(_))), 1, "{events:?}");
    }
}

fn with_tools(stream: bool) -> ModelRequest {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let weather = ToolSpec {
        name: "weather".to_owned(),
        description: "Weather of a city.".to_owned(),
        parameters,
        strict: None,
    };
    ModelRequest { tools: vec![weather], ..request(stream) }
}

/// Names and arguments of the calls, which must be JSON objects.
fn calls(done: &Completion) -> Vec<(String, String)> {
    let one = |call: &mainstay_core::message::ToolCall| {
        let arguments = call.arguments_object().expect("the arguments are a JSON object");
        (call.name.clone(), arguments["city"].as_str().expect("there is a city").to_owned())
    };
    done.message.tool_calls().map(one).collect()
}

async fn a_tool_call_keeps_its_arguments(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("call")).await;
        let (events, done) = answered(&rig, with_tools(stream)).await;
        assert_eq!(done.message.joined_text(), "Looking.");
        assert_eq!(calls(&done), [("weather".to_owned(), "Oslo".to_owned())]);
        assert_eq!(done.finish, FinishReason::ToolCalls);
        let start = events.iter().position(|e| matches!(e, ModelEvent::ToolCallStart { .. }));
        let delta = events.iter().position(|e| matches!(e, ModelEvent::ToolCallDelta { .. }));
        assert!(start < delta, "arguments before their call: {events:?}");
    }
}

async fn parallel_calls_stay_apart(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("calls")).await;
        let (_, done) = answered(&rig, with_tools(stream)).await;
        let cities: Vec<_> = calls(&done).into_iter().map(|(_, city)| city).collect();
        assert_eq!(cities, ["Oslo", "Bergen"]);
        let ids: Vec<_> = done.message.tool_calls().map(|call| call.id.as_str()).collect();
        assert!(ids.iter().all(|id| !id.is_empty()) && ids[0] != ids[1], "{ids:?}");
    }
}

async fn reasoning_is_told_apart_from_text(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("reasoning")).await;
        let (_, done) = answered(&rig, request(stream)).await;
        let thought: String = done
            .message
            .parts
            .iter()
            .filter_map(|part| if let Part::Reasoning(r) = part { Some(r.text.as_str()) } else { None })
            .collect();
        assert_eq!((thought.as_str(), done.message.joined_text().as_str()), ("Let me see.", "Hei."));
    }
}

async fn a_bound_on_tokens_ends_with_length(open: Open) {
    let rig = open(Behaviour::Says("length")).await;
    let bounded = ModelRequest { max_tokens: Some(1), ..request(true) };
    let (_, done) = answered(&rig, bounded).await;
    assert_eq!((done.message.joined_text().trim(), done.finish), ("Hei", FinishReason::Length));
}

async fn a_filtered_answer_says_so(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("filtered")).await;
        let (_, done) = answered(&rig, request(stream)).await;
        assert_eq!((done.message.joined_text().as_str(), done.finish), ("Hei ", FinishReason::ContentFilter));
    }
}

async fn answers_of_calls_side_by_side_are_not_mixed_up(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let one = |stream| {
        let rig = Arc::clone(&rig);
        async move { answered(&rig, request(stream)).await.1.message.joined_text() }
    };
    let (a, b, c, d) = tokio::join!(one(true), one(false), one(true), one(false));
    assert_eq!([a, b, c, d], [TEXT; 4]);
}

async fn a_provider_at_work_can_be_told_from_a_silent_one(open: Open) {
    let rig = open(Behaviour::Thinks).await;
    let mut stream = rig.provider().complete(&Ctx::system(), request(true)).await.expect("the answer begins");
    let mut said = false;
    loop {
        match stream.next().await.expect("the answer does not end").expect("the answer goes on") {
            ModelEvent::Text(_) => said = true,
            ModelEvent::Alive if said => return,
            _ => {}
        }
    }
}
