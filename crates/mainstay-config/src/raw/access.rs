//! `access`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::secret::SecretText;

/// Who may call.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Access {
    /// API keys. With at least one, every caller needs a key unless `anonymous` is `anyone`. Health (`/health`,
    /// `/ready`) and the documents about the API (`/docs`, `/openapi.json`) never need one; `/metrics` does.
    #[schemars(length(max = 1000))]
    pub(crate) keys: Vec<Key>,
    /// Who may call without a key.
    pub(crate) anonymous: Anonymous,
    /// Calls from browsers on other origins.
    pub(crate) cors: Cors,
}

/// An API key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The key's name, in records and metrics.
    #[schemars(extend("x-form" = "name"), regex(pattern = NAME))]
    pub(crate) name: String,
    /// Where the key itself is: a reference, never the key.
    pub(crate) key: SecretText,
    /// Requests a minute with this key; further ones are refused with 429. Unbounded without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) requests_per_minute: Option<NonZeroU32>,
    /// Requests in flight with this key; further ones are refused with 429. Unbounded without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) concurrency: Option<NonZeroU32>,
}

/// Who may call without a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Anonymous {
    /// Callers on this machine, while no key is configured. Listening beyond loopback then needs a key.
    #[default]
    Loopback,
    /// Nobody.
    Nobody,
    /// Anyone who can reach the port.
    Anyone,
}

/// Calls from browsers on other origins.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cors {
    /// Origins that may call, such as `https://app.example.com`; `*` is any origin, without credentials. None may
    /// without it.
    #[schemars(length(max = 100), extend("uniqueItems" = true))]
    pub(crate) origins: Vec<String>,
}
