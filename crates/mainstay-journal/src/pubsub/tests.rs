//! What the port's suite cannot see: space, bounds, groups that never come back, messages that are held too long.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::{Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Result, codes};

use crate::{EmbeddedOptions, Stores};

struct Rig {
    stores: Stores,
    broker: Arc<dyn PubSub>,
    clock: Arc<ManualClock>,
}

/// Small segments, blobs from 2 KiB on, and no care but the test's.
fn open(folder: &Path) -> Rig {
    let options = EmbeddedOptions {
        segment_bytes: 64 * 1024,
        inline_bytes_max: 2 * 1024,
        retained_bytes: 0,
        backlog_bytes_max: 512 * 1024,
        care_interval: Duration::from_secs(3_600),
        ..EmbeddedOptions::new(folder)
    };
    let clock = Arc::new(ManualClock::at(1_000_000));
    let stores = Stores::new(options, clock.clone());
    let broker = stores.pubsub("b").unwrap_or_else(|e| panic!("{e}: {:?}", e.internal()));
    Rig { stores, broker, clock }
}

fn message(topic: &str, text: &str) -> Message {
    let metadata = BTreeMap::from([(Message::KEY.to_owned(), "k".to_owned())]);
    Message { topic: topic.to_owned(), data: text.to_owned().into(), metadata, ..Message::default() }
}

async fn publish(rig: &Rig, topic: &str, text: &str) {
    rig.broker.publish(&Ctx::system(), message(topic, text)).await.unwrap();
}

type Member = BoxStream<Result<Delivery>>;

async fn join(rig: &Rig, topic: &str, group: &str, settings: &[(&str, &str)]) -> Result<Member> {
    let metadata = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let subscription = Subscription { topic: topic.to_owned(), group: group.to_owned(), metadata };
    rig.broker.subscribe(&Ctx::system(), subscription).await
}

async fn next(member: &mut Member) -> Delivery {
    member.next().await.unwrap().unwrap()
}

async fn text(member: &mut Member) -> String {
    let delivery = next(member).await;
    delivery.receipt.done().await.unwrap();
    String::from_utf8(delivery.message.data.to_vec()).unwrap()
}

/// Whether something comes within a moment.
async fn is_quiet(member: &mut Member) -> bool {
    tokio::time::timeout(Duration::from_millis(100), member.next()).await.is_err()
}

fn segment_bytes(rig: &Rig) -> u64 {
    rig.stores.pubsub_stats().unwrap().log_bytes
}

#[tokio::test]
async fn a_slow_group_of_a_quiet_topic_does_not_hold_the_log_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    drop(join(&rig, "quiet", "slow", &[]).await.unwrap());
    let body = "x".repeat(1_000);
    for n in 0..10 {
        publish(&rig, "quiet", &format!("{n}")).await;
    }
    publish(&rig, "quiet", &"large ".repeat(1_000)).await;
    let mut busy = join(&rig, "busy", "fast", &[]).await.unwrap();
    for n in 0..600 {
        publish(&rig, "busy", &format!("{n} {body}")).await;
        assert_eq!(text(&mut busy).await, format!("{n} {body}"));
        if n % 200 == 0 {
            rig.stores.tend().await.unwrap();
        }
    }
    rig.stores.tend().await.unwrap();
    assert!(segment_bytes(&rig) < 4 * 64 * 1024, "{} bytes for eleven messages", segment_bytes(&rig));
    drop((busy, rig));
    let rig = open(folder.path());
    let mut slow = join(&rig, "quiet", "slow", &[]).await.unwrap();
    for n in 0..10 {
        assert_eq!(text(&mut slow).await, n.to_string(), "the order outlives the copies");
    }
    assert_eq!(text(&mut slow).await, "large ".repeat(1_000));
    let mut busy = join(&rig, "busy", "fast", &[]).await.unwrap();
    assert!(is_quiet(&mut busy).await && is_quiet(&mut slow).await, "what is done stays done");
    let fill = |n: u64| format!("{n} {body}");
    for n in 0..100 {
        publish(&rig, "busy", &fill(n)).await;
        assert_eq!(text(&mut busy).await, fill(n));
    }
    rig.stores.tend().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("pubsub/blobs")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_waits_is_bounded_and_refused_beyond_with_the_name_of_the_slowest() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let mut slow = join(&rig, "t", "slow", &[]).await.unwrap();
    let body = "x".repeat(1_500);
    let refused = loop {
        if let Err(error) = rig.broker.publish(&Ctx::system(), message("t", &body)).await {
            break error;
        }
    };
    assert_eq!(refused.code(), &codes::OVERLOADED);
    assert!(refused.message().contains("`slow`") && refused.message().contains("`t`"), "{refused}");
    for _ in 0..50 {
        assert_eq!(text(&mut slow).await, body);
    }
    publish(&rig, "t", "there is room again").await;
}

