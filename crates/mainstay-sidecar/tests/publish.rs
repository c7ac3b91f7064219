//! Publishing and bindings over HTTP, over a broker and a binding that keep what reaches them.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use mainstay_blocks::{App, Blocks, Opened, Table, bindings, pubsub};
use mainstay_core::binding::{Binding, Capabilities as Able, Operation, Outcome};
use mainstay_core::clock::ManualClock;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_sidecar::{Parts, Rules, Surface, Targets};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A broker, and a binding, that keep what they get. Messages to `broken` fail.
#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<Message>>,
    operations: Mutex<Vec<Operation>>,
}

#[async_trait]
impl PubSub for Kept {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: false, ordered: true, metadata: true, durable: false }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _: &Ctx, message: Message) -> Result<()> {
        let fails = message.topic == "broken" && !self.messages.lock().unwrap().is_empty();
        self.messages.lock().unwrap().push(message);
        if fails { Err(Error::new(&codes::BROKER_UNAVAILABLE, "it is down")) } else { Ok(()) }
    }

    async fn subscribe(&self, _: &Ctx, _: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        Ok(Box::pin(futures_util::stream::pending()))
    }
}

#[async_trait]
impl Binding for Kept {
    fn capabilities(&self) -> Able {
        Able { operations: vec!["create".to_owned()], events: false }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn invoke(&self, _: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        self.operations.lock().unwrap().push(operation);
        Ok(None)
    }
}

struct House {
    surface: Surface,
    kept: Arc<Kept>,
}

impl House {
    fn new() -> Self {
        let kept = Arc::new(Kept::default());
        let broker: Arc<dyn PubSub> = Arc::clone(&kept) as _;
        let binding: Arc<dyn Binding> = Arc::clone(&kept) as _;
        let table = Table {
            brokers: BTreeMap::from([("bus".to_owned(), Opened::new(broker, pubsub::Scopes::default()))]),
            bindings: BTreeMap::from([(
                "out".to_owned(),
                Opened::new(binding, bindings::Rules::of("out", None, None)),
            )]),
            ..Table::default()
        };
        let app = App { id: "shop".to_owned(), namespace: None };
        let surface = Surface::new(Parts {
            blocks: Blocks::new(app, Arc::new(ManualClock::at(1_700_000_000_000)), table),
            api_token: None,
            body_bytes_max: 4 << 10,
            targets: Targets::default(),
            client: Client::new(ClientOptions::default()),
            rules: Rules::default(),
            origins: None,
            shutdown: Arc::new(|_| {}),
        });
        Self { surface, kept }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, HeaderMap, Value) {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.to_owned().into())).unwrap();
        let (parts, body) = self.surface.router().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn check_fault(&self, path: &str, kind: &str, body: &str, expect: (u16, &str, &str)) {
        let (status, _, said) = self.post(path, &[("content-type", kind)], body).await;
        let details = said["details"].as_array().unwrap();
        let reason = details.iter().find_map(|detail| detail["reason"].as_str()).unwrap();
        assert_eq!((status, said["errorCode"].as_str().unwrap(), reason), expect, "{path} {body}");
    }

