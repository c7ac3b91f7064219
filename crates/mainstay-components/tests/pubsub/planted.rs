//! The suite over a broker with a planted fault: a check that lets one pass is no check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use libtest_mimic::Trial;
use mainstay_components::pubsub;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Receipt, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_testkit::conformance::pubsub::{self as suite, Need, Open, Rig};

use crate::memory;

/// A way to break the port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    CutsLargeMessages,
    LosesEmptyMessages,
    HasOneGroup,
    MakesEachMemberAGroup,
    FoldsTopics,
    TakesNoTopic,
    StopsAtAFailure,
    LosesWhatComesAgain,
    LosesWhatIsDropped,
    ForgetsWhatIsDone,
    IgnoresKeys,
    MixesKeys,
    NeverEnds,
    TakesAnyTime,
    EndsAtOnce,
    ServesTheFirstMemberAlone,
    IsNeverReady,
    HoldsEverything,
    LosesMetadata,
    KeepsMetadataUnsaid,
}

/// Each fault with one check that must catch it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::CutsLargeMessages, "large_and_empty_messages_come"),
    (Fault::LosesEmptyMessages, "large_and_empty_messages_come"),
    (Fault::HasOneGroup, "every_group_gets_every_message"),
    (Fault::HasOneGroup, "a_new_group_begins_with_what_is_published_from_now_on"),
    (Fault::MakesEachMemberAGroup, "of_a_group_one_member_gets_a_message"),
    (Fault::MakesEachMemberAGroup, "a_known_group_goes_on_where_it_was"),
    (Fault::MakesEachMemberAGroup, "what_a_member_leaves_goes_to_the_next_one"),
    (Fault::FoldsTopics, "topics_do_not_mix"),
    (Fault::TakesNoTopic, "a_message_without_a_topic_is_refused"),
    (Fault::StopsAtAFailure, "a_message_without_a_topic_is_refused"),
    (Fault::LosesWhatComesAgain, "what_is_to_come_again_does"),
    (Fault::LosesWhatIsDropped, "a_receipt_that_is_dropped_brings_the_message_again"),
    (Fault::LosesWhatIsDropped, "what_a_member_leaves_goes_to_others"),
    (Fault::ForgetsWhatIsDone, "what_is_done_is_not_delivered_again"),
    (Fault::ForgetsWhatIsDone, "messages_are_settled_in_any_order"),
    (Fault::IgnoresKeys, "what_comes_again_comes_before_what_follows_in_its_lane"),
    (Fault::IgnoresKeys, "lanes_are_told_where_there_are_keys"),
    (Fault::MixesKeys, "keys_do_not_wait_for_each_other"),
    (Fault::NeverEnds, "what_has_outlived_its_time_is_not_delivered_where_that_is_declared"),
    (Fault::TakesAnyTime, "a_time_to_live_that_is_none_is_refused_where_it_is_declared"),
    (Fault::EndsAtOnce, "a_message_within_its_time_is_delivered"),
    (Fault::ServesTheFirstMemberAlone, "all_members_of_a_group_are_at_work"),
    (Fault::IsNeverReady, "a_broker_that_answers_is_ready"),
    (Fault::HoldsEverything, "a_stream_bounds_what_it_holds"),
    (Fault::LosesMetadata, "metadata_comes_with_its_message_where_that_is_declared"),
    (Fault::KeepsMetadataUnsaid, "metadata_comes_with_its_message_where_that_is_declared"),
];

/// One test a fault.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |&(fault, caught_by): &(Fault, &'static str)| {
        Trial::test(format!("planted::{fault:?}::{caught_by}"), move || caught(fault, caught_by))
    };
    FAULTS.iter().map(trial).collect()
}

fn caught(fault: Fault, caught_by: &str) -> std::result::Result<(), libtest_mimic::Failed> {
    let check = suite::checks().find(|check| check.name == caught_by).ok_or("no such check")?;
    let def = pubsub::find("pubsub.in-memory").ok_or("no broker to plant a fault in")?;
    let sound = memory::open(def);
    let broken: Open = Arc::new(move |need: Need| {
        let sound = Arc::clone(&sound);
        Box::pin(async move {
            let sound = sound(need).await;
            let inner = sound.broker();
            let broker = Arc::new(Broken { inner, fault, calls: AtomicU64::new(0) });
            Arc::new(BrokenRig { sound, broker }) as Arc<dyn Rig>
        })
    });
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || suite::prove(check, broken))) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("`{caught_by}` let {fault:?} pass").into()),
    }
}

struct BrokenRig {
    sound: Arc<dyn Rig>,
    broker: Arc<Broken>,
}

#[async_trait]
impl Rig for BrokenRig {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker) as _
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        None
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        None
    }

    async fn tick(&self) {
        self.sound.tick().await;
    }
}

