//! The port of a secret store: secrets by name, each one or several values.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{Ctx, Redacted, Result};

/// A secret: values by key. A secret that is a single value has it under its own name.
pub type Secret = BTreeMap<String, Redacted<String>>;

/// The port of a secret store. Members do not cache.
///
/// Errors of every method: `SECRET_UNAVAILABLE`, naming the secret and never a value.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Whether the backend answers.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// A secret by its name; with no values when there is none. `metadata` as the adapter documents it.
    async fn get(&self, ctx: &Ctx, name: &str, metadata: &BTreeMap<String, String>) -> Result<Secret>;

    /// Every secret, by name.
    async fn all(&self, ctx: &Ctx, metadata: &BTreeMap<String, String>) -> Result<BTreeMap<String, Secret>>;
}
