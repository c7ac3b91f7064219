//! Messages of one key come in the order they were published, where that is declared.

use std::collections::BTreeMap;

use super::{Open, Stage, again, done, either, promises, text};

promises! {
    messages_of_a_key_come_in_order,
    the_order_of_a_key_holds_over_all_members,
    what_comes_again_comes_before_what_follows_in_its_lane,
    keys_do_not_wait_for_each_other,
    lanes_are_told_where_there_are_keys,
}

async fn declared(open: &Open) -> Option<Stage> {
    let stage = Stage::open(open).await;
    stage.broker.capabilities().ordered.then_some(stage)
}

async fn publish(stage: &Stage, keys: &[&str], count: usize) {
    for n in 0..count {
        for key in keys {
            stage.publish_this(stage.keyed(key, &format!("{key} {n:03}"))).await;
        }
    }
}

/// Notes a text, which must be the next of its key.
fn note(seen: &mut BTreeMap<String, usize>, text: &str) {
    let (key, number) = text.split_once(' ').expect("a key and a number");
    let next = seen.entry(key.to_owned()).or_insert(0);
    assert_eq!(number, format!("{next:03}"), "the order of {key}");
    *next += 1;
}

async fn messages_of_a_key_come_in_order(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    let mut member = stage.subscribe("g").await;
    publish(&stage, &["a", "b", "c"], 30).await;
    let mut seen = BTreeMap::new();
    for _ in 0..90 {
        note(&mut seen, &member.text().await);
    }
}

async fn the_order_of_a_key_holds_over_all_members(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    let (mut one, mut other) = (stage.subscribe("g").await, stage.subscribe("g").await);
    publish(&stage, &["a", "b", "c", "d"], 25).await;
    let mut seen = BTreeMap::new();
    for _ in 0..100 {
        let (delivery, _) = either(&mut one, &mut other).await;
        note(&mut seen, &text(&delivery));
        done(delivery).await;
    }
}

async fn what_comes_again_comes_before_what_follows_in_its_lane(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    let mut member = stage.subscribe("g").await;
    publish(&stage, &["a"], 5).await;
    let mut seen = BTreeMap::new();
    for n in 0..5 {
        for attempt in 0..3 {
            let delivery = member.next().await;
            assert_eq!(text(&delivery), format!("a {n:03}"), "at attempt {attempt}");
            if attempt < 2 {
                again(delivery).await;
            } else {
                note(&mut seen, &text(&delivery));
                done(delivery).await;
            }
        }
    }
}

async fn keys_do_not_wait_for_each_other(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    let mut member = stage.subscribe("g").await;
    // So many keys that not all of them share a lane.
    let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    publish(&stage, &keys, 2).await;
    let stuck = member.next().await;
    let lane = stuck.lane;
    let (mut seen, mut others) = (BTreeMap::new(), 0);
    while others < 10 {
        let delivery = member.next().await;
        assert!(delivery.lane != lane, "one of the lane that is stuck came: {:?}", text(&delivery));
        note(&mut seen, &text(&delivery));
        done(delivery).await;
        others += 1;
    }
    done(stuck).await;
}

async fn lanes_are_told_where_there_are_keys(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    let mut member = stage.subscribe("g").await;
    stage.publish_this(stage.keyed("a", "1")).await;
    let first = member.next().await;
    let lane = first.lane;
    assert!(lane.is_some(), "a message with a key has a lane");
    done(first).await;
    stage.publish_this(stage.keyed("a", "2")).await;
    let second = member.next().await;
    assert_eq!(second.lane, lane, "the lane of a key is one");
    done(second).await;
}
