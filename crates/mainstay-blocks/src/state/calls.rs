//! Calls of a store's port, with what is asked for around them.

use std::collections::HashSet;

use mainstay_core::state::{Change, Entry};
use mainstay_core::{Ctx, Result};

use super::Store;

/// What is under a key of the store.
pub(super) async fn read(store: &Store, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
    store.guard.run(ctx, async |ctx| store.port.get(&ctx, key).await).await
}

/// What is under several, in their order; each can fail by itself.
pub(super) async fn read_many(store: &Store, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
    let call = async |ctx, keys: Vec<String>| store.port.get_many(&ctx, &keys).await;
    store.guard.run_each(ctx, keys.to_vec(), call).await
}

/// Makes changes that do not depend on each other. Errors: the first failure, after all were tried.
pub(super) async fn make(store: &Store, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
    if changes.len() == 1 || has_twice(&changes) {
        // Of one key the order holds: nothing is tried again while a later change of the same key is made.
        let mut ended = Ok(());
        for change in changes {
            let call = async |ctx| store.port.apply(&ctx, change.clone()).await;
            ended = ended.and(store.guard.run(ctx, call).await);
        }
        return ended;
    }
    let call = async |ctx, changes| store.port.apply_each(&ctx, changes).await;
    store.guard.run_each(ctx, changes, call).await.into_iter().collect()
}

/// Makes all changes or none.
pub(super) async fn transact(store: &Store, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
    store.guard.run(ctx, async |ctx| store.port.transact(&ctx, changes.clone()).await).await
}

fn has_twice(changes: &[Change]) -> bool {
    let mut seen = HashSet::with_capacity(changes.len());
    !changes.iter().all(|change| seen.insert(change.key()))
}
