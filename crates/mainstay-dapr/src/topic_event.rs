//! A message on its way to an app that speaks gRPC.

use mainstay_core::callback::TopicEvent;
use mainstay_proto::runtime::v1 as wire;

use crate::{Event, structs};

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
