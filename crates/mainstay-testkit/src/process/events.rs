//! A stream of server-sent events, read one by one.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use super::PATIENCE;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id, empty when it has none.
    pub id: String,
    /// Its name, empty when it has none.
    pub name: String,
    /// Its data, lines joined.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.data))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut event = Self::default();
        let mut data = Vec::new();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => event.id = value.to_owned(),
                "event" => event.name = value.to_owned(),
                "data" => data.push(value),
                _ => {}
            }
        }
        event.data = data.join("\n");
        (!data.is_empty()).then_some(event)
    }
}

/// An open stream of events. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    /// The headers of the answer.
    pub headers: HeaderMap,
    body: Incoming,
    held: Vec<u8>,
}

impl EventStream {
    pub(super) fn new(headers: HeaderMap, body: Incoming) -> Self {
        Self { headers, body, held: Vec::new() }
    }

    /// The next event; `None` when the stream has ended or was cut.
    ///
    /// # Panics
    /// When nothing comes within [`PATIENCE`].
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.held.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.held.drain(..end + 2).collect();
                if let Some(event) = Event::parse(&String::from_utf8_lossy(&block)) {
                    return Some(event);
                }
            }
            let bytes = self.more().await?;
            self.held.extend_from_slice(&bytes);
        }
    }

    /// Every event to the end.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    async fn more(&mut self) -> Option<Bytes> {
        loop {
            let frame =
                tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("the stream goes on in time");
            if let Ok(data) = frame?.ok()?.into_data() {
                return Some(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_fields_and_a_comment_is_none() {
        let event = Event::parse("id: 7\nevent: message.delta\ndata: {\"a\":\ndata: 1}\n\n").unwrap();
        assert_eq!((event.id.as_str(), event.name.as_str()), ("7", "message.delta"));
        assert_eq!(event.json()["a"], 1);
        assert_eq!(Event::parse(": keep-alive\n\n"), None);
    }
}
