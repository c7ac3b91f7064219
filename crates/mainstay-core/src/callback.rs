//! The port of the app beside us, as the building blocks call it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::subscription::Subscription;
use crate::{Ctx, Result};

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
}
