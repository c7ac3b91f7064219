//! What is delivered to the app: messages, as files declare it, which may change, and as the app itself asked; and
//! events of bindings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_blocks::bindings::Listener;
use mainstay_blocks::pubsub::Sort;
use mainstay_core::binding::Binding;
use mainstay_core::callback::AppCallback;
use mainstay_core::subscription::Subscription;
use tokio_util::sync::CancellationToken;

use super::delivering::Way;

/// The deliveries of a sidecar.
pub(super) struct Deliveries {
    way: Way,
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
    pub(super) fn new(way: Way, declared: Vec<Subscription>) -> Self {
        Self { way, inner: Mutex::new(Inner { declared, ..Inner::default() }) }
    }

    /// Begins, until `leave`: what files declare, and what the app asked for.
    pub(super) fn begin(
        &self,
        app: &Arc<dyn AppCallback>,
        asked: Vec<Subscription>,
        leave: &CancellationToken,
    ) {
        let mut inner = self.lock();
        (inner.app, inner.asked) = (Some(Arc::clone(app)), asked);
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
        let declared = declared.iter().map(|one| (one, Sort::Declared));
        let wanted: Vec<_> = declared.chain(asked.iter().map(|one| (one, Sort::Asked))).collect();
        running.retain(|(subscription, end)| {
            let stays = wanted.iter().any(|(one, _)| is_same(one, subscription));
            if !stays {
                let (pubsub, topic) = (&subscription.pubsub, &subscription.topic);
                tracing::info!(%pubsub, %topic, "the app is not subscribed any more");
                end.cancel();
            }
            stays
        });
        for (subscription, sort) in wanted {
            if !running.iter().any(|(known, _)| is_same(known, subscription)) {
                let end = leave.child_token();
                self.way.subscribe(&app, (subscription.clone(), sort), end.clone());
                running.push((subscription.clone(), end));
            }
        }
    }

    fn listen(&self, inner: &mut Inner, app: &Arc<dyn AppCallback>, leave: &CancellationToken) {
        let table = self.way.blocks.table();
        let port = |name: &str| table.bindings.get(name).map(|binding| &binding.port);
        inner.listening.retain(|(name, before, end)| {
            let stays = port(name).is_some_and(|now| Arc::ptr_eq(now, before));
            if !stays {
                end.cancel();
            }
            stays
        });
        for name in Listener::all(&self.way.blocks) {
            let Some(port) = port(&name).filter(|_| inner.listening.iter().all(|one| one.0 != name)) else {
                continue;
            };
            let end = leave.child_token();
            self.way.listen(app, &name, end.clone());
            inner.listening.push((name, Arc::clone(port), end));
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
