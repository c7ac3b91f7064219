//! What is delivered to the app: what files declare, which may change, and what the app itself asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_blocks::Blocks;
use mainstay_blocks::pubsub::Deliverer;
use mainstay_core::callback::AppCallback;
use mainstay_core::subscription::Subscription;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The deliveries of a sidecar.
pub(super) struct Deliveries {
    blocks: Blocks,
    work: TaskTracker,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// There once it answers.
    app: Option<Arc<dyn AppCallback>>,
    declared: Vec<Subscription>,
    asked: Vec<Subscription>,
    /// What is delivered, and what ends it.
    running: Vec<(Subscription, CancellationToken)>,
}

impl Deliveries {
    pub(super) fn new(blocks: Blocks, work: TaskTracker, declared: Vec<Subscription>) -> Self {
        Self { blocks, work, inner: Mutex::new(Inner { declared, ..Inner::default() }) }
    }

    /// Begins, until `leave`: what files declare, and what the app asked for.
    pub(super) fn begin(
        &self,
        app: Arc<dyn AppCallback>,
        asked: Vec<Subscription>,
        leave: &CancellationToken,
    ) {
        let mut inner = self.lock();
        (inner.app, inner.asked) = (Some(app), asked);
        self.follow(&mut inner, leave);
    }

    /// Takes what files declare now: what is new begins, and what is gone ends.
    pub(super) fn declare(&self, declared: Vec<Subscription>, leave: &CancellationToken) {
        let mut inner = self.lock();
        inner.declared = declared;
        self.follow(&mut inner, leave);
    }

    fn follow(&self, inner: &mut Inner, leave: &CancellationToken) {
        let Some(app) = inner.app.clone() else { return };
        let Inner { declared, asked, running, .. } = inner;
        let wanted: Vec<&Subscription> = declared.iter().chain(&*asked).collect();
        running.retain(|(subscription, end)| {
            let stays = wanted.iter().any(|one| is_same(one, subscription));
            if !stays {
                let (pubsub, topic) = (&subscription.pubsub, &subscription.topic);
                tracing::info!(%pubsub, %topic, "the app is not subscribed any more");
                end.cancel();
            }
            stays
        });
        for subscription in wanted {
            if !running.iter().any(|(known, _)| is_same(known, subscription)) {
                let end = leave.child_token();
                self.deliver(&app, subscription.clone(), end.clone());
                running.push((subscription.clone(), end));
            }
        }
    }

    fn deliver(&self, app: &Arc<dyn AppCallback>, subscription: Subscription, end: CancellationToken) {
        let (pubsub, topic) = (subscription.pubsub.clone(), subscription.topic.clone());
        if subscription.bulk.enabled {
            // The app expects several messages in one call, in another envelope: one by one it could not read them.
            tracing::error!(%pubsub, %topic, "a subscription in bulk is passed over: that is not built yet");
            return;
        }
        match Deliverer::new(self.blocks.clone(), Arc::clone(app), subscription) {
            Ok(deliverer) => {
                tracing::info!(%pubsub, %topic, "the app is subscribed");
                self.work.spawn(deliverer.run(end));
            }
            Err(error) => tracing::error!(%pubsub, %topic, %error, "a subscription is passed over"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two are the same but for the place in their files.
fn is_same(one: &Subscription, other: &Subscription) -> bool {
    let bare = |subscription: &Subscription| Subscription { origin: String::new(), ..subscription.clone() };
    bare(one) == bare(other)
}
