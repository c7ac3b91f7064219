//! Locks in the durable store inside the process: no server, no settings. A lock is a key that only the first may
//! write, with a time to live; it survives a restart, and ends when its time does. The data folder has one process at a
//! time, so no two can hold one. Linearizable.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::lock::{LockStore, Unlocked};
use mainstay_core::state::{Change, Format, Precondition, StateStore};
use mainstay_core::{Ctx, Result, codes};

use crate::def::Def;

/// The type.
pub const DEF: Def<dyn LockStore> = Def {
    kind: "lock.embedded",
    aliases: &[],
    versions: &["v1"],
    about: "The durable store inside the process, in the data folder.",
    settings: &[],
    check: |_| Vec::new(),
    open: |opening| {
        Box::pin(async move {
            let store = opening.embedded.state_store(opening.name)?;
            Ok(Arc::new(Store(store)) as Arc<dyn LockStore>)
        })
    },
};

struct Store(Arc<dyn StateStore>);

impl Store {
    /// Makes a change; false where its precondition does not hold.
    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<bool> {
        match self.0.apply(ctx, change).await {
            Ok(()) => Ok(true),
            Err(error) if error.code() == &codes::ETAG_MISMATCH => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl LockStore for Store {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.0.ready(ctx).await
    }

    async fn try_lock(&self, ctx: &Ctx, name: &str, owner: &str, time: Duration) -> Result<bool> {
        let change = Change::Set {
            key: name.to_owned(),
            value: Bytes::copy_from_slice(owner.as_bytes()),
            format: Format::Bytes,
            precondition: Precondition::Absent,
            ttl: Some(time),
        };
        self.apply(ctx, change).await
    }

    async fn unlock(&self, ctx: &Ctx, name: &str, owner: &str) -> Result<Unlocked> {
        loop {
            let Some(held) = self.0.get(ctx, name).await? else { return Ok(Unlocked::NotHeld) };
            if held.value != owner.as_bytes() {
                return Ok(Unlocked::HeldByAnother);
            }
            let precondition = Precondition::Etag(held.etag);
            if self.apply(ctx, Change::Delete { key: name.to_owned(), precondition }).await? {
                return Ok(Unlocked::Done);
            }
            // It ended between the two steps: look who has it now.
        }
    }
}
