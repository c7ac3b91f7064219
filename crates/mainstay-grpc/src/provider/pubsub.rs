//! Messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::{Delivery, Message, PubSub, Receipt, Subscription};
use mainstay_core::{BoxStream, Ctx};
use mainstay_proto::components::v1 as wire;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tonic::codegen::BoxStream as Answers;
use tonic::{Request, Response, Status, Streaming};

use super::{INSTANCE, open, refused};

type Result<T> = std::result::Result<Response<T>, Status>;
type Out = mpsc::Sender<std::result::Result<wire::PullMessagesResponse, Status>>;

/// Messages on their way to a connection.
const OUTGOING_MAX: usize = 16;
/// Instances whose group is remembered.
const GROUPS_MAX: usize = 256;
/// The setting that names the group.
const GROUP: &str = "consumerID";

/// The brokers, by instance.
pub(super) struct Brokers {
    embedded: Arc<dyn Embedded>,
    /// The group of each instance's subscriptions, as its settings name it.
    groups: Mutex<BTreeMap<String, String>>,
}

impl Brokers {
    pub(super) fn new(embedded: Arc<dyn Embedded>) -> Self {
        Self { embedded, groups: Mutex::default() }
    }

    /// The broker of an instance. The first of them reads the log of all.
    async fn broker(&self, instance: String) -> std::result::Result<Arc<dyn PubSub>, Status> {
        let embedded = Arc::clone(&self.embedded);
        let opened = tokio::task::spawn_blocking(move || embedded.pubsub(&instance)).await;
        opened.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| refused(&error))
    }

    fn group(&self, instance: &str, topic: &wire::Topic) -> String {
        let named = topic.metadata.get(GROUP).filter(|group| !group.is_empty()).cloned();
        named.or_else(|| self.groups.lock().get(instance).cloned()).unwrap_or_else(|| INSTANCE.to_owned())
    }
}

#[tonic::async_trait]
impl wire::pub_sub_server::PubSub for Brokers {
    async fn init(&self, request: Request<wire::PubSubInitRequest>) -> Result<wire::PubSubInitResponse> {
        let (_, instance, asked) = open(request);
        self.broker(instance.clone()).await?;
        let group = asked.metadata.and_then(|metadata| metadata.properties.get(GROUP).cloned());
        let mut groups = self.groups.lock();
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            if groups.len() >= GROUPS_MAX && !groups.contains_key(&instance) {
                return Err(Status::resource_exhausted(format!("there are {GROUPS_MAX} instances already")));
            }
            groups.insert(instance, group);
        }
        Ok(Response::new(wire::PubSubInitResponse {}))
    }

    async fn features(&self, request: Request<wire::FeaturesRequest>) -> Result<wire::FeaturesResponse> {
        let (_, instance, _) = open(request);
        let able = self.broker(instance).await?.capabilities();
        let features = if able.ttl { vec!["MESSAGE_TTL".to_owned()] } else { Vec::new() };
        Ok(Response::new(wire::FeaturesResponse { features }))
    }

    async fn publish(&self, request: Request<wire::PublishRequest>) -> Result<wire::PublishResponse> {
        let (ctx, instance, asked) = open(request);
        let broker = self.broker(instance).await?;
        let wire::PublishRequest { data, topic, metadata, content_type, .. } = asked;
        let content_type = Some(content_type).filter(|text| !text.is_empty());
        let message = Message { topic, data, content_type, metadata };
        broker.publish(&ctx, message).await.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::PublishResponse {}))
    }

    async fn bulk_publish(
        &self,
        request: Request<wire::BulkPublishRequest>,
    ) -> Result<wire::BulkPublishResponse> {
        let (ctx, instance, asked) = open(request);
        let broker = self.broker(instance).await?;
        let ids: Vec<String> = asked.entries.iter().map(|entry| entry.entry_id.clone()).collect();
        let message = |entry: wire::BulkMessageEntry| {
            let mut metadata = asked.metadata.clone();
            metadata.extend(entry.metadata);
            let content_type = Some(entry.content_type).filter(|text| !text.is_empty());
            Message { topic: asked.topic.clone(), data: entry.event, content_type, metadata }
        };
        let messages = asked.entries.into_iter().map(message).collect();
        let done = broker.publish_each(&ctx, messages).await;
        let failed = |(entry_id, done): (String, mainstay_core::Result<()>)| {
            let error = done.err()?.message().to_owned();
            Some(wire::BulkPublishResponseFailedEntry { entry_id, error })
        };
        let failed_entries = ids.into_iter().zip(done).filter_map(failed).collect();
        Ok(Response::new(wire::BulkPublishResponse { failed_entries }))
    }

    async fn pull_messages(
        &self,
        request: Request<Streaming<wire::PullMessagesRequest>>,
    ) -> Result<Answers<wire::PullMessagesResponse>> {
        let (_, instance, mut asked) = open(request);
        let first = asked.message().await?.and_then(|first| first.topic);
        let topic = first.ok_or_else(|| Status::invalid_argument("the first message must name the topic"))?;
        let group = self.group(&instance, &topic);
        let subscription = Subscription { topic: topic.name, group, metadata: topic.metadata };
        let broker = self.broker(instance).await?;
        // Joined before the head of the answer goes out: what is published after that comes.
        let deliveries =
            broker.subscribe(&Ctx::system(), subscription).await.map_err(|error| refused(&error))?;
        let (out, mut outgoing) = mpsc::channel(OUTGOING_MAX);
        tokio::spawn(pull(asked, deliveries, out));
        Ok(Response::new(Box::pin(stream::poll_fn(move |cx| outgoing.poll_recv(cx)))))
    }

    async fn ping(&self, request: Request<wire::PingRequest>) -> Result<wire::PingResponse> {
        let (ctx, instance, _) = open(request);
        self.broker(instance).await?.ready(&ctx).await.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::PingResponse {}))
    }
}

