//! Who may call.

use std::num::NonZeroU32;

use crate::{Name, SecretRef};

/// The first layer of access.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
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
    /// Where the key itself is.
    pub secret: SecretRef,
    /// Requests a minute; unbounded when absent.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Requests in flight; unbounded when absent.
    pub concurrency: Option<NonZeroU32>,
}

/// Who may call without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// Callers on this machine, while no key is configured. Listening beyond loopback then needs a key.
    #[default]
    Loopback,
    /// Nobody.
    Nobody,
    /// Anyone who can reach the port: the spec says so in words.
    Anyone,
}
