//! Messages for a time.

use mainstay_core::pubsub::Message;

use super::{Open, Stage, ctx, is_code, promises};

promises! {
    what_has_outlived_its_time_is_not_delivered_where_that_is_declared,
    a_message_within_its_time_is_delivered,
    a_time_to_live_that_is_none_is_refused_where_it_is_declared,
}

fn lasting(stage: &Stage, text: &str, seconds: &str) -> Message {
    let mut message = stage.message(text);
    message.metadata.insert(Message::TTL.to_owned(), seconds.to_owned());
    message
}

async fn what_has_outlived_its_time_is_not_delivered_where_that_is_declared(open: Open) {
    let stage = Stage::open(&open).await;
    let is_declared = stage.broker.capabilities().ttl;
    drop(stage.subscribe("g").await);
    stage.publish_this(lasting(&stage, "short", "1")).await;
    stage.publish_this(lasting(&stage, "long", "3600")).await;
    for _ in 0..15 {
        stage.rig.tick().await;
    }
    let mut member = stage.subscribe("g").await;
    if is_declared {
        assert_eq!(member.text().await, "long");
        member.is_quiet().await;
    } else {
        assert_eq!(member.texts(2).await, ["long", "short"], "dropping it is the building block's");
    }
}

async fn a_message_within_its_time_is_delivered(open: Open) {
    let stage = Stage::open(&open).await;
    let mut member = stage.subscribe("g").await;
    stage.publish_this(lasting(&stage, "x", "3600")).await;
    assert_eq!(member.text().await, "x");
}

async fn a_time_to_live_that_is_none_is_refused_where_it_is_declared(open: Open) {
    let stage = Stage::open(&open).await;
    if !stage.broker.capabilities().ttl {
        return;
    }
    for seconds in ["soon", "-1", "0", ""] {
        let outcome = stage.broker.publish(&ctx(), lasting(&stage, "x", seconds)).await;
        is_code(&outcome.expect_err("it is no time"), "INVALID_FIELD");
    }
}
