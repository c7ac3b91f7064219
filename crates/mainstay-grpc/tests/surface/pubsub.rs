//! Publishing.

use std::collections::BTreeMap;

use mainstay_proto::runtime::v1::*;
use serde_json::{Value, json};
use tonic::Code;

use crate::house::{House, With, check};

fn event(topic: &str, data: &str, content_type: &str) -> PublishEventRequest {
    PublishEventRequest {
        pubsub_name: "bus".to_owned(),
        topic: topic.to_owned(),
        data: data.to_owned().into(),
        data_content_type: content_type.to_owned(),
        metadata: BTreeMap::new(),
    }
}

fn bulk(topic: &str, ids: &[&str]) -> BulkPublishRequest {
    let entry = |&id: &&str| BulkPublishRequestEntry {
        entry_id: id.to_owned(),
        event: id.to_owned().into(),
        content_type: "text/plain".to_owned(),
        metadata: BTreeMap::new(),
    };
    BulkPublishRequest {
        pubsub_name: "bus".to_owned(),
        topic: topic.to_owned(),
        entries: ids.iter().map(entry).collect(),
        metadata: BTreeMap::from([("partitionKey".to_owned(), "k".to_owned())]),
    }
}

#[tokio::test]
async fn an_event_goes_out_in_an_envelope_that_names_its_trace() {
    let house = House::new().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut request = tonic::Request::new(event("orders", r#"{"id":7}"#, "application/json"));
    request.metadata_mut().insert("traceparent", trace.parse().unwrap());
    house.client().await.publish_event(request).await.unwrap();
    let sent: Value = serde_json::from_slice(&house.published.lock().unwrap()[0].data).unwrap();
    assert_eq!(sent["data"], json!({"id": 7}));
    assert_eq!((sent["source"].as_str(), sent["traceparent"].as_str()), (Some("shop"), Some(trace)));
}

#[tokio::test]
async fn a_raw_event_goes_out_as_it_is() {
    let house = House::new().await;
    let raw = |text: &str| PublishEventRequest {
        metadata: BTreeMap::from([("rawPayload".to_owned(), text.to_owned())]),
        ..event("orders", "as it is", "")
    };
    let mut client = house.client().await;
    client.publish_event(raw("true")).await.unwrap();
    assert_eq!(house.published.lock().unwrap()[0].data, "as it is");
    let odd = client.publish_event(raw("perhaps")).await;
    check(odd, Code::InvalidArgument, "DAPR_PUBSUB_METADATA_DESERIALIZATION");
}

#[tokio::test]
async fn many_events_go_out_under_both_names() {
    let house = House::new().await;
    let mut client = house.client().await;
    let done = client.bulk_publish_event(bulk("orders", &["a", "b"])).await.unwrap().into_inner();
    assert_eq!(done.failed_entries, []);
    client.bulk_publish_event_alpha1(bulk("orders", &["c"])).await.unwrap();
    let published = house.published.lock().unwrap();
    let keys: Vec<_> = published.iter().map(|message| message.metadata["partitionKey"].as_str()).collect();
    assert_eq!(keys, ["k", "k", "k"]);
}

#[tokio::test]
async fn one_of_many_that_fails_fails_the_call() {
    let house = House::new().await;
    let mut client = house.client().await;
    let failed = client.bulk_publish_event(bulk("half", &["a", "b", "c"])).await;
    check(failed, Code::Internal, "DAPR_PUBSUB_PUBLISH_MESSAGE");
    for ids in [["a", "a"], ["a", ""]] {
        let odd = client.bulk_publish_event(bulk("orders", &ids)).await;
        check(odd, Code::InvalidArgument, "DAPR_PUBSUB_MARSHAL_EVENTS");
    }
}

#[tokio::test]
async fn failures_have_the_protocols_statuses_and_reasons() {
    let house = House::new().await;
    let mut client = house.client().await;
    let named = |name: &str| PublishEventRequest { pubsub_name: name.to_owned(), ..event("orders", "x", "") };
    check(client.publish_event(named("other")).await, Code::InvalidArgument, "DAPR_PUBSUB_NOT_FOUND");
    check(client.publish_event(named("")).await, Code::InvalidArgument, "DAPR_PUBSUB_NAME_EMPTY");
    let untitled = client.publish_event(event("", "x", "")).await;
    check(untitled, Code::InvalidArgument, "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
    let denied = client.publish_event(event("secret", "x", "")).await;
    check(denied, Code::PermissionDenied, "DAPR_PUBSUB_FORBIDDEN");
    let down = client.publish_event(event("broken", "x", "")).await;
    check(down, Code::Internal, "DAPR_PUBSUB_PUBLISH_MESSAGE");

    let bare = House::with(With { bare: true, ..With::default() }).await;
    let none = bare.client().await.publish_event(event("orders", "x", "")).await;
    check(none, Code::InvalidArgument, "DAPR_PUBSUB_NOT_FOUND");
    let no_event = client.publish_event(event("orders", "[", "application/cloudevents+json")).await;
    check(no_event, Code::InvalidArgument, "DAPR_PUBSUB_CLOUD_EVENT_CREATION");
}
