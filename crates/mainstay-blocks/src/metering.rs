//! What is said to the meter: how long components took, and what the app made of what it was sent. Where there is no
//! meter, no clock is read.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::callback::{
    AppCallback, BindingAnswer, BindingEvent, BulkEvent, ConfigurationChange, TopicEvent, Verdict,
};
use mainstay_core::meter::{Block, Done, Meter};
use mainstay_core::subscription::Subscription;
use mainstay_core::{Ctx, Result, codes};
use tokio::time::Instant;

use crate::Blocks;

/// A call of a component that has begun.
pub(crate) struct Begun<'a> {
    meter: Option<(&'a Arc<dyn Meter>, Instant)>,
    block: Block,
    component: &'a str,
    operation: &'a str,
}

impl<'a> Begun<'a> {
    /// Begins one. Calls of components that are not there are not begun.
    pub(crate) fn new(blocks: &'a Blocks, block: Block, component: &'a str, operation: &'a str) -> Self {
        Self { meter: blocks.meter().map(|meter| (meter, Instant::now())), block, component, operation }
    }

    /// It ended so.
    pub(crate) fn ended<T>(self, result: Result<T>) -> Result<T> {
        if let Some((meter, began)) = self.meter {
            let Self { block, component, operation, .. } = self;
            let done = Done::Component { block, component, operation, success: result.is_ok() };
            meter.took(done, began.elapsed());
        }
        result
    }
}

/// The time, where somebody measures.
pub(crate) fn now(blocks: &Blocks) -> Option<Instant> {
    blocks.meter().map(|_| Instant::now())
}

/// Messages were published to a topic of a broker since then.
pub(crate) fn published(blocks: &Blocks, to: (&str, &str), began: Option<Instant>, ended: &[Result<()>]) {
    let (Some(meter), Some(began), (component, topic)) = (blocks.meter(), began, to) else { return };
    let elapsed = began.elapsed();
    for ended in ended {
        meter.took(Done::Published { component, topic, success: ended.is_ok() }, elapsed);
    }
}

/// The app, with what is delivered to it metered; as it is without a meter.
pub(crate) fn metered(blocks: &Blocks, app: Arc<dyn AppCallback>) -> Arc<dyn AppCallback> {
    match blocks.meter() {
        Some(meter) => Arc::new(Metered { app, meter: Arc::clone(meter) }),
        None => app,
    }
}

struct Metered {
    app: Arc<dyn AppCallback>,
    meter: Arc<dyn Meter>,
}

/// How a verdict is called among metrics.
fn outcome(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Done => "success",
        Verdict::Again => "retry",
        Verdict::Drop => "drop",
    }
}

#[async_trait]
impl AppCallback for Metered {
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
        let began = Instant::now();
        let ended = self.app.deliver(ctx, event).await;
        let (component, topic) = (event.pubsub.as_str(), event.topic.as_str());
        // What failed comes again.
        let outcome = outcome(*ended.as_ref().unwrap_or(&Verdict::Again));
        self.meter.took(Done::Delivered { component, topic, outcome }, began.elapsed());
        ended
    }

    async fn deliver_bulk(&self, ctx: &Ctx, event: &BulkEvent) -> Result<Vec<Verdict>> {
        let began = Instant::now();
        let ended = self.app.deliver_bulk(ctx, event).await;
        // Such an app gets them one by one, and then they count.
        if ended.as_ref().is_err_and(|error| error.code() == &codes::UNSUPPORTED) {
            return ended;
        }
        let (component, topic, elapsed) = (event.pubsub.as_str(), event.topic.as_str(), began.elapsed());
        for at in 0..event.entries.len() {
            let verdict = ended.as_ref().ok().and_then(|verdicts| verdicts.get(at));
            let outcome = outcome(*verdict.unwrap_or(&Verdict::Again));
            self.meter.took(Done::Delivered { component, topic, outcome }, elapsed);
        }
        ended
    }

    async fn hears(&self, ctx: &Ctx, binding: &str, route: &str) -> Result<bool> {
        self.app.hears(ctx, binding, route).await
    }

    async fn tell(&self, ctx: &Ctx, event: &BindingEvent) -> Result<BindingAnswer> {
        let began = Instant::now();
        let ended = self.app.tell(ctx, event).await;
        let done = Done::Told { component: &event.binding, success: ended.is_ok() };
        self.meter.took(done, began.elapsed());
        ended
    }

    async fn configuration_changed(&self, ctx: &Ctx, change: &ConfigurationChange) -> Result<()> {
        self.app.configuration_changed(ctx, change).await
    }
}
