//! What is Kafka's own: what messages look like, and what becomes of offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use krafka::Kafka as Bare;
use libtest_mimic::Trial;
use mainstay_components::pubsub::Def;
use mainstay_core::pubsub::{Delivery, Message, PubSub};
use mainstay_testkit::conformance::pubsub::{Need, Outage as _, Rig as _};
use mainstay_testkit::servers::kafka::PARTITIONS;

use super::{Kafka, Place};
use crate::opened::{Joined, ctx, message, text};
use crate::own;

pub(super) fn trials(def: &'static Def) -> impl Iterator<Item = Trial> {
    [
        own("kafka::metadata_are_headers_and_the_key", move || metadata(def)),
        own("kafka::a_message_without_a_value_is_null", move || tombstone(def)),
        own("kafka::headers_are_escaped_where_the_settings_say_so", move || escaped(def)),
        own("kafka::what_is_published_at_once_stays_in_order", move || bulk(def)),
        own("kafka::a_message_that_is_too_large_is_refused", move || too_large(def)),
        own("kafka::a_group_begins_at_the_oldest_where_the_settings_say_so", move || oldest(def)),
        own("kafka::a_group_that_waited_for_its_topic_gets_all_of_it", move || waited(def)),
        own("kafka::the_group_of_the_settings_is_that_of_every_subscription", move || one_group(def)),
        own("kafka::what_is_committed_is_what_is_done", move || committed(def)),
        own("kafka::a_burst_leaves_no_lag", move || burst(def)),
        own("kafka::a_killed_member_loses_nothing_and_the_order_of_keys_holds", move || killed(def)),
        own("kafka::what_is_done_after_its_partition_left_is_refused", move || moved(def)),
        own("kafka::a_member_outlives_its_server", move || outlives(def)),
    ]
    .into_iter()
}

/// A topic of its own, and a broker.
struct Stage {
    place: Place,
    topic: String,
    process: super::Process,
    broker: Arc<dyn PubSub>,
}

impl Stage {
    async fn open(def: &'static Def, more: &[(&str, &str)]) -> Self {
        let place = Place::shared(def).await;
        let process = place.process(more).await;
        let (topic, broker) = (place.topic("t"), process.broker());
        Self { place, topic, process, broker }
    }

    fn message(&self, text: &str, metadata: &[(&str, &str)]) -> Message {
        message(&self.topic, text, metadata)
    }

    async fn publish(&self, text: &str, metadata: &[(&str, &str)]) {
        self.broker.publish(&ctx(), self.message(text, metadata)).await.unwrap();
    }

    /// The numbers up to `count`, each partition's in turn.
    async fn publish_numbers(&self, count: usize) {
        let messages = (0..count).map(|n| self.message(&n.to_string(), &[])).collect();
        for published in self.broker.publish_each(&ctx(), messages).await {
            published.unwrap();
        }
    }

    async fn join(&self) -> Joined {
        Joined::to(&self.broker, &self.topic, "g").await
    }

    /// What the group has committed in all partitions, and what there is beyond that.
    async fn progress(&self, group: &str) -> (i64, i64) {
        let bare = Bare::builder(&self.place.address).connect().await.unwrap();
        let consumer = bare.consumer(group).build().await.unwrap();
        let found = consumer.fetch_metadata(Some(&self.topic)).await.unwrap();
        let partitions: Vec<i32> =
            found.topics.iter().flat_map(|topic| topic.partitions.keys().copied()).collect();
        assert_eq!(partitions.len(), PARTITIONS);
        let all: Vec<(&str, i32)> =
            partitions.iter().map(|partition| (self.topic.as_str(), *partition)).collect();
        let committed: i64 =
            consumer.committed(&all).await.unwrap().values().map(|position| position.offset).sum();
        let mut end = 0;
        for partition in partitions {
            end += consumer.fetch_watermarks(&self.topic, partition).await.unwrap().1;
        }
        consumer.close().await.unwrap();
        (committed, end - committed)
    }

    fn group(&self) -> String {
        format!("g-{}", self.place.number)
    }
}

