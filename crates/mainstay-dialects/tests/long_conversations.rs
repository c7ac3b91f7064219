//! Calls and their answers find each other by id, in conversations so long that looking through all of them for each
//! one would not end within a test's patience.

use mainstay_core::message::{Message, Part, Role, ToolCall, ToolResult};
use mainstay_core::model::ModelRequest;
use mainstay_dialects::codec::EncodeOptions;
use mainstay_dialects::{ALL, gemini};
use serde_json::{Value, json};

const CALLS: usize = 20_000;

fn call(n: usize) -> Part {
    let (id, name) = (format!("call_{n}"), format!("tool_{n}"));
    Part::ToolCall(ToolCall { id, name, arguments: String::new(), opaque: None })
}

fn answer(n: usize) -> Part {
    let content = format!("answer {n}");
    Part::ToolResult(ToolResult { call_id: format!("call_{n}"), name: None, content, is_error: false })
}

/// The request in a dialect, as text.
fn encoded(codec: &mainstay_dialects::Codec, messages: Vec<Message>) -> String {
    let request = ModelRequest { messages, ..ModelRequest::default() };
    let body = (codec.encode_request)(&request, &EncodeOptions::default()).body;
    String::from_utf8(body.to_vec()).expect("a body is text")
}

fn message(role: Role, parts: impl Iterator<Item = Part>) -> Message {
    Message { role, parts: parts.collect() }
}

#[test]
fn many_calls_of_one_turn_are_answered_by_the_next() {
    for codec in ALL {
        // The answers come in the opposite order; one call stays open.
        let text = encoded(
            codec,
            vec![
                message(Role::Assistant, (0..CALLS).map(call)),
                message(Role::Tool, (1..CALLS).rev().map(answer)),
                Message::text(Role::User, "Go on."),
            ],
        );
        let name = codec.dialect.0;
        assert_eq!(text.matches("answer ").count(), CALLS - 1, "{name}");
        assert_eq!(text.matches("this call was not answered").count(), 1, "{name}");
    }
}

#[test]
fn many_turns_of_one_call_are_each_answered() {
    for codec in ALL {
        let turn = |n| {
            [message(Role::Assistant, [call(n)].into_iter()), message(Role::Tool, [answer(n)].into_iter())]
        };
        let text = encoded(codec, (0..CALLS / 2).flat_map(turn).collect());
        assert_eq!(text.matches("answer ").count(), CALLS / 2, "{}", codec.dialect.0);
        assert!(!text.contains("this call was not answered"), "{}", codec.dialect.0);
    }
}

#[test]
fn calls_without_ids_are_answered_in_their_order_by_name() {
    let calls = |n: usize| json!({"functionCall": {"name": format!("tool_{n}"), "args": {}}});
    let answers = |n: usize| json!({"functionResponse": {"name": format!("tool_{n}"), "response": {"n": n}}});
    let twice = || (0..CALLS / 2).chain(0..CALLS / 2);
    let body = json!({"contents": [
        {"role": "model", "parts": twice().map(calls).collect::<Vec<Value>>()},
        {"role": "user", "parts": twice().rev().map(answers).collect::<Vec<Value>>()},
    ]});
    let request = gemini::decode_request(body.to_string().as_bytes()).expect("the request is sound");
    let called: Vec<&ToolCall> = request.messages[0].tool_calls().collect();
    let answered: Vec<&ToolResult> = request.messages[1]
        .parts
        .iter()
        .filter_map(|part| if let Part::ToolResult(result) = part { Some(result) } else { None })
        .collect();
    // Of two calls of a tool, the first answer is the first one's.
    let last = CALLS / 2 - 1;
    assert_eq!(answered[0].call_id, called[last].id);
    assert_eq!(answered[CALLS / 2].call_id, called[CALLS - 1].id);
    assert_eq!(answered[CALLS - 1].call_id, called[CALLS / 2].id);
}
