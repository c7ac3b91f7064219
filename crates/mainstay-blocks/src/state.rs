//! The state block: whose key it is, what an etag and a concurrency ask for, and how long a value lives.

mod calls;
mod encryption;
mod keys;
pub mod outbox;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mainstay_core::meter::Block;
use mainstay_core::state::{Change, Entry, Format, Page, Precondition, Query, RESERVED, StateStore};
use mainstay_core::{Ctx, Error, Result, codes};

use crate::Blocks;
use crate::hub::{Opened, not_found};
use crate::metering::Begun;
pub use encryption::{Cipher, Key};
pub use keys::{Prefix, SEPARATOR};
pub use outbox::Outbox;

/// A state store that is open.
pub type Store = Opened<dyn StateStore, Rules>;

/// The rules of a state store.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What stands before the app's keys.
    pub prefix: Prefix,
    /// What values are encrypted with; they are kept as they come without.
    pub cipher: Option<Arc<Cipher>>,
    /// Where events of transactions are kept and published from; there are none without.
    pub outbox: Option<Arc<Outbox>>,
}

/// Who wins when two change the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// As it comes: an etag is compared, without one the last write wins.
    #[default]
    Unspecified,
    /// The first: an etag is compared, without one the key must be new.
    FirstWrite,
    /// The last, whatever the etag.
    LastWrite,
}

/// A change of one key, as an app asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key, as the app calls it.
    pub key: String,
    /// The version that the app knows.
    pub etag: Option<String>,
    /// Who wins.
    pub concurrency: Concurrency,
    /// What the app says besides; `ttlInSeconds` counts.
    pub metadata: BTreeMap<String, String>,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets a key.
    Upsert(Item, Bytes, Format),
    /// Removes a key.
    Delete(Item),
}

/// Keys read at once, where nothing else is asked for.
const PARALLEL: usize = 10;

/// Whether there is such a store: surfaces ask before they read what is asked of it. Errors: `COMPONENT_NOT_FOUND`.
pub fn is_there(blocks: &Blocks, store: &str) -> Result<()> {
    find(blocks, store).map(drop)
}

/// Whether it makes several changes at once. Errors: as [`is_there`]; `UNSUPPORTED`.
pub fn can_transact(blocks: &Blocks, store: &str) -> Result<()> {
    check_count(&find(blocks, store)?, 0)
}

/// Whether its values can be searched. Errors: as [`is_there`]; `UNSUPPORTED`; `INVALID_FIELD` where they are
/// encrypted.
pub fn can_query(blocks: &Blocks, store: &str) -> Result<()> {
    let store = find(blocks, store)?;
    if !store.port.capabilities().query {
        return Err(Error::new(&codes::UNSUPPORTED, "this state store cannot search by value"));
    }
    if store.rules.cipher.is_some() {
        return Err(Error::new(&codes::INVALID_FIELD, "cannot query encrypted store"));
    }
    Ok(())
}

/// What is under a key. Errors of this and the others: `COMPONENT_NOT_FOUND`; `INVALID_FIELD` with the field `key` for
/// a key that apps may not use; those of the port.
pub async fn get(blocks: &Blocks, ctx: &Ctx, store: &str, key: &str) -> Result<Option<Entry>> {
    let (name, store) = (store, find(blocks, store)?);
    let key = store.rules.prefix.key(key)?;
    let begun = Begun::new(blocks, Block::State, name, "get");
    begun.ended(calls::read(&store, ctx, &key).await)
}

/// What is under several keys, in their order; each can fail by itself. `parallel`: how many at once.
pub async fn get_many(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    keys: &[String],
    parallel: Option<usize>,
) -> Result<Vec<Result<Option<Entry>>>> {
    let (name, store) = (store, find(blocks, store)?);
    let full = keys.iter().map(|key| store.rules.prefix.key(key)).collect::<Result<Vec<_>>>()?;
    let parts = parallel.filter(|count| *count > 0).unwrap_or(PARALLEL).min(PARALLEL);
    let size = full.len().div_ceil(parts).max(1);
    let begun = Begun::new(blocks, Block::State, name, "bulk_get");
    let found = join_all(full.chunks(size).map(|part| calls::read_many(&store, ctx, part))).await;
    begun.ended(Ok(found.into_iter().flatten().collect()))
}

/// Sets keys. Errors, besides: the first failure, where more than one key is set after all were tried.
pub async fn save(blocks: &Blocks, ctx: &Ctx, store: &str, items: Vec<(Item, Bytes, Format)>) -> Result<()> {
    let (name, store) = (store, find(blocks, store)?);
    let mut changes = Vec::with_capacity(items.len());
    for (item, value, format) in items {
        changes.push(set(&store.rules, item, value, format)?);
    }
    let begun = Begun::new(blocks, Block::State, name, "set");
    begun.ended(calls::make(&store, ctx, changes).await)
}