async fn metadata(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let mut member = stage.join().await;
    stage.publish("x", &[("partitionKey", "k"), ("a", "1 ü")]).await;
    let delivery = member.next().await;
    let found = |name: &str| delivery.message.metadata.get(name).map(String::as_str);
    assert_eq!((found("__key"), found("a"), found("partitionKey")), (Some("k"), Some("1 ü"), Some("k")));
    assert_eq!((found("__topic"), found("__offset")), (Some(stage.topic.as_str()), Some("0")));
    assert!(found("__timestamp").unwrap().parse::<u64>().unwrap() > 1_600_000_000_000);
    let partition: u64 = found("__partition").unwrap().parse().unwrap();
    assert_eq!(delivery.lane, Some(partition));
    delivery.receipt.done().await.unwrap();
}

async fn tombstone(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let mut member = stage.join().await;
    stage.publish("null", &[("__key", "k")]).await;
    let delivery = member.next().await;
    assert_eq!((text(&delivery).as_str(), delivery.message.metadata["__key"].as_str()), ("null", "k"));
}

async fn escaped(def: &'static Def) {
    let stage = Stage::open(def, &[("escapeHeaders", "true")]).await;
    let mut member = stage.join().await;
    stage.publish("x", &[("partitionKey", "a b"), ("c", "ü&")]).await;
    let delivery = member.next().await;
    let found = |name: &str| delivery.message.metadata[name].clone();
    assert_eq!((found("__key"), found("c")), ("a+b".to_owned(), "%C3%BC%26".to_owned()));
}

async fn bulk(def: &'static Def) {
    let stage = Stage::open(def, &[("compression", "lz4")]).await;
    let mut member = stage.join().await;
    let wanted: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let messages = wanted.iter().map(|text| stage.message(text, &[("partitionKey", "k")])).collect();
    for published in stage.broker.publish_each(&ctx(), messages).await {
        published.unwrap();
    }
    for wanted in wanted {
        assert_eq!(member.text().await, wanted);
    }
}

async fn too_large(def: &'static Def) {
    let large = "x".repeat(2_000_000);
    // What the settings refuse, and what the broker does.
    for more in [&[][..], &[("maxMessageBytes", "4000000")]] {
        let stage = Stage::open(def, more).await;
        let error = stage.broker.publish(&ctx(), stage.message(&large, &[])).await.unwrap_err();
        assert_eq!(error.code().id, "INVALID_FIELD", "{error:?}");
    }
}

async fn oldest(def: &'static Def) {
    let stage = Stage::open(def, &[("initialOffset", "oldest")]).await;
    stage.publish("before", &[]).await;
    assert_eq!(stage.join().await.text().await, "before");
}

async fn waited(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let (broker, topic) = (Arc::clone(&stage.broker), stage.topic.clone());
    let joining = tokio::spawn(async move { Joined::to(&broker, &topic, "g").await });
    // It makes the topic before it has joined.
    let bare = Bare::builder(&stage.place.address).connect().await.unwrap();
    let probe = bare.consumer_without_group().build().await.unwrap();
    while !probe.fetch_metadata(Some(&stage.topic)).await.is_ok_and(|found| !found.topics.is_empty()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stage.publish("early", &[]).await;
    assert_eq!(joining.await.unwrap().text().await, "early");
    probe.close().await.unwrap();
}

async fn one_group(def: &'static Def) {
    let place = Place::shared(def).await;
    let group = format!("mine-{}", place.number);
    let process = place.process(&[("consumerGroup", group.as_str())]).await;
    let (topic, broker) = (place.topic("t"), process.broker());
    let stage = Stage { place, topic, process, broker };
    let (mut one, mut other) = (stage.join().await, Joined::to(&stage.broker, &stage.topic, "other").await);
    stage.publish("x", &[]).await;
    tokio::select! { _ = one.text() => {}, _ = other.text() => {} }
    one.is_quiet().await;
    other.is_quiet().await;
    assert_eq!(stage.progress(&group).await, (1, 0));
}

async fn committed(def: &'static Def) {
    let mut stage = Stage::open(def, &[]).await;
    let mut member = stage.join().await;
    stage.publish_numbers(40).await;
    let (mut done, mut held) = (BTreeSet::new(), Vec::new());
    while done.len() < 25 {
        let delivery = member.next().await;
        // What is left behind is left in every other lane.
        if delivery.lane.is_some_and(|lane| lane % 3 == 0) && held.len() < 4 {
            held.push(delivery);
        } else {
            done.insert(text(&delivery));
            delivery.receipt.done().await.unwrap();
        }
    }
    assert_eq!(stage.progress(&stage.group()).await, (25, 15));
    stage.process = stage.place.process(&[]).await;
    stage.broker = stage.process.broker();
    let mut next = stage.join().await;
    for _ in 0..15 {
        let text = next.text().await;
        assert!(done.insert(text.clone()), "{text} was done before");
    }
    next.is_quiet().await;
    for delivery in held {
        assert!(delivery.receipt.done().await.is_err(), "its process was killed");
    }
    assert_eq!(stage.progress(&stage.group()).await, (40, 0));
}

async fn burst(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let mut member = stage.join().await;
    stage.publish_numbers(3_000).await;
    let mut seen = BTreeSet::new();
    let mut working = tokio::task::JoinSet::new();
    while seen.len() < 3_000 {
        let delivery = member.next().await;
        assert!(seen.insert(text(&delivery)), "{} came twice", text(&delivery));
        working.spawn(async move { delivery.receipt.done().await.unwrap() });
        while working.try_join_next().is_some() {}
    }
    working.join_all().await;
    assert_eq!(stage.progress(&stage.group()).await, (3_000, 0));
}

/// Notes what came of each key. Something may come again, but nothing comes before what it follows.
#[derive(Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn note(&mut self, delivery: &Delivery) {
        let text = text(delivery);
        let (key, number) = text.split_once(' ').expect("a key and a number");
        let next = self.0.entry(key.to_owned()).or_insert(0);
        let number: usize = number.parse().unwrap();
        assert!(number <= *next, "{text} came before {next}");
        *next = (*next).max(number + 1);
    }

    fn count(&self) -> usize {
        self.0.values().sum()
    }
}

