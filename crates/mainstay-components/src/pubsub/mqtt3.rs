//! MQTT 3.1.1, as Dapr's `pubsub.mqtt3` v1 uses it: a session under the name of the group, kept by the broker
//! (`cleanSession: false`), and messages that are acknowledged once they are worked on. At least once with `qos` 1 or
//! 2, in a topic's order where one message is taken at a time (`concurrencyMode: single`). The protocol has no groups:
//! a session is one process's at a time, and several share a subscription through topics `$share/NAME/TOPIC` where the
//! broker has them. Nor can it give a message back: what the app wants again comes again from here, and from the broker
//! only by another connection. Acknowledgements are not answered, so what was settled just before a crash may come
//! again. Tested with Mosquitto 2.0.
//! <https://docs.dapr.io/reference/components-reference/supported-pubsub/setup-mqtt3/>

mod inbox;
mod session;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Receipt, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use rumqttc::{PublishNotice, PublishOptions, QoS};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};

use self::inbox::{Kept, Waiting};
use self::session::{ANSWER_TIME_MAX, Session, Shared};
use self::settings::Options;
use crate::clients::brokers::{invalid, word};
use crate::clients::within;
use crate::def::Def;

/// The type.
pub const DEF: Def<dyn PubSub> = Def {
    kind: "pubsub.mqtt3",
    aliases: &["pubsub.mqtt"],
    versions: &["v1"],
    about: "A broker of MQTT 3.1.1.",
    settings: &settings::SETTINGS,
    check: |settings| {
        let mut faults = Vec::new();
        Options::parse(settings, "", &mut faults);
        faults
    },
    open: |opening| {
        let name = if opening.app_id.is_empty() { opening.name } else { opening.app_id };
        let options = Options::parse(opening.settings, name, &mut Vec::new());
        Box::pin(async move {
            let main = Arc::new(Session::open(&options, &options.client_id).await?);
            let broker = Mqtt { options, main, others: AsyncMutex::default() };
            Ok(Arc::new(broker) as Arc<dyn PubSub>)
        })
    },
};

/// Messages that a subscription holds unsettled.
const HELD_MAX: usize = 256;
/// Groups besides the component's own.
const GROUPS_MAX: usize = 256;
/// How long what the app wants again waits.
const AGAIN_PAUSE: Duration = Duration::from_millis(500);
/// A filter that is never subscribed to: ending that changes nothing, and is answered.
const NOTHING: &str = "mainstay/is/there/an/answer";

struct Mqtt {
    options: Options,
    /// Publishes, and has the subscriptions of the group whose name it bears.
    main: Arc<Session>,
    /// Those of other groups.
    others: AsyncMutex<HashMap<String, Arc<Session>>>,
}

impl Mqtt {
    /// The session of a group.
    async fn session(&self, group: &str) -> Result<Arc<Session>> {
        if group.is_empty() || group == self.options.client_id {
            return Ok(Arc::clone(&self.main));
        }
        let mut others = self.others.lock().await;
        if let Some(session) = others.get(group) {
            return Ok(Arc::clone(session));
        }
        if others.len() >= GROUPS_MAX {
            let message = format!("subscribe: there are {GROUPS_MAX} groups already");
            return Err(Error::new(&codes::OVERLOADED, message));
        }
        let session = Arc::new(Session::open(&self.options, group).await?);
        others.insert(group.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// Hands a message to the broker; the outcome is still to come.
    async fn send(&self, message: Message) -> Result<PublishNotice> {
        if !rumqttc::valid_topic(&message.topic) || message.topic.is_empty() {
            return Err(invalid("topic", "a topic of MQTT is not empty, and has neither `+` nor `#`"));
        }
        let refused = || invalid("metadata.retain", "`retain` must be `true` or `false`");
        let retain = match word(&message.metadata, "retain") {
            None => self.options.retain,
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => true,
            Some("0" | "f" | "F" | "FALSE" | "false" | "False") => false,
            Some(_) => return Err(refused()),
        };
        self.main.shared.check_online()?;
        let options = PublishOptions::new(self.options.qos).retain(retain);
        self.main.shared.client.publish_tracked(message.topic, message.data, options).await.map_err(ended)
    }

    async fn subscribe_now(&self, subscription: &Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let session = self.session(&subscription.group).await?;
        session.shared.check_online()?;
        let filter = subscription.topic.clone();
        let waiting = session.shared.inbox.lock().join(&filter);
        let ends = word(&subscription.metadata, "unsubscribeOnClose").is_some_and(|text| text == "true");
        // From here on, dropped, it leaves.
        let member = Member {
            waiting,
            filter: filter.clone(),
            free: Arc::new(Semaphore::new(if self.options.single { 1 } else { HELD_MAX })),
            is_single: self.options.single,
            unsubscribes: ends || self.options.clean_session,
            forgets: self.options.clean_session,
            session: Arc::clone(&session),
        };
        let asked = session.shared.client.subscribe_tracked(filter, self.options.qos).await.map_err(ended)?;
        answered(asked.wait_async()).await?.map_err(|error| {
            Error::new(&codes::BROKER_UNAVAILABLE, "subscribe: the MQTT broker refuses it")
                .with_internal(error.to_string())
        })?;
        Ok(Box::pin(stream::unfold(member, |member| async move { Some((Ok(member.next().await?), member)) })))
    }
}

/// What the broker answers, in time.
async fn answered<T>(answer: impl Future<Output = T>) -> Result<T> {
    let late = |_| Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: it does not answer");
    tokio::time::timeout(ANSWER_TIME_MAX, answer).await.map_err(late)
}

async fn taken(sent: PublishNotice) -> Result<()> {
    answered(sent.wait_async()).await?.map(|_| ()).map_err(|error| {
        Error::new(&codes::BROKER_UNAVAILABLE, "publish: the connection to the MQTT broker was lost")
            .with_internal(error.to_string())
    })
}

#[async_trait]
impl PubSub for Mqtt {
    fn capabilities(&self) -> Capabilities {
        let durable = !self.options.clean_session && self.options.qos != QoS::AtMostOnce;
        Capabilities { ttl: false, ordered: false, metadata: false, durable }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ask = async {
            let others: Vec<_> = self.others.lock().await.values().cloned().collect();
            for session in std::iter::once(&self.main).chain(&others) {
                session.shared.check_online()?;
                let asked = session.shared.client.unsubscribe_tracked(NOTHING).await.map_err(ended)?;
                answered(asked.wait_async()).await?.map_err(|error| {
                    Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: the connection was lost")
                        .with_internal(error.to_string())
                })?;
            }
            Ok(())
        };
        within(ctx, ask).await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        within(ctx, async { taken(self.send(message).await?).await }).await
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            sent.push(within(ctx, self.send(message)).await);
        }
        let mut done = Vec::with_capacity(sent.len());
        for sent in sent {
            done.push(match sent {
                Ok(sent) => within(ctx, taken(sent)).await,
                Err(error) => Err(error),
            });
        }
        done
    }

    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        if subscription.topic.is_empty() || !rumqttc::valid_filter(inbox::unshared(&subscription.topic)) {
            return Err(invalid("topic", "it is no filter of MQTT: `+` is a level, and `#` the last one"));
        }
        within(ctx, self.subscribe_now(&subscription)).await
    }
}