/// Removes keys. Errors: as [`save`].
pub async fn delete(blocks: &Blocks, ctx: &Ctx, store: &str, items: Vec<Item>) -> Result<()> {
    let (name, store) = (store, find(blocks, store)?);
    let changes = items.into_iter().map(|item| remove(&store.rules, item)).collect::<Result<Vec<_>>>()?;
    let operation = if changes.len() > 1 { "bulk_delete" } else { "delete" };
    let begun = Begun::new(blocks, Block::State, name, operation);
    begun.ended(calls::make(&store, ctx, changes).await)
}

/// Makes all changes or none. Errors, besides: `UNSUPPORTED`; `INVALID_FIELD` with the field `operations` for more than
/// the store takes at once.
pub async fn transact(blocks: &Blocks, ctx: &Ctx, store: &str, operations: Vec<Operation>) -> Result<()> {
    let (name, store) = (store, find(blocks, store)?);
    check_count(&store, operations.len())?;
    if operations.is_empty() {
        return Ok(());
    }
    let begun = Begun::new(blocks, Block::State, name, "transaction");
    if let Some(outbox) = &store.rules.outbox {
        return begun.ended(outbox::transact(blocks, ctx, &store, outbox, operations).await);
    }
    let change = |operation| change(&store.rules, operation);
    let changes = operations.into_iter().map(change).collect::<Result<Vec<_>>>()?;
    begun.ended(calls::transact(&store, ctx, changes).await)
}

/// Whether a store makes as many changes at once.
fn check_count(store: &Store, count: usize) -> Result<()> {
    let Some(most) = store.port.capabilities().transaction_changes_max else {
        return Err(Error::new(&codes::UNSUPPORTED, "this store cannot make several changes at once"));
    };
    if count > most {
        let message = format!(
            "the transaction contains {count} operations, which is more than what the state store supports: {most}"
        );
        return Err(Error::new(&codes::INVALID_FIELD, message).with_field("operations"));
    }
    Ok(())
}

fn change(rules: &Rules, operation: Operation) -> Result<Change> {
    match operation {
        Operation::Upsert(item, value, format) => set(rules, item, value, format),
        Operation::Delete(item) => remove(rules, item),
    }
}

/// Entries of the app whose value fits. Errors, besides: `UNSUPPORTED`; `INVALID_FIELD`, also where values are
/// encrypted.
pub async fn query(blocks: &Blocks, ctx: &Ctx, store: &str, query: Query) -> Result<Page> {
    can_query(blocks, store)?;
    let (name, store) = (store, find(blocks, store)?);
    let prefix = store.rules.prefix.before().to_owned();
    let query = Query { prefix: prefix.clone(), ..query };
    let begun = Begun::new(blocks, Block::State, name, "query");
    let page = store.guard.run(ctx, async |ctx| store.port.query(&ctx, query.clone()).await).await;
    let mut page = begun.ended(page)?;
    // Without a prefix of the app's the search goes over ours too.
    page.entries.retain(|(key, _)| !key.starts_with(RESERVED));
    for (key, _) in &mut page.entries {
        if let Some(bare) = key.strip_prefix(&prefix) {
            *key = bare.to_owned();
        }
    }
    Ok(page)
}

fn set(rules: &Rules, item: Item, value: Bytes, format: Format) -> Result<Change> {
    let (key, ttl) = (rules.prefix.key(&item.key)?, ttl(&item.metadata)?);
    let (value, format) = calls::sealed(rules, value, format)?;
    Ok(Change::Set { key, value, format, precondition: precondition(item, true), ttl })
}

fn remove(rules: &Rules, item: Item) -> Result<Change> {
    Ok(Change::Delete { key: rules.prefix.key(&item.key)?, precondition: precondition(item, false) })
}

fn precondition(item: Item, is_set: bool) -> Precondition {
    match (item.concurrency, item.etag.filter(|etag| !etag.is_empty())) {
        (Concurrency::LastWrite, _) | (Concurrency::Unspecified, None) => Precondition::None,
        (_, Some(etag)) => Precondition::Etag(etag),
        (Concurrency::FirstWrite, None) if is_set => Precondition::Absent,
        (Concurrency::FirstWrite, None) => Precondition::None,
    }
}

/// The time to live that metadata asks for; -1 is for ever.
fn ttl(metadata: &BTreeMap<String, String>) -> Result<Option<Duration>> {
    let Some(text) = metadata.get("ttlInSeconds").filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds.unsigned_abs()))),
        Ok(0 | -1) => Ok(None),
        _ => {
            let message =
                "incorrect value for metadata `ttlInSeconds`: it must be a whole number of seconds, or -1";
            Err(Error::new(&codes::INVALID_FIELD, message).with_field("metadata.ttlInSeconds"))
        }
    }
}

fn find(blocks: &Blocks, name: &str) -> Result<Store> {
    blocks.table().stores.get(name).cloned().ok_or_else(|| not_found("state store", name))
}
