//! A broker in a runtime of its own, which stands for a process: dropped, it is killed.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::pubsub::Def;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::opened;

pub(super) struct Process {
    runtime: Option<Runtime>,
    broker: Arc<dyn PubSub>,
}

impl Process {
    /// Opens a broker; its groups' names end in `suffix`.
    pub(super) async fn open(def: &'static Def, settings: &[(&str, &str)], suffix: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let opened = runtime.spawn(async move {
            let settings: Vec<(&str, &str)> =
                settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            opened::open(def, &settings).await.unwrap()
        });
        let inner = opened.await.unwrap();
        let inside = Inside { inner, runtime: runtime.handle().clone(), suffix: suffix.to_owned() };
        Self { runtime: Some(runtime), broker: Arc::new(inside) }
    }

    pub(super) fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Every call runs inside.
struct Inside {
    inner: Arc<dyn PubSub>,
    runtime: Handle,
    suffix: String,
}

impl Inside {
    async fn run<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> Result<T> {
        let gone = |_| Error::new(&codes::BROKER_UNAVAILABLE, "the process was killed");
        self.runtime.spawn(call).await.map_err(gone)
    }
}

#[async_trait]
impl PubSub for Inside {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let (inner, ctx) = (Arc::clone(&self.inner), ctx.clone());
        self.run(async move { inner.ready(&ctx).await }).await?
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        let (inner, ctx) = (Arc::clone(&self.inner), ctx.clone());
        self.run(async move { inner.publish(&ctx, message).await }).await?
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let (inner, ctx, count) = (Arc::clone(&self.inner), ctx.clone(), messages.len());
        let published = self.run(async move { inner.publish_each(&ctx, messages).await }).await;
        let killed = |_| Err(Error::new(&codes::BROKER_UNAVAILABLE, "the process was killed"));
        published.unwrap_or_else(|_| (0..count).map(killed).collect())
    }

    async fn subscribe(&self, ctx: &Ctx, mut asked: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        asked.group.push_str(&self.suffix);
        let (inner, ctx) = (Arc::clone(&self.inner), ctx.clone());
        self.run(async move { inner.subscribe(&ctx, asked).await }).await?
    }
}
