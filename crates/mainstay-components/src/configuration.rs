//! ★ The configuration stores. To add a type: a file in `configuration/` with a `pub const DEF`, and a line in `ALL`.
//! That line enrols it in the conformance suite (`tests/configuration` wants a rig for it) and the reference page.
//!
//! A file has five parts in order: `//!` (what, tested versions, consistency, link), `DEF`, pure settings, the `impl`,
//! the error map.

pub mod embedded;
#[cfg(feature = "postgres")]
pub mod postgresql;
#[cfg(feature = "redis")]
pub mod redis;

use mainstay_core::configuration::ConfigurationStore;
#[cfg(any(feature = "postgres", feature = "redis"))]
use mainstay_core::{Error, codes};

/// A type of configuration store.
pub type Def = crate::def::Def<dyn ConfigurationStore>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    embedded::DEF,
    #[cfg(feature = "postgres")]
    postgresql::DEF,
    #[cfg(feature = "redis")]
    redis::DEF,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}

/// Items that one reading gives.
const ITEMS_MAX: usize = 10_000;
/// Changes that wait for whoever watches; with more, the watch is cut and begins anew.
#[cfg(any(feature = "postgres", feature = "redis"))]
const CHANGES_MAX: usize = 1_024;
/// How often the connection of a watch is tried, and how long that may take: one that is silent may be dead.
#[cfg(any(feature = "postgres", feature = "redis"))]
const PING_INTERVAL: std::time::Duration = std::time::Duration::from_secs(15);

#[cfg(any(feature = "postgres", feature = "redis"))]
fn too_many() -> Error {
    let message = format!("read the configuration: there are more than {ITEMS_MAX} items");
    Error::new(&codes::INVALID_FIELD, message).with_help("ask for keys by name")
}

/// The failure of a watch that goes no further.
#[cfg(any(feature = "postgres", feature = "redis"))]
fn cut() -> Error {
    Error::new(&codes::STORE_UNAVAILABLE, "watch the configuration: the connection was cut")
}
