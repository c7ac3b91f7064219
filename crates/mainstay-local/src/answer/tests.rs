//! Answers in every cut: the events must not depend on where one token ends and the next begins.

use super::*;

/// The events of an answer, neighbouring texts joined; calls as `name(arguments)#id`.
fn told(events: &[ModelEvent]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut text_last = false;
    for event in events {
        match event {
            ModelEvent::Text(text) if text_last => told.last_mut().unwrap().push_str(text),
            ModelEvent::Text(text) => told.push(text.clone()),
            ModelEvent::ToolCallStart { id, name, .. } => told.push(format!("#{id} {name}")),
            ModelEvent::ToolCallDelta { arguments, .. } => told.push(arguments.clone()),
            other => panic!("{other:?}"),
        }
        text_last = matches!(event, ModelEvent::Text(_));
    }
    told
}

fn check(answer: &str, stops: &[&str], tools: bool, expected: &[&str]) {
    let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
    for size in 1..=answer.len().max(1) {
        let mut parsed = Answer::new(&stops, tools.then(|| "call_".to_owned()), false);
        let mut events = Vec::new();
        for piece in answer.as_bytes().chunks(size) {
            let progress = parsed.push(piece);
            events.extend(progress.events);
            if progress.done {
                break;
            }
        }
        events.extend(parsed.finish());
        assert_eq!(told(&events), expected, "in pieces of {size} bytes");
    }
}

#[test]
fn characters_survive_any_cut() {
    check("é 日本 👩‍💻!", &[], false, &["é 日本 👩‍💻!"]);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let mut answer = Answer::new(&[], None, false);
    assert_eq!(answer.push(b"a\xFFb\xE2\x82").events, [ModelEvent::Text("a\u{FFFD}b".into())]);
    assert_eq!(answer.finish(), [ModelEvent::Text("\u{FFFD}".into())]);
}

#[test]
fn an_answer_ends_before_its_stop_text() {
    check("one\nUser: two", &["\nUser:"], false, &["one"]);
    check("one END two", &["two", "END"], false, &["one "]);
}

#[test]
fn the_beginning_of_a_stop_text_alone_is_part_of_the_answer() {
    check("one\nUse", &["\nUser:"], false, &["one\nUse"]);
}

#[test]
fn text_that_no_stop_can_begin_with_is_not_held_back() {
    let mut answer = Answer::new(&["###".into()], Some("c".into()), false);
    assert_eq!(answer.push(b"hello #").events, [ModelEvent::Text("hello ".into())]);
    assert_eq!(answer.push(b"1 <").events, [ModelEvent::Text("#1 ".into())]);
}

#[test]
fn a_call_is_taken_out_of_the_text() {
    check(
        "Let me see.<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n",
        &[],
        true,
        &["Let me see.", "#call_0 add", "{\"a\":1}"],
    );
}

#[test]
fn several_calls_are_numbered() {
    let calls = "<tool_call>[{\"name\":\"a\",\"arguments\":\"{}\"},{\"name\":\"b\"}]</tool_call>\n<tool_call>{\"name\":\"c\",\"parameters\":{}}";
    check(calls, &[], true, &["#call_0 a", "{}", "#call_1 b", "{}", "#call_2 c", "{}"]);
}

#[test]
fn what_is_no_call_stays_text() {
    for text in [
        "<tool_call>not json</tool_call> x",
        "a <tool_call",
        "<tool_call>{\"name\": 3}</tool_call>",
        "<tool_call>{",
    ] {
        check(text, &[], true, &[text]);
    }
}

#[test]
fn without_tools_a_call_is_text() {
    let text = "<tool_call>{\"name\":\"a\"}</tool_call>";
    check(text, &[], false, &[text]);
}

#[test]
fn one_call_can_be_all_that_is_wanted() {
    let mut answer = Answer::new(&[], Some("c".into()), true);
    assert!(!answer.push(b"<tool_call>{\"name\":\"a\"}").done);
    assert!(answer.push(b"</tool_call>").done);
    assert!(answer.has_calls());
}
