//! The envelope of a message (CloudEvents 1.0, JSON format), as apps of this protocol expect it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::pubsub::Message;
use mainstay_core::{Error, Result, codes};
use serde_json::{Map, Value};

/// The content type of an envelope.
pub const CLOUD_EVENTS: &str = "application/cloudevents+json";

const SPEC_VERSION: &str = "1.0";
const TYPE: &str = "com.dapr.event.sent";
/// The source of an event whose app is unknown.
const UNKNOWN_SOURCE: &str = "Dapr";
/// Attributes that a publisher's metadata may set, each as `cloudevent.<name>`.
const OVERRIDABLE: [&str; 7] = ["id", "source", "type", "subject", "traceid", "traceparent", "tracestate"];

/// What an envelope is made from, besides the content.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The app that publishes.
    pub app: &'a str,
    /// The component's name.
    pub pubsub: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The caller's trace; one that begins here without.
    pub traceparent: Option<&'a str>,
    /// What is said of it.
    pub tracestate: Option<&'a str>,
    /// When it is published.
    pub now_ms: u64,
}

impl Event<'_> {
    /// The content in its envelope. Content that is an envelope already keeps it. Errors: `INVALID_JSON` for one that
    /// is none.
    pub fn envelope(
        &self,
        data: &[u8],
        content_type: Option<&str>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Bytes> {
        Ok(Value::Object(self.object(data, content_type, metadata)?).to_string().into())
    }

    /// The same before it is text.
    pub(crate) fn object(
        &self,
        data: &[u8],
        content_type: Option<&str>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Map<String, Value>> {
        let essence = essence(content_type);
        let mut event = if essence == CLOUD_EVENTS { given(data)? } else { self.fresh(data, content_type) };
        self.complete(&mut event);
        self.apply(&mut event, metadata);
        Ok(event)
    }

    fn fresh(&self, data: &[u8], content_type: Option<&str>) -> Map<String, Value> {
        let content_type = content_type.filter(|text| !text.is_empty()).unwrap_or("text/plain");
        let mut event = Map::new();
        let (name, value) = content(data, content_type);
        event.insert(name.to_owned(), value);
        event.insert("datacontenttype".to_owned(), content_type.into());
        event
    }

    /// Fills in what is missing, and says where the message was published whatever it says itself.
    fn complete(&self, event: &mut Map<String, Value>) {
        let source = if self.app.is_empty() { UNKNOWN_SOURCE } else { self.app };
        let mut fill = |name: &str, value: Value| {
            let missing = event.get(name).is_none_or(|present| present.is_null() || present == "");
            if missing {
                event.insert(name.to_owned(), value);
            }
        };
        fill("id", uuid::Uuid::now_v7().to_string().into());
        fill("specversion", SPEC_VERSION.into());
        fill("source", source.into());
        fill("type", TYPE.into());
        fill("time", time(self.now_ms).into());
        // Apps read these members without asking whether they are there.
        let traceparent = self.traceparent.map_or_else(fresh_trace, str::to_owned);
        fill("traceid", traceparent.as_str().into());
        fill("traceparent", traceparent.into());
        fill("tracestate", self.tracestate.unwrap_or_default().into());
        event.insert("topic".to_owned(), self.topic.into());
        event.insert("pubsubname".to_owned(), self.pubsub.into());
    }

    fn apply(&self, event: &mut Map<String, Value>, metadata: &BTreeMap<String, String>) {
        for name in OVERRIDABLE {
            let set = metadata.get(&format!("cloudevent.{name}")).filter(|value| !value.is_empty());
            if let Some(value) = set {
                event.insert(name.to_owned(), value.as_str().into());
                // The two are one value under two names.
                if name == "traceparent" {
                    event.insert("traceid".to_owned(), value.as_str().into());
                }
            }
        }
        if let Some(seconds) = seconds_to_live(metadata) {
            let end = self.now_ms.saturating_add(seconds.saturating_mul(1_000));
            event.insert("expiration".to_owned(), time(end).into());
        }
    }
}

/// The member that holds content: JSON as such, bytes in base64, everything else as text.
fn content(data: &[u8], content_type: &str) -> (&'static str, Value) {
    if is_json(content_type)
        && let Ok(value) = serde_json::from_slice::<Value>(data)
    {
        return ("data", value);
    }
    if is_binary(content_type) {
        return ("data_base64", STANDARD.encode(data).into());
    }
    match std::str::from_utf8(data) {
        Ok(text) => ("data", text.into()),
        // Text in name alone: as text it would be damaged.
        Err(_) => ("data_base64", STANDARD.encode(data).into()),
    }
}

fn given(data: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_slice(data).map_err(|error| {
        Error::new(&codes::INVALID_JSON, "read the cloud event: it is not a JSON object").with_source(error)
    })
}

/// A trace that begins with this message, and that nobody records (Trace Context, section 3.2).
fn fresh_trace() -> String {
    let (trace, span) =
        (uuid::Uuid::new_v4().simple().to_string(), uuid::Uuid::new_v4().simple().to_string());
    format!("00-{trace}-{}-00", &span[..16])
}

/// The envelope for a message that was published without one, towards a subscriber who wants one: bytes, whatever they
/// were published as, and the trace that stands beside them.
#[must_use]
pub fn wrap_raw(message: &Message, pubsub: &str) -> Bytes {
    let mut event = serde_json::json!({
        "id": uuid::Uuid::now_v7().to_string(),
        "specversion": SPEC_VERSION,
        "source": UNKNOWN_SOURCE,
        "type": TYPE,
        "datacontenttype": "application/octet-stream",
        "topic": message.topic,
        "pubsubname": pubsub,
        "data_base64": STANDARD.encode(&message.data),
    });
    for name in ["traceid", "traceparent", "tracestate", "baggage"] {
        let Some(said) = message.metadata.get(name).filter(|said| !said.is_empty()) else { continue };
        event[name] = said.as_str().into();
        if name == "traceparent" {
            event["traceid"] = said.as_str().into();
        }
    }
    event.to_string().into()
}

fn essence(content_type: Option<&str>) -> String {
    content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether content of this type is JSON.
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = essence(Some(content_type));
    essence == "application/json" || essence.ends_with("+json")
}

/// Whether content of this type is bytes.
fn is_binary(content_type: &str) -> bool {
    let essence = essence(Some(content_type));
    matches!(
        essence.as_str(),
        "application/octet-stream"
            | "application/x-protobuf"
            | "application/protobuf"
            | "application/cloudevents+protobuf"
    )
}

/// A time as RFC 3339 says it, in UTC.
fn time(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| jiff::Timestamp::MAX.to_string(), |at| at.to_string())
}