    fn messages(&self) -> Vec<Message> {
        std::mem::take(&mut self.kept.messages.lock().unwrap())
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn an_event_names_its_trace_also_where_the_caller_has_none() {
    let house = House::new();
    let traced = [("traceparent", TRACE), ("tracestate", "v=1")];
    assert_eq!(house.post("/v1.0/publish/bus/orders", &traced, "x").await.0, 204);
    assert_eq!(house.post("/v1.0/publish/bus/orders", &[], "x").await.0, 204);
    let events = house.messages();
    let event = |at: usize| serde_json::from_slice::<Value>(&events[at].data).unwrap();
    let (given, fresh) = (event(0), event(1));
    assert_eq!((&given["traceid"], &given["tracestate"]), (&json!(TRACE), &json!("v=1")));
    assert_eq!((&fresh["traceid"], &fresh["tracestate"]), (&fresh["traceparent"], &json!("")));
    assert_eq!(fresh["traceid"].as_str().map(str::len), Some(TRACE.len()));
}

#[tokio::test]
async fn what_an_entry_says_of_itself_holds_over_what_is_said_of_all() {
    let house = House::new();
    let path = "/v1.0/publish/bulk/bus/orders?metadata.partitionKey=all&metadata.colour=blue";
    let body = r#"[{"entryId":"1","event":"a","contentType":"text/plain","metadata":{"partitionKey":"own"}},
        {"entryId":"2","event":{"n":1},"contentType":"application/json"}]"#;
    assert_eq!(house.post(path, &[], body).await.0, 204);
    let said = |message: &Message, name: &str| message.metadata[name].clone();
    let messages = house.messages();
    let keys: Vec<_> = messages.iter().map(|message| said(message, "partitionKey")).collect();
    assert_eq!(keys, ["own", "all"]);
    assert!(messages.iter().all(|message| said(message, "colour") == "blue"));
}

#[tokio::test]
async fn entries_that_failed_are_named_in_the_body_and_in_headers() {
    let house = House::new();
    let body = r#"[{"entryId":"1","event":"a"},{"entryId":"2","event":"b"}]"#;
    let (status, headers, said) = house.post("/v1.0-alpha1/publish/bulk/bus/broken", &[], body).await;
    let expect = json!({
        "failedEntries": [{"entryId": "2", "error": "it is down"}], "errorCode": "ERR_PUBSUB_PUBLISH_MESSAGE",
    });
    assert_eq!((status, &said), (500, &expect));
    let header: Value = serde_json::from_str(headers["metadata.responseData"].to_str().unwrap()).unwrap();
    assert_eq!(header, expect);
    let error = headers["metadata.error"].to_str().unwrap();
    assert!(error.starts_with("error when publishing to topic broken in pubsub bus: "), "{error}");
}

#[tokio::test]
async fn what_cannot_be_published_is_told_as_the_protocol_tells_it() {
    let house = House::new();
    let (text, events) = ("text/plain", "application/cloudevents+json");
    let missing = (404, "ERR_PUBSUB_NOT_FOUND", "DAPR_PUBSUB_NOT_FOUND");
    house.check_fault("/v1.0/publish/other/t", text, "x", missing).await;
    // Whose broker it is comes before what is published.
    house.check_fault("/v1.0/publish/bulk/other/t", text, "{", missing).await;
    let untitled = (404, "ERR_TOPIC_NAME_EMPTY", "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
    house.check_fault("/v1.0/publish/bus", text, "x", untitled).await;
    let metadata = (400, "ERR_PUBSUB_REQUEST_METADATA", "DAPR_PUBSUB_METADATA_DESERIALIZATION");
    house.check_fault("/v1.0/publish/bus/t?metadata.rawPayload=so", text, "x", metadata).await;
    let event = (500, "ERR_PUBSUB_CLOUD_EVENTS_SER", "DAPR_PUBSUB_CLOUD_EVENT_CREATION");
    house.check_fault("/v1.0/publish/bus/t", events, "no event", event).await;
    let bulk = "/v1.0/publish/bulk/bus/t";
    let unmarshal = (400, "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_UNMARSHAL_EVENTS");
    house.check_fault(bulk, text, "{", unmarshal).await;
    let ambiguous = (400, "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_EVENTS");
    for body in [r#"[{"event":"a"}]"#, r#"[{"entryId":"1"},{"entryId":"1"}]"#] {
        house.check_fault(bulk, text, body, ambiguous).await;
    }
    let unfit = (400, "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_ENVELOPE");
    let body = r#"[{"entryId":"1","event":{},"contentType":"text/plain"}]"#;
    house.check_fault(bulk, text, body, unfit).await;
    assert!(house.messages().is_empty());
}

#[tokio::test]
async fn an_operation_takes_the_callers_trace_and_baggage_along() {
    let house = House::new();
    let headers = [("traceparent", TRACE), ("tracestate", "v=1"), ("baggage", "a=1"), ("baggage", "b=2")];
    let body = r#"{"operation":"create","data":{"n": 1},"metadata":{"colour":"blue"}}"#;
    assert_eq!(house.post("/v1.0/bindings/out", &headers, body).await.0, 204);
    let operation = house.kept.operations.lock().unwrap().remove(0);
    let expect = [("baggage", "a=1,b=2"), ("colour", "blue"), ("traceparent", TRACE), ("tracestate", "v=1")];
    let expect = expect.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((operation.metadata, &operation.data[..]), (expect.into(), &br#"{"n": 1}"#[..]));
    let (status, _, said) = house.post("/v1.0/bindings/out", &[("baggage", "none")], body).await;
    assert_eq!((status, &said["errorCode"]), (400, &json!("ERR_MALFORMED_REQUEST")));
}
