//! The lock block: whose lock it is, and what a request for one must say.

use std::time::Duration;

use mainstay_core::lock::{LockStore, Unlocked};
use mainstay_core::{Ctx, Error, Result, codes};

use crate::hub::{Opened, not_found};
use crate::metering::Begun;
use crate::{App, Blocks};
use mainstay_core::meter::Block;

/// A lock store that is open.
pub type Store = Opened<dyn LockStore, Rules>;

/// Stands before every name, so that locks do not meet the state that may be in the same database.
const PREFIX: &str = "lock||";
/// Between the prefix and the name.
const SEPARATOR: &str = "||";

/// The rules of a lock store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    before: String,
}

impl Rules {
    /// The rules that a component's setting `keyPrefix` asks for: `appid` (the default), `name`, `none`, or itself.
    #[must_use]
    pub fn of(setting: Option<&str>, component: &str, app: &App) -> Self {
        let own = match setting.unwrap_or("appid") {
            "none" => "",
            "name" => component,
            "appid" | "" => &app.id,
            literal => literal,
        };
        let separator = if own.is_empty() { "" } else { SEPARATOR };
        Self { before: format!("{PREFIX}{own}{separator}") }
    }

    /// The name as the store has it. Errors: `INVALID_FIELD` without a field for one that holds the separator, with
    /// which an app could take the locks of another.
    fn name(&self, resource: &str) -> Result<String> {
        if resource.contains(SEPARATOR) {
            let message = format!("input key/keyPrefix '{resource}' can't contain '{SEPARATOR}'");
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        Ok(format!("{}{resource}", self.before))
    }
}

/// Takes a lock that nobody holds; whether this owner has it now. Errors: `COMPONENT_NOT_FOUND`; `INVALID_FIELD` with
/// the field `resourceId`, `lockOwner` or `expiryInSeconds` for one that is missing; those of the port.
pub async fn try_lock(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    resource: &str,
    owner: &str,
    seconds: i64,
) -> Result<bool> {
    // Asked before whether there is such a store, as callers know it.
    let time = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let time = time.ok_or_else(|| missing("expiryInSeconds", "ExpiryInSeconds is not positive"))?;
    let (component, store) = (store, find(blocks, store, resource, owner)?);
    let name = store.rules.name(resource)?;
    let (port, name) = (&store.port, name.as_str());
    let begun = Begun::new(blocks, Block::Lock, component, "lock");
    begun.ended(store.guard.run(ctx, |ctx| async move { port.try_lock(&ctx, name, owner, time).await }).await)
}

/// Gives a lock back. Errors: as [`try_lock`].
pub async fn unlock(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &str,
    resource: &str,
    owner: &str,
) -> Result<Unlocked> {
    let (component, store) = (store, find(blocks, store, resource, owner)?);
    let name = store.rules.name(resource)?;
    let (port, name) = (&store.port, name.as_str());
    let begun = Begun::new(blocks, Block::Lock, component, "unlock");
    begun.ended(store.guard.run(ctx, |ctx| async move { port.unlock(&ctx, name, owner).await }).await)
}

fn find(blocks: &Blocks, name: &str, resource: &str, owner: &str) -> Result<Store> {
    let table = blocks.table();
    if !table.locks.is_empty() {
        if resource.is_empty() {
            return Err(missing("resourceId", "ResourceId is empty"));
        }
        if owner.is_empty() {
            return Err(missing("lockOwner", "LockOwner is empty"));
        }
    }
    table.locks.get(name).cloned().ok_or_else(|| not_found("lock store", name))
}

fn missing(field: &str, message: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, message).with_field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_chooses_what_stands_before_a_name() {
        let check = |setting: Option<&str>, app: &str, expect: &str| {
            let app = App { id: app.to_owned(), namespace: None };
            assert_eq!(Rules::of(setting, "locks", &app).name("r").unwrap(), expect);
        };
        check(None, "shop", "lock||shop||r");
        check(Some("appid"), "", "lock||r");
        check(Some("name"), "shop", "lock||locks||r");
        check(Some("none"), "shop", "lock||r");
        check(Some("team-a"), "shop", "lock||team-a||r");
    }

    #[test]
    fn no_name_reaches_the_locks_of_another_app() {
        let none = Rules::of(Some("none"), "", &App::default());
        assert_eq!(none.name("shop||r").unwrap_err().code(), &codes::INVALID_FIELD);
    }
}
