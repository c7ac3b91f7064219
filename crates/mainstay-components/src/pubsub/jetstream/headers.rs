//! Metadata of messages as headers of NATS, and the header by which a stream knows an event that it has already. So the
//! reason of a dead letter, and the trace of a message without an envelope, come with it.

use std::collections::BTreeMap;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use mainstay_core::pubsub::Message;
use serde::Deserialize;

/// What the server's own headers begin with: they are orders, such as to forget all earlier messages of a subject.
const SERVERS: &str = "nats-";

/// The headers of a message. What no header can be called goes without; what begins a line in a value is a space.
pub(super) fn of(message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.metadata {
        if is_servers(name) || name.is_empty() {
            continue;
        }
        let value = value.replace(['\r', '\n'], " ").parse::<HeaderValue>();
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value) {
            headers.insert(name, value);
        }
    }
    if let Some(id) = event_id(message) {
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
    }
    headers
}

fn is_servers(name: &str) -> bool {
    name.get(..SERVERS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SERVERS))
}

/// The id of the event, by which the server knows one that it has already. A dead letter has the id of the message that
/// it was, perhaps in the same stream, so it goes without.
fn event_id(message: &Message) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        id: Option<String>,
    }
    if message.metadata.contains_key("deadLetterReason") {
        return None;
    }
    let event: Event = serde_json::from_slice(&message.data).ok()?;
    event.id.filter(|id| !id.is_empty() && !id.contains(char::is_control))
}

/// The metadata of a message that came: its headers, each with its first value.
pub(super) fn metadata(headers: Option<&HeaderMap>) -> BTreeMap<String, String> {
    let headers = headers.into_iter().flat_map(HeaderMap::iter);
    let headers = headers.filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string())));
    headers.filter(|(name, _)| !is_servers(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_id_unless_it_is_a_dead_letter() {
        let mut message = Message { data: "{\"a\": 1, \"id\": \"x\"}".into(), ..Message::default() };
        assert_eq!(event_id(&message).as_deref(), Some("x"));
        message.metadata.insert("deadLetterReason".to_owned(), "why".to_owned());
        assert_eq!(event_id(&message), None);
        for data in ["", "text", "[]", "{\"id\": 7}", "{\"id\": \"\"}", "{\"id\": \"a\\nb\"}"] {
            assert_eq!(event_id(&Message { data: data.into(), ..Message::default() }), None, "{data}");
        }
    }

    #[test]
    fn metadata_goes_as_headers_and_comes_back() {
        let given = [
            ("deadLetterReason", "one\r\ntwo"),
            ("Nats-Rollup", "all"),
            ("no header", "x"),
            ("a:b", "x"),
            ("", "x"),
            ("empty", ""),
        ];
        let metadata = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let headers = of(&Message { data: "{\"id\": \"e\"}".into(), metadata, ..Message::default() });
        let wanted = [("deadLetterReason", "one  two"), ("empty", "")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(super::metadata(Some(&headers)), wanted);
        assert!(headers.get("Nats-Msg-Id").is_none(), "a dead letter is not the event again");
    }
}
