//! The port of a configuration store: items that operators change and apps read and watch.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{BoxStream, Ctx, Result};

/// An item. Without a value and a version it is one that is no longer there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Item {
    /// Its value.
    pub value: String,
    /// Its version, as whoever set it calls it; empty without.
    pub version: String,
    /// What is said of it besides.
    pub metadata: BTreeMap<String, String>,
}

impl Item {
    /// Whether it stands for one that is no longer there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        *self == Self::default()
    }
}

/// Items by their key.
pub type Items = BTreeMap<String, Item>;

/// The port of a configuration store. Members do not retry, time out beyond the context's deadline, log, meter or
/// cache.
///
/// `keys` are those that are meant, all where there are none; `metadata` as the adapter documents it. Errors of every
/// method: `STORE_UNAVAILABLE` when the backend cannot be reached, or `DEADLINE_EXCEEDED`; a call fails within its
/// context's deadline. `INVALID_FIELD` for keys or metadata that the backend cannot take.
#[async_trait]
pub trait ConfigurationStore: Send + Sync {
    /// Whether the backend answers.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// The items there are, by key.
    async fn get(&self, ctx: &Ctx, keys: &[String], metadata: &BTreeMap<String, String>) -> Result<Items>;

    /// Items as they change from now on, those that are removed as [`Item::is_gone`]. Changes of one key that follow
    /// each other fast may come as one, with the last value. An error is the last item: something may have been missed,
    /// and whoever goes on watches again and reads. Dropping it ends the watch.
    async fn watch(
        &self,
        ctx: &Ctx,
        keys: &[String],
        metadata: &BTreeMap<String, String>,
    ) -> Result<BoxStream<Result<Items>>>;
}
