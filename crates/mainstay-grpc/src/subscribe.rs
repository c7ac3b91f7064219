//! Subscriptions of the app that last as long as its stream.
//!
//! ```text
//! app ── initial_request ──► us          joins the broker
//! app ◄── initial_response ── us
//! app ◄── event_message(id) ─ us  ┐      any number at once
//! app ── event_processed(id) ► us ┘      settles the message
//! ```
//! When the stream ends, what the app has not answered comes again to whoever subscribes next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_blocks::pubsub::{Deliverer, Sort, may_subscribe};
use mainstay_core::callback::{AppCallback, TopicEvent, Verdict};
use mainstay_core::subscription::{Bulk, Rule, Subscription};
use mainstay_core::{Ctx, Error, codes};
use mainstay_proto::runtime::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Status, Streaming};
use wire::subscribe_topic_events_request_alpha1::SubscribeTopicEventsRequestType as Asked;
use wire::subscribe_topic_events_response_alpha1::SubscribeTopicEventsResponseType as Told;
use wire::topic_event_response::TopicEventResponseStatus;

use crate::call::{Call, Result};
use crate::pubsub;

type Answer = wire::SubscribeTopicEventsResponseAlpha1;
type Requests = Streaming<wire::SubscribeTopicEventsRequestAlpha1>;

/// Events on their way to the connection.
const EVENTS_MAX: usize = 16;
/// What a message adds to the one inside it.
const FRAME_BYTES_MAX: usize = 16;
/// Where events go that no rule sends elsewhere; a stream has no rules.
const PATH: &str = "/";

/// Opens a subscription.
pub(crate) async fn open(call: &Call, mut requests: Requests) -> Result<BoxStream<Answer>> {
    let subscription = subscription(requests.message().await?)?;
    let (broker, topic) = (&subscription.pubsub, &subscription.topic);
    let blocks = call.blocks();
    may_subscribe(blocks, broker, topic).map_err(|error| pubsub::failed(call, broker, topic, &error))?;
    let (events, outgoing) = mpsc::channel(EVENTS_MAX);
    let app = Arc::new(App {
        events: events.clone(),
        greeted: OnceCell::new(),
        waiting: Mutex::new(Some(BTreeMap::new())),
        bytes_max: call.shared.message_bytes_max,
    });
    let deliverer = Deliverer::new(blocks.clone(), Arc::clone(&app) as _, subscription.clone())
        .map_err(|error| pubsub::failed(call, broker, topic, &error))?;
    let stop = call.shared.stop.child_token();
    // Ends the delivery when nobody takes the answer any more.
    let guard = stop.clone().drop_guard();
    let noted = blocks.note(&subscription, Sort::Streaming);
    tokio::spawn(async move {
        work(deliverer, app, requests, events, stop).await;
        drop(noted);
    });
    let answers = stream::unfold((outgoing, guard), |(mut outgoing, guard)| async move {
        outgoing.recv().await.map(|event| (event, (outgoing, guard)))
    });
    Ok(Box::pin(answers))
}

/// What the first message asks for. Errors: INVALID_ARGUMENT.
fn subscription(first: Option<wire::SubscribeTopicEventsRequestAlpha1>) -> Result<Subscription> {
    let Some(Asked::InitialRequest(asked)) =
        first.and_then(|first| first.subscribe_topic_events_request_type)
    else {
        return Err(Status::invalid_argument("initial request is required"));
    };
    if asked.pubsub_name.is_empty() {
        return Err(Status::invalid_argument("pubsubName is required"));
    }
    if asked.topic.is_empty() {
        return Err(Status::invalid_argument("topic is required"));
    }
    Ok(Subscription {
        name: String::new(),
        namespace: None,
        pubsub: asked.pubsub_name,
        topic: asked.topic,
        rules: vec![Rule { condition: None, path: PATH.to_owned() }],
        dead_letter_topic: asked.dead_letter_topic.filter(|topic| !topic.is_empty()),
        metadata: asked.metadata,
        bulk: Bulk::default(),
        scopes: Vec::new(),
        origin: "a stream of the app".to_owned(),
    })
}

/// Delivers until the app ends the stream, or the process.
async fn work(
    deliverer: Deliverer,
    app: Arc<App>,
    requests: Requests,
    events: mpsc::Sender<Result<Answer>>,
    stop: CancellationToken,
) {
    let (joined, has_joined) = oneshot::channel();
    let deliver = deliverer.telling(joined).run(stop.clone());
    let greet = async {
        if has_joined.await.is_ok() {
            app.greet().await;
        }
        std::future::pending::<()>().await;
    };
    let hear = app.hear(requests);
    tokio::pin!(deliver);
    let ended = tokio::select! {
        ended = hear => {
            stop.cancel();
            app.hang_up();
            deliver.await;
            ended
        }
        () = &mut deliver => Err(Status::unavailable("the subscription ends: the runtime is ending")),
        () = greet => Ok(()),
    };
    if let Err(status) = ended {
        // Nobody may be there to read it.
        let _ = events.send(Err(status)).await;
    }
}