/// How many seconds a message is to live. What is not above zero is no time.
pub(super) fn seconds_to_live(metadata: &BTreeMap<String, String>) -> Option<u64> {
    metadata.get(Message::TTL)?.parse().ok().filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVENT: Event<'_> = Event {
        app: "shop",
        pubsub: "bus",
        topic: "orders",
        traceparent: None,
        tracestate: None,
        now_ms: 1_700_000_000_000,
    };

    fn made(data: &[u8], content_type: Option<&str>, metadata: &[(&str, &str)]) -> Value {
        let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        serde_json::from_slice(&EVENT.envelope(data, content_type, &metadata).unwrap()).unwrap()
    }

    fn check(data: &[u8], content_type: Option<&str>, member: &str, expect: Value) {
        let event = made(data, content_type, &[]);
        assert_eq!(event[member], expect, "{event}");
        let other = if member == "data" { "data_base64" } else { "data" };
        assert!(event.get(other).is_none(), "{event}");
    }

    #[test]
    fn content_stands_as_its_type_says() {
        check(br#"{"n":1}"#, Some("application/json; charset=utf-8"), "data", json!({"n": 1}));
        check(b"[1", Some("application/json"), "data", json!("[1"));
        check(b"hei", None, "data", json!("hei"));
        check(b"<a/>", Some("application/xml"), "data", json!("<a/>"));
        check(b"\xff\x00", Some("application/octet-stream"), "data_base64", json!("/wA="));
        check(b"\xff", Some("text/plain"), "data_base64", json!("/w=="));
    }

    #[test]
    fn an_envelope_says_who_where_and_when() {
        let mut event = made(b"1", Some("application/json"), &[]);
        assert!(event["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
        event.as_object_mut().unwrap().remove("id");
        let trace = event.as_object_mut().unwrap().remove("traceid").unwrap();
        assert_eq!(
            event.as_object_mut().unwrap().remove("traceparent"),
            Some(trace.clone()),
            "one value, two names"
        );
        let traced = mainstay_core::Ctx::system().with_traceparent(trace.as_str().unwrap());
        assert!(traced.traceparent().is_some_and(|trace| trace.ends_with("-00")), "{trace}");
        let wanted = json!({
            "data": 1, "datacontenttype": "application/json", "specversion": "1.0", "source": "shop",
            "type": "com.dapr.event.sent", "time": "2023-11-14T22:13:20Z", "topic": "orders", "pubsubname": "bus",
            "tracestate": "",
        });
        assert_eq!(event, wanted);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let event = EVENT.envelope(br#"{"n":12345678901234567}"#, Some("application/json"), &BTreeMap::new());
        assert!(String::from_utf8(event.unwrap().to_vec()).unwrap().contains("12345678901234567"));
    }

    #[test]
    fn a_given_envelope_is_kept_but_for_where_it_is_published() {
        let given =
            br#"{"specversion":"1.0","id":"x","source":"s","type":"t","topic":"else","data":1,"mine":true}"#;
        let event = made(given, Some(CLOUD_EVENTS), &[("cloudevent.type", "t2")]);
        assert_eq!(event["topic"], "orders");
        let kept = (&event["id"], &event["source"], &event["type"], &event["mine"]);
        assert_eq!(kept, (&json!("x"), &json!("s"), &json!("t2"), &json!(true)));
        assert!(EVENT.envelope(b"[]", Some(CLOUD_EVENTS), &BTreeMap::new()).is_err());
    }

    #[test]
    fn metadata_overrides_and_a_time_to_live_ends() {
        let event =
            made(b"x", None, &[("cloudevent.id", "7"), ("ttlInSeconds", "60"), ("cloudevent.data", "no")]);
        assert_eq!((&event["id"], &event["data"]), (&json!("7"), &json!("x")));
        assert_eq!(event["expiration"], "2023-11-14T22:14:20Z");
        for none in ["0", "-1", "soon", ""] {
            assert!(made(b"x", None, &[("ttlInSeconds", none)]).get("expiration").is_none(), "{none}");
        }
        let traced = Event { traceparent: Some("00-a-b-01"), tracestate: Some("v=1"), ..EVENT };
        let event = traced.envelope(b"x", None, &BTreeMap::new()).unwrap();
        let event: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!((&event["traceid"], &event["traceparent"]), (&json!("00-a-b-01"), &json!("00-a-b-01")));
        assert_eq!(event["tracestate"], "v=1");
    }

    #[test]
    fn bytes_without_an_envelope_are_wrapped_as_bytes() {
        let metadata = [("traceparent", "00-a-b-01"), ("traceid", "x"), ("other", "y")];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let content_type = Some("application/json".to_owned());
        let message = Message {
            topic: "orders".to_owned(),
            data: "{}".into(),
            content_type,
            metadata: metadata.into(),
        };
        let mut event: Value = serde_json::from_slice(&wrap_raw(&message, "bus")).unwrap();
        assert!(event.as_object_mut().unwrap().remove("id").is_some());
        let wanted = json!({
            "specversion": "1.0", "source": "Dapr", "type": "com.dapr.event.sent", "topic": "orders",
            "pubsubname": "bus", "datacontenttype": "application/octet-stream", "data_base64": "e30=",
            "traceid": "00-a-b-01", "traceparent": "00-a-b-01",
        });
        assert_eq!(event, wanted);
    }
}
