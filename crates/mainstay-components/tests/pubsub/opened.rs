//! Opening a type of broker as the process does: from the text of its settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mainstay_components::pubsub::Def;
use mainstay_core::pubsub::{Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Clock, Ctx, Result};
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens one. Panics where its settings have a fault.
pub(crate) async fn open(def: &Def, settings: &[(&str, &str)]) -> Result<Arc<dyn PubSub>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    components::open_with(def, settings, Path::new("."), &components::NoStores, &clock).await
}

pub(crate) fn ctx() -> Ctx {
    Ctx::system().with_deadline(Instant::now() + PATIENCE)
}

pub(crate) fn message(topic: &str, text: &str, metadata: &[(&str, &str)]) -> Message {
    Message {
        topic: topic.to_owned(),
        data: text.to_owned().into(),
        metadata: map(metadata),
        ..Message::default()
    }
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A member of a group, whose calls panic where nothing comes.
pub(crate) struct Joined(BoxStream<Result<Delivery>>);

impl Joined {
    pub(crate) async fn to(broker: &Arc<dyn PubSub>, topic: &str, group: &str) -> Self {
        Self::with(broker, topic, group, &[]).await.unwrap()
    }

    /// The same with metadata of the subscription. Errors: those of the broker.
    pub(crate) async fn with(
        broker: &Arc<dyn PubSub>,
        topic: &str,
        group: &str,
        metadata: &[(&str, &str)],
    ) -> Result<Self> {
        let (topic, group) = (topic.to_owned(), group.to_owned());
        let subscription = Subscription { topic, group, metadata: map(metadata) };
        broker.subscribe(&ctx(), subscription).await.map(Self)
    }

    /// What comes next, the end of the stream included.
    pub(crate) async fn item(&mut self) -> Option<Result<Delivery>> {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes")
    }

    pub(crate) async fn next(&mut self) -> Delivery {
        self.item().await.expect("the stream goes on").unwrap()
    }

    /// The next delivery's text; it is settled.
    pub(crate) async fn text(&mut self) -> String {
        let delivery = self.next().await;
        let text = text(&delivery);
        delivery.receipt.done().await.unwrap();
        text
    }

    /// Expects that nothing comes for a while.
    pub(crate) async fn is_quiet(&mut self) {
        if let Ok(next) = tokio::time::timeout(Duration::from_millis(300), self.0.next()).await {
            panic!(
                "nothing was to come, and there was {:?}",
                next.map(|delivery| delivery.map(|one| text(&one)))
            );
        }
    }
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.data).into_owned()
}
