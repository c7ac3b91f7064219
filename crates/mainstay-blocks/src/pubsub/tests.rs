//! Delivery against a broker that a test writes and an app that answers as told.

mod bulk;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use mainstay_core::BoxStream;
use mainstay_core::callback::{AppCallback, TopicEvent, Verdict};
use mainstay_core::clock::ManualClock;
use mainstay_core::pubsub::{Capabilities, Delivery, PubSub, Receipt, Subscription as Joined};
use mainstay_core::resiliency::{Backoff, Policies, Retry};
use mainstay_core::subscription::{Bulk, Rule, Subscription};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::layers::Layers;
use crate::{App, Table};

/// What happened, in its order: `done 1`, `again 1`, `published dead …`.
type Log = Arc<Mutex<Vec<String>>>;

struct Scripted {
    messages: Vec<(Option<u64>, &'static str)>,
    subscribed: AtomicUsize,
    log: Log,
}

struct Slip(usize, Log);

#[async_trait]
impl Receipt for Slip {
    async fn done(self: Box<Self>) -> Result<()> {
        self.1.lock().unwrap().push(format!("done {}", self.0));
        Ok(())
    }

    async fn again(self: Box<Self>) -> Result<()> {
        self.1.lock().unwrap().push(format!("again {}", self.0));
        Ok(())
    }
}

#[async_trait]
impl PubSub for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: false, ordered: true, metadata: true, durable: false }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _: &Ctx, message: Message) -> Result<()> {
        let reason = message.metadata.get(REASON).cloned().unwrap_or_default();
        let data = String::from_utf8_lossy(&message.data).into_owned();
        self.log.lock().unwrap().push(format!("published {} {data} ({reason})", message.topic));
        Ok(())
    }

    async fn subscribe(&self, _: &Ctx, joined: Joined) -> Result<BoxStream<Result<Delivery>>> {
        assert_eq!((joined.topic.as_str(), joined.group.as_str()), ("orders", "shop"));
        let again = self.subscribed.fetch_add(1, Ordering::SeqCst) > 0;
        let script = if again { Vec::new() } else { self.messages.clone() };
        let log = Arc::clone(&self.log);
        let deliveries: Vec<_> = script
            .into_iter()
            .enumerate()
            .map(move |(at, (lane, data))| {
                let message = Message {
                    topic: "orders".to_owned(),
                    data: Bytes::from_static(data.as_bytes()),
                    ..Message::default()
                };
                Ok(Delivery { message, lane, attempts: 0, receipt: Box::new(Slip(at, Arc::clone(&log))) })
            })
            .collect();
        Ok(futures_util::stream::iter(deliveries).chain(futures_util::stream::pending()).boxed())
    }
}

struct Answers {
    /// Path, and what to answer to the first calls; then `Done`.
    verdicts: Mutex<Vec<Verdict>>,
    log: Log,
}

