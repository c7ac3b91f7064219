//! A watch: a store's changes, and after an outage of the store what changed meanwhile.
//!
//! ```text
//! watch the store ─► read it: what is known ─► its changes … ─► it fails
//!        ▲                                                        │
//!        └── read it: what differs from what is known ◄── pause ◄─┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use mainstay_core::configuration::{Item, Items};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use tokio_util::sync::CancellationToken;

use super::{find, read};
use crate::Blocks;

/// Watches at once.
pub const WATCHES_MAX: usize = 1_000;
/// Pauses between two tries to watch again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The watches there are.
#[derive(Default)]
pub(crate) struct Watches {
    /// By store and id.
    open: Mutex<BTreeMap<(String, String), CancellationToken>>,
    /// Ends them all.
    stop: CancellationToken,
}

impl Watches {
    fn open(&self) -> MutexGuard<'_, BTreeMap<(String, String), CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, store: &str) -> Result<Place> {
        let mut open = self.open();
        if open.len() >= WATCHES_MAX {
            let message = format!("watch `{store}`: there are {WATCHES_MAX} watches already");
            return Err(Error::new(&codes::OVERLOADED, message));
        }
        let key = (store.to_owned(), uuid::Uuid::now_v7().to_string());
        let stop = self.stop.child_token();
        open.insert(key.clone(), stop.clone());
        Ok(Place { watches: Arc::clone(self), key, stop })
    }

    /// Ends one; whether there was one.
    pub(crate) fn end(&self, store: &str, id: &str) -> bool {
        let ended = self.open().remove(&(store.to_owned(), id.to_owned()));
        ended.inspect(CancellationToken::cancel).is_some()
    }

    /// Ends them all, and those to come.
    pub(crate) fn end_all(&self) {
        self.stop.cancel();
    }
}

/// A place among the watches; left when dropped.
struct Place {
    watches: Arc<Watches>,
    key: (String, String),
    stop: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.watches.open().remove(&self.key);
    }
}

/// A watch; it ends when it is dropped.
pub struct Watch {
    blocks: Blocks,
    place: Place,
    keys: Vec<String>,
    metadata: BTreeMap<String, String>,
    /// `None` while the store is away.
    changes: Option<BoxStream<Result<Items>>>,
    /// What was seen last, as hashes: values can be large.
    known: BTreeMap<String, u64>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) async fn open(
        blocks: &Blocks,
        ctx: &Ctx,
        store: &str,
        keys: Vec<String>,
        metadata: BTreeMap<String, String>,
    ) -> Result<Self> {
        find(blocks, store)?;
        let place = blocks.watches().enter(store)?;
        let (blocks, known) = (blocks.clone(), BTreeMap::new());
        let mut watch = Self { blocks, place, keys, metadata, changes: None, known };
        let items = watch.begin(ctx).await?;
        watch.note(&items);
        Ok(watch)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.place.key.1
    }

    /// The next items that changed, those that are gone among them; `None` when the watch was ended, or its store is no
    /// longer there. While the store is away it waits, and then gives what changed meanwhile.
    pub async fn next(&mut self) -> Option<Items> {
        let stop = self.place.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            items = self.heard() => items,
        }
    }

    async fn heard(&mut self) -> Option<Items> {
        loop {
            let Some(changes) = &mut self.changes else {
                match self.again().await? {
                    missed if missed.is_empty() => continue,
                    missed => return Some(missed),
                }
            };
            match changes.next().await {
                Some(Ok(items)) if items.is_empty() => {}
                Some(Ok(items)) => {
                    self.note(&items);
                    return Some(items);
                }
                failed => {
                    let error = failed.and_then(Result::err);
                    tracing::warn!(store = %self.place.key.0, ?error, "a watch is cut; watching again");
                    self.changes = None;
                }
            }
        }
    }

    /// Watches again as soon as the store lets it. What changed since; `None` where the store is no longer there.
    async fn again(&mut self) -> Option<Items> {
        let mut pause = PAUSE_MIN;
        loop {
            tokio::time::sleep(pause).await;
            match self.begin(&Ctx::system()).await {
                Ok(items) => return Some(self.difference(items)),
                Err(error) if error.code() == &codes::COMPONENT_NOT_FOUND => return None,
                Err(error) => {
                    tracing::debug!(store = %self.place.key.0, %error, "a watch waits for its store")
                }
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Watches the store, and reads what is there now: in this order, so that nothing falls between.
    async fn begin(&mut self, ctx: &Ctx) -> Result<Items> {
        let store = find(&self.blocks, &self.place.key.0)?;
        let (port, keys, metadata) = (&store.port, &self.keys, &self.metadata);
        let watch = |ctx: Ctx| async move { port.watch(&ctx, keys, metadata).await };
        let changes = store.guard.run(ctx, watch).await?;
        let items = read(&store, ctx, keys, &BTreeMap::new()).await?;
        self.changes = Some(changes);
        Ok(items)
    }

    fn note(&mut self, items: &Items) {
        for (key, item) in items {
            if item.is_gone() {
                self.known.remove(key);
            } else {
                self.known.insert(key.clone(), hash(item));
            }
        }
    }

    /// What of the items is new, and which are gone; these are known from now on.
    fn difference(&mut self, items: Items) -> Items {
        let there: BTreeSet<String> = items.keys().cloned().collect();
        let mut changed: Items =
            items.into_iter().filter(|(key, item)| self.known.get(key) != Some(&hash(item))).collect();
        let gone = self.known.keys().filter(|key| !there.contains(*key));
        changed.extend(gone.map(|key| (key.clone(), Item::default())));
        self.note(&changed);
        changed
    }
}

fn hash(item: &Item) -> u64 {
    let mut hasher = DefaultHasher::new();
    item.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
