//! Speaking a reply: as events, at its pace, with its trouble.

use std::time::Duration;

use mainstay_core::message::{Part, Reasoning};
use mainstay_core::model::{FinishReason, ModelEvent, ModelRequest, ModelStream, Usage};
use mainstay_core::{Error, Result, Retry, codes};
use serde_json::Value;

use super::script::{Call, Status, Trouble, Turn};

/// Begins the answer. Errors: the trouble that comes before the first token.
pub(super) async fn speak(turn: Turn, request: ModelRequest) -> Result<ModelStream> {
    let events = events(&turn, &request);
    drop(request);
    match &turn.reply.fault {
        Some(Trouble::Status(status)) => return Err(status_error(*status)),
        Some(Trouble::Quota {}) => {
            let error = Error::new(&codes::PROVIDER_QUOTA, "the scripted account has no quota left");
            return Err(error.with_retry(Retry::Permanent));
        }
        Some(Trouble::ContentFilter {}) => {
            return Err(Error::new(
                &codes::PROVIDER_CONTENT_FILTER,
                "the scripted filter refused the request",
            ));
        }
        Some(Trouble::Hang {}) => std::future::pending().await,
        Some(Trouble::Cut { .. } | Trouble::Stall { .. }) | None => {}
    }
    tokio::time::sleep(Duration::from_millis(turn.reply.first_token_ms)).await;
    Ok(Box::pin(paced(turn, events)))
}

fn paced(turn: Turn, events: Vec<ModelEvent>) -> impl futures_core::Stream<Item = Result<ModelEvent>> + Send {
    let pause = (turn.tokens_per_second > 0)
        .then(|| Duration::from_secs_f64(1.0 / f64::from(turn.tokens_per_second)));
    async_stream::stream! {
        let mut tokens = 0;
        for event in events {
            let counts = matches!(event, ModelEvent::Text(_) | ModelEvent::ToolCallDelta { .. });
            match &turn.reply.fault {
                Some(Trouble::Cut { after_tokens }) if tokens >= *after_tokens && counts => {
                    yield Err(Error::new(&codes::PROVIDER_BAD_RESPONSE, "the scripted stream was cut"));
                    return;
                }
                Some(Trouble::Stall { after_tokens }) if tokens >= *after_tokens && counts => std::future::pending::<()>().await,
                _ => {}
            }
            if let (true, Some(pause)) = (counts, pause) {
                tokio::time::sleep(pause).await;
            }
            tokens += u32::from(counts);
            yield Ok(event);
        }
    }
}

/// The whole answer as events; what the caller's bound allows of it.
fn events(turn: &Turn, request: &ModelRequest) -> Vec<ModelEvent> {
    let reply = &turn.reply;
    let mut events = vec![ModelEvent::Start { id: "scripted-1".to_owned(), model: request.model.clone() }];
    if let Some(text) = &reply.reasoning {
        events.push(ModelEvent::Reasoning(Reasoning { text: text.clone(), ..Reasoning::default() }));
    }
    let bound = request.max_tokens.map_or(usize::MAX, |n| n as usize);
    let words: Vec<&str> = words(reply.text.as_deref().unwrap_or_default());
    let short = words.len() > bound;
    events.extend(words.iter().take(bound).map(|word| ModelEvent::Text((*word).to_owned())));
    let calls: &[Call] = if short { &[] } else { &reply.tool_calls };
    for (index, call) in (0..).zip(calls) {
        events.extend(call_events(index, call, request));
    }
    let reasoning = reply.reasoning.as_deref().map_or(0, |t| self::words(t).len());
    let counted = Usage {
        input_uncached: input_words(request),
        output: (words.len().min(bound) + calls.len()) as u64,
        reasoning: reasoning as u64,
        ..Usage::default()
    };
    events.push(ModelEvent::Usage(turn.usage.unwrap_or(counted)));
    events.push(ModelEvent::Finish(match (short, calls.is_empty()) {
        (true, _) => FinishReason::Length,
        (false, false) => FinishReason::ToolCalls,
        (false, true) => FinishReason::Stop,
    }));
    events
}

/// A call in two pieces, so that readers of streams are put to the test. Its id is unique in the conversation.
fn call_events(index: u32, call: &Call, request: &ModelRequest) -> Vec<ModelEvent> {
    let id = format!("call_{}_{index}", request.messages.len());
    let arguments = match &call.arguments {
        Value::String(raw) => raw.clone(),
        Value::Null => "{}".to_owned(),
        object => object.to_string(),
    };
    let mut middle = arguments.len() / 2;
    while !arguments.is_char_boundary(middle) {
        middle -= 1;
    }
    let delta = |piece: &str| ModelEvent::ToolCallDelta { index, arguments: piece.to_owned() };
    let start = ModelEvent::ToolCallStart { index, id, name: call.name.clone(), opaque: None };
    vec![start, delta(&arguments[..middle]), delta(&arguments[middle..])]
}

/// Words with the space before them: joined, they are the text.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut in_word = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() && in_word {
            words.push(&text[start..at]);
            (start, in_word) = (at, false);
        } else if !c.is_whitespace() {
            in_word = true;
        }
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

fn input_words(request: &ModelRequest) -> u64 {
    let parts = request.messages.iter().flat_map(|m| &m.parts);
    let count = |part: &Part| match part {
        Part::Text(text) => words(text).len(),
        Part::ToolResult(result) => words(&result.content).len(),
        _ => 1,
    };
    parts.map(count).sum::<usize>() as u64
}

fn status_error(status: Status) -> Error {
    let code = match status.code {
        401 | 403 => &codes::PROVIDER_AUTH,
        402 => &codes::PROVIDER_QUOTA,
        429 => &codes::PROVIDER_RATE_LIMITED,
        404 => &codes::PROVIDER_MODEL_NOT_FOUND,
        400..=499 => &codes::PROVIDER_INVALID_REQUEST,
        _ => &codes::PROVIDER_UNAVAILABLE,
    };
    let mut error = Error::new(code, format!("the scripted provider answered {}", status.code));
    if code == &codes::PROVIDER_AUTH {
        error = error
            .with_help("its script says so; of another provider, look at the key that `api_key` refers to");
    }
    match status.retry_after_ms {
        Some(ms) => error.with_retry(Retry::Temporary(Some(Duration::from_millis(ms)))),
        None if status.code < 429 => error.with_retry(Retry::Permanent),
        None => error,
    }
}
