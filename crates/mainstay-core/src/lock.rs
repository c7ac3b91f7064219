//! The port of a lock store: names that one owner at a time holds, for a time.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Ctx, Result};

/// What giving a lock back came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// It is free.
    Done,
    /// Nobody held it, or its time was over.
    NotHeld,
    /// Another owner holds it, and goes on holding it.
    HeldByAnother,
}

/// The port of a lock store. Members do not retry, time out beyond the context's deadline, log, meter or cache.
///
/// A lock ends by itself after its time, so that an owner who is gone does not keep it; an owner who takes longer has
/// lost it and is not told. A method whose future is dropped may or may not have had its effect. Errors of every
/// method: `STORE_UNAVAILABLE` when the backend cannot be reached, or `DEADLINE_EXCEEDED`; a call fails within its
/// context's deadline.
#[async_trait]
pub trait LockStore: Send + Sync {
    /// Whether the backend answers.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// Takes a lock that nobody holds, for a time that is not zero; a store may round it up to whole seconds. False
    /// where it is held, also by the same owner: it is not extended. Of several who try at once, one gets it.
    async fn try_lock(&self, ctx: &Ctx, name: &str, owner: &str, time: Duration) -> Result<bool>;

    /// Gives a lock back, if this owner holds it.
    async fn unlock(&self, ctx: &Ctx, name: &str, owner: &str) -> Result<Unlocked>;
}
