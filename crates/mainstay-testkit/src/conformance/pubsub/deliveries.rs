//! Who gets a message, and as what.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_core::pubsub::Message;

use super::{Member, Open, Stage, ctx, done, either, is_code, promises, text};

promises! {
    a_message_comes_as_it_was_published,
    metadata_comes_with_its_message_where_that_is_declared,
    large_and_empty_messages_come,
    every_group_gets_every_message,
    of_a_group_one_member_gets_a_message,
    all_members_of_a_group_are_at_work,
    a_new_group_begins_with_what_is_published_from_now_on,
    topics_do_not_mix,
    a_message_that_nobody_waits_for_is_published,
    several_messages_at_once_are_published_each,
    a_message_without_a_topic_is_refused,
    everyone_gets_what_anyone_publishes,
    a_broker_that_answers_is_ready,
}

async fn a_message_comes_as_it_was_published(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    let every: Vec<u8> = (0..=255).collect();
    let message = Message {
        topic: stage.topic.clone(),
        data: Bytes::from(every),
        content_type: Some("application/octet-stream".to_owned()),
        metadata: BTreeMap::from([("traceparent".to_owned(), "00-a-b-01".to_owned())]),
    };
    stage.publish_this(message.clone()).await;
    let delivery = member.next().await;
    assert_eq!((&delivery.message.topic, &delivery.message.data), (&message.topic, &message.data));
    assert_eq!(delivery.attempts, 0, "it was not delivered before");
    if let Some(content_type) = &delivery.message.content_type {
        assert_eq!(Some(content_type), message.content_type.as_ref(), "what is told is what was said");
    }
    done(delivery).await;
}

async fn metadata_comes_with_its_message_where_that_is_declared(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    let said = [
        ("deadLetterReason", "the app said: `400`, \u{e4}\u{f6}"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "a=1,b=2"),
    ];
    let metadata: BTreeMap<_, _> =
        said.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let messages = [
        Message { metadata: metadata.clone(), ..stage.message("alone") },
        Message { metadata, ..stage.message("in a row") },
    ];
    stage.publish_this(messages[0].clone()).await;
    let each = stage.broker.publish_each(&ctx(), messages[1..].to_vec()).await;
    assert!(each.iter().all(Result::is_ok), "{each:?}");
    for _ in 0..2 {
        let delivery = member.next().await;
        for (name, value) in said {
            let found = delivery.message.metadata.get(name).map(String::as_str);
            let wanted = stage.broker.capabilities().metadata.then_some(value);
            assert_eq!(found, wanted, "{name} of {}", text(&delivery));
        }
        done(delivery).await;
    }
    stage.publish("plain").await;
    let plain = member.next().await;
    let left = said.iter().find(|(name, _)| plain.message.metadata.contains_key(*name));
    assert_eq!(left, None, "each message has its own");
    done(plain).await;
}

async fn large_and_empty_messages_come(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    let large = "a longer text ".repeat(40_000);
    for wanted in ["", large.as_str(), "{\"a\": 1}"] {
        stage.publish(wanted).await;
        let found = member.text().await;
        assert!(found == wanted, "{} bytes came back as {} others", wanted.len(), found.len());
    }
}

async fn every_group_gets_every_message(open: Open) {
    let stage = Stage::open(&open).await;
    let mut one = stage.subscribe("one").await;
    let mut other = stage.subscribe("other").await;
    for text in ["a", "b", "c"] {
        stage.publish(text).await;
    }
    assert_eq!(one.texts(3).await, ["a", "b", "c"]);
    assert_eq!(other.texts(3).await, ["a", "b", "c"]);
}