/// Hands out deliveries and settles what is acknowledged, until either side ends. What is not settled then comes again.
async fn pull(
    mut asked: Streaming<wire::PullMessagesRequest>,
    mut deliveries: BoxStream<mainstay_core::Result<Delivery>>,
    out: Out,
) {
    let mut held: BTreeMap<String, Box<dyn Receipt>> = BTreeMap::new();
    let mut settling: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let mut number = 0_u64;
    loop {
        tokio::select! {
            biased;
            next = asked.message() => match next {
                Ok(Some(ack)) => {
                    if let Some(receipt) = held.remove(&ack.ack_message_id) {
                        settling.push(Box::pin(settle(receipt, ack.ack_error.is_none())));
                    }
                }
                Ok(None) | Err(_) => break,
            },
            Some(()) = settling.next(), if !settling.is_empty() => {}
            next = deliveries.next() => match next {
                Some(Ok(delivery)) => {
                    number += 1;
                    let id = number.to_string();
                    let message = message(id.clone(), delivery.message);
                    held.insert(id, delivery.receipt);
                    if out.send(Ok(message)).await.is_err() {
                        break;
                    }
                }
                Some(Err(error)) => {
                    // Whoever listened may have gone.
                    let _ = out.send(Err(refused(&error))).await;
                    break;
                }
                None => break,
            },
        }
    }
    drop(deliveries);
    held.clear();
    while settling.next().await.is_some() {}
}

async fn settle(receipt: Box<dyn Receipt>, is_done: bool) {
    let settled = if is_done { receipt.done().await } else { receipt.again().await };
    if let Err(error) = settled {
        tracing::warn!(error = ?error, "a message could not be settled; it comes again");
    }
}

fn message(id: String, message: Message) -> wire::PullMessagesResponse {
    wire::PullMessagesResponse {
        data: message.data,
        topic_name: message.topic,
        metadata: message.metadata,
        content_type: message.content_type.unwrap_or_default(),
        id,
    }
}