#[async_trait]
impl AppCallback for Answers {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn healthy(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn subscriptions(&self, _: &Ctx) -> Result<Vec<Subscription>> {
        Ok(Vec::new())
    }

    async fn deliver(&self, _: &Ctx, event: &TopicEvent) -> Result<Verdict> {
        let id = serde_json::from_slice::<serde_json::Value>(&event.envelope).unwrap()["id"].to_string();
        self.log.lock().unwrap().push(format!("asked {} {id}", event.path));
        let mut verdicts = self.verdicts.lock().unwrap();
        Ok(if verdicts.is_empty() { Verdict::Done } else { verdicts.remove(0) })
    }
}

fn subscription(dead: Option<&str>) -> Subscription {
    Subscription {
        name: String::new(),
        namespace: None,
        pubsub: "bus".to_owned(),
        topic: "orders".to_owned(),
        rules: vec![Rule { condition: Some("event.id != 'nobody'".to_owned()), path: "/orders".to_owned() }],
        dead_letter_topic: dead.map(str::to_owned),
        metadata: BTreeMap::new(),
        bulk: Bulk::default(),
        scopes: Vec::new(),
        origin: String::new(),
    }
}

/// What happens to messages, up to as many steps as are expected.
async fn check(
    messages: &[(Option<u64>, &'static str)],
    verdicts: &[Verdict],
    dead: Option<&str>,
    expect: &[&str],
) {
    check_under(Policies::default(), messages, verdicts, dead, expect).await;
}

/// The same under policies.
async fn check_under(
    policies: Policies,
    messages: &[(Option<u64>, &'static str)],
    verdicts: &[Verdict],
    dead: Option<&str>,
    expect: &[&str],
) {
    let log = Log::default();
    let broker =
        Scripted { messages: messages.to_vec(), subscribed: AtomicUsize::new(0), log: Arc::clone(&log) };
    let rules = Scopes::default();
    let mut table = Table {
        brokers: BTreeMap::from([("bus".to_owned(), Broker::new(Arc::new(broker), rules))]),
        ..Table::default()
    };
    table.guard(Layers::new(policies).unwrap());
    let app = App { id: "shop".to_owned(), namespace: None };
    let blocks = Blocks::new(app, Arc::new(ManualClock::at(1_700_000_000_000)), table);
    let answers = Arc::new(Answers { verdicts: Mutex::new(verdicts.to_vec()), log: Arc::clone(&log) });
    let stop = CancellationToken::new();
    let deliverer = Deliverer::new(blocks, answers, subscription(dead)).unwrap();
    let running = tokio::spawn(deliverer.run(stop.clone()));
    let enough = async {
        while log.lock().unwrap().len() < expect.len() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(60), enough).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(*log.lock().unwrap(), expect);
}

const ONE: &str = r#"{"id":1}"#;
const TWO: &str = r#"{"id":2}"#;

#[tokio::test(start_paused = true)]
async fn a_message_that_was_worked_on_is_done() {
    check(&[(None, ONE)], &[], None, &["asked /orders 1", "done 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn outside_lanes_the_broker_brings_a_message_again() {
    check(&[(None, ONE)], &[Verdict::Again], None, &["asked /orders 1", "again 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn within_a_lane_nothing_overtakes_a_message_that_is_tried_again() {
    let expect =
        ["asked /orders 1", "asked /orders 1", "asked /orders 1", "done 0", "asked /orders 2", "done 1"];
    check(&[(Some(7), ONE), (Some(7), TWO)], &[Verdict::Again, Verdict::Again], None, &expect).await;
}

#[tokio::test(start_paused = true)]
async fn lanes_do_not_wait_for_each_other() {
    let expect = ["asked /orders 1", "asked /orders 2", "done 1", "asked /orders 1", "done 0"];
    check(&[(Some(7), ONE), (Some(8), TWO)], &[Verdict::Again], None, &expect).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_worked_on_goes_to_the_dead_letter_topic_with_its_reason() {
    let dead = |why: &str| format!(r#"published dead {{"id":1}} ({why})"#);
    let (again, drop) = (dead("the app asked to try again"), dead("the app does not want it"));
    check(&[(Some(7), ONE)], &[Verdict::Again], Some("dead"), &["asked /orders 1", &again, "done 0"]).await;
    check(&[(None, ONE)], &[Verdict::Drop], Some("dead"), &["asked /orders 1", &drop, "done 0"]).await;
    let nobody = r#"published dead {"id":"nobody"} (no rule of the subscription is for it)"#;
    check(&[(None, r#"{"id":"nobody"}"#)], &[], Some("dead"), &[nobody, "done 0"]).await;
    let late = r#"{"id":1,"expiration":"2023-11-14T22:13:20Z"}"#;
    let expired = format!("published dead {late} (it has outlived its time)");
    check(&[(None, late)], &[], Some("dead"), &[&expired, "done 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_becomes_a_dead_letter_when_the_inbound_policy_is_exhausted() {
    let mut policies = Policies::default();
    let backoff = Backoff::Constant(std::time::Duration::from_secs(1));
    let retry = Retry { backoff, retries_max: Some(2), statuses: None, codes: None };
    policies.named.retries.insert("DefaultPubsubComponentInboundRetryPolicy".to_owned(), retry);
    let asked = "asked /orders 1";
    let twice = [Verdict::Again, Verdict::Again];
    check_under(policies.clone(), &[(None, ONE)], &twice, Some("dead"), &[asked, asked, asked, "done 0"])
        .await;
    let letter = r#"published dead {"id":1} (the app asked to try again)"#;
    let expect = [asked, asked, asked, letter, "done 0"];
    check_under(policies.clone(), &[(Some(7), ONE)], &[Verdict::Again; 3], Some("dead"), &expect).await;
    // What the app does not want is not tried again.
    let letter = r#"published dead {"id":1} (the app does not want it)"#;
    check_under(policies, &[(None, ONE)], &[Verdict::Drop], Some("dead"), &[asked, letter, "done 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn poison_without_a_dead_letter_topic_is_dropped_and_does_not_go_in_circles() {
    for poison in ["not json", "[1]", r#"{"id":"nobody"}"#, "{}"] {
        check(&[(Some(1), poison)], &[], None, &["done 0"]).await;
    }
}

#[test]
fn brokers_are_told_of_a_time_to_live_or_of_none() {
    let blocks = Blocks::new(App::default(), Arc::new(ManualClock::at(0)), Table::default());
    let told = |text: &str| {
        let metadata = BTreeMap::from([(Message::TTL.to_owned(), text.to_owned())]);
        let publication = Publication { data: Bytes::from_static(b"x"), content_type: None, metadata };
        let message = super::message(&blocks, &Ctx::system(), "bus", "orders", publication).unwrap();
        message.metadata.get(Message::TTL).cloned()
    };
    assert_eq!(["60", "0", "-1", "soon"].map(told), [Some("60".to_owned()), None, None, None]);
}
