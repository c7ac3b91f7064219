//! The configuration block: reading, and watches that outlast an outage of their store.

mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::callback::ConfigurationChange;
use mainstay_core::configuration::{ConfigurationStore, Items};
use mainstay_core::{Ctx, Error, Result, codes};

use crate::Blocks;
use crate::hub::{Opened, not_found};
use crate::metering::Begun;
use mainstay_core::meter::Block;
pub(crate) use watch::Watches;
pub use watch::{WATCHES_MAX, Watch};

/// A configuration store that is open.
pub type Store = Opened<dyn ConfigurationStore, ()>;

/// How often the app is told of a change, and the pause between.
const TELLS: u32 = 3;
const TELL_PAUSE: Duration = Duration::from_millis(500);

/// Items by key; all without keys. Errors: `COMPONENT_NOT_FOUND`; those of the port.
pub async fn get(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    keys: &[String],
    metadata: &BTreeMap<String, String>,
) -> Result<Items> {
    let found = find(blocks, store)?;
    let begun = Begun::new(blocks, Block::Configuration, store, "get");
    begun.ended(read(&found, ctx, keys, metadata).await)
}

/// Watches items; all without keys. Errors: as [`get`]; `OVERLOADED` beyond [`WATCHES_MAX`] watches.
pub async fn watch(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    keys: Vec<String>,
    metadata: BTreeMap<String, String>,
) -> Result<Watch> {
    find(blocks, store)?;
    let begun = Begun::new(blocks, Block::Configuration, store, "subscribe");
    begun.ended(Watch::open(blocks, ctx, store, keys, metadata).await)
}

/// Tells the app of every change until the watch is ended or the process. The watch's id. Errors: as [`watch`];
/// `APP_UNAVAILABLE` where there is no app.
pub async fn tell_app(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    keys: Vec<String>,
    metadata: BTreeMap<String, String>,
) -> Result<String> {
    let mut inbound = find(blocks, store)?.inbound;
    let no_app = || Error::new(&codes::APP_UNAVAILABLE, "there is no app that could be told");
    let app = blocks.callback().ok_or_else(no_app)?;
    let mut watch = watch(blocks, ctx, store, keys, metadata).await?;
    let (id, store) = (watch.id().to_owned(), store.to_owned());
    let (given, blocks) = (id.clone(), blocks.clone());
    tokio::spawn(async move {
        while let Some(items) = watch.next().await {
            let change = ConfigurationChange { id: id.clone(), store: store.clone(), items };
            for tried in 1..=TELLS {
                // Policies may have changed since the last time.
                if let Ok(now) = find(&blocks, &store) {
                    inbound = now.inbound;
                }
                let (app, change) = (&app, &change);
                let tell = |ctx: Ctx| async move { app.configuration_changed(&ctx, change).await };
                let told = inbound.run(&Ctx::system(), tell).await;
                let Err(error) = told else { break };
                tracing::warn!(%store, %error, tried, "the app was not told of changed configuration");
                if tried < TELLS {
                    tokio::time::sleep(TELL_PAUSE).await;
                }
            }
        }
    });
    Ok(given)
}

/// Ends a watch; whether there was one. Errors: `COMPONENT_NOT_FOUND`.
pub fn unwatch(blocks: &Blocks, store: &str, id: &str) -> Result<bool> {
    find(blocks, store)?;
    Ok(blocks.watches().end(store, id))
}

async fn read(
    store: &Store,
    ctx: &Ctx,
    keys: &[String],
    metadata: &BTreeMap<String, String>,
) -> Result<Items> {
    let port = &store.port;
    store.guard.run(ctx, |ctx| async move { port.get(&ctx, keys, metadata).await }).await
}

fn find(blocks: &Blocks, name: &str) -> Result<Store> {
    blocks.table().configuration.get(name).cloned().ok_or_else(|| not_found("configuration store", name))
}
