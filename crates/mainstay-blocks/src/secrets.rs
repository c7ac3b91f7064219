//! The secrets block: who may read which secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::runtime_config::SecretScope;
use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::{Ctx, Error, Result, codes};

use crate::Blocks;
use crate::hub::{Opened, not_found};
use crate::metering::Begun;
use mainstay_core::meter::Block;

/// A secret store that is open, and which of its secrets the app may read.
pub type Store = Opened<dyn SecretStore, Arc<SecretScope>>;

/// A secret by its name. Errors: `COMPONENT_NOT_FOUND`; `PERMISSION_DENIED`; those of the port; `SECRET_UNAVAILABLE`
/// where there is none.
pub async fn get(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    name: &str,
    metadata: &BTreeMap<String, String>,
) -> Result<Secret> {
    let found = find(blocks, store)?;
    if !found.rules.allows(name) {
        let message = format!("read the secret `{name}`: this app may not");
        return Err(Error::new(&codes::PERMISSION_DENIED, message));
    }
    let begun = Begun::new(blocks, Block::Secret, store, "get");
    let secret = found.guard.run(ctx, async |ctx| found.port.get(&ctx, name, metadata).await).await;
    let secret = begun.ended(secret)?;
    if secret.is_empty() {
        return Err(Error::new(&codes::SECRET_UNAVAILABLE, format!("secret {name} not found")));
    }
    Ok(secret)
}

/// Every secret that the app may read, by name. Errors: `COMPONENT_NOT_FOUND`; those of the port.
pub async fn all(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    metadata: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Secret>> {
    let found = find(blocks, store)?;
    let begun = Begun::new(blocks, Block::Secret, store, "bulk_get");
    let secrets = found.guard.run(ctx, async |ctx| found.port.all(&ctx, metadata).await).await;
    let mut secrets = begun.ended(secrets)?;
    secrets.retain(|name, _| found.rules.allows(name));
    Ok(secrets)
}

fn find(blocks: &Blocks, name: &str) -> Result<Store> {
    blocks.table().secrets.get(name).cloned().ok_or_else(|| not_found("secret store", name))
}
