//! What comes in.

use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_core::binding::Event;
use mainstay_core::{BoxStream, Result};

use super::{Need, Open, PATIENCE, ctx, is_code, promises};

promises! {
    one_without_events_says_so,
    an_event_comes_and_is_settled,
    the_next_event_comes_also_after_one_that_failed_or_was_dropped,
    it_can_be_listened_to_again,
}

async fn next(events: &mut BoxStream<Result<Event>>) -> Event {
    let next = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event comes");
    next.expect("the stream goes on").unwrap_or_else(|e| panic!("an event comes: {e:?}"))
}

async fn one_without_events_says_so(open: Open) {
    let rig = open(Need::Namespace).await;
    let binding = rig.binding();
    let listened = binding.events(&ctx()).await;
    if binding.capabilities().events {
        assert!(listened.is_ok(), "it has events");
    } else {
        is_code(&listened.err().expect("it has no events"), "UNSUPPORTED");
    }
}

async fn an_event_comes_and_is_settled(open: Open) {
    let rig = open(Need::Namespace).await;
    let binding = rig.binding();
    if !binding.capabilities().events {
        return;
    }
    let mut events = binding.events(&ctx()).await.expect("it is listened to");
    rig.provoke().await;
    let event = next(&mut events).await;
    event.receipt.done(Bytes::from_static(b"ok")).await.expect("it is settled");
}

async fn the_next_event_comes_also_after_one_that_failed_or_was_dropped(open: Open) {
    let rig = open(Need::Namespace).await;
    let binding = rig.binding();
    if !binding.capabilities().events {
        return;
    }
    let mut events = binding.events(&ctx()).await.expect("it is listened to");
    rig.provoke().await;
    next(&mut events).await.receipt.failed("no").await.expect("it is settled");
    rig.provoke().await;
    drop(next(&mut events).await);
    rig.provoke().await;
    next(&mut events).await.receipt.done(Bytes::new()).await.expect("it is settled");
}

async fn it_can_be_listened_to_again(open: Open) {
    let rig = open(Need::Namespace).await;
    let binding = rig.binding();
    if !binding.capabilities().events {
        return;
    }
    drop(binding.events(&ctx()).await.expect("it is listened to"));
    let mut events = binding.events(&ctx()).await.expect("it is listened to again");
    rig.provoke().await;
    next(&mut events).await.receipt.done(Bytes::new()).await.expect("it is settled");
}
