//! Streams of several services, event by event.

use serde_json::json;

use super::*;

/// The events of a stream of `(name, data)`, up to its end.
fn read(stream: &[(&str, &str)]) -> Result<Vec<AppEvent>> {
    let (mut events, mut out) = (Events::default(), Vec::new());
    for (name, data) in stream {
        events.read((!name.is_empty()).then_some(*name), data, &mut out)?;
    }
    Ok(out)
}

/// The text in pieces, the events of the app's own, and the output.
#[track_caller]
fn check(stream: &[(&str, &str)], pieces: &[&str], own: &[(&str, Value)], output: AppOutput) {
    let events = read(stream).unwrap();
    let mut expect: Vec<AppEvent> = Vec::new();
    expect.extend(pieces.iter().map(|piece| AppEvent::Text((*piece).to_owned())));
    expect.extend(
        own.iter().map(|(name, data)| AppEvent::Custom { name: (*name).to_owned(), data: data.clone() }),
    );
    expect.push(AppEvent::Done(output));
    let order = |event: &AppEvent| match event {
        AppEvent::Text(_) => 0,
        AppEvent::Custom { .. } => 1,
        AppEvent::Done(_) => 2,
    };
    let mut sorted = events.clone();
    sorted.sort_by_key(order);
    assert_eq!(sorted, expect);
    assert!(matches!(events.last(), Some(AppEvent::Done(_))), "the end is last");
}

fn plain() -> AppOutput {
    AppOutput::default()
}

#[test]
fn bare_text_ends_with_done() {
    check(&[("", "Hel"), ("", "lo"), ("", " world"), ("", "[DONE]")], &["Hel", "lo", " world"], &[], plain());
}

#[test]
fn pieces_of_json_go_by_several_names() {
    for piece in
        [r#"{"delta":"x"}"#, r#"{"token":"x"}"#, r#"{"content":"x"}"#, r#"{"type":"token","content":"x"}"#]
    {
        check(&[("", piece), ("", "[DONE]")], &["x"], &[], plain());
    }
    check(
        &[("message.delta", r#"{"delta":"x"}"#), ("token", "y"), ("complete", "")],
        &["x", "y"],
        &[],
        plain(),
    );
    check(&[("", r#""quoted \"text\"""#), ("", "[DONE]")], &["quoted \"text\""], &[], plain());
}

#[test]
fn text_that_looks_like_a_number_or_broken_json_stays_text() {
    check(
        &[("", "42"), ("", "null"), ("", "{not json"), ("", "[DONE]")],
        &["42", "null", "{not json"],
        &[],
        plain(),
    );
}

#[test]
fn steps_are_events_of_the_apps_own() {
    let stream = [
        ("step", r#"{"tool":"search"}"#),
        ("", r#"{"type":"thought","text":"hm"}"#),
        ("", r#"{"progress":0.5}"#),
        ("ping", "x"),
        ("done", "{}"),
    ];
    let own = [
        ("step", json!({"tool": "search"})),
        ("thought", json!({"type": "thought", "text": "hm"})),
        ("app.event", json!({"progress": 0.5})),
    ];
    check(&stream, &[], &own, plain());
}

#[test]
fn the_closing_event_carries_the_output() {
    let end = r#"{"answer":"Hello","model":"m","finish_reason":"stop","usage":{"input_tokens":1,"output_tokens":2},"sources":["a"]}"#;
    let usage = Some(mainstay_core::model::Usage { input_uncached: 1, output: 2, ..Default::default() });
    let output = |answer: &str| AppOutput {
        answer: answer.to_owned(),
        model: Some("m".to_owned()),
        finish_reason: Some("stop".to_owned()),
        usage,
    };
    let own = [("app.output", json!({"sources": ["a"]}))];
    check(&[("complete", end)], &[], &own, output("Hello"));
    check(&[("token", "Hello"), ("complete", end)], &["Hello"], &own, output(""));
    let typed = format!(r#"{{"type":"complete",{}"#, &end[1..]);
    check(&[("", &typed)], &[], &own, output("Hello"));
}

#[test]
fn an_output_before_done_is_kept() {
    let output = AppOutput { answer: "whole".to_owned(), model: Some("m".to_owned()), ..plain() };
    check(&[("", r#"{"response":"whole","model":"m"}"#), ("", "[DONE]")], &[], &[], output.clone());
    check(&[("", r#"{"response":"whole","model":"m","done":true}"#)], &[], &[], output);
}

#[test]
fn answers_that_come_again_and_again_are_pieces() {
    let stream = [
        ("", r#"{"response":"Hel","done":false}"#),
        ("", r#"{"response":"lo","done":false}"#),
        ("", r#"{"response":"!","model":"m","done":true}"#),
    ];
    check(&stream, &["Hel", "lo", "!"], &[], AppOutput { model: Some("m".to_owned()), ..plain() });
}

#[test]
fn an_error_in_the_stream_is_a_failure_that_shows_nothing() {
    let streams: [&[(&str, &str)]; 5] = [
        &[("token", "x"), ("error", r#"{"message":"hunter2"}"#)],
        &[("run.failed", "hunter2")],
        &[("", r#"{"error":"hunter2"}"#)],
        &[("", r#"{"type":"error","detail":"hunter2"}"#)],
        &[("", "[ERROR] hunter2")],
    ];
    for stream in streams {
        let error = read(stream).unwrap_err();
        assert_eq!(error.code().id, "APP_FAILED");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert!(read(&[("", r#"{"error":null,"delta":"x"}"#)]).is_ok());
}
