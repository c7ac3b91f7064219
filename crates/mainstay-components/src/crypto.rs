//! ★ The key vaults. To add a type: a file in `crypto/` with a `pub const DEF`, and a line in `ALL`. That line enrols
//! it in the conformance suite (`tests/crypto` wants keys for it) and the reference page.
//!
//! A file has five parts in order: `//!` (what, link), `DEF`, pure settings, the `impl`, the error map.

#[cfg(feature = "crypto")]
pub mod jwks;
#[cfg(feature = "crypto")]
pub mod local;
#[cfg(feature = "crypto")]
mod wrapping;

use mainstay_core::crypto::KeyVault;

/// A type of key vault.
pub type Def = crate::def::Def<dyn KeyVault>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    #[cfg(feature = "crypto")]
    jwks::DEF,
    #[cfg(feature = "crypto")]
    local::DEF,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}
