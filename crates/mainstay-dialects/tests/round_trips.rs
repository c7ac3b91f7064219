//! What is written is read again as it was, and what is damaged never harms the reader.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the test")]

use bytes::Bytes;
use mainstay_core::message::Reasoning;
use mainstay_core::model::{Assembler, Completion, FinishReason, ModelEvent, Usage};
use mainstay_core::provider::ModelCard;
use mainstay_dialects::codec::{Hints, ReplyOptions, TapState};
use mainstay_dialects::{ALL, Codec, anthropic, sse};
use proptest::prelude::*;
use serde_json::json;

fn completion(events: &[ModelEvent]) -> Completion {
    let mut assembler = Assembler::default();
    events.iter().for_each(|event| assembler.push(event));
    assembler.finish()
}

fn reply() -> ReplyOptions {
    ReplyOptions { id: "id".to_owned(), created_s: 1, include_usage: true }
}

fn frames(wire: &[u8]) -> Vec<sse::Frame> {
    let mut parser = sse::Parser::default();
    parser.push(Bytes::copy_from_slice(wire));
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = parser.next_frame() {
        frames.push(frame);
    }
    frames.extend(parser.finish());
    frames
}

fn through_a_stream(codec: &Codec, events: &[ModelEvent]) -> Completion {
    let mut encoder = (codec.encoder)(reply());
    let mut wire: Vec<u8> = events.iter().flat_map(|event| encoder.push(event)).collect();
    wire.extend_from_slice(&encoder.end());
    let (mut decoder, mut read) = ((codec.decoder)(Hints::default()), Vec::new());
    for frame in frames(&wire) {
        decoder.push(&frame, &mut read).unwrap();
    }
    decoder.end(&mut read).unwrap();
    completion(&read)
}

fn through_a_body(codec: &Codec, events: &[ModelEvent]) -> Completion {
    let body = (codec.encode_response)(&completion(events), &reply());
    completion(&(codec.decode_response)(&body, &Hints::default()).unwrap())
}

/// Reasoning, then text, then calls that are written turn about: what every dialect can say.
fn answers() -> impl Strategy<Value = (Option<String>, Vec<String>, Vec<String>, Usage, bool)> {
    let text = "[a-z\"\\\\\n é]{1,8}";
    let usage =
        (1_u64..999, 0_u64..99, 1_u64..999, 0_u64..99).prop_map(|(input, cached, output, thought)| Usage {
            input_uncached: input,
            cache_read: cached,
            output,
            reasoning: thought,
            ..Usage::default()
        });
    let signature = prop::option::of("[A-Za-z0-9]{4}");
    (
        signature,
        prop::collection::vec(text, 0..3),
        prop::collection::vec("[a-z]{1,5}", 0..3),
        usage,
        any::<bool>(),
    )
}

fn events(
    codec: &Codec,
    answer: &(Option<String>, Vec<String>, Vec<String>, Usage, bool),
) -> Vec<ModelEvent> {
    let (signature, texts, calls, usage, usage_first) = answer;
    let mut out = vec![ModelEvent::Start { id: "r1".to_owned(), model: "m".to_owned() }];
    if let Some(value) = signature {
        let marked = Some(format!("mainstay:{}:{value}", codec.dialect.0));
        for (text, signature) in [("Let me", None), (" see.", None), ("", marked)] {
            let piece = Reasoning { text: text.to_owned(), signature, redacted: false };
            out.push(ModelEvent::Reasoning(piece));
        }
    }
    out.extend(texts.iter().cloned().map(ModelEvent::Text));
    let index = |place: usize| u32::try_from(place).unwrap();
    for (place, name) in calls.iter().enumerate() {
        let id = format!("call_{place}");
        out.push(ModelEvent::ToolCallStart { index: index(place), id, name: name.clone(), opaque: None });
    }
    for piece in ["{\"a\":", "\"b\"}"] {
        let delta = |place| ModelEvent::ToolCallDelta { index: index(place), arguments: piece.to_owned() };
        out.extend((0..calls.len()).map(delta));
    }
    let reason = if calls.is_empty() { FinishReason::Length } else { FinishReason::ToolCalls };
    let mut ending = [ModelEvent::Finish(reason), ModelEvent::Usage(*usage)];
    if *usage_first {
        ending.reverse();
    }
    out.extend(ending);
    out
}

