//! A subscription: a push consumer, and what it sends us.

use std::sync::Arc;

use async_nats::jetstream::consumer::push::{Config, Messages};
use async_nats::jetstream::consumer::{AckPolicy, Consumer};
use async_nats::jetstream::context::GetStreamByNameErrorKind;
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
use async_nats::jetstream::{AckKind, ErrorCode};
use async_nats::{Client, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use mainstay_core::pubsub::{Delivery, Message, Receipt, Subscription};
use mainstay_core::{BoxStream, Error, Result, Retry, codes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::settings::Options;
use super::{JetStream, headers, no_stream, told, unreachable};
use crate::clients::brokers::word;

/// Messages that a subscription holds unsettled at most; the server's own bound is mostly below.
const HELD_MAX: usize = 1_024;

/// Finds the consumer or makes it, and begins to listen.
pub(super) async fn begin(
    broker: &JetStream,
    subscription: &Subscription,
) -> Result<BoxStream<Result<Delivery>>> {
    let Options { ack_policy, ack_wait, single, .. } = &broker.options;
    let connected = broker.connected.clone();
    let stream = stream_of(broker, &subscription.topic).await?;
    let consumer = consumer(broker, subscription, &stream).await?;
    let messages = consumer.messages().await.map_err(|error| unreachable(&error))?;
    // The server knows that somebody listens before it is said that we do.
    broker.client.flush().await.map_err(|error| unreachable(&error))?;
    let settling = Settling {
        client: broker.client.clone(),
        settles: *ack_policy != AckPolicy::None,
        ack_wait: *ack_wait,
    };
    let member = Member {
        messages,
        consumer,
        connected,
        topic: subscription.topic.clone(),
        free: Arc::new(Semaphore::new(if *single { 1 } else { HELD_MAX })),
        settling,
        is_over: false,
    };
    Ok(Box::pin(stream::unfold(member, |mut member| async move {
        let next = member.next().await?;
        Some((next, member))
    })))
}

async fn stream_of(broker: &JetStream, topic: &str) -> Result<String> {
    if let Some(name) = &broker.options.stream {
        return Ok(name.clone());
    }
    broker.context.stream_by_subject(topic).await.map_err(|error| match error.kind() {
        GetStreamByNameErrorKind::NotFound => no_stream(topic),
        _ => unreachable(&error),
    })
}

/// The name of a durable consumer, and the name under which its listeners share messages.
fn names(options: &Options, subscription: &Subscription) -> (Option<String>, Option<String>) {
    let Subscription { topic, group, metadata } = subscription;
    let (durable, queue_group) = (options.durable.clone(), options.queue_group.clone());
    if durable.is_some() || !(options.has_group || word(metadata, "consumerID").is_some()) {
        return (durable, queue_group);
    }
    let shared = queue_group.unwrap_or_else(|| plain(group));
    (Some(format!("{}=={}", plain(group), plain(topic))), Some(shared))
}

/// A name with what NATS does not take in names written as `=XX`: different ones stay different.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            plain.push(char::from(byte));
        } else {
            plain.push_str(&format!("={byte:02X}"));
        }
    }
    plain
}

async fn consumer(broker: &JetStream, subscription: &Subscription, stream: &str) -> Result<Consumer<Config>> {
    let (durable, queue_group) = names(&broker.options, subscription);
    let found = match &durable {
        Some(name) => broker.context.get_consumer_from_stream::<Config, _, _>(name, stream).await.map(Some),
        None => Ok(None),
    };
    let wanted = config(broker, &subscription.topic, durable, queue_group);
    let made = match found {
        Ok(Some(found)) => return fitting(found, &wanted),
        Ok(None) => broker.context.create_consumer_on_stream(wanted.clone(), stream).await,
        Err(error) => match code(&error) {
            Some(ErrorCode::CONSUMER_NOT_FOUND) => {
                broker.context.create_consumer_on_stream(wanted.clone(), stream).await
            }
            _ => Err(error),
        },
    };
    made.map_err(|error| {
        let refused =
            |message: String| Error::new(&codes::BROKER_UNAVAILABLE, message).with_retry(Retry::Permanent);
        let failure = match code(&error) {
            Some(ErrorCode::STREAM_NOT_FOUND) => refused(format!("subscribe: there is no stream `{stream}`"))
                .with_help("create it, or correct `streamName`"),
            Some(_) => refused("subscribe: JetStream refuses the consumer as it is set".to_owned()),
            None => Error::new(&codes::BROKER_UNAVAILABLE, "subscribe: JetStream cannot be reached"),
        };
        failure.with_internal(told(&error))
    })
}

/// What JetStream itself said.
fn code(error: &ConsumerError) -> Option<ErrorCode> {
    match error.kind() {
        ConsumerErrorKind::JetStream(said) => Some(said.error_code()),
        _ => None,
    }
}

fn config(broker: &JetStream, topic: &str, durable: Option<String>, queue_group: Option<String>) -> Config {
    let options = &broker.options;
    Config {
        deliver_subject: broker.client.new_inbox(),
        durable_name: durable,
        deliver_group: queue_group,
        filter_subject: topic.to_owned(),
        deliver_policy: options.deliver_policy,
        ack_policy: options.ack_policy,
        ack_wait: options.ack_wait.unwrap_or_default(),
        max_deliver: options.max_deliver.unwrap_or_default(),
        backoff: options.back_off.clone(),
        max_ack_pending: options.max_ack_pending.unwrap_or_default(),
        num_replicas: options.replicas,
        memory_storage: options.memory_storage,
        rate_limit: options.rate_limit,
        flow_control: options.flow_control,
        idle_heartbeat: options.heartbeat.unwrap_or_default(),
        ..Config::default()
    }
}

