//! Notices usage, finish reason and failure in answers that are passed through.

use mainstay_core::provider::Tap;
use serde::Deserialize;
use serde_json::Value;

use super::{error, finish_reason, usage};
use crate::codec::{Seen, TapState};
use crate::sse::Frame;
use crate::tap::has_member;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    candidates: Option<Vec<Candidate>>,
    usage_metadata: Option<Value>,
    model_version: Option<String>,
    prompt_feedback: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    index: u32,
    finish_reason: Option<String>,
}

/// Looks at a frame; see [`crate::Codec::tap`].
pub fn tap(state: &mut TapState, frame: &Frame) -> Seen {
    let bytes = frame.bytes();
    let worth_reading = has_member(bytes, b"\"usageMetadata\"", b'{')
        || has_member(bytes, b"\"finishReason\"", b'"')
        || has_member(bytes, b"\"promptFeedback\"", b'{')
        || has_member(bytes, b"\"error\"", b'{');
    if !worth_reading {
        return Seen::default();
    }
    let answer = frame.data().and_then(|data| serde_json::from_slice::<Answer>(&data).ok());
    let seen = answer.map(read).unwrap_or_default();
    if let Some(tap) = &seen.tap {
        state.usage = tap.usage.unwrap_or(state.usage);
        state.complete |= tap.finish.is_some() || tap.failure.is_some();
    }
    seen
}

/// Looks at a whole answer; see [`crate::Codec::tap_body`].
pub fn tap_body(body: &[u8]) -> Seen {
    serde_json::from_slice(body).map(read).unwrap_or_default()
}

fn read(answer: Answer) -> Seen {
    let first = answer.candidates.into_iter().flatten().find(|candidate| candidate.index == 0);
    let blocked = answer.prompt_feedback.is_some_and(|feedback| feedback["blockReason"].is_string());
    let word = first.and_then(|c| c.finish_reason).or_else(|| blocked.then(|| "SAFETY".to_owned()));
    let tap = Tap {
        model: answer.model_version,
        usage: answer.usage_metadata.as_ref().and_then(usage::read),
        finish: word.map(|word| finish_reason::read(&word, false)),
        failure: None,
    };
    Seen::new(tap, answer.error.as_ref().map(error::in_stream))
}