proptest! {
    #[test]
    fn an_answer_survives_every_dialect(answer in answers()) {
        for codec in ALL {
            let events = events(codec, &answer);
            let wanted = completion(&events);
            prop_assert_eq!(&through_a_stream(codec, &events), &wanted, "stream, {}", codec.dialect.0);
            prop_assert_eq!(&through_a_body(codec, &events), &wanted, "body, {}", codec.dialect.0);
        }
    }

    #[test]
    fn damaged_answers_fail_without_harm(answer in answers(), cut in 0_usize..2000, at in 0_usize..2000, byte in any::<u8>()) {
        for codec in ALL {
            let mut encoder = (codec.encoder)(reply());
            let mut wire: Vec<u8> = events(codec, &answer).iter().flat_map(|e| encoder.push(e)).collect();
            wire.extend_from_slice(&encoder.end());
            let length = wire.len();
            wire[at % length] = byte;
            wire.truncate(length - cut % length);
            let (mut decoder, mut out, mut state) = ((codec.decoder)(Hints::default()), Vec::new(), TapState::default());
            let mut read = Ok(());
            for frame in frames(&wire) {
                (codec.tap)(&mut state, &frame);
                read = read.and_then(|()| decoder.push(&frame, &mut out));
            }
            if let Err(error) = read.and_then(|()| decoder.end(&mut out)) {
                prop_assert!(error.code().id.starts_with("PROVIDER_"), "{:?}", error);
            }
        }
    }

    #[test]
    fn a_stream_cut_before_its_end_is_never_whole(answer in answers(), cut in 1_usize..2000) {
        for codec in ALL {
            let mut encoder = (codec.encoder)(reply());
            let answer: Vec<u8> = events(codec, &answer).iter().filter(|e| !matches!(e, ModelEvent::Finish(_)))
                .flat_map(|e| encoder.push(e)).collect();
            let kept = answer.len().saturating_sub(cut);
            let (mut decoder, mut out, mut state) = ((codec.decoder)(Hints::default()), Vec::new(), TapState::default());
            let mut read = Ok(());
            for frame in frames(&answer[..kept]) {
                (codec.tap)(&mut state, &frame);
                read = read.and_then(|()| decoder.push(&frame, &mut out));
            }
            let error = read.and_then(|()| decoder.end(&mut out)).unwrap_err();
            prop_assert_eq!(error.code().id, "PROVIDER_BAD_RESPONSE");
            prop_assert!(!state.complete);
        }
    }
}

#[test]
fn an_answer_by_a_forced_tool_is_text() {
    let hints = Hints { structured_tool: Some("person".to_owned()) };
    let body = json!({"id": "m", "model": "c", "stop_reason": "tool_use", "usage": {},
        "content": [{"type": "tool_use", "id": "t", "name": "person", "input": {"name": "Ann"}}]});
    let events = anthropic::decode_response(body.to_string().as_bytes(), &hints).unwrap();
    let done = completion(&events);
    assert_eq!(done.message.joined_text(), r#"{"name":"Ann"}"#);
    assert_eq!(done.finish, FinishReason::Stop);
}

#[test]
fn lists_of_models_are_read_as_written() {
    let models = ["a", "b"].map(|id| ModelCard { id: id.to_owned() });
    for codec in ALL {
        let page = (codec.decode_models)(&(codec.encode_models)(&models, 1_700_000_000)).unwrap();
        assert_eq!((page.models.as_slice(), page.next), (&models[..], None), "{}", codec.dialect.0);
        assert_eq!((codec.decode_models)(b"{}").unwrap_err().code().id, "PROVIDER_BAD_RESPONSE");
    }
}

#[test]
fn pages_of_models_say_what_to_ask_for_next() {
    let anthropic = br#"{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}"#;
    let gemini = br#"{"models":[{"name":"models/a","supportedGenerationMethods":["generateContent"]},
        {"name":"models/e","supportedGenerationMethods":["embedContent"]}],"nextPageToken":"t"}"#;
    for (codec, body, next) in [(ALL[1], &anthropic[..], "a"), (ALL[2], gemini, "t")] {
        let page = (codec.decode_models)(body).unwrap();
        assert_eq!((page.models.len(), page.next.as_deref()), (1, Some(next)));
    }
}