fn told(what: Told) -> Answer {
    Answer { subscribe_topic_events_response_type: Some(what) }
}

/// The app at the other end of a stream.
struct App {
    events: mpsc::Sender<Result<Answer>>,
    /// Set when the app was told that it is subscribed, which comes before every event: apps take the first message for
    /// that.
    greeted: OnceCell<()>,
    /// Who waits for an answer, by the event's id; of equal ids in their order. `None` when the stream has ended.
    waiting: Mutex<Option<BTreeMap<String, VecDeque<oneshot::Sender<Verdict>>>>>,
    bytes_max: usize,
}

impl App {
    /// Tells the app that it is subscribed, once.
    async fn greet(&self) {
        let greet = async || {
            let hello = Told::InitialResponse(wire::SubscribeTopicEventsResponseInitialAlpha1 {});
            // An app that has gone gets no events either.
            let _ = self.events.send(Ok(told(hello))).await;
        };
        self.greeted.get_or_init(greet).await;
    }

    /// Hands the app's answers to those who wait for them, until there are no more.
    async fn hear(&self, mut requests: Requests) -> Result<()> {
        while let Some(request) = requests.message().await? {
            let Some(Asked::EventProcessed(done)) = request.subscribe_topic_events_request_type else {
                return Err(Status::invalid_argument("duplicate initial request received"));
            };
            let verdict = match done.status.unwrap_or_default().status() {
                TopicEventResponseStatus::Success => Verdict::Done,
                TopicEventResponseStatus::Retry => Verdict::Again,
                TopicEventResponseStatus::Drop => Verdict::Drop,
            };
            match self.take(&done.id) {
                Some(waits) => drop(waits.send(verdict)),
                None => tracing::debug!(id = %done.id, "the app answered for an event that it does not have"),
            }
        }
        Ok(())
    }

    /// Whoever waits longest for this id.
    fn take(&self, id: &str) -> Option<oneshot::Sender<Verdict>> {
        let mut waiting = self.waiting.lock();
        let waiting = waiting.as_mut()?;
        let queue = waiting.get_mut(id)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            waiting.remove(id);
        }
        first
    }

    /// Nobody answers any more.
    fn hang_up(&self) {
        *self.waiting.lock() = None;
    }

    fn gone() -> Error {
        Error::new(&codes::APP_UNAVAILABLE, "deliver the event: the app has ended its stream")
    }
}

#[async_trait]
impl AppCallback for App {
    async fn ready(&self, _: &Ctx) -> mainstay_core::Result<()> {
        Ok(())
    }

    async fn healthy(&self, _: &Ctx) -> mainstay_core::Result<()> {
        Ok(())
    }

    async fn subscriptions(&self, _: &Ctx) -> mainstay_core::Result<Vec<Subscription>> {
        Ok(Vec::new())
    }

    async fn deliver(&self, _: &Ctx, event: &TopicEvent) -> mainstay_core::Result<Verdict> {
        // What can never be sent would come again for ever.
        let message = match message(event, self.bytes_max) {
            Ok(message) => message,
            Err(why) => {
                tracing::warn!(topic = %event.topic, %why, "an event cannot be sent to the app");
                return Ok(Verdict::Drop);
            }
        };
        let (answer, answered) = oneshot::channel();
        match self.waiting.lock().as_mut() {
            Some(waiting) => waiting.entry(message.id.clone()).or_default().push_back(answer),
            None => return Err(Self::gone()),
        }
        self.greet().await;
        self.events.send(Ok(told(Told::EventMessage(message)))).await.map_err(|_| Self::gone())?;
        answered.await.map_err(|_| Self::gone())
    }
}

/// The event as the app gets it. Errors: why it cannot.
fn message(event: &TopicEvent, bytes_max: usize) -> std::result::Result<wire::TopicEventRequest, String> {
    let message = mainstay_dapr::topic_event(event)?;
    // The message around it takes a tag and a length.
    let size = message.encoded_len() + FRAME_BYTES_MAX;
    if size > bytes_max { Err(format!("it has {size} bytes; the bound is {bytes_max}")) } else { Ok(message) }
}