/// The failure of a call that the session's task does not take any more.
fn ended(error: rumqttc::ClientError) -> Error {
    Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: the session has ended")
        .with_internal(error.to_string())
}

/// A member of a subscription. Dropping it leaves: what it holds goes to others, or waits.
struct Member {
    session: Arc<Session>,
    waiting: Arc<Waiting>,
    filter: String,
    /// A place for each message that may be unsettled.
    free: Arc<Semaphore>,
    is_single: bool,
    /// Whether the broker is to forget the subscription with its last member.
    unsubscribes: bool,
    /// Whether what still waits then is forgotten, too.
    forgets: bool,
}

impl Member {
    async fn next(&self) -> Option<Delivery> {
        let place = Arc::clone(&self.free).acquire_owned().await.ok()?;
        loop {
            let mut rung = std::pin::pin!(self.waiting.bell.notified());
            // Before the look: what comes between the look and the wait must ring.
            rung.as_mut().enable();
            if let Some(mut kept) = self.waiting.pop() {
                let (message, attempts) = (kept.message.clone(), kept.attempts);
                kept.attempts += 1;
                let waiting = Arc::clone(&self.waiting);
                let shared = Arc::clone(&self.session.shared);
                let receipt = Box::new(Slip {
                    kept: Some(kept),
                    waiting,
                    shared,
                    is_single: self.is_single,
                    _place: place,
                });
                // A topic's order is kept by handing out one at a time; more at once is in no order.
                return Some(Delivery { message, lane: None, attempts, receipt });
            }
            rung.await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let shared = &self.session.shared;
        let mut inbox = shared.inbox.lock();
        if !self.waiting.leave() {
            // Whoever is left may have missed the bell that this one heard.
            self.waiting.bell.notify_waiters();
            return;
        }
        if self.unsubscribes {
            let unwanted = inbox.remove(&self.filter, self.forgets);
            drop(inbox);
            shared.answer(unwanted);
            // Where it cannot be told, the connection is gone, and what is not in the inbox is not subscribed to again.
            let _ = shared.client.try_unsubscribe(self.filter.clone());
        }
    }
}

/// Settles a delivery; dropped without, it waits again.
struct Slip {
    kept: Option<Kept>,
    waiting: Arc<Waiting>,
    shared: Arc<Shared>,
    is_single: bool,
    _place: OwnedSemaphorePermit,
}

/// Whether the broker still waits for its answer on this connection; if not, it sends the message again.
fn is_current(shared: &Shared, kept: &Kept) -> bool {
    kept.answer.as_ref().is_none_or(|answer| answer.connection == shared.inbox.lock().connection())
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        if !is_current(&self.shared, &kept) {
            let message = "settle a message: the connection it came by is gone, and it comes again";
            return Err(Error::new(&codes::BROKER_UNAVAILABLE, message));
        }
        match kept.answer {
            Some(answer) if answer.is_settled() => {
                self.shared.client.manual_ack(answer.ack.clone()).await.map_err(ended)
            }
            _ => Ok(()),
        }
    }

    async fn again(mut self: Box<Self>) -> Result<()> {
        if let Some(kept) = self.kept.take() {
            // Its place stays taken meanwhile, so that nothing overtakes it where one is taken at a time.
            tokio::spawn(async move {
                tokio::time::sleep(AGAIN_PAUSE).await;
                if is_current(&self.shared, &kept) {
                    self.waiting.push(kept, self.is_single);
                }
            });
        }
        Ok(())
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take().filter(|kept| is_current(&self.shared, kept)) {
            self.waiting.push(kept, true);
        }
    }
}
