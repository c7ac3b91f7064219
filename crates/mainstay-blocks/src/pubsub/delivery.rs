//! Delivery of one subscription: takes messages from the broker, chooses a path, asks the app, settles. A message that
//! cannot be worked on goes to the dead letter topic, where there is one, with the reason; it never goes in circles
//! there.
//!
//! Messages of one lane wait for each other, also while one is tried again; others do not.

mod bulk;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use mainstay_core::callback::{AppCallback, TopicEvent, Verdict};
use mainstay_core::pubsub::{Delivery, Message, Subscription as Joined};
use mainstay_core::subscription::Subscription;
use mainstay_core::{Ctx, Result};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::routing::{Routed, Routes};
use super::{CLOUD_EVENTS, is_raw, wrap_raw};
use crate::Blocks;
use crate::hub::Broker;
use crate::layers::Outcome;
use crate::metering::metered;

/// Messages of a subscription that are with the app, or wait for others of their lane.
const IN_WORK_MAX: usize = 256;
/// First and longest pause before a message of a lane is tried again, and before a broker is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Metadata of a dead letter: why it is one.
pub const REASON: &str = "deadLetterReason";

/// A subscription at work.
pub struct Deliverer {
    blocks: Blocks,
    app: Arc<dyn AppCallback>,
    subscription: Subscription,
    routes: Routes,
    is_raw: bool,
    /// Told once, when the broker delivers.
    joined: Mutex<Option<oneshot::Sender<()>>>,
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliverer").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

/// What becomes of a message.
enum Ending {
    Done,
    Again(String),
    /// It is not to be worked on at all.
    Dead(String),
}

impl Deliverer {
    /// Prepares a subscription. Errors: `CONFIG_VALUE` for a condition that is none; `INVALID_FIELD` for metadata that
    /// cannot be read.
    pub fn new(blocks: Blocks, app: Arc<dyn AppCallback>, subscription: Subscription) -> Result<Self> {
        let (routes, is_raw) = (Routes::new(&subscription)?, is_raw(&subscription.metadata)?);
        let app = metered(&blocks, app);
        Ok(Self { blocks, app, subscription, routes, is_raw, joined: Mutex::default() })
    }

    /// The same, and tells `joined` when the broker delivers for the first time: what is published from then on comes.
    #[must_use]
    pub fn telling(self, joined: oneshot::Sender<()>) -> Self {
        Self { joined: Mutex::new(Some(joined)), ..self }
    }

    /// Delivers until `stop`, then lets what is with the app finish. What waits goes back to the broker.
    pub async fn run(self, stop: CancellationToken) {
        let (mut pause, longest) = PAUSES;
        let mut reloads = self.blocks.reloads();
        while !stop.is_cancelled() {
            reloads.borrow_and_update();
            match self.deliver_until(&stop).await {
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    let (pubsub, topic) = (&self.subscription.pubsub, &self.subscription.topic);
                    tracing::warn!(%pubsub, %topic, error = ?error, "a subscription is interrupted; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // What was missing may be there now.
                Ok(()) = reloads.changed() => pause = PAUSES.0,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
            }
        }
    }

    async fn deliver_until(&self, stop: &CancellationToken) -> Result<()> {
        super::may_subscribe(&self.blocks, &self.subscription.pubsub, &self.subscription.topic)?;
        let mut reloads = self.blocks.reloads();
        let broker = super::find(&self.blocks, &self.subscription.pubsub)?;
        let group = self.subscription.metadata.get("consumerID").filter(|id| !id.is_empty());
        let joined = Joined {
            topic: self.subscription.topic.clone(),
            group: group.cloned().unwrap_or_else(|| broker.rules.group(&self.blocks.app().id)),
            metadata: self.subscription.metadata.clone(),
        };
        let mut stream = broker.port.subscribe(&Ctx::system(), joined).await?;
        if let Some(joined) = self.joined.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever waited may have gone.
            let _ = joined.send(());
        }
        if self.subscription.bulk.enabled {
            return self.deliver_in_bulk(stream, &broker, reloads, stop).await;
        }
        // Ends with the stream: what is tried again then comes again to whoever joins next.
        let gone = stop.child_token();
        let mut work = Work::default();
        let ended = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                // Another broker has its name now, or none.
                Ok(()) = reloads.changed() => if !self.is_there(&broker) { break Ok(()) },
                Some(lane) = work.running.next(), if !work.running.is_empty() => work.advance(lane, self, &broker, &gone),
                next = stream.next(), if work.count < IN_WORK_MAX => match next {
                    Some(Ok(delivery)) => work.begin(delivery, self, &broker, &gone),
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
            }
        };
        // What waits for its lane is dropped unsettled, so that it comes again; what is with the app is heard out.
        gone.cancel();
        work.waiting.clear();
        while work.running.next().await.is_some() {}
        ended
    }

