//! What the app is sent by itself: the messages of its subscriptions, while it is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_blocks::pubsub::{Deliverer, Sort};
use mainstay_core::Ctx;
use mainstay_core::callback::AppCallback;
use mainstay_core::subscription::Subscription;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::wire::sidecar::Beside;

/// Pauses between two looks at an app that does not listen yet.
const APP_PAUSE: Duration = Duration::from_millis(100);
/// How often it is said that the app does not listen yet.
const APP_PATIENCE: Duration = Duration::from_secs(10);
/// What asking the app for its subscriptions may take, and how often it is tried.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
const ASK_TRIES: u32 = 4;

/// Begins to deliver a subscription, as `work`, until `leave`.
pub(super) fn begin(
    beside: &Beside,
    app: &Arc<dyn AppCallback>,
    (subscription, sort): (Subscription, Sort),
    leave: &CancellationToken,
    work: &TaskTracker,
) {
    let (pubsub, topic) = (subscription.pubsub.clone(), subscription.topic.clone());
    if subscription.bulk.enabled {
        // The app expects several messages in one call, in another envelope: one by one it could not read them.
        tracing::error!(%pubsub, %topic, "a subscription in bulk is passed over: that is not built yet");
        return;
    }
    match Deliverer::new(beside.blocks.clone(), Arc::clone(app), subscription.clone()) {
        Ok(first) => {
            tracing::info!(%pubsub, %topic, "the app is subscribed");
            let (blocks, door) = (beside.blocks.clone(), beside.door.clone());
            let (app, leave) = (Arc::clone(app), leave.clone());
            work.spawn(async move {
                let _noted = blocks.note(&subscription, sort);
                let mut next = Some(first);
                while let Some(deliverer) = next.take() {
                    tokio::select! {
                        () = leave.cancelled() => return,
                        () = door.until(true) => {}
                    }
                    let pause = leave.child_token();
                    let mut run = std::pin::pin!(deliverer.run(pause.clone()));
                    tokio::select! {
                        () = &mut run => {}
                        () = door.until(false) => {
                            pause.cancel();
                            run.await;
                        }
                    }
                    if !leave.is_cancelled() {
                        // It could be made before, so it can be now.
                        next = Deliverer::new(blocks.clone(), Arc::clone(&app), subscription.clone()).ok();
                    }
                }
            });
        }
        Err(error) => tracing::error!(%pubsub, %topic, %error, "a subscription is passed over"),
    }
}

/// Waits until the app listens.
pub(super) async fn wait_for(app: &dyn AppCallback, url: &str) {
    let mut told = Instant::now();
    tracing::info!("waiting for the app to listen at {url}");
    while let Err(error) = app.ready(&Ctx::system()).await {
        if told.elapsed() >= APP_PATIENCE {
            told = Instant::now();
            tracing::warn!(%error, "still waiting for the app");
        }
        tokio::time::sleep(APP_PAUSE).await;
    }
}

/// What the app subscribes to. An app that is not able to say it goes without.
pub(super) async fn ask(app: &dyn AppCallback) -> Vec<Subscription> {
    let mut pause = Duration::from_millis(500);
    for tried in 1..=ASK_TRIES {
        let ctx = Ctx::system().with_deadline(Instant::now() + ASK_TIMEOUT);
        match app.subscriptions(&ctx).await {
            Ok(subscriptions) => return subscriptions,
            Err(error) if tried == ASK_TRIES => {
                tracing::error!(error = ?error, "the app does not say what it subscribes to");
            }
            Err(error) => {
                tracing::warn!(error = ?error, "asking the app what it subscribes to; trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    Vec::new()
}
