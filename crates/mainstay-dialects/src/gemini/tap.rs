//! Notices usage and finish reason in answers that are passed through.

use mainstay_core::provider::Tap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{finish_reason, usage};
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
    error: Option<IgnoredAny>,
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
    let Some(answer) = answer else { return Seen::default() };
    state.complete |= answer.error.is_some();
    let tap = read(answer);
    if let Some(usage) = tap.usage {
        state.usage = usage;
    }
    state.complete |= tap.finish.is_some();
    Seen { tap: (tap.usage.is_some() || tap.finish.is_some()).then_some(tap), usage_only: false }
}

/// Looks at a whole answer; see [`crate::Codec::tap_body`].
pub fn tap_body(body: &[u8]) -> Option<Tap> {
    serde_json::from_slice(body).ok().map(read)
}

fn read(answer: Answer) -> Tap {
    let first = answer.candidates.into_iter().flatten().find(|candidate| candidate.index == 0);
    let blocked = answer.prompt_feedback.is_some_and(|feedback| feedback["blockReason"].is_string());
    let word = first.and_then(|c| c.finish_reason).or_else(|| blocked.then(|| "SAFETY".to_owned()));
    Tap {
        model: answer.model_version,
        usage: answer.usage_metadata.as_ref().and_then(usage::read),
        finish: word.map(|word| finish_reason::read(&word, false)),
    }
}