    /// Whether a broker is still the one that has the name.
    fn is_there(&self, broker: &Broker) -> bool {
        super::find(&self.blocks, &self.subscription.pubsub)
            .is_ok_and(|now| Arc::ptr_eq(&now.port, &broker.port))
    }

    /// The broker as it is known now, for policies may have changed since it was joined; as it was, where it is gone.
    fn now(&self, broker: &Broker) -> Broker {
        super::find(&self.blocks, &self.subscription.pubsub).unwrap_or_else(|_| broker.clone())
    }

    /// Works on a message until it is settled or the process ends.
    async fn settle(&self, delivery: Delivery, broker: &Broker, stop: &CancellationToken) {
        let Delivery { message, lane, receipt, .. } = delivery;
        let (mut pause, longest) = PAUSES;
        loop {
            let ending = self.work_on(&message, broker, stop).await;
            let settled = match ending {
                Ending::Done => receipt.done().await,
                // Not a failure of the message: it comes again when somebody is there to work on it.
                Ending::Again(_) if stop.is_cancelled() => return,
                Ending::Again(why) | Ending::Dead(why) if self.subscription.dead_letter_topic.is_some() => {
                    match self.bury(&message, broker, &why).await {
                        Ok(()) => receipt.done().await,
                        Err(_) => receipt.again().await,
                    }
                }
                Ending::Dead(why) => {
                    let (topic, pubsub) = (&message.topic, &self.subscription.pubsub);
                    tracing::warn!(%pubsub, %topic, %why, "a message is dropped: there is no dead letter topic");
                    receipt.done().await
                }
                Ending::Again(_) if lane.is_some() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(longest);
                    continue;
                }
                Ending::Again(_) => receipt.again().await,
            };
            if let Err(error) = settled {
                tracing::warn!(topic = %message.topic, error = ?error, "a message could not be settled; it comes again");
            }
            return;
        }
    }

    async fn work_on(&self, message: &Message, broker: &Broker, stop: &CancellationToken) -> Ending {
        let (envelope, event) = match self.envelope(message) {
            Ok(read) => read,
            Err(why) => return Ending::Dead(why),
        };
        if self.has_expired(&event) {
            return Ending::Dead("it has outlived its time".to_owned());
        }
        let path = match self.routes.route(&event) {
            Routed::To(path) => path.to_owned(),
            Routed::Nowhere => return Ending::Dead("no rule of the subscription is for it".to_owned()),
            Routed::Failed(why) => {
                return Ending::Dead(format!("a condition of the subscription failed: {why}"));
            }
        };
        let mut ctx = Ctx::system();
        // Older publishers name it so, and others say it beside the event.
        let said =
            |name: &str| event[name].as_str().or_else(|| message.metadata.get(name).map(String::as_str));
        if let Some(trace) = said("traceparent").or_else(|| said("traceid")) {
            ctx = ctx.with_traceparent(trace).with_tracestate(said("tracestate").unwrap_or_default());
        }
        let event = TopicEvent {
            path,
            pubsub: self.subscription.pubsub.clone(),
            topic: message.topic.clone(),
            envelope,
            metadata: message.metadata.clone(),
        };
        let judge = |ended: &Result<Verdict>| match ended {
            Ok(Verdict::Done | Verdict::Drop) => Outcome::Fine,
            Ok(Verdict::Again) => Outcome::Temporary(None),
            Err(error) => Outcome::Temporary(error.answer()),
        };
        let call = async |ctx| self.app.deliver(&ctx, &event).await;
        match self.now(broker).inbound.run_judged(&ctx, Some(stop), call, judge).await {
            Ok(Verdict::Done) => Ending::Done,
            Ok(Verdict::Again) => Ending::Again("the app asked to try again".to_owned()),
            Ok(Verdict::Drop) => Ending::Dead("the app does not want it".to_owned()),
            Err(error) => Ending::Again(error.message().to_owned()),
        }
    }

    /// The envelope for the app, and what conditions see of it.
    fn envelope(&self, message: &Message) -> std::result::Result<(bytes::Bytes, Value), String> {
        let envelope =
            if self.is_raw { wrap_raw(message, &self.subscription.pubsub) } else { message.data.clone() };
        match serde_json::from_slice::<Value>(&envelope) {
            Ok(event) if event.is_object() => Ok((envelope, event)),
            _ => Err("it is no cloud event; subscribe with `rawPayload` for what has no envelope".to_owned()),
        }
    }

    fn has_expired(&self, event: &Value) -> bool {
        let end = event["expiration"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let now_ms = i64::try_from(self.blocks.clock().now_ms()).unwrap_or(i64::MAX);
        end.is_some_and(|end| end.as_millisecond() <= now_ms)
    }

    /// Publishes a message as it came to the dead letter topic.
    async fn bury(&self, message: &Message, broker: &Broker, why: &str) -> Result<()> {
        let topic = self.subscription.dead_letter_topic.clone().unwrap_or_default();
        tracing::info!(from = %message.topic, to = %topic, %why, "a message goes to the dead letter topic");
        let mut metadata: BTreeMap<String, String> = message.metadata.clone();
        metadata.insert(REASON.to_owned(), why.to_owned());
        metadata.remove(Message::TTL);
        let content_type =
            message.content_type.clone().or_else(|| (!self.is_raw).then(|| CLOUD_EVENTS.to_owned()));
        let letter = Message { topic, data: message.data.clone(), content_type, metadata };
        let call = async |ctx| broker.port.publish(&ctx, letter.clone()).await;
        self.now(broker).guard.run(&Ctx::system(), call).await.inspect_err(|error| {
            tracing::warn!(from = %message.topic, error = ?error, "the dead letter topic took nothing; the message comes again");
        })
    }
}

