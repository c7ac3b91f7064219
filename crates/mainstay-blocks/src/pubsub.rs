//! The pub/sub block: who may publish where, and what envelope a message goes in.

mod delivery;
mod envelope;
mod known;
mod routing;
mod scopes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_core::pubsub::Message;
use mainstay_core::{Ctx, Error, Result, codes};

use crate::hub::{Broker, not_found};
use crate::{Blocks, metering};
pub use delivery::{Deliverer, REASON};
pub(crate) use envelope::is_json;
pub use envelope::{CLOUD_EVENTS, Event, wrap_raw};
pub(crate) use known::Known;
pub use known::{Noted, Sort};
pub use scopes::Scopes;

/// What an app publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The content.
    pub data: Bytes,
    /// What the content is; `text/plain` where nothing is said.
    pub content_type: Option<String>,
    /// What the app says besides.
    pub metadata: BTreeMap<String, String>,
}

/// Publishes a message to a topic. Errors: `COMPONENT_NOT_FOUND`; `INVALID_FIELD` with the field `topic` or `metadata`;
/// `PERMISSION_DENIED`; those of the port.
pub async fn publish(
    blocks: &Blocks,
    ctx: &Ctx,
    pubsub: &str,
    topic: &str,
    publication: Publication,
) -> Result<()> {
    let broker = admitted(blocks, pubsub, topic)?;
    let message = message(blocks, ctx, pubsub, topic, publication)?;
    let began = metering::now(blocks);
    let ended = broker.guard.run(ctx, async |ctx| broker.port.publish(&ctx, message.clone()).await).await;
    metering::published(blocks, (pubsub, topic), began, std::slice::from_ref(&ended));
    ended
}

/// Publishes messages to a topic; each succeeds or fails by itself. Errors, of all at once: as [`publish`].
pub async fn publish_each(
    blocks: &Blocks,
    ctx: &Ctx,
    pubsub: &str,
    topic: &str,
    publications: Vec<Publication>,
) -> Result<Vec<Result<()>>> {
    let broker = admitted(blocks, pubsub, topic)?;
    let made = publications.into_iter().map(|publication| message(blocks, ctx, pubsub, topic, publication));
    let messages = made.collect::<Result<Vec<_>>>()?;
    let call = async |ctx, messages| broker.port.publish_each(&ctx, messages).await;
    let began = metering::now(blocks);
    let ended = broker.guard.run_each(ctx, messages, call).await;
    metering::published(blocks, (pubsub, topic), began, &ended);
    Ok(ended)
}

/// Whether there is such a broker, and the app may publish to the topic with this metadata: surfaces ask before they
/// read what is published. Errors: as [`publish`], before it is published.
pub fn may_publish(
    blocks: &Blocks,
    pubsub: &str,
    topic: &str,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    admitted(blocks, pubsub, topic)?;
    is_raw(metadata).map(drop)
}

/// Whether the app may subscribe to a topic. Errors: as [`publish`], before it is published.
pub fn may_subscribe(blocks: &Blocks, pubsub: &str, topic: &str) -> Result<()> {
    let broker = find(blocks, pubsub)?;
    if topic.is_empty() {
        return Err(Error::new(&codes::INVALID_FIELD, "the topic is empty").with_field("topic"));
    }
    if !broker.rules.may_subscribe(&blocks.app().id, topic) {
        let message = format!("subscribe to `{topic}`: this app may not");
        return Err(Error::new(&codes::PERMISSION_DENIED, message));
    }
    Ok(())
}

fn admitted(blocks: &Blocks, pubsub: &str, topic: &str) -> Result<Broker> {
    let broker = find(blocks, pubsub)?;
    if topic.is_empty() {
        return Err(Error::new(&codes::INVALID_FIELD, "the topic is empty").with_field("topic"));
    }
    if !broker.rules.may_publish(&blocks.app().id, topic) {
        let message = format!("publish to `{topic}`: this app may not");
        return Err(Error::new(&codes::PERMISSION_DENIED, message));
    }
    Ok(broker)
}

pub(crate) fn find(blocks: &Blocks, name: &str) -> Result<Broker> {
    blocks.table().brokers.get(name).cloned().ok_or_else(|| not_found("pub/sub component", name))
}

/// The message in its envelope; as it is where the app asks for that.
fn message(
    blocks: &Blocks,
    ctx: &Ctx,
    pubsub: &str,
    topic: &str,
    publication: Publication,
) -> Result<Message> {
    let Publication { data, content_type, mut metadata } = publication;
    // Brokers are told of a time to live, or of none.
    if envelope::seconds_to_live(&metadata).is_none() {
        metadata.remove(Message::TTL);
    }
    let (data, content_type) = if is_raw(&metadata)? {
        // It has no envelope that could say it.
        for (name, value) in [("traceid", ctx.traceparent()), ("tracestate", ctx.tracestate())] {
            if let Some(value) = value {
                metadata.insert(name.to_owned(), value.to_owned());
            }
        }
        (data, content_type)
    } else {
        let event = Event {
            app: &blocks.app().id,
            pubsub,
            topic,
            traceparent: ctx.traceparent(),
            tracestate: ctx.tracestate(),
            now_ms: blocks.clock().now_ms(),
        };
        (event.envelope(&data, content_type.as_deref(), &metadata)?, Some(CLOUD_EVENTS.to_owned()))
    };
    Ok(Message { topic: topic.to_owned(), data, content_type, metadata })
}

/// Whether metadata asks for no envelope. Errors: `INVALID_FIELD` for what is neither yes nor no.
pub fn is_raw(metadata: &BTreeMap<String, String>) -> Result<bool> {
    let text = metadata
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("rawPayload"))
        .map(|(_, text)| text.as_str());
    match text {
        None | Some("") => Ok(false),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some(_) => {
            let message = "failed deserializing metadata. Error: `rawPayload` must be `true` or `false`";
            Err(Error::new(&codes::INVALID_FIELD, message).with_field("metadata"))
        }
    }
}
