//! The port of the app beside us, as the building blocks call it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::configuration::Items;
use crate::subscription::Subscription;
use crate::{Ctx, Error, Result, codes};

/// A message on its way to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEvent {
    /// The path that its subscription chose.
    pub path: String,
    /// The pub/sub component's name.
    pub pubsub: String,
    /// The topic.
    pub topic: String,
    /// The envelope.
    pub envelope: Bytes,
    /// What the broker says besides.
    pub metadata: BTreeMap<String, String>,
}

/// Configuration that changed while the app watches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationChange {
    /// The watch's id.
    pub id: String,
    /// The configuration store's name.
    pub store: String,
    /// What changed, those that are gone among them.
    pub items: Items,
}

/// What the app made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was worked on.
    Done,
    /// It is to come again.
    Again,
    /// It is not wanted: the dead letter topic, or nothing.
    Drop,
}

/// A message among several that are delivered in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkEntry {
    /// Names it in the app's answer; unique in its call.
    pub id: String,
    /// The envelope, or the bytes as they were published where the subscription is to what has no envelope.
    pub content: Bytes,
    /// Whether the content is an envelope.
    pub is_envelope: bool,
    /// What the content is.
    pub content_type: String,
    /// What the broker says besides.
    pub metadata: BTreeMap<String, String>,
}

/// Messages on their way to the app in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkEvent {
    /// The call's own id.
    pub id: String,
    /// The path that the subscription chose.
    pub path: String,
    /// The pub/sub component's name.
    pub pubsub: String,
    /// The topic.
    pub topic: String,
    /// The messages, in their order.
    pub entries: Vec<BulkEntry>,
}

/// An event of a binding on its way to the app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingEvent {
    /// The binding's name.
    pub binding: String,
    /// The path that its component chose.
    pub route: String,
    /// What happened.
    pub data: Bytes,
    /// What the binding says besides.
    pub metadata: BTreeMap<String, String>,
}

/// What the app answered to an event of a binding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingAnswer {
    /// The answer as it came.
    pub data: Bytes,
    /// What is to be done next.
    pub follow: Follow,
}

/// What an app asks for in its answer to an event of a binding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// The state store that `state` goes to.
    pub store: String,
    /// Values to set.
    pub state: Vec<FollowState>,
    /// Bindings that `data` goes to.
    pub to: Vec<String>,
    /// Whether these are called side by side, and not one after the other.
    pub parallel: bool,
    /// What they are called with: JSON.
    pub data: Bytes,
}

/// A value to set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowState {
    /// The key, as the app calls it.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Whether the value is the text of JSON.
    pub is_json: bool,
    /// The version that the app knows.
    pub etag: Option<String>,
    /// Who wins when two change the key: `first-write`, `last-write`, or nothing.
    pub concurrency: String,
    /// What the app says besides.
    pub metadata: BTreeMap<String, String>,
}

/// The port of the app. Members do not retry. Errors of every method: `APP_UNAVAILABLE` when it cannot be reached,
/// `APP_FAILED`, or `DEADLINE_EXCEEDED`.
#[async_trait]
pub trait AppCallback: Send + Sync {
    /// Whether the app takes connections.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// Whether the app says that it is well.
    async fn healthy(&self, ctx: &Ctx) -> Result<()>;

    /// The subscriptions that the app itself asks for. Errors, besides: `APP_REJECTED` for an answer that is none.
    async fn subscriptions(&self, ctx: &Ctx) -> Result<Vec<Subscription>>;

    /// Delivers a message. An app that asks to try again gives `Again`; one that fails gives `APP_FAILED` with what it
    /// answered ([`Error::with_answer`](crate::Error::with_answer)), and the message is tried again just so.
    async fn deliver(&self, ctx: &Ctx, event: &TopicEvent) -> Result<Verdict>;

    /// Delivers messages in one call. A verdict for each, in their order; what the app says nothing of comes again.
    /// Errors, besides: `UNSUPPORTED`.
    async fn deliver_bulk(&self, _ctx: &Ctx, _event: &BulkEvent) -> Result<Vec<Verdict>> {
        Err(Error::new(&codes::UNSUPPORTED, "deliver several messages in one call to this app"))
    }

    /// Whether the app wants to hear of a binding, whose component chose this path.
    async fn hears(&self, _ctx: &Ctx, _binding: &str, _route: &str) -> Result<bool> {
        Ok(false)
    }

    /// Tells the app of an event. Errors, besides: `UNSUPPORTED`. An answer that is a failure is an error: whether the
    /// event comes again is the binding's to decide.
    async fn tell(&self, _ctx: &Ctx, _event: &BindingEvent) -> Result<BindingAnswer> {
        Err(Error::new(&codes::UNSUPPORTED, "tell this app of a binding's event"))
    }

    /// Tells the app of configuration that changed. Errors, besides: `UNSUPPORTED` for an app that is told in another
    /// way.
    async fn configuration_changed(&self, _ctx: &Ctx, _change: &ConfigurationChange) -> Result<()> {
        Err(Error::new(
            &codes::UNSUPPORTED,
            "tell the app of changed configuration: it has no way to hear it",
        ))
    }
}
