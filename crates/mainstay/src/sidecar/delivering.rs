//! What the app is sent by itself: messages of its subscriptions and events of bindings, while it is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_blocks::Blocks;
use mainstay_blocks::bindings::Listener;
use mainstay_blocks::door::Door;
use mainstay_blocks::layers::Outcome;
use mainstay_blocks::pubsub::{Deliverer, Sort};
use mainstay_core::Ctx;
use mainstay_core::callback::AppCallback;
use mainstay_core::resiliency::BuiltIn;
use mainstay_core::subscription::Subscription;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pauses between two looks at an app that does not listen yet.
const APP_PAUSE: Duration = Duration::from_millis(100);
/// How often it is said that the app does not listen yet.
const APP_PATIENCE: Duration = Duration::from_secs(10);
/// What asking the app for its subscriptions may take each time.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What deliveries are made with; cheap to clone.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) blocks: Blocks,
    pub(super) door: Door,
    /// How long the app may take to say whether it wants a binding's events.
    pub(super) patience: Duration,
    /// Where they are at work.
    pub(super) work: TaskTracker,
}

impl Way {
    /// Delivers a subscription until `leave`, while the app is well.
    pub(super) fn subscribe(
        &self,
        app: &Arc<dyn AppCallback>,
        (subscription, sort): (Subscription, Sort),
        leave: CancellationToken,
    ) {
        let (pubsub, topic) = (subscription.pubsub.clone(), subscription.topic.clone());
        let (blocks, app) = (self.blocks.clone(), Arc::clone(app));
        let made = subscription.clone();
        let deliverer = move || Deliverer::new(blocks.clone(), Arc::clone(&app), made.clone());
        let mut first = match deliverer() {
            Ok(first) => Some(first),
            Err(error) => {
                tracing::error!(%pubsub, %topic, %error, "a subscription is passed over");
                return;
            }
        };
        tracing::info!(%pubsub, %topic, "the app is subscribed");
        let way = self.clone();
        self.work.spawn(async move {
            let _noted = way.blocks.note(&subscription, sort);
            // It could be made before, so it can be now.
            while_well(&way.door, &leave, move || {
                let deliverer = first.take().map_or_else(&deliverer, Ok).ok()?;
                Some(move |pause| deliverer.run(pause))
            })
            .await;
        });
    }

    /// Listens to a binding until `leave`, while the app is well.
    pub(super) fn listen(&self, app: &Arc<dyn AppCallback>, name: &str, leave: CancellationToken) {
        let (way, app, name) = (self.clone(), Arc::clone(app), name.to_owned());
        self.work.spawn(async move {
            while_well(&way.door, &leave, || {
                let listener = Listener::of(&way.blocks, &app, &name, way.patience)?;
                Some(move |pause| listener.run(pause))
            })
            .await;
        });
    }
}

/// Runs what is made, while the app is well: what runs ends when it is not, and another is made when it is again. Ends
/// with `leave`, or where nothing is made.
async fn while_well<R, F>(door: &Door, leave: &CancellationToken, mut make: impl FnMut() -> Option<R>)
where
    R: FnOnce(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    while !leave.is_cancelled() {
        tokio::select! {
            () = leave.cancelled() => return,
            () = door.until(true) => {}
        }
        let Some(run) = make() else { return };
        let pause = leave.child_token();
        let mut run = std::pin::pin!(run(pause.clone()));
        tokio::select! {
            () = &mut run => {}
            () = door.until(false) => {
                pause.cancel();
                run.await;
            }
        }
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

/// What the app subscribes to, asked as the policy for the start says. An app that is not able to say it goes without.
pub(super) async fn ask(blocks: &Blocks, app: &dyn AppCallback) -> Vec<Subscription> {
    let policy = blocks.table().layers.built_in(BuiltIn::Start);
    let once = async |ctx: Ctx| {
        let asked = app.subscriptions(&ctx.with_deadline(Instant::now() + ASK_TIMEOUT)).await;
        asked.inspect_err(
            |error| tracing::warn!(error = ?error, "asking the app what it subscribes to failed"),
        )
    };
    let judge = |asked: &mainstay_core::Result<_>| match asked {
        Ok(_) => Outcome::Fine,
        Err(error) => Outcome::Temporary(error.answer()),
    };
    policy.run_judged(&Ctx::system(), None, once, judge).await.unwrap_or_else(|_| {
        tracing::error!("the app does not say what it subscribes to");
        Vec::new()
    })
}
