//! Publishing.

use std::collections::BTreeSet;

use mainstay_blocks::pubsub::{self, Publication};
use mainstay_core::Error;
use mainstay_proto::runtime::v1 as wire;
use tonic::Status;

use crate::call::{self, Call, Result};
use crate::status;

pub(crate) async fn publish(call: &Call, asked: wire::PublishEventRequest) -> Result<()> {
    let (broker, topic) = (asked.pubsub_name, asked.topic);
    let publication = Publication {
        data: asked.data,
        content_type: content_type(asked.data_content_type),
        metadata: asked.metadata,
    };
    let published = pubsub::publish(call.blocks(), &call.ctx, &broker, &topic, publication).await;
    published.map_err(|error| failed(call, &broker, &topic, &error))
}

/// Publishes events. One that fails is a failure of the call, as the protocol's own server has it: a caller who reads
/// no list would lose the event. What was published is published.
pub(crate) async fn publish_bulk(
    call: &Call,
    asked: wire::BulkPublishRequest,
) -> Result<wire::BulkPublishResponse> {
    let wire::BulkPublishRequest { pubsub_name: broker, topic, entries, metadata: shared } = asked;
    pubsub::may_publish(call.blocks(), &broker, &topic, &shared)
        .map_err(|error| failed(call, &broker, &topic, &error))?;
    let mut ids = BTreeSet::new();
    if !entries.iter().all(|entry| !entry.entry_id.is_empty() && ids.insert(entry.entry_id.as_str())) {
        return Err(status::of(&mainstay_dapr::pubsub::ambiguous(&broker, &topic, call.app())));
    }
    let publication = |entry: wire::BulkPublishRequestEntry| {
        let mut metadata = shared.clone();
        metadata.extend(entry.metadata);
        Publication { data: entry.event, content_type: content_type(entry.content_type), metadata }
    };
    let publications = entries.into_iter().map(publication).collect();
    let done = pubsub::publish_each(call.blocks(), &call.ctx, &broker, &topic, publications).await;
    let done = done.and_then(|each| each.into_iter().collect::<mainstay_core::Result<()>>());
    done.map_err(|error| failed(call, &broker, &topic, &error))?;
    Ok(wire::BulkPublishResponse::default())
}

fn content_type(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(crate) fn failed(call: &Call, broker: &str, topic: &str, error: &Error) -> Status {
    call::failed(&mainstay_dapr::pubsub::fault(broker, topic, call.app(), error), error)
}
