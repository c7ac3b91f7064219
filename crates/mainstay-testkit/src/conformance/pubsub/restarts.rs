//! What is left after the broker's process has ended, where it is declared durable.

use super::{Member, Open, Stage, done, promises};

promises! {
    acknowledged_messages_outlive_the_process,
    what_is_done_stays_done_over_a_restart,
    what_was_held_comes_again_after_a_restart,
    order_and_groups_outlive_the_process,
}

async fn declared(open: &Open) -> Option<Stage> {
    let stage = Stage::open(open).await;
    stage.broker.capabilities().durable.then_some(stage)
}

/// The stage after a restart; `None` where there is no such thing.
async fn restarted(mut stage: Stage) -> Option<Stage> {
    stage.broker = stage.rig.restarted().await?;
    Some(stage)
}

async fn acknowledged_messages_outlive_the_process(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    drop(stage.subscribe("g").await);
    let large = "large ".repeat(30_000);
    for text in ["a", "b", &large] {
        stage.publish(text).await;
    }
    let Some(stage) = restarted(stage).await else { return };
    let mut member = stage.subscribe("g").await;
    assert!(member.texts(3).await == ["a", "b", &large], "all three come, whole");
}

async fn what_is_done_stays_done_over_a_restart(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    let mut member = stage.subscribe("g").await;
    for n in 0..5 {
        stage.publish(&n.to_string()).await;
    }
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(member.next().await);
    }
    let left = held.remove(2);
    let wanted = super::text(&left);
    for delivery in held {
        done(delivery).await;
    }
    let Some(stage) = restarted(stage).await else { return };
    drop((left, member));
    let mut member = stage.subscribe("g").await;
    assert_eq!(member.text().await, wanted);
    member.is_quiet().await;
}

async fn what_was_held_comes_again_after_a_restart(open: Open) {
    let Some(stage) = declared(&open).await else { return };
    let mut member = stage.subscribe("g").await;
    stage.publish("x").await;
    let held = member.next().await;
    let Some(stage) = restarted(stage).await else { return };
    let mut next = stage.subscribe("g").await;
    assert_eq!(next.text().await, "x");
    drop((held, member));
}

async fn order_and_groups_outlive_the_process(open: Open) {
    let Some(mut stage) = declared(&open).await else { return };
    drop((stage.subscribe("one").await, stage.subscribe("other").await));
    for round in 0..3 {
        for n in 0..5 {
            stage.publish_this(stage.keyed("k", &format!("{round} {n}"))).await;
        }
        let mut one = Member::join(&stage.broker, &stage.topic, "one").await;
        for n in 0..5 {
            let text = one.text().await;
            if stage.broker.capabilities().ordered {
                assert_eq!(text, format!("{round} {n}"));
            }
        }
        drop(one);
        match restarted(stage).await {
            Some(next) => stage = next,
            None => return,
        }
    }
    let mut other = stage.subscribe("other").await;
    let wanted: Vec<String> = (0..3).flat_map(|round| (0..5).map(move |n| format!("{round} {n}"))).collect();
    assert_eq!(other.texts(15).await, wanted);
    stage.subscribe("one").await.is_quiet().await;
}
