//! What every `PubSub` must do. To add a check: an `async fn` in a file below and its name in that file's list.
//!
//! Each check opens a broker of its own on a namespace that nobody else uses, and panics where a promise is broken.
//! What a member makes of its settings it tests itself.

mod deliveries;
mod life;
mod ordering;
mod outages;
mod restarts;
mod settling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::pubsub::{Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result};

use super::suite;
pub use super::suite::prove;
pub use crate::servers::below::{Below, Need, Outage};

/// A broker on an empty namespace, and what is below it. What is not settled must come again within ten seconds.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The broker under test.
    fn broker(&self) -> Arc<dyn PubSub>;

    /// What a topic is called that nobody else uses: the name itself where the namespace is the rig's own.
    fn topic(&self, name: &str) -> String {
        name.to_owned()
    }

    /// The same namespace opened once more, as another process would; `None` where there is no such thing.
    async fn again(&self) -> Option<Arc<dyn PubSub>>;

    /// Ends the broker's process and starts it anew, on what it has made durable. Streams and receipts from before end
    /// or fail. `None` where nothing would be left.
    async fn restarted(&self) -> Option<Arc<dyn PubSub>>;

    /// Lets at least a tenth of a second go by for what lives for a time: moves the clock that the broker was given, or
    /// waits.
    async fn tick(&self);

    /// The servers that are the rig's own. None but with [`Need::Server`].
    fn below(&self) -> Below {
        Below::default()
    }
}

/// Opens a broker.
pub type Open = Arc<dyn Fn(Need) -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

/// The checks that need a server that can be stopped: not run by a member without one.
pub const OUTAGES: &[Check] = outages::CHECKS;

/// Every check, in the order of the files.
pub fn checks() -> impl Iterator<Item = Check> {
    [deliveries::CHECKS, settling::CHECKS, ordering::CHECKS, life::CHECKS, restarts::CHECKS, outages::CHECKS]
        .into_iter()
        .flatten()
        .copied()
}

/// The suite as tests named `<member>::<promise>`. `not_run` names the checks that cannot be run for this member, with
/// the reason; they are shown as ignored.
///
/// # Panics
/// Where `not_run` names a check that does not exist.
pub fn trials(member: &str, open: &Open, not_run: &[(&str, &'static str)]) -> Vec<Trial> {
    suite::trials(member, open, checks(), not_run)
}

/// Lists async functions of this file as checks under their own names.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check { name: stringify!($name), run: |open| Box::pin($name(open)) }),*];
    };
}
use promises;

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must come for it to be believed that nothing does.
const QUIET: Duration = Duration::from_millis(300);

/// The context of most calls: a deadline that only a fault reaches.
fn ctx() -> Ctx {
    within(PATIENCE)
}

fn within(time: Duration) -> Ctx {
    Ctx::system().with_deadline(Instant::now() + time)
}

/// The broker under test with a topic of its own, and calls that panic where they fail.
struct Stage {
    rig: Arc<dyn Rig>,
    broker: Arc<dyn PubSub>,
    topic: String,
}

impl Stage {
    async fn open(open: &Open) -> Self {
        Self::with(open(Need::Namespace).await)
    }

    fn with(rig: Arc<dyn Rig>) -> Self {
        let (broker, topic) = (rig.broker(), rig.topic("orders"));
        Self { rig, broker, topic }
    }

    fn message(&self, text: &str) -> Message {
        Message { topic: self.topic.clone(), data: Bytes::from(text.to_owned()), ..Message::default() }
    }

    /// A message of the key's.
    fn keyed(&self, key: &str, text: &str) -> Message {
        let metadata = BTreeMap::from([(Message::KEY.to_owned(), key.to_owned())]);
        Message { metadata, ..self.message(text) }
    }

    async fn publish(&self, text: &str) {
        self.publish_this(self.message(text)).await;
    }

    async fn publish_this(&self, message: Message) {
        self.broker.publish(&ctx(), message).await.unwrap_or_else(|e| panic!("it is published: {e:?}"));
    }

    async fn subscribe(&self, group: &str) -> Member {
        self.subscribe_to(&self.topic, group).await
    }

    async fn subscribe_to(&self, topic: &str, group: &str) -> Member {
        Member::join(&self.broker, topic, group).await
    }
}

/// A member of a group.
struct Member(BoxStream<Result<Delivery>>);

impl Member {
    async fn join(broker: &Arc<dyn PubSub>, topic: &str, group: &str) -> Self {
        let (topic, group) = (topic.to_owned(), group.to_owned());
        let subscription = Subscription { topic, group, metadata: BTreeMap::new() };
        let stream = broker.subscribe(&ctx(), subscription).await;
        Self(stream.unwrap_or_else(|e| panic!("the group is joined: {e:?}")))
    }

    /// The next delivery.
    async fn next(&mut self) -> Delivery {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a message comes");
        next.expect("the stream goes on").unwrap_or_else(|e| panic!("a message comes: {e:?}"))
    }

    /// The next delivery's text; it is settled.
    async fn text(&mut self) -> String {
        let delivery = self.next().await;
        let text = text(&delivery);
        done(delivery).await;
        text
    }

    /// The texts of the next `count` deliveries, sorted; all are settled.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(self.text().await);
        }
        texts.sort();
        texts
    }

    /// Expects that nothing comes.
    async fn is_quiet(&mut self) {
        if let Ok(next) = tokio::time::timeout(QUIET, self.0.next()).await {
            let next = next.map(|delivery| delivery.map(|delivery| text(&delivery)));
            panic!("nothing was to come, and there was {next:?}");
        }
    }
}

/// The next delivery of either, and whether it is the other's.
async fn either(one: &mut Member, other: &mut Member) -> (Delivery, bool) {
    tokio::select! { delivery = one.next() => (delivery, false), delivery = other.next() => (delivery, true) }
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.data).into_owned()
}

async fn done(delivery: Delivery) {
    delivery.receipt.done().await.unwrap_or_else(|e| panic!("it is settled: {e:?}"));
}

async fn again(delivery: Delivery) {
    delivery.receipt.again().await.unwrap_or_else(|e| panic!("it is given back: {e:?}"));
}

#[track_caller]
fn is_code(error: &Error, code: &str) {
    assert_eq!(error.code().id, code, "{error:?}");
}
