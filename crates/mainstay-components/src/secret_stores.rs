//! ★ The secret stores. To add a type: a file in `secret_stores/` with a `pub const DEF`, and a line in `ALL`. That
//! line enrols it in the conformance suite (`tests/secret_stores.rs` wants a rig for it) and the reference page.
//!
//! A file has five parts in order: `//!` (what, link), `DEF`, pure settings, the `impl`, the error map.

pub mod env;
pub mod file;
pub mod kubernetes;

use mainstay_core::secret_store::SecretStore;

/// A type of secret store.
pub type Def = crate::def::Def<dyn SecretStore>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[env::DEF, file::DEF, kubernetes::DEF];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}
