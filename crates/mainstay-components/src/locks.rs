//! ★ The lock stores. To add a type: a file in `locks/` with a `pub const DEF`, and a line in `ALL`. That line enrols
//! it in the conformance suite (`tests/lock` wants a rig for it) and the reference page.
//!
//! A file has five parts in order: `//!` (what, tested versions, consistency, link), `DEF`, pure settings, the `impl`,
//! the error map.

pub mod embedded;
#[cfg(feature = "redis")]
pub mod redis;

use mainstay_core::lock::LockStore;

/// A type of lock store.
pub type Def = crate::def::Def<dyn LockStore>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    embedded::DEF,
    #[cfg(feature = "redis")]
    redis::DEF,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}