async fn of_a_group_one_member_gets_a_message(open: Open) {
    let stage = Stage::open(&open).await;
    let (mut one, mut other) = (stage.subscribe("g").await, stage.subscribe("g").await);
    let mut wanted: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
    for wanted in &wanted {
        stage.publish(wanted).await;
    }
    while !wanted.is_empty() {
        let (delivery, _) = either(&mut one, &mut other).await;
        let found = text(&delivery);
        done(delivery).await;
        let at = wanted.iter().position(|wanted| *wanted == found);
        wanted.remove(at.unwrap_or_else(|| panic!("{found} came twice")));
    }
    one.is_quiet().await;
    other.is_quiet().await;
}

async fn all_members_of_a_group_are_at_work(open: Open) {
    let stage = Stage::open(&open).await;
    let (mut one, mut other) = (stage.subscribe("g").await, stage.subscribe("g").await);
    // One that holds what it got does not hold up the other for ever: what one cannot take, the other gets.
    let mut held = Vec::new();
    let mut published = 0;
    let found = loop {
        published += 1;
        assert!(published < 20_000, "one member gets everything");
        stage.publish(&published.to_string()).await;
        let (delivery, is_other) = either(&mut one, &mut other).await;
        if is_other {
            break delivery;
        }
        held.push(delivery);
    };
    done(found).await;
    for delivery in held {
        done(delivery).await;
    }
}

async fn a_new_group_begins_with_what_is_published_from_now_on(open: Open) {
    let stage = Stage::open(&open).await;
    let mut early = stage.subscribe("early").await;
    stage.publish("before").await;
    let mut late = stage.subscribe("late").await;
    stage.publish("after").await;
    assert_eq!(early.texts(2).await, ["after", "before"]);
    assert_eq!(late.text().await, "after");
    late.is_quiet().await;
}

async fn topics_do_not_mix(open: Open) {
    let stage = Stage::open(&open).await;
    let names = ["orders.new", "orders.*", "orders", "Orders-2"].map(|name| stage.rig.topic(name));
    let mut members = Vec::new();
    for name in &names {
        members.push(stage.subscribe_to(name, "g").await);
    }
    for name in &names {
        stage.publish_this(Message { topic: name.clone(), ..stage.message(name) }).await;
    }
    for (name, member) in names.iter().zip(&mut members) {
        assert_eq!(member.text().await, *name);
        member.is_quiet().await;
    }
}

async fn a_message_that_nobody_waits_for_is_published(open: Open) {
    let stage = Stage::open(&open).await;
    stage.publish("nobody").await;
}

async fn several_messages_at_once_are_published_each(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    let wanted: Vec<String> = (0..50).map(|n| format!("{n:02}")).collect();
    let messages = wanted.iter().map(|text| stage.message(text)).collect();
    let published = stage.broker.publish_each(&ctx(), messages).await;
    assert!(published.len() == 50 && published.iter().all(Result::is_ok), "{published:?}");
    assert_eq!(member.texts(50).await, wanted);
}

async fn a_message_without_a_topic_is_refused(open: Open) {
    let stage = Stage::open(&open).await;
    let message = Message { topic: String::new(), ..stage.message("x") };
    let error = stage.broker.publish(&ctx(), message.clone()).await.expect_err("there is no topic");
    is_code(&error, "INVALID_FIELD");
    let both = stage.broker.publish_each(&ctx(), vec![message, stage.message("good")]).await;
    assert!(both.len() == 2 && both[0].is_err() && both[1].is_ok(), "each by itself: {both:?}");
}

async fn everyone_gets_what_anyone_publishes(open: Open) {
    let stage = Stage::open(&open).await;
    let Some(other) = stage.rig.again().await else { return };
    let mut member = stage.subscribe("g").await;
    other.publish(&ctx(), stage.message("theirs")).await.expect("it is published");
    assert_eq!(member.text().await, "theirs");
    let mut their_member = Member::join(&other, &stage.topic, "other").await;
    stage.publish("ours").await;
    assert_eq!(their_member.text().await, "ours");
}

async fn a_broker_that_answers_is_ready(open: Open) {
    let stage = Stage::open(&open).await;
    stage.broker.ready(&ctx()).await.expect("it is ready");
}
