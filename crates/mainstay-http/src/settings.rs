//! What the spec configures of this surface, with secrets resolved. It reads no spec and no environment.

use std::num::NonZeroU32;

use mainstay_core::plan::{Anonymous, Server};
use mainstay_core::{Name, Redacted};

/// The swappable part of the surface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The service's name.
    pub name: Name,
    /// The program's version.
    pub version: String,
    /// Bounds of requests. The listener itself is not ours.
    pub server: Server,
    /// Who may call.
    pub access: Access,
}

/// The first layer of access, with the keys themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// API keys.
    pub keys: Vec<Key>,
    /// Who may call without a key.
    pub anonymous: Anonymous,
    /// Origins that browsers may call from; empty denies all. `*` allows any, without credentials.
    pub cors_origins: Vec<String>,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, for records and metrics.
    pub name: Name,
    /// The key itself.
    pub secret: Redacted<String>,
    /// Requests a minute; unbounded when absent.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Requests in flight; unbounded when absent.
    pub concurrency: Option<NonZeroU32>,
}
