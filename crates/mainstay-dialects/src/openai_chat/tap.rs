//! Notices usage and finish reason in answers that are passed through.

use mainstay_core::provider::Tap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{finish, usage};
use crate::codec::{Seen, TapState};
use crate::sse::Frame;
use crate::tap::has_member;

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    finish_reason: Option<String>,
}

/// Looks at a frame; see [`crate::Codec::tap`].
pub fn tap(state: &mut TapState, frame: &Frame) -> Seen {
    let bytes = frame.bytes();
    let worth_reading = has_member(bytes, b"\"usage\"", b'{')
        || has_member(bytes, b"\"finish_reason\"", b'"')
        || has_member(bytes, b"\"error\"", b'{');
    if !worth_reading {
        state.complete |= bytes.len() < 32 && frame.data().is_some_and(|data| data.trim_ascii() == b"[DONE]");
        return Seen::default();
    }
    let chunk = frame.data().and_then(|data| serde_json::from_slice::<Chunk>(&data).ok());
    let Some(chunk) = chunk else { return Seen::default() };
    let usage_only = chunk.usage.is_some() && chunk.choices.as_ref().is_some_and(Vec::is_empty);
    let failed = chunk.error.is_some();
    let tap = read(chunk);
    if let Some(usage) = tap.usage {
        state.usage = usage;
    }
    state.complete |= failed || tap.finish.is_some();
    Seen { usage_only, tap: (tap.usage.is_some() || tap.finish.is_some()).then_some(tap) }
}

/// Looks at a whole answer; see [`crate::Codec::tap_body`].
pub fn tap_body(body: &[u8]) -> Option<Tap> {
    serde_json::from_slice(body).ok().map(read)
}

fn read(chunk: Chunk) -> Tap {
    let first = chunk.choices.into_iter().flatten().find(|choice| choice.index == 0);
    let word = first.and_then(|choice| choice.finish_reason).filter(|word| !word.is_empty());
    Tap {
        model: chunk.model,
        usage: chunk.usage.as_ref().and_then(usage::read),
        finish: word.map(|word| finish::read(&word, false, false)),
    }
}
