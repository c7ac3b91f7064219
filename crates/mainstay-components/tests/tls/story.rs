//! What is done over a connection to see that it works.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mainstay_components::def::Def;
use mainstay_core::pubsub::{Message, PubSub, Subscription};
use mainstay_core::state::{Change, Format, Precondition, StateStore};
use mainstay_core::{Clock, Ctx, Result};
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::{NoStores, open_with};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens a component. Panics where its settings have a fault, or where it neither opens nor fails in time.
pub(crate) async fn open<P: ?Sized>(def: &Def<P>, settings: &[(&str, &str)]) -> Result<Arc<P>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opening = open_with(def, settings, Path::new("."), &NoStores, &clock);
    tokio::time::timeout(PATIENCE, opening).await.expect("it opens or fails")
}

/// Expects that a component does not open, because its backend cannot be reached.
pub(crate) async fn refused<P: ?Sized>(def: &Def<P>, settings: &[(&str, &str)], why: &str) {
    let error = open(def, settings).await.err().unwrap_or_else(|| panic!("it opened, and {why}"));
    assert!(["BROKER_UNAVAILABLE", "STORE_UNAVAILABLE"].contains(&error.code().id), "{why}: {error:?}");
}

pub(crate) fn ctx() -> Ctx {
    Ctx::system().with_deadline(Instant::now() + PATIENCE)
}

/// Publishes a message and takes it.
pub(crate) async fn message_comes(broker: &Arc<dyn PubSub>, topic: &str) {
    let subscription =
        Subscription { topic: topic.to_owned(), group: "g".to_owned(), ..Subscription::default() };
    let mut member = broker.subscribe(&ctx(), subscription).await.unwrap();
    let message = Message { topic: topic.to_owned(), data: "over TLS".into(), ..Message::default() };
    broker.publish(&ctx(), message).await.unwrap();
    let delivery = tokio::time::timeout(PATIENCE, member.next()).await.expect("it comes").unwrap().unwrap();
    assert_eq!(delivery.message.data, "over TLS");
    delivery.receipt.done().await.unwrap();
}

/// Keeps a value and reads it.
pub(crate) async fn value_is_kept(store: &Arc<dyn StateStore>) {
    let set = Change::Set {
        key: "k".to_owned(),
        value: "over TLS".into(),
        format: Format::Bytes,
        precondition: Precondition::None,
        ttl: None,
    };
    store.apply(&ctx(), set).await.unwrap();
    assert_eq!(store.get(&ctx(), "k").await.unwrap().unwrap().value, "over TLS");
}