/// What a subscription works on. Lanes that are at work have an entry, empty where nothing waits.
#[derive(Default)]
struct Work<'a> {
    running: FuturesUnordered<BoxFuture<'a, Option<u64>>>,
    waiting: HashMap<u64, VecDeque<Delivery>>,
    count: usize,
}

impl<'a> Work<'a> {
    fn begin(
        &mut self,
        delivery: Delivery,
        deliverer: &'a Deliverer,
        broker: &'a Broker,
        stop: &'a CancellationToken,
    ) {
        self.count += 1;
        if let Some(lane) = delivery.lane {
            if let Some(waiting) = self.waiting.get_mut(&lane) {
                waiting.push_back(delivery);
                return;
            }
            self.waiting.insert(lane, VecDeque::new());
        }
        self.start(delivery, deliverer, broker, stop);
    }

    fn start(
        &mut self,
        delivery: Delivery,
        deliverer: &'a Deliverer,
        broker: &'a Broker,
        stop: &'a CancellationToken,
    ) {
        let lane = delivery.lane;
        self.running.push(Box::pin(async move {
            deliverer.settle(delivery, broker, stop).await;
            lane
        }));
    }

    /// A message is settled: the next of its lane begins.
    fn advance(
        &mut self,
        lane: Option<u64>,
        deliverer: &'a Deliverer,
        broker: &'a Broker,
        stop: &'a CancellationToken,
    ) {
        self.count -= 1;
        let Some(lane) = lane else { return };
        match self.waiting.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(next) => self.start(next, deliverer, broker, stop),
            None => {
                self.waiting.remove(&lane);
            }
        }
    }
}
