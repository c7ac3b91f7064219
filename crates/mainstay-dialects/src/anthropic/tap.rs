//! Notices usage, stop reason and failure in answers that are passed through.

use mainstay_core::model::Usage;
use mainstay_core::provider::Tap;
use serde::Deserialize;
use serde_json::Value;

use super::{error, stop_reason, usage};
use crate::codec::{Seen, TapState};
use crate::sse::Frame;
use crate::tap::has_member;

/// The members of `message_start`, `message_delta`, `message_stop`, `error` and of whole answers that matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    r#type: String,
    message: Option<Message>,
    delta: Option<Delta>,
    usage: Option<Value>,
    model: Option<String>,
    stop_reason: Option<String>,
    error: Value,
}

#[derive(Deserialize)]
struct Message {
    model: Option<String>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    stop_reason: Option<String>,
}

/// Looks at a frame; see [`crate::Codec::tap`].
pub fn tap(state: &mut TapState, frame: &Frame) -> Seen {
    let bytes = frame.bytes();
    // Deltas of content, which are nearly all frames, have neither; a closing frame is short.
    let worth_reading = has_member(bytes, b"\"usage\"", b'{')
        || has_member(bytes, b"\"error\"", b'{')
        || memchr::memmem::find(bytes, b"message_stop").is_some();
    if !worth_reading {
        return Seen::default();
    }
    let event = frame.data().and_then(|data| serde_json::from_slice::<Event>(&data).ok());
    let Some(event) = event else { return Seen::default() };
    state.complete |= matches!(event.r#type.as_str(), "message_stop" | "error");
    let failure = failure(&event);
    let message = event.message.unwrap_or(Message { model: None, usage: None });
    let reported = message.usage.or(event.usage);
    if let Some(wire) = &reported {
        usage::merge(&mut state.usage, wire);
    }
    let finish = event.delta.and_then(|delta| delta.stop_reason).map(|word| stop_reason::read(&word));
    let usage = reported.map(|_| state.usage);
    Seen::new(Tap { model: message.model, usage, finish, failure: None }, failure)
}

/// Looks at a whole answer; see [`crate::Codec::tap_body`].
pub fn tap_body(body: &[u8]) -> Seen {
    let Ok(answer) = serde_json::from_slice::<Event>(body) else { return Seen::default() };
    let failure = failure(&answer);
    let usage = answer.usage.map(|wire| {
        let mut usage = Usage::default();
        usage::merge(&mut usage, &wire);
        usage
    });
    let finish = answer.stop_reason.map(|word| stop_reason::read(&word));
    Seen::new(Tap { model: answer.model, usage, finish, failure: None }, failure)
}

fn failure(event: &Event) -> Option<mainstay_core::Error> {
    (event.r#type == "error").then(|| error::in_stream(&event.error))
}
