//! The door to the app beside us: how many calls may be with it at once, and whether it is well enough to be called.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::callback::{
    AppCallback, BindingAnswer, BindingEvent, BulkEvent, ConfigurationChange, TopicEvent, Verdict,
};
use mainstay_core::subscription::Subscription;
use mainstay_core::{Ctx, Error, Result, codes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// The door; cheap to clone. The default is open for any number.
#[derive(Clone, Debug)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Option<Arc<Semaphore>>,
    well: watch::Sender<bool>,
}

/// A place with the app, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

/// How an app's health is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// How often.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// After how many failures in a row the app counts as ill.
    pub threshold: u32,
}

impl Default for Door {
    fn default() -> Self {
        Self::new(0, true)
    }
}

impl Door {
    /// A door for so many calls at once, any number where that is 0, of an app that is well, or is not known to be.
    #[must_use]
    pub fn new(calls_max: u32, is_well: bool) -> Self {
        let places = (calls_max > 0).then(|| Arc::new(Semaphore::new(calls_max as usize)));
        Self(Arc::new(Inner { places, well: watch::Sender::new(is_well) }))
    }

    /// Waits for a place. Errors: `APP_UNAVAILABLE` while the app is not well.
    pub async fn enter(&self) -> Result<Place> {
        if !self.is_well() {
            return Err(Error::new(&codes::APP_UNAVAILABLE, "app is not in a healthy state"));
        }
        let permit = match &self.0.places {
            Some(places) => Arc::clone(places).acquire_owned().await.ok(),
            None => None,
        };
        Ok(Place { _permit: permit })
    }

    /// Whether the app is well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        *self.0.well.borrow()
    }

    /// Waits until the app is well, or is not.
    pub async fn until(&self, well: bool) {
        let mut news = self.0.well.subscribe();
        // The sender is ours, so there is always news to wait for.
        let _ = news.wait_for(|now| *now == well).await;
    }

    /// Probes the app until `stop`. It is well with the first probe that succeeds.
    pub async fn probe(&self, app: &dyn AppCallback, probing: Probing, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(probing.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failures = 0_u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let ctx = Ctx::system().with_deadline(std::time::Instant::now() + probing.timeout);
            let failed = app.healthy(&ctx).await.err();
            failures = if failed.is_some() { failures.saturating_add(1) } else { 0 };
            let is_well = match &failed {
                None => true,
                Some(_) if failures >= probing.threshold => false,
                Some(_) => continue,
            };
            if self.0.well.send_replace(is_well) != is_well {
                match failed {
                    None => tracing::info!("the app is well"),
                    Some(error) => {
                        tracing::warn!(%error, "the app is not well: it is not called until it is")
                    }
                }
            }
        }
    }

    /// The app behind this door.
    #[must_use]
    pub fn guard(&self, app: Arc<dyn AppCallback>) -> Arc<dyn AppCallback> {
        Arc::new(Guarded { app, door: self.clone() })
    }
}

/// An app behind its door.
struct Guarded {
    app: Arc<dyn AppCallback>,
    door: Door,
}

#[async_trait]
impl AppCallback for Guarded {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.app.ready(ctx).await
    }

    async fn healthy(&self, ctx: &Ctx) -> Result<()> {
        self.app.healthy(ctx).await
    }

    async fn subscriptions(&self, ctx: &Ctx) -> Result<Vec<Subscription>> {
        self.app.subscriptions(ctx).await
    }

    async fn deliver(&self, ctx: &Ctx, event: &TopicEvent) -> Result<Verdict> {
        let _place = self.door.enter().await?;
        self.app.deliver(ctx, event).await
    }

    async fn deliver_bulk(&self, ctx: &Ctx, event: &BulkEvent) -> Result<Vec<Verdict>> {
        let _place = self.door.enter().await?;
        self.app.deliver_bulk(ctx, event).await
    }

    async fn hears(&self, ctx: &Ctx, binding: &str, route: &str) -> Result<bool> {
        self.app.hears(ctx, binding, route).await
    }

    async fn tell(&self, ctx: &Ctx, event: &BindingEvent) -> Result<BindingAnswer> {
        let _place = self.door.enter().await?;
        self.app.tell(ctx, event).await
    }

    async fn configuration_changed(&self, ctx: &Ctx, change: &ConfigurationChange) -> Result<()> {
        let _place = self.door.enter().await?;
        self.app.configuration_changed(ctx, change).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    /// An app whose next probes fail.
    #[derive(Default)]
    struct Patient(AtomicU32);

    #[async_trait]
    impl AppCallback for Patient {
        async fn ready(&self, _: &Ctx) -> Result<()> {
            Ok(())
        }

        async fn healthy(&self, _: &Ctx) -> Result<()> {
            match self.0.load(Ordering::SeqCst) {
                0 => Ok(()),
                _ => Err(Error::new(&codes::APP_FAILED, "ill")),
            }
        }

        async fn subscriptions(&self, _: &Ctx) -> Result<Vec<Subscription>> {
            Ok(Vec::new())
        }

        async fn deliver(&self, _: &Ctx, _: &TopicEvent) -> Result<Verdict> {
            Ok(Verdict::Done)
        }
    }

    #[tokio::test]
    async fn so_many_are_with_the_app_and_no_more() {
        let door = Door::new(2, true);
        let (first, _second) = (door.enter().await.unwrap(), door.enter().await.unwrap());
        assert!(door.enter().now_or_never().is_none());
        drop(first);
        assert!(door.enter().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_is_called_while_it_is_well() {
        let (door, app) = (Door::new(0, false), Arc::new(Patient::default()));
        assert_eq!(door.enter().await.unwrap_err().message(), "app is not in a healthy state");
        let interval = Duration::from_secs(5);
        let probing = Probing { interval, timeout: Duration::from_millis(500), threshold: 3 };
        let stop = CancellationToken::new();
        let (probed, prober) = (Arc::clone(&app), door.clone());
        let stopped = stop.clone();
        let probes = tokio::spawn(async move { prober.probe(&*probed, probing, &stopped).await });
        door.until(true).await;
        app.0.store(1, Ordering::SeqCst);
        tokio::time::sleep(interval * 2).await;
        assert!(door.is_well(), "it is not ill before the threshold");
        door.until(false).await;
        let guarded = door.guard(Arc::clone(&app) as _);
        let event = TopicEvent {
            path: String::new(),
            pubsub: String::new(),
            topic: String::new(),
            envelope: bytes::Bytes::new(),
            metadata: std::collections::BTreeMap::new(),
        };
        assert!(guarded.deliver(&Ctx::system(), &event).await.is_err());
        app.0.store(0, Ordering::SeqCst);
        door.until(true).await;
        assert!(guarded.deliver(&Ctx::system(), &event).await.is_ok());
        stop.cancel();
        probes.await.unwrap();
    }
}
