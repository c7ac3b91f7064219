//! Messages on their way to an app that speaks gRPC.

use std::collections::BTreeMap;

use mainstay_core::callback::{BulkEntry, BulkEvent, TopicEvent};
use mainstay_proto::runtime::v1 as wire;
use wire::topic_event_bulk_request_entry::Event as Content;

use crate::{Event, structs};

/// The type of a call with several messages.
const BULK_TYPE: &str = "com.dapr.event.sent.bulk";

/// The message that an app gets: the event, out of its envelope. Errors: why it is no envelope.
pub fn topic_event(event: &TopicEvent) -> Result<wire::TopicEventRequest, String> {
    let read = Event::read(&event.envelope)?;
    Ok(wire::TopicEventRequest {
        id: read.id,
        source: read.source,
        r#type: read.kind,
        spec_version: read.spec_version,
        data_content_type: read.content_type,
        data: read.data,
        topic: event.topic.clone(),
        pubsub_name: event.pubsub.clone(),
        path: event.path.clone(),
        extensions: Some(structs::of(read.extensions)),
    })
}

/// What an app gets in one call: each event out of its envelope, and bytes without one as they are. What is no envelope
/// is left out; its id and why are told to `unfit`.
pub fn bulk_topic_event(event: &BulkEvent, mut unfit: impl FnMut(&str, &str)) -> wire::TopicEventBulkRequest {
    let entries =
        event.entries.iter().filter_map(|one| entry(one).inspect_err(|why| unfit(&one.id, why)).ok());
    wire::TopicEventBulkRequest {
        id: event.id.clone(),
        entries: entries.collect(),
        metadata: BTreeMap::from([("pubsubName".to_owned(), event.pubsub.clone())]),
        topic: event.topic.clone(),
        pubsub_name: event.pubsub.clone(),
        r#type: BULK_TYPE.to_owned(),
        path: event.path.clone(),
    }
}

fn entry(entry: &BulkEntry) -> Result<wire::TopicEventBulkRequestEntry, String> {
    let content = if entry.is_envelope {
        let read = Event::read(&entry.content)?;
        Content::CloudEvent(wire::TopicEventCeRequest {
            id: read.id,
            source: read.source,
            r#type: read.kind,
            spec_version: read.spec_version,
            data_content_type: read.content_type,
            data: read.data,
            extensions: Some(structs::of(read.extensions)),
        })
    } else {
        Content::Bytes(entry.content.clone())
    };
    Ok(wire::TopicEventBulkRequestEntry {
        entry_id: entry.id.clone(),
        event: Some(content),
        content_type: entry.content_type.clone(),
        metadata: entry.metadata.clone(),
    })
}
