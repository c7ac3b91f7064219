//! Messages by a pluggable component. Nothing is known of order, so none is promised.
//!
//! The protocol answers no acknowledgement: one that was sent counts as done. At the end of a subscription the stream
//! is closed from our side and read to its end, so that acknowledgements on their way arrive.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Receipt, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_proto::components::v1 as wire;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use wire::pub_sub_client::PubSubClient;

use super::socket::{Instanced, MESSAGE_BYTES_MAX, Socket, request};
use super::{failed, metadata};
use crate::clients::within;

/// Acknowledgements on their way.
const ACKS_MAX: usize = 1_024;
/// How long the head of the stream is waited for: some servers send it with the first message.
const HEAD_PATIENCE: Duration = Duration::from_millis(500);
/// How long the end of a stream may take that was closed from our side.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A broker.
pub(super) struct Broker {
    calls: Instanced,
    name: String,
    ttl: bool,
}

impl Broker {
    /// Initialises the instance. Errors: `BROKER_UNAVAILABLE`.
    pub(super) async fn open(
        socket: Socket,
        name: &str,
        properties: BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut broker = Self { calls: socket.calls(), name: name.to_owned(), ttl: false };
        let init = wire::PubSubInitRequest { metadata: metadata(properties) };
        broker.client().init(init).await.map_err(|status| unavailable(&status))?;
        let features = broker.client().features(wire::FeaturesRequest {}).await;
        let features = features.map_err(|status| unavailable(&status))?.into_inner().features;
        broker.ttl = features.iter().any(|feature| feature == "MESSAGE_TTL");
        Ok(broker)
    }

    fn client(&self) -> PubSubClient<Instanced> {
        PubSubClient::new(self.calls.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

fn unavailable(status: &Status) -> Error {
    failed(status, &codes::BROKER_UNAVAILABLE)
}

#[async_trait]
impl PubSub for Broker {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: self.ttl, ordered: false, metadata: true, durable: true }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, async {
            let pong = self.client().ping(request(ctx, wire::PingRequest {})).await;
            pong.map(|_| ()).map_err(|status| unavailable(&status))
        })
        .await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        let Message { topic, data, content_type, metadata } = message;
        let content_type = content_type.unwrap_or_default();
        let pubsub_name = self.name.clone();
        let asked = wire::PublishRequest { data, pubsub_name, topic, metadata, content_type };
        within(ctx, async {
            let done = self.client().publish(request(ctx, asked)).await;
            done.map(|_| ()).map_err(|status| unavailable(&status))
        })
        .await
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let topic = messages.first().map(|message| message.topic.clone()).unwrap_or_default();
        let same_topic = messages.iter().all(|message| message.topic == topic);
        if same_topic && !topic.is_empty() {
            match self.publish_bulk(ctx, topic, &messages).await {
                Ok(done) => return done,
                Err(status) if status.code() == Code::Unimplemented => {}
                Err(status) => return messages.iter().map(|_| Err(unavailable(&status))).collect(),
            }
        }
        let mut done = Vec::with_capacity(messages.len());
        for message in messages {
            done.push(self.publish(ctx, message).await);
        }
        done
    }

    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let Subscription { topic, group, mut metadata } = subscription;
        metadata.insert("consumerID".to_owned(), group);
        let (acks, mut waiting) = mpsc::channel(ACKS_MAX);
        let left = CancellationToken::new();
        let first = wire::PullMessagesRequest {
            topic: Some(wire::Topic { name: topic, metadata }),
            ..wire::PullMessagesRequest::default()
        };
        let leaving = left.clone();
        let asked = async_stream::stream! {
            yield first;
            loop {
                tokio::select! {
                    biased;
                    Some(ack) = waiting.recv() => yield ack,
                    () = leaving.cancelled() => break,
                }
            }
        };
        let mut client = self.client();
        let mut opening: Opening =
            Box::pin(async move { client.pull_messages(asked).await.map(tonic::Response::into_inner) });
        // The head says that the group is joined, where it comes at once.
        let opened =
            within(ctx, async { Ok(tokio::time::timeout(HEAD_PATIENCE, &mut opening).await) }).await?;
        let state = match opened {
            Err(_) => State::Opening(opening),
            Ok(Ok(stream)) => State::Open(Box::new(stream)),
            Ok(Err(status)) => return Err(unavailable(&status)),
        };
        Ok(Box::pin(Pulled { state, acks, left }))
    }
}

