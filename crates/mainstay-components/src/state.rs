//! ★ The state stores. To add a type: a file in `state/` with a `pub const DEF`, and a line in `ALL`. That line enrols
//! it in the conformance suite (`tests/state.rs` wants a server for it) and the reference page.
//!
//! A file has five parts in order: `//!` (what, tested versions, consistency, link), `DEF`, pure settings, the `impl`,
//! the error map.

pub mod embedded;
pub mod in_memory;
#[cfg(feature = "postgres")]
pub mod postgresql;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use mainstay_core::state::StateStore;

/// A type of state store.
pub type Def = crate::def::Def<dyn StateStore>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    embedded::DEF,
    in_memory::DEF,
    #[cfg(feature = "postgres")]
    postgresql::DEF,
    #[cfg(feature = "redis")]
    redis::DEF,
    #[cfg(feature = "sqlite")]
    sqlite::DEF,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}
