//! What is delivered to the app: messages, as files declare it, which may change, and as the app itself asked; and events of
//! bindings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_blocks::Blocks;
use mainstay_blocks::bindings::Listener;
use mainstay_blocks::pubsub::Deliverer;
use mainstay_core::binding::Binding;
use mainstay_core::callback::AppCallback;
use mainstay_core::subscription::Subscription;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The deliveries of a sidecar.
pub(super) struct Deliveries {
    blocks: Blocks,
    work: TaskTracker,
    /// How long the app may take to say whether it wants a binding's events.
    patience: Duration,
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
    /// The bindings that are listened to.
    listening: Vec<(String, Arc<dyn Binding>, CancellationToken)>,
}

impl Deliveries {
    pub(super) fn new(
        blocks: &Blocks,
        work: &TaskTracker,
        declared: Vec<Subscription>,
        patience: Duration,
    ) -> Self {
        let inner = Mutex::new(Inner { declared, ..Inner::default() });
        Self { blocks: blocks.clone(), work: work.clone(), patience, inner }
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

    /// Takes what files declare now, and the bindings that are open now: what is new begins, and what is gone ends.
    pub(super) fn declare(&self, declared: Vec<Subscription>, leave: &CancellationToken) {
        let mut inner = self.lock();
        inner.declared = declared;
        self.follow(&mut inner, leave);
    }

    fn follow(&self, inner: &mut Inner, leave: &CancellationToken) {
        let Some(app) = inner.app.clone() else { return };
        self.listen(inner, &app, leave);
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

    fn listen(&self, inner: &mut Inner, app: &Arc<dyn AppCallback>, leave: &CancellationToken) {
        let table = self.blocks.table();
        let port = |name: &str| table.bindings.get(name).map(|binding| &binding.port);
        inner.listening.retain(|(name, before, end)| {
            let stays = port(name).is_some_and(|now| Arc::ptr_eq(now, before));
            if !stays {
                end.cancel();
            }
            stays
        });
        for listener in Listener::all(&self.blocks, app, self.patience) {
            let name = listener.name().to_owned();
            let Some(port) = port(&name).filter(|_| inner.listening.iter().all(|one| one.0 != name)) else {
                continue;
            };
            let end = leave.child_token();
            inner.listening.push((name, Arc::clone(port), end.clone()));
            self.work.spawn(listener.run(end));
        }
    }

    fn deliver(&self, app: &Arc<dyn AppCallback>, subscription: Subscription, end: CancellationToken) {
        let (pubsub, topic) = (subscription.pubsub.clone(), subscription.topic.clone());
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