impl Broker {
    async fn publish_bulk(
        &self,
        ctx: &Ctx,
        topic: String,
        messages: &[Message],
    ) -> std::result::Result<Vec<Result<()>>, Status> {
        let entry = |(at, message): (usize, &Message)| wire::BulkMessageEntry {
            entry_id: at.to_string(),
            event: message.data.clone(),
            content_type: message.content_type.clone().unwrap_or_default(),
            metadata: message.metadata.clone(),
        };
        let asked = wire::BulkPublishRequest {
            entries: messages.iter().enumerate().map(entry).collect(),
            pubsub_name: self.name.clone(),
            topic,
            metadata: BTreeMap::new(),
        };
        let mut client = self.client();
        let done = within(ctx, async { Ok(client.bulk_publish(request(ctx, asked)).await) }).await;
        let done = done.map_err(|error| Status::deadline_exceeded(error.message()))??;
        let failures: BTreeMap<String, String> =
            done.into_inner().failed_entries.into_iter().map(|one| (one.entry_id, one.error)).collect();
        let outcome = |at: usize| match failures.get(&at.to_string()) {
            None => Ok(()),
            Some(why) => Err(Error::new(&codes::BROKER_UNAVAILABLE, "publish a message: it was refused")
                .with_internal(why.clone())),
        };
        Ok((0..messages.len()).map(outcome).collect())
    }
}

type Messages = Streaming<wire::PullMessagesResponse>;
type Opening = Pin<Box<dyn Future<Output = std::result::Result<Messages, Status>> + Send>>;

enum State {
    Opening(Opening),
    Open(Box<Messages>),
    Over,
}

/// Deliveries as they come.
struct Pulled {
    state: State,
    acks: mpsc::Sender<wire::PullMessagesRequest>,
    /// Ends what we send.
    left: CancellationToken,
}

impl Stream for Pulled {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Opening(opening) => match std::task::ready!(opening.as_mut().poll(cx)) {
                    Ok(stream) => {
                        self.state = State::Open(Box::new(stream));
                        continue;
                    }
                    Err(status) => Some(Err(status)),
                },
                State::Open(stream) => std::task::ready!(Pin::new(&mut **stream).poll_next(cx)),
            };
            return Poll::Ready(match next {
                Some(Ok(message)) => Some(Ok(self.delivery(message))),
                Some(Err(status)) => {
                    self.state = State::Over;
                    Some(Err(unavailable(&status)))
                }
                None => {
                    self.state = State::Over;
                    None
                }
            });
        }
    }
}

impl Pulled {
    fn delivery(&self, message: wire::PullMessagesResponse) -> Delivery {
        let wire::PullMessagesResponse { data, topic_name, metadata, content_type, id } = message;
        let content_type = Some(content_type).filter(|text| !text.is_empty());
        Delivery {
            message: Message { topic: topic_name, data, content_type, metadata },
            lane: None,
            attempts: 0,
            receipt: Box::new(Slip { id: Some(id), acks: self.acks.clone() }),
        }
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        self.left.cancel();
        if let State::Open(mut stream) = std::mem::replace(&mut self.state, State::Over)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let end = async { while let Ok(Some(_)) = stream.message().await {} };
                // One that does not end is cut, which ends it too.
                let _ = tokio::time::timeout(END_PATIENCE, end).await;
            });
        }
    }
}

/// Acknowledges a message; dropped without, it says that it is to come again.
struct Slip {
    /// `None` once it was said.
    id: Option<String>,
    acks: mpsc::Sender<wire::PullMessagesRequest>,
}

impl Slip {
    async fn say(&mut self, why: Option<&str>) -> Result<()> {
        let Some(id) = self.id.take() else { return Ok(()) };
        let sent = self.acks.send(ack(id, why)).await;
        sent.map_err(|_| Error::new(&codes::BROKER_UNAVAILABLE, "settle a message: the subscription is over"))
    }
}

fn ack(id: String, why: Option<&str>) -> wire::PullMessagesRequest {
    wire::PullMessagesRequest {
        topic: None,
        ack_message_id: id,
        ack_error: why.map(|why| wire::AckMessageError { message: why.to_owned() }),
    }
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        self.say(None).await
    }

    async fn again(mut self: Box<Self>) -> Result<()> {
        self.say(Some("it is to come again")).await
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // Where there is no room, or nobody, the end of the stream says the same.
            let _ = self.acks.try_send(ack(id, Some("nobody settled it")));
        }
    }
}
