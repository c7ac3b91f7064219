//! Request bodies of a given size, with the shape of a real conversation: a large one has 48 messages.

use bytes::Bytes;
use serde_json::json;

/// Messages of a large body.
const MESSAGES: usize = 48;
/// Bodies below this have a system and a user message.
const SMALL_BYTES_MAX: usize = 2_048;

/// A chat completion request of about `bytes` bytes.
pub(super) fn chat(model: &str, bytes: usize, streamed: bool) -> Bytes {
    let count = if bytes <= SMALL_BYTES_MAX { 2 } else { MESSAGES };
    let bare = body(model, &vec![String::new(); count], streamed).len();
    let each = bytes.saturating_sub(bare) / count;
    let filler = "Compare the third quarter with the second, name \\\"one\\\" cause and cite the table.\\n ";
    let text: String = unescaped(filler).chars().cycle().take(each).collect();
    Bytes::from(body(model, &vec![text; count], streamed))
}

/// A request that keeps a value of `bytes` bytes under the key with this number.
pub(super) fn save(number: u32, bytes: usize) -> Bytes {
    Bytes::from(json!([{ "key": super::key(number), "value": "v".repeat(bytes) }]).to_string())
}

/// An event of about `bytes` bytes.
pub(super) fn event(bytes: usize) -> Bytes {
    Bytes::from(json!({ "data": "e".repeat(bytes) }).to_string())
}

/// Real text has quotes and line breaks; a parser pays for them.
fn unescaped(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\n", "\n")
}

fn body(model: &str, texts: &[String], streamed: bool) -> String {
    let role = |at: usize| match at {
        0 => "system",
        at if at % 2 == 1 => "user",
        _ => "assistant",
    };
    let messages: Vec<_> =
        texts.iter().enumerate().map(|(at, text)| json!({ "role": role(at), "content": text })).collect();
    let mut request = json!({ "model": model, "messages": messages, "max_tokens": 64, "temperature": 0.2 });
    if streamed {
        request["stream"] = json!(true);
        request["stream_options"] = json!({ "include_usage": true });
    }
    request.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_about_the_size_asked_for() {
        for (asked, messages) in [(300, 2), (100_000, 48)] {
            let body = chat("bench", asked, false);
            assert!((asked * 9 / 10..=asked * 11 / 10).contains(&body.len()), "{asked}: {}", body.len());
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(value["messages"].as_array().map(Vec::len), Some(messages));
            assert_eq!(value["messages"][messages - 1]["role"], "user");
        }
    }
}
