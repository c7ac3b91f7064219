//! A broker in memory: gone when the process ends, which is what its name promises. For tests and for first steps. At
//! least once, in order for each partition key.

mod group;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Receipt, Subscription};
use mainstay_core::{BoxStream, Clock, Ctx, Error, Result, codes};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::group::{Group, Kept, Taken};
use crate::def::Def;

/// The type.
pub const DEF: Def<dyn PubSub> = Def {
    kind: "pubsub.in-memory",
    aliases: &["pubsub.inmemory"],
    versions: &["v1"],
    about: "A broker in memory; it ends with the process.",
    settings: &[],
    check: |_| Vec::new(),
    open: |opening| {
        let broker = InMemory { clock: Arc::clone(opening.clock), topics: Arc::default() };
        Box::pin(async move { Ok(Arc::new(broker) as Arc<dyn PubSub>) })
    },
};

/// Messages that may wait in one group; then publishing to its topic is refused.
const WAITING_MAX: usize = 10_000;
/// Messages that a member may hold unsettled.
const HELD_MAX: usize = 256;

struct InMemory {
    clock: Arc<dyn Clock>,
    topics: Arc<Mutex<Topics>>,
}

/// The groups of each topic, by name. A message is in each group that waits for it, and nowhere else.
type Topics = HashMap<String, BTreeMap<String, Arc<Waiting>>>;

/// A group and its bell, which rings when there may be something to hand out.
#[derive(Default)]
struct Waiting {
    group: Mutex<Group>,
    bell: Notify,
}

#[async_trait]
impl PubSub for InMemory {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: true, ordered: true, metadata: true, durable: false }
    }

    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _ctx: &Ctx, message: Message) -> Result<()> {
        if message.topic.is_empty() {
            return Err(Error::new(&codes::INVALID_FIELD, "publish: the topic is empty").with_field("topic"));
        }
        let kept = self.kept(message)?;
        let topics = self.topics.lock();
        let groups = topics.get(&kept.message.topic);
        let groups: Vec<_> = groups.into_iter().flat_map(|groups| groups.values()).collect();
        if groups.iter().any(|waiting| waiting.group.lock().len() >= WAITING_MAX) {
            let message = format!(
                "publish: a group of the topic is {WAITING_MAX} messages behind, and no more are kept"
            );
            return Err(Error::new(&codes::OVERLOADED, message));
        }
        for waiting in groups {
            waiting.group.lock().push(Arc::clone(&kept));
            waiting.bell.notify_waiters();
        }
        Ok(())
    }

    async fn subscribe(&self, _ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let Subscription { topic, group, .. } = subscription;
        if topic.is_empty() {
            return Err(
                Error::new(&codes::INVALID_FIELD, "subscribe: the topic is empty").with_field("topic")
            );
        }
        let waiting = Arc::clone(self.topics.lock().entry(topic).or_default().entry(group).or_default());
        let member = waiting.group.lock().join();
        let member = Member { waiting, member, clock: Arc::clone(&self.clock) };
        Ok(Box::pin(stream::unfold(member, |member| async move { Some((Ok(member.next().await), member)) })))
    }
}

impl InMemory {
    fn kept(&self, message: Message) -> Result<Arc<Kept>> {
        let expires_at_ms = match message.metadata.get(Message::TTL) {
            None => None,
            Some(seconds) => {
                let seconds: Option<u64> = seconds.parse().ok().filter(|seconds| *seconds > 0);
                let seconds = seconds.ok_or_else(|| {
                    let message =
                        format!("publish: `{}` must be a whole number of seconds above zero", Message::TTL);
                    Error::new(&codes::INVALID_FIELD, message)
                        .with_field(format!("metadata.{}", Message::TTL))
                })?;
                Some(self.clock.now_ms().saturating_add(seconds.saturating_mul(1_000)))
            }
        };
        let lane = message.metadata.get(Message::KEY).map(|key| group::lane(key));
        Ok(Arc::new(Kept { message, lane, expires_at_ms }))
    }
}

/// A member of a group. Dropping it leaves: what it holds goes to others.
struct Member {
    waiting: Arc<Waiting>,
    member: u64,
    clock: Arc<dyn Clock>,
}

impl Member {
    async fn next(&self) -> Delivery {
        loop {
            let mut rung = pin!(self.waiting.bell.notified());
            // Before the look: what comes between the look and the wait must ring.
            rung.as_mut().enable();
            let taken =
                self.waiting.group.lock().take(self.member, HELD_MAX, Instant::now(), self.clock.now_ms());
            match taken {
                Taken::Message { number, turn, kept, attempts } => {
                    let (waiting, lane) = (Arc::clone(&self.waiting), kept.lane);
                    let receipt = Box::new(Slip { waiting, number, turn, is_settled: false });
                    return Delivery { message: kept.message.clone(), lane, attempts, receipt };
                }
                Taken::Nothing(None) => rung.await,
                Taken::Nothing(Some(until)) => {
                    tokio::select! {
                        () = rung => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                }
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.waiting.group.lock().leave(self.member);
        self.waiting.bell.notify_waiters();
    }
}

/// Settles a delivery; dropped without, the message comes again.
struct Slip {
    waiting: Arc<Waiting>,
    number: u64,
    turn: u64,
    is_settled: bool,
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        self.is_settled = true;
        self.waiting.group.lock().done(self.number);
        self.waiting.bell.notify_waiters();
        Ok(())
    }

    async fn again(self: Box<Self>) -> Result<()> {
        // Dropped, it says just that.
        Ok(())
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.is_settled {
            self.waiting.group.lock().again(self.number, self.turn, Instant::now());
            self.waiting.bell.notify_waiters();
        }
    }
}
