//! Notices usage, finish reason and failure in answers that are passed through.

use mainstay_core::provider::Tap;
use serde::Deserialize;
use serde_json::Value;

use super::{error, finish, usage};
use crate::codec::{Seen, TapState};
use crate::sse::Frame;
use crate::tap::has_member;

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<usage::Wire>,
    error: Option<Value>,
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
        || has_member(bytes, b"\"error\"", b'{')
        || has_member(bytes, b"\"error\"", b'"');
    if !worth_reading {
        state.complete |= bytes.len() < 32 && frame.data().is_some_and(|data| data.trim_ascii() == b"[DONE]");
        return Seen::default();
    }
    let chunk = frame.data().and_then(|data| serde_json::from_slice::<Chunk>(&data).ok());
    let Some(chunk) = chunk else { return Seen::default() };
    let usage_only = chunk.usage.is_some() && chunk.choices.as_ref().is_some_and(Vec::is_empty);
    let seen = read(chunk);
    if let Some(tap) = &seen.tap {
        state.usage = tap.usage.unwrap_or(state.usage);
        state.complete |= tap.finish.is_some() || tap.failure.is_some();
    }
    Seen { usage_only, ..seen }
}

/// Looks at a whole answer; see [`crate::Codec::tap_body`].
pub fn tap_body(body: &[u8]) -> Seen {
    serde_json::from_slice(body).map(read).unwrap_or_default()
}

fn read(chunk: Chunk) -> Seen {
    let first = chunk.choices.into_iter().flatten().find(|choice| choice.index == 0);
    let word = first.and_then(|choice| choice.finish_reason).filter(|word| !word.is_empty());
    let tap = Tap {
        model: chunk.model,
        usage: chunk.usage.as_ref().and_then(usage::read),
        finish: word.map(|word| finish::read(&word, false, false)),
        failure: None,
    };
    Seen::new(tap, chunk.error.as_ref().map(error::in_stream))
}
