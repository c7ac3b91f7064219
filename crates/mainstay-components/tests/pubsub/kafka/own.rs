//! What is Kafka's own.

use libtest_mimic::Trial;
use mainstay_components::pubsub::Def;

use super::Place;
use crate::opened::{Joined, ctx, message};
use crate::own;

pub(super) fn trials(def: &'static Def) -> Vec<Trial> {
    vec![own("kafka::metadata_are_headers_and_the_key", move || metadata(def))]
}

async fn metadata(def: &'static Def) {
    let place = Place::shared(def).await;
    let (process, topic) = (place.process(&[]).await, place.topic("t"));
    let broker = process.broker();
    let mut member = Joined::to(&broker, &topic, "g").await;
    broker.publish(&ctx(), message(&topic, "x", &[("partitionKey", "k"), ("a", "1")])).await.unwrap();
    let delivery = member.next().await;
    let found = |name: &str| delivery.message.metadata.get(name).map(String::as_str);
    assert_eq!((found("__key"), found("a"), found("partitionKey")), (Some("k"), Some("1"), Some("k")));
    assert_eq!((found("__topic"), found("__offset")), (Some(topic.as_str()), Some("0")));
    let partition: u64 = found("__partition").unwrap().parse().unwrap();
    assert_eq!(delivery.lane, Some(partition));
    delivery.receipt.done().await.unwrap();
}
