//! A watch: a store's changes, and after an outage of the store what changed meanwhile; so too after a reload that gave
//! its name to another store.
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
use mainstay_core::configuration::{ConfigurationStore, Item, Items};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use super::{Store, find, read};
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
    changes: Option<Changes>,
    /// Seen until its store was looked up.
    reloads: Receiver<()>,
    /// What was seen last, as hashes: values can be large.
    known: BTreeMap<String, u64>,
}

/// The changes of a store.
struct Changes {
    of: Arc<dyn ConfigurationStore>,
    stream: BoxStream<Result<Items>>,
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
        let (blocks, known, reloads) = (blocks.clone(), BTreeMap::new(), blocks.reloads());
        let mut watch = Self { blocks, place, keys, metadata, changes: None, reloads, known };
        let items = watch.begin(ctx).await?;
        watch.note(&items);
        Ok(watch)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.place.key.1
    }

    /// The next items that changed, those that are gone among them; `None` when the watch was ended, or no store has
    /// the name any more. While the store is away it waits, and then gives what changed meanwhile; it gives what
    /// differs when another store has the name.
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
            let next = tokio::select! {
                biased;
                Ok(()) = self.reloads.changed() => {
                    self.look();
                    continue;
                }
                next = changes.stream.next() => next,
            };
            match next {
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

    /// Lets go of a store that has not its name any more.
    fn look(&mut self) {
        let name = &self.place.key.0;
        let now = find(&self.blocks, name).ok();
        let is_same = |now: &Store| self.changes.as_ref().is_some_and(|had| Arc::ptr_eq(&now.port, &had.of));
        if !now.as_ref().is_some_and(is_same) {
            if now.is_some() {
                tracing::info!(store = %name, "another store has this name; watching it");
            }
            self.changes = None;
        }
    }

    /// Watches again as soon as the store lets it. What changed since; `None` where the store is no longer there.
    async fn again(&mut self) -> Option<Items> {
        let mut pause = PAUSE_MIN;
        loop {
            tokio::time::sleep(pause).await;
            match self.begin(&Ctx::system()).await {
                Ok(items) => return Some(self.difference(items)),
                Err(error) if error.code() == &codes::COMPONENT_NOT_FOUND => {
                    let (store, id) = &self.place.key;
                    tracing::warn!(%store, %id, "a watch ends: its store is no longer there");
                    return None;
                }
                Err(error) => {
                    tracing::debug!(store = %self.place.key.0, %error, "a watch waits for its store")
                }
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Watches the store, and reads what is there now: in this order, so that nothing falls between.
    async fn begin(&mut self, ctx: &Ctx) -> Result<Items> {
        self.reloads.borrow_and_update();
        let store = find(&self.blocks, &self.place.key.0)?;
        let (port, keys, metadata) = (&store.port, &self.keys, &self.metadata);
        let watch = |ctx: Ctx| async move { port.watch(&ctx, keys, metadata).await };
        let stream = store.guard.run(ctx, watch).await?;
        let items = read(&store, ctx, keys, &BTreeMap::new()).await?;
        self.changes = Some(Changes { of: Arc::clone(port), stream });
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