/// The broker in memory, with one fault.
struct Broken {
    inner: Arc<dyn PubSub>,
    fault: Fault,
    calls: AtomicU64,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// What becomes of a message; `None` where it is lost.
    fn message(&self, mut message: Message) -> Option<Message> {
        if self.has(Fault::CutsLargeMessages) {
            message.data = message.data.slice(..message.data.len().min(65_536));
        }
        if self.has(Fault::IgnoresKeys) {
            message.metadata.remove(Message::KEY);
        }
        if self.has(Fault::MixesKeys) && message.metadata.contains_key(Message::KEY) {
            message.metadata.insert(Message::KEY.to_owned(), "all".to_owned());
        }
        if self.has(Fault::NeverEnds) {
            message.metadata.remove(Message::TTL);
        }
        if self.has(Fault::TakesAnyTime) && message.metadata.get(Message::TTL).is_some_and(|ttl| ttl != "1") {
            message.metadata.remove(Message::TTL);
        }
        if self.has(Fault::LosesMetadata) {
            message.metadata.clear();
        }
        if self.has(Fault::FoldsTopics) {
            message.topic = folded(&message.topic);
        }
        if self.has(Fault::TakesNoTopic) && message.topic.is_empty() {
            message.topic = "none".to_owned();
        }
        let is_lost = (self.has(Fault::LosesEmptyMessages) && message.data.is_empty())
            || (self.has(Fault::EndsAtOnce) && message.metadata.contains_key(Message::TTL));
        (!is_lost).then_some(message)
    }
}

fn folded(topic: &str) -> String {
    topic.to_lowercase().split(['.', '-']).next().unwrap_or_default().to_owned()
}

#[async_trait]
impl PubSub for Broken {
    fn capabilities(&self) -> Capabilities {
        let able = self.inner.capabilities();
        Capabilities { metadata: able.metadata && !self.has(Fault::KeepsMetadataUnsaid), ..able }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        if self.has(Fault::IsNeverReady) {
            return Err(Error::new(&codes::BROKER_UNAVAILABLE, "planted"));
        }
        self.inner.ready(ctx).await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        match self.message(message) {
            Some(message) => self.inner.publish(ctx, message).await,
            None => Ok(()),
        }
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let mut done: Vec<Result<()>> = Vec::new();
        for message in messages {
            if self.has(Fault::StopsAtAFailure) && done.iter().any(Result::is_err) {
                done.push(Err(Error::new(&codes::BROKER_UNAVAILABLE, "planted")));
                continue;
            }
            done.push(self.publish(ctx, message).await);
        }
        done
    }

    async fn subscribe(&self, ctx: &Ctx, mut asked: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let call = self.calls.fetch_add(1, SeqCst);
        match self.fault {
            Fault::HasOneGroup => asked.group = "all".to_owned(),
            Fault::MakesEachMemberAGroup => asked.group = format!("{}-{call}", asked.group),
            Fault::FoldsTopics => asked.topic = folded(&asked.topic),
            Fault::ServesTheFirstMemberAlone if call > 0 => return Ok(Box::pin(stream::pending())),
            _ => {}
        }
        let fault = self.fault;
        if matches!(fault, Fault::HoldsEverything | Fault::ServesTheFirstMemberAlone) {
            return self.endless(ctx, asked).await;
        }
        let inner = self.inner.subscribe(ctx, asked).await?;
        let broken = move |delivery: Result<Delivery>| delivery.map(|delivery| wrap(delivery, fault));
        Ok(Box::pin(inner.map(broken)))
    }
}

impl Broken {
    /// As many members behind one as it takes to bound nothing.
    async fn endless(&self, ctx: &Ctx, asked: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let mut members = Vec::new();
        for _ in 0..100 {
            members.push(self.inner.subscribe(ctx, asked.clone()).await?);
        }
        Ok(Box::pin(stream::select_all(members)))
    }
}

fn wrap(mut delivery: Delivery, fault: Fault) -> Delivery {
    let inner = std::mem::replace(&mut delivery.receipt, Box::new(Nothing));
    delivery.receipt = Box::new(BrokenSlip { inner: Some(inner), fault });
    delivery
}

/// Stands where a receipt was.
struct Nothing;

#[async_trait]
impl Receipt for Nothing {
    async fn done(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    async fn again(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct BrokenSlip {
    inner: Option<Box<dyn Receipt>>,
    fault: Fault,
}

#[async_trait]
impl Receipt for BrokenSlip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        match (self.inner.take(), self.fault) {
            (Some(inner), Fault::ForgetsWhatIsDone) => inner.again().await,
            (Some(inner), _) => inner.done().await,
            (None, _) => Ok(()),
        }
    }

    async fn again(mut self: Box<Self>) -> Result<()> {
        match (self.inner.take(), self.fault) {
            (Some(inner), Fault::LosesWhatComesAgain) => inner.done().await,
            (Some(inner), _) => inner.again().await,
            (None, _) => Ok(()),
        }
    }
}

impl Drop for BrokenSlip {
    fn drop(&mut self) {
        if self.fault == Fault::LosesWhatIsDropped
            && let Some(inner) = self.inner.take()
        {
            drop(futures_util::FutureExt::now_or_never(inner.done()));
        }
    }
}