async fn killed(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let doomed = stage.place.process(&[]).await;
    let mut one = Joined::to(&doomed.broker(), &stage.topic, "g").await;
    let mut other = stage.join().await;
    let mut seen = Seen::default();
    publish_keys(&stage, 0..30).await;
    while seen.count() < 300 {
        let delivery = tokio::select! { one = one.next() => one, other = other.next() => other };
        seen.note(&delivery);
        delivery.receipt.done().await.unwrap();
    }
    // It dies with messages out and read ahead, and does not say so.
    let held = [one.next().await, one.next().await];
    held.iter().for_each(|delivery| seen.note(delivery));
    drop(doomed);
    publish_keys(&stage, 30..60).await;
    while seen.count() < 1_200 {
        let delivery = other.next().await;
        seen.note(&delivery);
        // What was handed out before the group changed may be refused; then it comes again.
        let _ = delivery.receipt.done().await;
    }
    drop((held, one));
}

/// Messages of twenty keys with these numbers.
async fn publish_keys(stage: &Stage, numbers: std::ops::Range<usize>) {
    let each = numbers.flat_map(|n| (0..20).map(move |key| (format!("k{key}"), n)));
    let messages =
        each.map(|(key, n)| stage.message(&format!("{key} {n}"), &[("partitionKey", key.as_str())]));
    for published in stage.broker.publish_each(&ctx(), messages.collect()).await {
        published.unwrap();
    }
}

async fn moved(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let mut one = stage.join().await;
    stage.publish_numbers(PARTITIONS).await;
    let mut held = Vec::new();
    for _ in 0..PARTITIONS {
        held.push(one.next().await);
    }
    let mut other = stage.join().await;
    let (mut kept, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for delivery in held {
        let text = text(&delivery);
        if delivery.receipt.done().await.is_ok() {
            kept.insert(text)
        } else {
            refused.insert(text)
        };
    }
    assert_eq!((kept.len(), refused.len()), (PARTITIONS / 2, PARTITIONS / 2));
    let mut again = BTreeSet::new();
    for _ in 0..refused.len() {
        again.insert(other.text().await);
    }
    assert_eq!(again, refused, "what was refused comes to whoever has its partition now");
    one.is_quiet().await;
    other.is_quiet().await;
}

async fn outlives(def: &'static Def) {
    let rig = Kafka::open(def, Need::Server).await;
    let (broker, topic) = (rig.broker(), rig.topic("t"));
    let mut member = Joined::to(&broker, &topic, "g").await;
    broker.publish(&ctx(), message(&topic, "before", &[])).await.unwrap();
    assert_eq!(member.text().await, "before");
    rig.below.stop().await;
    rig.below.start().await;
    broker.publish(&ctx(), message(&topic, "after", &[])).await.unwrap();
    assert_eq!(member.text().await, "after", "and not what was done before");
}
