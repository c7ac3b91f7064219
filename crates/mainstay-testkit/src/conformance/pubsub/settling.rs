//! What becomes of a delivery: done, to come again, or neither.

use super::{Open, Stage, again, done, promises, text};

promises! {
    what_is_done_is_not_delivered_again,
    what_is_to_come_again_does,
    what_comes_again_does_not_hold_up_the_rest,
    a_receipt_that_is_dropped_brings_the_message_again,
    what_a_member_leaves_goes_to_others,
    what_a_member_leaves_goes_to_the_next_one,
    a_known_group_goes_on_where_it_was,
    messages_are_settled_in_any_order,
    a_stream_bounds_what_it_holds,
}

async fn what_is_done_is_not_delivered_again(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    for text in ["a", "b"] {
        stage.publish(text).await;
    }
    assert_eq!(member.texts(2).await, ["a", "b"]);
    drop(member);
    let mut next = stage.subscribe("g").await;
    stage.publish("c").await;
    assert_eq!(next.text().await, "c");
    next.is_quiet().await;
}

async fn what_is_to_come_again_does(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    stage.publish("x").await;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let delivery = member.next().await;
        assert_eq!(text(&delivery), "x");
        attempts.push(delivery.attempts);
        again(delivery).await;
    }
    assert!(attempts == [0, 1, 2] || attempts == [0, 0, 0], "it is counted or not known: {attempts:?}");
    assert_eq!(member.text().await, "x");
    member.is_quiet().await;
}

async fn what_comes_again_does_not_hold_up_the_rest(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    stage.publish("bad").await;
    stage.publish("good").await;
    let (mut rounds, mut is_good_done) = (0, false);
    while rounds < 5 || !is_good_done {
        assert!(rounds < 1_000, "the message behind does not come");
        let delivery = member.next().await;
        if text(&delivery) == "good" {
            is_good_done = true;
            done(delivery).await;
        } else {
            rounds += 1;
            again(delivery).await;
        }
    }
    assert_eq!(member.text().await, "bad");
}

async fn a_receipt_that_is_dropped_brings_the_message_again(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    stage.publish("x").await;
    drop(member.next().await);
    assert_eq!(member.text().await, "x");
    member.is_quiet().await;
}

async fn what_a_member_leaves_goes_to_others(open: Open) {
    let stage = Stage::open(&open).await;
    let mut leaving = stage.subscribe("g").await;
    stage.publish("x").await;
    let held = leaving.next().await;
    let mut other = stage.subscribe("g").await;
    drop((leaving, held));
    assert_eq!(other.text().await, "x");
    other.is_quiet().await;
}

async fn what_a_member_leaves_goes_to_the_next_one(open: Open) {
    let stage = Stage::open(&open).await;
    let mut leaving = stage.subscribe("g").await;
    for text in ["a", "b", "c"] {
        stage.publish(text).await;
    }
    let first = leaving.next().await;
    let mut wanted: Vec<_> = ["a", "b", "c"].into_iter().filter(|other| *other != text(&first)).collect();
    done(first).await;
    wanted.sort_unstable();
    drop(leaving);
    let mut next = stage.subscribe("g").await;
    assert_eq!(next.texts(2).await, wanted);
    next.is_quiet().await;
}

async fn a_known_group_goes_on_where_it_was(open: Open) {
    let stage = Stage::open(&open).await;
    drop(stage.subscribe("g").await);
    for text in ["a", "b", "c"] {
        stage.publish(text).await;
    }
    let mut member = stage.subscribe("g").await;
    assert_eq!(member.texts(3).await, ["a", "b", "c"]);
}

async fn messages_are_settled_in_any_order(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    for n in 0..10 {
        stage.publish(&n.to_string()).await;
    }
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(member.next().await);
    }
    let kept = held.remove(0);
    let wanted = text(&kept);
    while let Some(delivery) = held.pop() {
        done(delivery).await;
    }
    drop((kept, member));
    let mut next = stage.subscribe("g").await;
    assert_eq!(next.text().await, wanted, "what was settled around it is, and it is not");
    next.is_quiet().await;
}

/// What a member may hold at most, of whatever broker.
const HELD_MAX: usize = 5_000;

async fn a_stream_bounds_what_it_holds(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    for _ in 0..12 {
        let some = (0..500).map(|_| stage.message("x")).collect();
        for published in stage.broker.publish_each(&super::ctx(), some).await {
            published.expect("it is published");
        }
    }
    let mut held = Vec::new();
    while let Ok(delivery) = tokio::time::timeout(super::QUIET, member.next()).await {
        held.push(delivery);
        assert!(held.len() <= HELD_MAX, "a member that settles nothing gets everything");
    }
    done(held.pop().expect("something came")).await;
    held.push(member.next().await);
}