/// A consumer that is there already, if it is for this topic and takes another listener. It goes on as it was made.
fn fitting(found: Consumer<Config>, wanted: &Config) -> Result<Consumer<Config>> {
    let info = found.cached_info();
    let refused = |message: String, help: &'static str| {
        Err(Error::new(&codes::BROKER_UNAVAILABLE, message).with_retry(Retry::Permanent).with_help(help))
    };
    let (name, config) = (&info.name, &info.config);
    if config.filter_subject != wanted.filter_subject {
        let message = format!("subscribe: the consumer `{name}` is for `{}`", config.filter_subject);
        return refused(
            message,
            "give each topic a component with a `durableName` of its own, or name a `consumerID`",
        );
    }
    if config.deliver_group != wanted.deliver_group {
        let message = format!("subscribe: the consumer `{name}` is of another queue group");
        return refused(message, "set `queueGroupName` as it was when the consumer was made");
    }
    if info.push_bound && config.deliver_group.is_none() {
        let message = format!("subscribe: somebody listens to the consumer `{name}` already");
        return Err(Error::new(&codes::BROKER_UNAVAILABLE, message)
            .with_help("set `queueGroupName`, so that several can share it"));
    }
    Ok(found)
}

struct Member {
    messages: Messages,
    consumer: Consumer<Config>,
    connected: watch::Receiver<u64>,
    topic: String,
    /// A place for each message that may be unsettled.
    free: Arc<Semaphore>,
    settling: Settling,
    is_over: bool,
}

impl Member {
    /// The next delivery; an error is the last.
    async fn next(&mut self) -> Option<Result<Delivery>> {
        if self.is_over {
            return None;
        }
        let Ok(place) = Arc::clone(&self.free).acquire_owned().await else { return None };
        let failure = loop {
            tokio::select! {
                next = self.messages.next() => match next {
                    Some(Ok(message)) => return Some(Ok(self.delivery(message, place))),
                    Some(Err(error)) => break unreachable(&error),
                    None => {
                        break Error::new(&codes::BROKER_UNAVAILABLE, "take messages: the connection to NATS has ended");
                    }
                },
                Ok(()) = self.connected.changed() => {
                    // The server forgets a consumer without a name when nobody listens for a while.
                    if let Err(error) = self.consumer.get_info().await {
                        break unreachable(&error);
                    }
                }
            }
        };
        self.is_over = true;
        Some(Err(failure))
    }

    fn delivery(&self, message: async_nats::jetstream::Message, place: OwnedSemaphorePermit) -> Delivery {
        let delivered = message.info().map_or(1, |info| info.delivered);
        let async_nats::Message { subject, reply, payload, headers, .. } = message.message;
        let mut metadata = headers::metadata(headers.as_ref());
        metadata.insert("Topic".to_owned(), subject.to_string());
        let message = Message { topic: self.topic.clone(), data: payload, content_type: None, metadata };
        let reply = reply.filter(|_| self.settling.settles);
        let receipt = Box::new(Slip { reply, settling: self.settling.clone(), _place: place });
        let attempts = u32::try_from(delivered - 1).unwrap_or_default();
        // The stream's order is kept by handing out one at a time; more at once is in no order.
        Delivery { message, lane: None, attempts, receipt }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        // What was sent and not taken is for others, at once.
        let mut replies = Vec::new();
        while let Some(Some(Ok(message))) = self.messages.next().now_or_never() {
            replies.extend(message.message.reply.clone());
        }
        self.settling.give_back(replies);
    }
}

/// How messages are settled.
#[derive(Clone)]
struct Settling {
    client: Client,
    /// Whether there is anything to settle.
    settles: bool,
    ack_wait: Option<std::time::Duration>,
}

impl Settling {
    /// Says so, and hears that it was heard.
    async fn say(&self, reply: Subject, kind: AckKind) -> Result<()> {
        let heard = self.client.request(reply, Bytes::from(kind)).await;
        heard.map(|_| ()).map_err(|error| {
            Error::new(
                &codes::BROKER_UNAVAILABLE,
                "settle a message: NATS did not hear it, and it comes again",
            )
            .with_internal(told(&error))
        })
    }

    /// Has messages delivered again, now.
    fn give_back(&self, replies: Vec<Subject>) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Ok(runtime), true) = (runtime, self.settles && !replies.is_empty()) {
            let client = self.client.clone();
            runtime.spawn(async move {
                for reply in replies {
                    // Should it fail, the message comes again when its time is over.
                    let _ = client.publish(reply, Bytes::from(AckKind::Nak(None))).await;
                }
            });
        }
    }
}

/// Settles a delivery; dropped without, it comes again.
struct Slip {
    reply: Option<Subject>,
    settling: Settling,
    _place: OwnedSemaphorePermit,
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        match self.reply.take() {
            Some(reply) => self.settling.say(reply, AckKind::Ack).await,
            None => Ok(()),
        }
    }

    async fn again(mut self: Box<Self>) -> Result<()> {
        match self.reply.take() {
            Some(reply) => self.settling.say(reply, AckKind::Nak(self.settling.ack_wait)).await,
            None => Ok(()),
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        self.settling.give_back(self.reply.take().into_iter().collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_stay_different() {
        let names = ["a.b", "a_b", "a=2Eb", "a-b", "a b", "ä"].map(plain);
        assert_eq!(names, ["a=2Eb", "a_b", "a=3D2Eb", "a-b", "a=20b", "=C3=A4"]);
    }
}
