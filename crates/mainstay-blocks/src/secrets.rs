//! The secrets block: who may read which secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::{Ctx, Error, Result, codes};

use crate::Blocks;
use crate::hub::{Opened, not_found};

/// A secret store that is open.
pub type Store = Opened<dyn SecretStore, Arc<Scope>>;

/// Which secrets of a store the app may read. What is denied is denied, whatever else holds; where a list of allowed ones
/// stands, only those; otherwise the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Whether everything is refused that is not allowed by name.
    pub denies_by_default: bool,
    /// Names that may be read.
    pub allowed: Vec<String>,
    /// Names that may not.
    pub denied: Vec<String>,
}

impl Scope {
    /// Whether a secret may be read.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|listed| listed == name);
        if listed(&self.denied) {
            return false;
        }
        if self.allowed.is_empty() { !self.denies_by_default } else { listed(&self.allowed) }
    }
}

/// A secret by its name. Errors: `COMPONENT_NOT_FOUND`; `PERMISSION_DENIED`; those of the port; `SECRET_UNAVAILABLE` where
/// there is none.
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
    let secret = found.port.get(ctx, name, metadata).await?;
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
    let mut secrets = found.port.all(ctx, metadata).await?;
    secrets.retain(|name, _| found.rules.allows(name));
    Ok(secrets)
}

fn find(blocks: &Blocks, name: &str) -> Result<Store> {
    blocks.table().secrets.get(name).cloned().ok_or_else(|| not_found("secret store", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_holds_over_everything_and_a_list_over_the_default() {
        let scope = |denies: bool, allowed: &[&str], denied: &[&str]| Scope {
            denies_by_default: denies,
            allowed: allowed.iter().map(|name| (*name).to_owned()).collect(),
            denied: denied.iter().map(|name| (*name).to_owned()).collect(),
        };
        let check = |scope: Scope, expect: [bool; 3]| {
            assert_eq!(["a", "b", "c"].map(|name| scope.allows(name)), expect, "{scope:?}");
        };
        check(scope(false, &[], &[]), [true, true, true]);
        check(scope(false, &[], &["b"]), [true, false, true]);
        check(scope(true, &["a"], &[]), [true, false, false]);
        check(scope(false, &["a", "b"], &["b"]), [true, false, false]);
        check(scope(true, &[], &[]), [false, false, false]);
    }
}
