//! The port of a message broker: topics, groups of subscribers, delivery at least once.
//!
//! Messages are opaque bytes here: envelopes, routing and dead letters are the building block's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BoxStream, Ctx, Result};

/// What a broker can do. The conformance suite holds both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether messages with a time to live are dropped by the broker itself ([`Message::TTL`]).
    pub ttl: bool,
    /// Whether messages of one key ([`Message::KEY`]) come in the order they were published.
    pub ordered: bool,
    /// Whether a message comes with the metadata that it was published with, such as why a dead letter is one. What the
    /// broker reads itself ([`Message::TTL`]) may be missing.
    pub metadata: bool,
    /// Whether an acknowledged message survives the end of the process.
    pub durable: bool,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The topic, not empty.
    pub topic: String,
    /// The content.
    pub data: Bytes,
    /// What the content is, if known.
    pub content_type: Option<String>,
    /// What publishers and brokers say besides; names as their adapter documents them.
    pub metadata: BTreeMap<String, String>,
}

impl Message {
    /// Metadata: messages with the same key keep their order.
    pub const KEY: &str = "partitionKey";
    /// Metadata: seconds after which the message is not delivered any more.
    pub const TTL: &str = "ttlInSeconds";
}

/// What to subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topic, not empty.
    pub topic: String,
    /// The group: of its members one gets a message. Members of different groups all get it.
    pub group: String,
    /// Settings of the subscription, as the adapter documents them.
    pub metadata: BTreeMap<String, String>,
}

/// A message that was delivered and waits to be settled. Dropped without, it is delivered again, to this subscriber or
/// to another of its group.
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Deliveries of one lane are in order: the next is to be worked on when the one before is settled. Different lanes
    /// do not wait for each other. `None`: in no order.
    pub lane: Option<u64>,
    /// How often it was delivered before, where the broker knows.
    pub attempts: u32,
    /// Settles it.
    pub receipt: Box<dyn Receipt>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.message.topic)
            .field("lane", &self.lane)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Settles a delivery.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// It was worked on: it is not delivered to this group again. Errors: `BROKER_UNAVAILABLE`; then it may be.
    async fn done(self: Box<Self>) -> Result<()>;

    /// It is to be delivered to this group again, soon. Within a lane before what follows.
    async fn again(self: Box<Self>) -> Result<()>;
}

/// The port of a broker. Members do not retry, time out beyond the context's deadline, log, meter or cache.
///
/// Errors of every method: `BROKER_UNAVAILABLE` when the backend cannot be reached, or `DEADLINE_EXCEEDED`.
#[async_trait]
pub trait PubSub: Send + Sync {
    /// What this broker can do. Constant for its lifetime.
    fn capabilities(&self) -> Capabilities;

    /// Whether the backend answers.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// Publishes a message. Acknowledged means that every group that has subscribed gets it, also after a crash of this
    /// process, where the broker is durable. A publish whose future is dropped may or may not have had its effect.
    /// Errors: `INVALID_FIELD` for a topic or metadata that the broker cannot take.
    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()>;

    /// Publishes messages in their order. Each succeeds or fails by itself.
    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let mut done = Vec::with_capacity(messages.len());
        for message in messages {
            done.push(self.publish(ctx, message).await);
        }
        done
    }

    /// Joins a group. A group that is new begins with what is published from now on, unless its settings say otherwise;
    /// one that is known goes on where it was. The stream bounds what it holds unsettled, and an error in it is its
    /// last item: subscribe again. Dropping it leaves the group; what is unsettled goes to others.
    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>>;
}