#[tokio::test]
async fn a_group_that_never_comes_back_is_forgotten_and_one_that_is_there_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    drop(join(&rig, "t", "gone", &[]).await.unwrap());
    let mut there = join(&rig, "t", "there", &[]).await.unwrap();
    publish(&rig, "t", "x").await;
    let week_ms = 7 * 24 * 3_600 * 1_000;
    rig.clock.advance(week_ms - 1);
    rig.stores.tend().await.unwrap();
    drop(rig);
    // The clock begins anew: the group left at the same time as before.
    let rig = open(folder.path());
    rig.clock.advance(week_ms + 1);
    assert!(there.next().await.is_none_or(|last| last.is_err()), "the broker of that time is closed");
    let mut there = join(&rig, "t", "there", &[]).await.unwrap();
    rig.stores.tend().await.unwrap();
    let mut gone = join(&rig, "t", "gone", &[]).await.unwrap();
    assert!(is_quiet(&mut gone).await, "it is a new group");
    assert_eq!(text(&mut there).await, "x");
    let waiting = rig.stores.pubsub_stats().unwrap().live_bytes;
    assert_eq!(waiting, 0, "nothing waits for anyone");
}

#[tokio::test]
async fn a_new_group_may_ask_for_what_is_still_kept() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    for text in ["a", "b"] {
        publish(&rig, "t", text).await;
    }
    let mut member = join(&rig, "t", "g", &[("initialOffset", "oldest")]).await.unwrap();
    assert_eq!((text(&mut member).await, text(&mut member).await), ("a".to_owned(), "b".to_owned()));
    for bad in [("initialOffset", "soon"), ("maxInFlight", "0"), ("redeliverAfter", "0s")] {
        let error = join(&rig, "t", "g", &[bad]).await.err().expect("the setting is refused");
        assert_eq!(error.code(), &codes::INVALID_FIELD);
    }
}

#[tokio::test]
async fn what_is_held_too_long_goes_to_another_member_and_a_late_answer_counts() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let mut stuck = join(&rig, "t", "g", &[("redeliverAfter", "1s"), ("maxInFlight", "1")]).await.unwrap();
    publish(&rig, "t", "x").await;
    let held = next(&mut stuck).await;
    let mut other = join(&rig, "t", "g", &[]).await.unwrap();
    let again = next(&mut other).await;
    assert_eq!((again.attempts, again.lane), (1, held.lane));
    held.receipt.done().await.unwrap();
    again.receipt.again().await.unwrap();
    assert!(is_quiet(&mut other).await, "it is done, whoever said so");
}

#[tokio::test]
async fn brokers_of_different_names_never_meet() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let other = rig.stores.pubsub("c").unwrap();
    let mut member = join(&rig, "t", "g", &[]).await.unwrap();
    other.publish(&Ctx::system(), message("t", "theirs")).await.unwrap();
    publish(&rig, "t", "ours").await;
    assert_eq!(text(&mut member).await, "ours");
    assert!(is_quiet(&mut member).await);
}

#[tokio::test]
async fn a_closed_broker_says_so_and_ends_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let mut member = join(&rig, "t", "g", &[]).await.unwrap();
    rig.stores.close();
    let last = member.next().await.unwrap().unwrap_err();
    assert_eq!(last.code(), &codes::BROKER_UNAVAILABLE);
    assert!(member.next().await.is_none(), "an error is the last item");
    let error = rig.broker.publish(&Ctx::system(), message("t", "x")).await.unwrap_err();
    assert_eq!(error.code(), &codes::BROKER_UNAVAILABLE);
    assert!(join(&rig, "t", "g", &[]).await.is_err());
}
